"""What every part of the configuration is made of."""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from whatwhere.config.faults import unknown_key


def _elsewhere(name: str) -> str:
    """The name of a run, whose folder is not where `snakemake zoo` trains."""
    if name == "zoo":
        words = "expected another name, got 'zoo', where `snakemake zoo` trains; rename the run, or its overlay"
        raise PydanticCustomError("values", "{words}", {"words": words})
    return name


#: Names are parts of files' names, of which file systems allow 255 bytes.
Name = Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


def _named(value: Any) -> Any:
    """A number is a name, as `--config run=2024` has it."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _listening(address: str) -> str:
    """Where a scheduler of Dask listens."""
    if not re.fullmatch(r"tcp://\S+:\d+", address):
        words = f"expected a scheduler's address as tcp://host:8786, got {address!r}; correct it, or set null"
        raise PydanticCustomError("values", "{words}", {"words": words})
    return address


RunName = Annotated[Name, AfterValidator(_elsewhere), BeforeValidator(_named)]
#: Beyond it nothing that is counted here would ever end.
MOST = 10**9
Positive = Annotated[int, Field(gt=0, le=MOST)]
Share = Annotated[float, Field(ge=0, le=1)]
Scheduler = Annotated[str, AfterValidator(_listening)]
Patterns = Annotated[tuple[str, ...], Field(min_length=1)]


def titled(name: Any, entry: Any) -> Any:
    """A table or figure with its name for a title, where it has none."""
    return {"title": str(name), **entry} if isinstance(entry, dict) else entry


class Strict(BaseModel):
    """Frozen, and no key that it does not know.

    Nothing is built before it is asked for: every call of Snakemake imports all of the configuration and needs one of
    its models. Docstrings are read for the schema alone (`described`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, given: Any) -> Any:
        if isinstance(given, dict):
            for key in given:
                if key not in cls.model_fields:
                    raise PydanticCustomError("unknown_key", "{words}", {"words": unknown_key(key, cls.model_fields)})
        return given


def without_nothing(given: Any) -> Any:
    """A section without the entries that an overlay took away by `null`."""
    return {name: entry for name, entry in given.items() if entry is not None} if isinstance(given, dict) else given


T = TypeVar("T")
#: Entries by name.
Entries = Annotated[dict[Name, T], BeforeValidator(without_nothing)]
#: At least one entry, by words of any kind.
Titled = Annotated[dict[str, T], BeforeValidator(without_nothing), Field(min_length=1)]
