"""The JSON Schema of the configuration file, for editors and checks before a deployment."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from pydantic import BaseModel, PlainSerializer
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from streamrnn.settings import units
from streamrnn.settings.durations import AS_OPTIONAL_DURATION
from streamrnn.settings.model import Settings
from streamrnn.settings.sections.mapping import SHORT

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NUMBER = r"^[0-9]{1,12}(\.[0-9]{1,6})?\s*"
_NUMBERS = ("integer", "number")
DURATION = {"type": "string", "pattern": rf"{_NUMBER}(ms|s|m|h|d)$", "examples": ["500ms", "30s", "5m", "1h", "7d"]}
SIZE = {"type": "string", "pattern": rf"{_NUMBER}(B|KiB|MiB|GiB)$", "examples": ["512B", "64KiB", "1MiB"]}


def configuration_schema(model: type[BaseModel] = Settings, short_forms: Mapping[str, str] = SHORT) -> dict[str, Any]:
    """Return the JSON Schema of a configuration file: every key with its type, default and description, and no other.

    It describes a file as people write it: durations and sizes are texts with a unit, and no key is required.

    Args:
        model: The configuration.
        short_forms: Groups of keys that may be replaced by a value, such as `input.time`, and the key of that value,
            such as `input.time.from`.
    """
    schema = model.model_json_schema(mode="serialization", schema_generator=_Generator, by_alias=True)
    definitions = schema.pop("$defs", {})
    title = {"$schema": DIALECT, "title": "Configuration of streamrnn"}
    inlined: dict[str, Any] = title | _inlined(schema, definitions)
    _describe(inlined, model)
    for group, key in short_forms.items():
        _allow_short_form(inlined, group.split("."), key.rpartition(".")[2])
    return inlined


class _Generator(GenerateJsonSchema):
    """Omits titles, which would repeat the names of the keys."""

    def get_title_from_name(self, name: str) -> str:
        del name
        return ""


def _inlined(node: Any, definitions: Mapping[str, Any]) -> Any:
    """Return a schema without references, titles and required keys."""
    if isinstance(node, list):
        return [_inlined(each, definitions) for each in node]
    if not isinstance(node, dict):
        return node
    if (name := node.get("$ref", "").removeprefix("#/$defs/")) in definitions:
        node = definitions[name] | {key: each for key, each in node.items() if key != "$ref"}
    return {
        key: {name: _inlined(each, definitions) for name, each in value.items()}
        if key == "properties"
        else value
        if key == "default"
        else _inlined(value, definitions)
        for key, value in node.items()
        if key not in {"title", "required"}
    }


def _describe(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Add the descriptions of the keys, and the forms of durations, sizes and lists."""
    documented = dict(_documented(model))
    for name, field in model.model_fields.items():
        key = field.serialization_alias or field.alias or name
        found = schema["properties"][key]
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found |= {"type": ["object", "null"], "description": _one_line(inspect.getdoc(field.annotation) or "")}
            found.pop("default", None)
            _describe(found, field.annotation)
            continue
        kept = {each: found[each] for each in ("default",) if each in found}
        if name in documented:
            kept["description"] = documented[name]
        form = _form(field) or {each: value for each, value in found.items() if each != "default"}
        schema["properties"][key] = kept | _or_text(form)


def _or_text(form: dict[str, Any]) -> dict[str, Any]:
    """Return the form of a key, extended for lists of texts or numbers by a text with commas."""
    lists = [each for each in form.get("anyOf", [form]) if each.get("items", {}).get("type") in {"string", *_NUMBERS}]
    return {"anyOf": [*form.get("anyOf", [form]), {"type": "string"}]} if lists else form


def _form(field: FieldInfo) -> dict[str, Any] | None:
    """Return the form of a duration or a size; None for any other key."""
    functions = [each.func for each in field.metadata if isinstance(each, PlainSerializer)]
    if units.format_duration in functions:
        return DURATION
    if units.format_size in functions:
        return SIZE
    if any(getattr(each, "__name__", "") == "_duration_or_auto" for each in functions):
        return {"anyOf": [{"const": "auto"}, DURATION]}
    if AS_OPTIONAL_DURATION.func in functions:
        return {"anyOf": [DURATION, {"type": "null"}]}
    return None


def _documented(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """Yield the name and docstring of each documented key."""
    for kind in reversed([each for each in model.__mro__ if issubclass(each, BaseModel) and each is not BaseModel]):
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
        statements = getattr(tree, "body", [])
        for statement, following in pairwise(statements):
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                text = getattr(getattr(following, "value", None), "value", None)
                if isinstance(following, ast.Expr) and isinstance(text, str):
                    yield statement.target.id, _one_line(text)


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _allow_short_form(schema: dict[str, Any], path: list[str], key: str) -> None:
    """Allow the value of a key in place of its group."""
    above = schema
    for name in path[:-1]:
        above = above["properties"][name]
    group = above["properties"][path[-1]]
    description = {"description": group.get("description", "")}
    above["properties"][path[-1]] = description | {"anyOf": [group, group["properties"][key]]}
