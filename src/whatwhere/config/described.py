"""The configuration as editors read it: every setting with its type, its bounds, and its docstring."""

from __future__ import annotations

import ast
import inspect
import json
from itertools import pairwise
from textwrap import dedent
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from whatwhere.config import Config


def schema() -> str:
    """The JSON schema of the configuration. No key is required, for no file holds them all."""
    described = Config.model_json_schema(schema_generator=_Described)
    del described["required"]
    return json.dumps(described, indent=1) + "\n"


class _Described(GenerateJsonSchema):
    def model_schema(self, schema: Any) -> dict[str, Any]:
        """A model's own schema, with what is written below its fields."""
        found = super().model_schema(schema)
        fields = found.get("properties", {})
        for name, words in _docstrings(schema["cls"]).items():
            fields[name].setdefault("description", words)
        return found


def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    """What is written below the fields of a model, and of those that it inherits from."""
    found: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if issubclass(each, BaseModel) and each is not BaseModel:
            (written,) = ast.parse(dedent(inspect.getsource(each))).body
            for pair in pairwise(getattr(written, "body", ())):
                match pair:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                        found[name] = inspect.cleandoc(words)
    return found
