"""The configuration: frozen sections with a default for every key but `input.topics`, and unknown keys refused.

`load` reads it: command line over environment over secrets files over YAML over default. `config/streamrnn.yaml` lists
and explains every key. Only the composition root imports this package; everything below takes plain keyword arguments
named as the keys are.
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
from streamrnn.settings.model import Settings, sources
from streamrnn.settings.sources import Value, environment_name, gather, to_yaml

__all__ = ["Settings", "describe", "given", "load"]


def load(path: Path | None, overrides: Sequence[str] = (), *, topics_required: bool = True) -> Settings:
    """Read the settings from a YAML file (None: there is none), the environment and `section.key=value` overrides.

    `topics_required` False lets `input.topics` be absent, where files are read and no topic is.

    Raises:
        ConfigError: with one line per problem: the key, its value, where that was written, and what is allowed. The
            value of a secret is never repeated.
    """
    return _read(gather(path, overrides, os.environ), topics_required=topics_required)


def given(sections: Mapping[str, object]) -> Settings:
    """Make settings of what a program passes: `{section: {key: value}, key: value}`; nothing else is read.

    Raises:
        ConfigError: as for `load`.
    """
    flat: dict[str, Value] = {}
    for name, section in sections.items():
        keys = (
            {f"{name}.{key}": each for key, each in section.items()}
            if isinstance(section, Mapping)
            else {name: section}
        )
        flat |= {key: Value(value, "argument") for key, value in keys.items()}
    return _read([flat], topics_required=False)


def _read(origins: Sequence[dict[str, Value]], *, topics_required: bool) -> Settings:
    known = _known()
    written = {
        key: value for key, value in ChainMap(*origins).items() if value.value is not None or key not in _sections()
    }
    problems = [_unknown(key, written[key], known) for key in written if key not in known]
    settings, invalid = _validated(origins, written, known)
    problems.extend(invalid)
    if settings is not None and topics_required and not settings.input.topics:
        problems.append(
            "input.topics: is missing; name the topics to read in a file (-c), by --set input.topics=NAME "
            f"or in {environment_name('input.topics')}"
        )
    if settings is None or problems:
        raise ConfigError("\n".join(problems))
    return settings


def describe(settings: Settings) -> str:
    """Write the effective configuration as YAML, secrets masked."""
    return to_yaml(settings.model_dump(mode="json"))


def _sections() -> dict[str, type[BaseModel]]:
    types = {name: field.annotation for name, field in Settings.model_fields.items()}
    return {name: kind for name, kind in types.items() if isinstance(kind, type) and issubclass(kind, BaseModel)}


def _known() -> dict[str, FieldInfo]:
    """List every key, written `section.key`."""
    sections = _sections()
    known = {name: field for name, field in Settings.model_fields.items() if name not in sections}
    for section, model in sections.items():
        known.update({f"{section}.{name}": field for name, field in model.model_fields.items()})
    return known


class _Source(PydanticBaseSettingsSource):
    """One of our sources, for pydantic-settings to chain; unknown keys are left out: `load` has words for them."""

    def __init__(self, given: Mapping[str, Value]) -> None:
        super().__init__(Settings)
        self._given = given

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[object, str, bool]:  # noqa: ARG002
        """Not asked: a source gives all its keys at once."""
        return None, field_name, False

    def __call__(self) -> dict[str, object]:
        """Sections with their keys."""
        tree: dict[str, object] = {}
        sections = {name: tree.setdefault(name, {}) for name in _sections()}
        for key, (value, _) in self._given.items():
            section, dot, name = key.partition(".")
            into = sections[section] if dot else tree
            into[name if dot else key] = value  # type: ignore[index]
        return tree


def _validated(
    origins: Sequence[Mapping[str, Value]], given: Mapping[str, Value], known: Mapping[str, FieldInfo]
) -> tuple[Settings | None, list[str]]:
    chain = (_Source({key: source[key] for key in source if key in given and key in known}) for source in origins)
    token = sources.set(tuple(chain))
    try:
        return Settings(), []
    except ValidationError as error:
        found = {key: words for details in error.errors() for key, words in _words(details, known)}
    finally:
        sources.reset(token)
    return None, [f"{_written(key, given.get(key), known[key])}: {words}" for key, words in found.items()]


def _written(key: str, value: Value | None, field: FieldInfo) -> str:
    if value is None:
        return key
    secret = "SecretStr" in str(field.annotation)
    return f"{key} = {'**********' if secret else repr(value.value)} ({value.origin})"


def _words(details: ErrorDetails, known: Mapping[str, FieldInfo]) -> Iterator[tuple[str, str]]:
    """Put one of pydantic's errors as (key, what is allowed)."""
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
    """Say what a key allows, from its type and its bounds."""
    kinds = {int: "a whole number", float: "a number", bool: "true or false"}
    bounds = {"ge": "from", "gt": "above", "le": "to", "lt": "below"}
    words = [next((words for kind, words in kinds.items() if field.annotation is kind), "a text")]
    words += [f"{word} {getattr(m, name)}" for name, word in bounds.items() for m in field.metadata if hasattr(m, name)]
    return "must be " + " ".join(words)


def _unknown(key: str, value: Value, known: Mapping[str, FieldInfo]) -> str:
    # the value is not repeated: it may be the secret of a misspelt key
    if key in _sections():
        first = next(name for name in known if name.startswith(f"{key}."))
        return f"{key} ({value.origin}): is a section; write its keys, such as {first}"
    near = difflib.get_close_matches(key, known, n=1)
    meant = f"did you mean {near[0]} ({environment_name(near[0])})?" if near else "config/streamrnn.yaml lists them all"
    return f"{key} ({value.origin}): there is no such key; {meant}"
