"""The configuration: frozen sections with a default for every key but `input.topics`.

Precedence: command line, environment, secrets files, YAML, default. `config/streamrnn.yaml` documents every key. Only
the composition root imports this package; other modules take keyword arguments with the names of the keys.
"""

import difflib
import os
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import PydanticBaseSettingsSource

from streamrnn.errors import ConfigError
from streamrnn.settings.model import Settings, active_sources
from streamrnn.settings.sources import SourceValue, dump_yaml, environment_name, read_sources

__all__ = ["Settings", "from_sections", "load", "to_yaml"]


def load(path: Path | None, overrides: Sequence[str] = (), *, topics_required: bool = True) -> Settings:
    """Read the settings from a YAML file, the environment, secrets files and `section.key=value` overrides.

    Raises:
        ConfigError: one line per problem with the key, its value, its source and what is allowed. Values of secrets
            are masked.
    """
    return _build(read_sources(path, overrides, os.environ), topics_required=topics_required)


def from_sections(sections: Mapping[str, object]) -> Settings:
    """Return settings from `{section: {key: value}, key: value}` alone.

    Raises:
        ConfigError: as for `load`.
    """
    flat: dict[str, object] = {}
    for name, section in sections.items():
        flat |= (
            {f"{name}.{key}": value for key, value in section.items()}
            if isinstance(section, Mapping)
            else {name: section}
        )
    return _build([{key: SourceValue(value, "argument") for key, value in flat.items()}], topics_required=False)


def to_yaml(settings: Settings) -> str:
    """Return the effective configuration as YAML with secrets masked."""
    return dump_yaml(settings.model_dump(mode="json"))


def _build(sources: Sequence[dict[str, SourceValue]], *, topics_required: bool) -> Settings:
    known = _known()
    values = {
        key: value for key, value in ChainMap(*sources).items() if value.value is not None or key not in _sections()
    }
    problems = [_unknown(key, values[key], known) for key in values if key not in known]
    settings, invalid = _validate(sources, values, known)
    problems.extend(invalid)
    if settings is not None and topics_required and not settings.input.topics:
        problems.append(
            "input.topics: is missing; name the topics to read in a file (-c), by --set input.topics=NAME "
            f"or in {environment_name('input.topics')}"
        )
    if settings is None or problems:
        raise ConfigError("\n".join(problems))
    return settings


def _sections() -> dict[str, type[BaseModel]]:
    types = {name: field.annotation for name, field in Settings.model_fields.items()}
    return {name: kind for name, kind in types.items() if isinstance(kind, type) and issubclass(kind, BaseModel)}


def _known() -> dict[str, FieldInfo]:
    """Return every key as `section.key`."""
    sections = _sections()
    known = {name: field for name, field in Settings.model_fields.items() if name not in sections}
    for section, model in sections.items():
        known.update({f"{section}.{name}": field for name, field in model.model_fields.items()})
    return known


class _Source(PydanticBaseSettingsSource):
    """One source in the form that pydantic-settings chains."""

    def __init__(self, values: Mapping[str, SourceValue]) -> None:
        super().__init__(Settings)
        self._values = values

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[object, str, bool]:  # noqa: ARG002
        """Return no value: `__call__` returns all of them at once."""
        return None, field_name, False

    def __call__(self) -> dict[str, object]:
        """Return the sections with their keys."""
        tree: dict[str, object] = {}
        sections = {name: tree.setdefault(name, {}) for name in _sections()}
        for key, (value, _) in self._values.items():
            section, dot, name = key.partition(".")
            target = sections[section] if dot else tree
            target[name if dot else key] = value  # type: ignore[index]
        return tree


def _validate(
    sources: Sequence[Mapping[str, SourceValue]], values: Mapping[str, SourceValue], known: Mapping[str, FieldInfo]
) -> tuple[Settings | None, list[str]]:
    chain = (_Source({key: source[key] for key in source if key in values and key in known}) for source in sources)
    token = active_sources.set(tuple(chain))
    try:
        return Settings(), []
    except ValidationError as error:
        problems = {key: problem for details in error.errors() for key, problem in _problems(details, known)}
    finally:
        active_sources.reset(token)
    return None, [f"{_assignment(key, values.get(key), known[key])}: {problem}" for key, problem in problems.items()]


def _assignment(key: str, value: SourceValue | None, field: FieldInfo) -> str:
    if value is None:
        return key
    secret = "SecretStr" in str(field.annotation)
    return f"{key} = {'**********' if secret else repr(value.value)} ({value.origin})"


def _problems(details: ErrorDetails, known: Mapping[str, FieldInfo]) -> Iterator[tuple[str, str]]:
    """Yield the key and the problem, in our words, of one error of pydantic."""
    if details["type"] == "conflict":
        yield from details["ctx"]["conflicts"]
        return
    key = ".".join(str(part) for part in details["loc"][:2])
    if details["type"] == "value_error":
        yield key, str(details["ctx"]["error"])
    elif details["type"] == "literal_error":
        yield key, f"allowed are {details['ctx']['expected']}"
    else:
        yield key, _allowed(known[key])


def _allowed(field: FieldInfo) -> str:
    """Return what a key allows, from its type and its bounds."""
    kinds = {int: "a whole number", float: "a number", bool: "true or false"}
    bounds = {"ge": "from", "gt": "above", "le": "to", "lt": "below"}
    words = [next((text for kind, text in kinds.items() if field.annotation is kind), "a text")]
    words += [f"{word} {getattr(m, name)}" for name, word in bounds.items() for m in field.metadata if hasattr(m, name)]
    return "must be " + " ".join(words)


def _unknown(key: str, value: SourceValue, known: Mapping[str, FieldInfo]) -> str:
    # the value is not repeated, as it may be the secret of a misspelt key
    if key in _sections():
        first = next(name for name in known if name.startswith(f"{key}."))
        return f"{key} ({value.origin}): is a section; set its keys, such as {first}"
    near = difflib.get_close_matches(key, known, n=1)
    meant = f"did you mean {near[0]} ({environment_name(near[0])})?" if near else "config/streamrnn.yaml lists all keys"
    return f"{key} ({value.origin}): is not a key; {meant}"
