"""The configuration: frozen sections with a default for every key but `input.topics`.

Precedence: command line, environment, secrets files, YAML, default. `config/streamrnn.yaml` documents every key. Only
the composition root imports this package; other modules take keyword arguments with the names of the keys.
"""

import os
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from streamrnn.errors import ConfigError
from streamrnn.settings.model import Settings
from streamrnn.settings.section import Section
from streamrnn.settings.sections.mapping import SHORT
from streamrnn.settings.sources import SourceValue, dump_yaml, environment_name, read_sources
from streamrnn.settings.synonyms import meant_key

__all__ = ["DEFAULT_FILE", "Settings", "connection_of", "from_sections", "load", "to_yaml"]

DEFAULT_FILE = Path("streamrnn.yaml")
"""The file that `streamrnn init` writes; it is read only if -c names it, as the working folder of a service varies."""

MAX_VALUE_LENGTH = 200
"""Characters of a value in a message at most."""


def load(path: Path | None, overrides: Sequence[str] = (), *, topics_required: bool = True) -> Settings:
    """Read the settings from a YAML file, the environment, secrets files and `section.key=value` overrides.

    Raises:
        ConfigError: one line per problem with the key, its value, its source and what is allowed. Values of secrets
            are masked.
    """
    missing = ""
    if topics_required:
        file = f"; {DEFAULT_FILE} in this folder is read only with -c {DEFAULT_FILE}"
        missing = (
            "input.topics: is missing; name the topics to read in a file (-c), by --set input.topics=NAME "
            f"or in {environment_name('input.topics')}{file * (path is None and DEFAULT_FILE.is_file())}"
        )
    return _build(read_sources(path, overrides, os.environ, _groups(Settings)), missing_topics=missing)


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
    return _build([{key: SourceValue(value, "argument") for key, value in flat.items()}])


def connection_of(settings: Settings) -> dict[str, Any]:
    """Return the sections that name the application and its log, without defaults and without secrets."""
    changed = settings.model_dump(
        mode="json", exclude_defaults=True, include={"app", "log", "kafka", "sqlite", "schema_registry"}
    )
    for name, group in _groups(Settings).items():
        secrets = {key for key, field in group.keys().items() if "SecretStr" in str(field.annotation)}
        if name in changed:
            changed[name] = {key: value for key, value in changed[name].items() if key not in secrets}
    return {name: value for name, value in changed.items() if value != {}}


def to_yaml(settings: Settings) -> str:
    """Return the effective configuration as YAML with secrets masked."""
    return dump_yaml(settings.model_dump(mode="json"))


def _build(sources: Sequence[dict[str, SourceValue]], *, missing_topics: str = "") -> Settings:
    """Return the settings; `missing_topics` is the problem if no topic is named, empty: topics are not required."""
    known, groups = _known(), _groups(Settings)
    chain = ChainMap(*map(_expanded, sources))
    values = {key: value for key, value in chain.items() if value.value is not None or key not in groups}
    problems = [_unknown(key, values[key], known) for key in values if key not in known]
    settings, invalid = _validate(values, known)
    problems.extend(invalid)
    if settings is not None and missing_topics and not settings.input.topics:
        problems.append(missing_topics)
    if settings is None or problems:
        raise ConfigError("\n".join(problems))
    return settings


def _groups(model: type[Section], prefix: str = "") -> dict[str, type[Section]]:
    """Return every group of keys, such as `input` and `input.time`."""
    groups: dict[str, type[Section]] = {}
    for name, field in model.keys().items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            groups[prefix + name] = field.annotation
            groups |= _groups(field.annotation, f"{prefix}{name}.")
    return groups


def _known() -> dict[str, FieldInfo]:
    """Return every key, such as `input.topics` and `input.time.unit`."""
    groups: dict[str, type[Section]] = {"": Settings, **_groups(Settings)}
    keys = {
        (f"{name}." if name else "") + key: field
        for name, group in groups.items()
        for key, field in group.keys().items()
    }
    return {key: field for key, field in keys.items() if key not in groups}


