"""Differences between two configurations: which take effect while the daemon runs, and why others do not.

Also the values that the forecasts of a partition depend on, which are recorded with its state: records that are
processed again after a crash are processed under the values that applied to them.
"""

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from streamrnn.errors import StateError
from streamrnn.settings.model import Settings
from streamrnn.settings.section import Section

Effect = Literal["commit", "at once", "reconnect", "restart", "other app"]
"""When a changed key takes effect after SIGHUP: with the next commit of each partition; at once; after the daemon has
left the group and joined it again; only at the next start; or not at all, as the learned state does not fit it."""

TASK_SECTIONS = ("input", "series", "output", "forecast", "anomaly", "model", "learning", "experts")
"""Sections that the forecasts of a partition depend on."""
_NOT_RECORDED = {"input": ("topics", "start", "heartbeat"), "output": ("state", "heartbeat")}
"""Keys of these sections that the forecasts do not depend on."""
_EFFECTS: dict[str, Effect] = {
    "input.topics": "reconnect",
    "input.start": "at once",
    "input.covariates": "other app",
    "input.planned": "other app",
    "input.heartbeat": "restart",
    "input.*": "commit",
    "series.*": "commit",
    "output.state": "other app",
    "output.forecasts": "reconnect",
    "output.dead_letters": "reconnect",
    "output.events": "reconnect",
    "output.heartbeat": "restart",
    "output.*": "commit",
    "forecast.horizon*": "restart",
    "forecast.seasons": "other app",
    "forecast.*": "commit",
    "anomaly.*": "commit",
    "learning.enabled": "other app",
    "learning.head": "other app",
    "learning.whole": "other app",
    "learning.drift": "other app",
    "learning.*": "commit",
    "commit.*": "at once",
    "logging.*": "at once",
    "app": "other app",
    "model.*": "other app",
    "experts": "other app",
}
"""Effect by pattern of key; the first pattern that matches counts. All other keys need a restart."""
_REMEDIES: dict[Effect, str] = {
    "restart": "restart the daemon with it",
    "other app": "the learned state belongs to the old value: run the new one under another app (streamrnn replay "
    "--with compares them first)",
}
_MAX_LENGTH = 120
"""Characters of a value in a message at most."""


class SettingChange(NamedTuple):
    """A key with its values in two configurations."""

    key: str
    before: object
    after: object

    @property
    def effect(self) -> Effect:
        """When it takes effect."""
        return effect_of(self.key)

    @property
    def problem(self) -> str:
        """Why it takes no effect while the daemon runs, and what to do; empty if it does."""
        remedy = _REMEDIES.get(self.effect)
        return f"{self} cannot change while the daemon runs; {remedy}" if remedy else ""

    def __str__(self) -> str:
        return f"{self.key}: {_short(self.before)} -> {_short(self.after)}"


def effect_of(key: str) -> Effect:
    """Return when a change of a key takes effect."""
    return next((effect for pattern, effect in _EFFECTS.items() if fnmatchcase(key, pattern)), "restart")


def changes_between(before: Settings, after: Settings) -> list[SettingChange]:
    """Return the keys whose values differ, in the order of the sections."""
    return list(_changes(before, after, ""))


def _changes(before: Section, after: Section, prefix: str) -> Iterator[SettingChange]:
    shown = before.model_dump(mode="json"), after.model_dump(mode="json")
    for name, key in ((name, field.alias or name) for name, field in type(before).model_fields.items()):
        one, other = getattr(before, name), getattr(after, name)
        if isinstance(one, Section) and isinstance(other, Section):
            yield from _changes(one, other, f"{prefix}{key}.")
        elif one != other:
            yield SettingChange(prefix + key, *(side[key] for side in shown))


def _short(value: object) -> str:
    text = "not set" if value is None else str(value)
    return text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]}..."


def problems_of(changes: Sequence[SettingChange]) -> list[str]:
    """Return the problems of changes that cannot take effect while the daemon runs; empty if all can."""
    return [change.problem for change in changes if change.problem]


def task_values(settings: Settings) -> dict[str, Any]:
    """Return the values that the forecasts of a partition depend on, without defaults, as plain JSON."""
    found = settings.model_dump(mode="json", exclude_defaults=True, include=set(TASK_SECTIONS))
    for section, keys in _NOT_RECORDED.items():
        if section in found:
            found[section] = {key: value for key, value in found[section].items() if key not in keys}
    for event in found.get("forecast", {}).get("events", ()):
        event.pop("name", None)  # for readers of the file
    return {section: values for section, values in found.items() if values}


def with_task_values(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """Return settings with the values that `task_values` returned for other settings.

    Raises:
        StateError: this version does not accept the values.
    """
    kept = settings.model_dump(mode="json", include={name: set(keys) for name, keys in _NOT_RECORDED.items()})
    given = {name: {**kept.get(name, {}), **values.get(name, {})} for name in TASK_SECTIONS if name != "experts"}
    try:
        others = {name: getattr(settings, name) for name in Settings.model_fields if name not in TASK_SECTIONS}
        return Settings.model_validate({**others, **given, "experts": values.get("experts", ())})
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise StateError(
            f"the settings recorded with the saved state cannot be used by this version: {problems}; use the version "
            "that wrote it"
        ) from error
