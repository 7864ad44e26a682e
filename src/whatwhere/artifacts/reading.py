"""A file of YAML as a tree, read within bounds: a file of a kilobyte may else stand for more than a memory holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from whatwhere.artifacts.errors import InputError

#: A configuration is a page or a few; generous bounds, so that none that a person writes meets them.
MOST_BYTES = 4_000_000
MOST_VALUES = 200_000
DEEPEST = 60
_CORRECT = "correct it"


def read_yaml(path: Path) -> dict[str, Any]:
    """Keys and values. Raises `InputError` for what is missing, too large, nested too deep, or no YAML of that kind."""
    import yaml

    try:
        if (size := path.stat().st_size) > MOST_BYTES or not path.is_file():
            got = f"{size:,} bytes" if path.is_file() else "something that is no file"
            raise InputError(f"{path}: expected a file of at most {MOST_BYTES:,} bytes, got {got}; name another")
        text = path.read_text("utf-8")
        _check_extent(path, text)
        tree = yaml.load(text, _loader())
    except OSError as error:
        raise InputError(f"{path}: expected a configuration file, got {error.strerror}; check the path") from error
    except (yaml.YAMLError, ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{path}: expected YAML, got {' '.join(str(error).split())}; {_CORRECT}") from error
    if not isinstance(tree, dict):
        raise InputError(f"{path}: expected keys and values, got {type(tree).__name__}; {_CORRECT}")
    return tree


def _loader() -> Any:
    """PyYAML's safe loader, in C where it was built with it: five to seven times as fast on config/figures.yaml."""
    import yaml

    return yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


def _check_extent(path: Path, text: str) -> None:
    """Raises `InputError` where a text nests deeper than anything, or holds more, with what aliases stand for.

    Event by event, before any of it is made: what an alias (`*name`) stands for counts each time.
    """
    import yaml

    sizes: dict[str, int] = {}
    open_: list[tuple[str | None, int]] = []  # what has begun: its anchor, and what came before it
    values = 0
    for event in yaml.parse(text, _loader()):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise InputError(
                    f"{path}: expected `*{event.anchor}` to stand for something above, got nothing, or what it is "
                    f"itself part of; {_CORRECT}"
                )
            values += sizes[event.anchor]
        elif isinstance(event, yaml.CollectionStartEvent):
            open_.append((event.anchor, values))
            values += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_.pop()
            if anchor:
                sizes[anchor] = values - before
        elif isinstance(event, yaml.ScalarEvent):
            values += 1
            if event.anchor:
                sizes[event.anchor] = 1
        if len(open_) > DEEPEST:
            raise InputError(f"{path}: expected keys and lists at most {DEEPEST} deep, got more; {_CORRECT}")
        if values > MOST_VALUES:
            raise InputError(
                f"{path}: expected at most {MOST_VALUES:,} values, each alias counted for what it stands for, got "
                f"more; {_CORRECT}"
            )