def _expanded(source: Mapping[str, SourceValue]) -> dict[str, SourceValue]:
    """Return a source with a key for each value in a group within a section, such as `input.time`.

    A value in place of such a group is that of the key that SHORT names.
    """
    groups = {name for name in _groups(Settings) if "." in name}
    values: dict[str, SourceValue] = {}
    for key, (value, origin) in source.items():
        if key in groups and isinstance(value, Mapping):
            values |= {f"{key}.{name}": SourceValue(each, origin) for name, each in value.items()}
        elif key in SHORT:
            values[SHORT[key]] = SourceValue(value, origin)
        else:
            values[key] = SourceValue(value, origin)
    return values


def _validate(values: Mapping[str, SourceValue], known: Mapping[str, FieldInfo]) -> tuple[Settings | None, list[str]]:
    tree: dict[str, Any] = {}
    for key in values.keys() & known.keys():
        *groups, name = key.split(".")
        section = tree
        for group in groups:
            section = section.setdefault(group, {})
        section[name] = values[key].value
    try:
        return Settings.model_validate(tree), []
    except ValidationError as error:
        problems = {key: problem for details in error.errors() for key, problem in _problems(details, known)}
    return None, [f"{_assignment(key, values, known)}: {problem}" for key, problem in problems.items()]


def _assignment(key: str, values: Mapping[str, SourceValue], known: Mapping[str, FieldInfo]) -> str:
    """Return a key in its usual form, with its value and the source of the value."""
    value, field = values.get(SHORT.get(key, key)), known.get(SHORT.get(key, key))
    key = {long: short for short, long in SHORT.items()}.get(key, key)
    if value is None or field is None:
        return key
    shown = "**********" if "SecretStr" in str(field.annotation) else repr(value.value)
    return f"{key} = {shown if len(shown) <= MAX_VALUE_LENGTH else shown[:MAX_VALUE_LENGTH] + '…'} ({value.origin})"


def _problems(details: ErrorDetails, known: Mapping[str, FieldInfo]) -> Iterator[tuple[str, str]]:
    """Yield the key and the problem of one pydantic error, as a message for users."""
    if details["type"] == "conflict":
        yield from details["ctx"]["conflicts"]
        return
    parts = [str(part) for part in details["loc"]]
    key = next(name for end in range(len(parts), 0, -1) if (name := ".".join(parts[:end])) in known)
    if details["type"] == "value_error":
        yield key, str(details["ctx"]["error"])
    elif details["type"] == "literal_error":
        yield key, f"allowed are {details['ctx']['expected']}"
    else:
        yield key, _allowed(known[key])


def _allowed(field: FieldInfo) -> str:
    """Return a text with the allowed values of a key, from its type and bounds."""
    kinds = {int: "a whole number", float: "a number", bool: "true or false"}
    bounds = {"ge": "from", "gt": "above", "le": "to", "lt": "below"}
    words = [next((text for kind, text in kinds.items() if field.annotation is kind), "a text")]
    words += [f"{word} {getattr(m, name)}" for name, word in bounds.items() for m in field.metadata if hasattr(m, name)]
    return "must be " + " ".join(words)


def _unknown(key: str, value: SourceValue, known: Mapping[str, FieldInfo]) -> str:
    # the value is not repeated, as it may be the secret of a misspelt key
    if key in _groups(Settings):
        first = next(name for name in known if name.startswith(f"{key}."))
        return f"{key} ({value.origin}): is a section; set its keys, such as {first}"
    near = meant_key(key, known)
    meant = (
        f"did you mean {near} ({environment_name(near)})?"
        if near
        else "`streamrnn init --example streamrnn` writes a file with all keys"
    )
    return f"{key} ({value.origin}): is not a key; {meant}"
