"""The source of a worker's tasks: the configured settings, or those recorded with a saved state.

The settings that outputs depend on are recorded in the piece `meta` of each snapshot. Committed records after the
snapshot are processed again under the recorded settings, whatever is configured now. Only a state that was saved at the
committed offset is loaded under other settings, and the first commit afterwards saves it with them.
"""

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from streamrnn.errors import START_OVER, StateError
from streamrnn.runtime.snapshot.layout import describe_differences
from streamrnn.runtime.snapshot.pieces import read_meta

if TYPE_CHECKING:
    from streamrnn.records import TopicPartition
    from streamrnn.runtime.task import Task

COVARIATES = ("covariates", "planned")
"""Keys of the section `input` that name covariates: under others the series of the old ones would be published."""
UNCHANGED = -1
"""In place of the offset of the last change: no change is known."""


class RecordedSettings(NamedTuple):
    """The settings under which the records after a snapshot were processed."""

    values: Mapping[str, Any]
    since: int = UNCHANGED
    """Offset of the first record that they apply to; -1 if no change is known."""

    @property
    def fingerprint(self) -> str:
        """A short hash that identifies the values."""
        return blake2b(orjson.dumps(self.values, option=orjson.OPT_SORT_KEYS), digest_size=4).hexdigest()


def recorded_settings(state: Mapping[bytes, bytes]) -> RecordedSettings | None:
    """Return the settings recorded with a saved state; None if it has none, as that of earlier versions.

    Also return None if the state cannot be read: loading it reports the reason.
    """
    try:
        found = read_meta(state).get("settings") if state else None
    except StateError:
        return None
    return None if found is None else RecordedSettings(found["values"], found["since"])


class TaskSource:
    """Makes the tasks of partitions under the same settings.

    Args:
        make: Returns a new task.
        values: The settings that outputs depend on, to record with the state; None: nothing is recorded.
        recorded: Returns the source under other values; may raise StateError.
    """

    def __init__(
        self,
        make: "Callable[[TopicPartition], Task]",
        *,
        values: Mapping[str, Any] | None = None,
        recorded: "Callable[[Mapping[str, Any]], TaskSource] | None" = None,
    ) -> None:
        self.make, self.values = make, values
        self._recorded = recorded

    def equals(self, found: RecordedSettings | None) -> bool:
        """Return whether recorded settings equal those of this source; True if either are unknown."""
        if found is None or self.values is None or self._recorded is None or found.values == self.values:
            return True
        try:
            return self._recorded(found.values).values == self.values  # another version may write them differently
        except StateError:
            return False

    def for_replay(self, found: RecordedSettings | None) -> "TaskSource":
        """Return the source under the recorded settings, or this one if they are equal. Raises StateError."""
        if found is None or self._recorded is None or self.equals(found):
            return self
        return self._recorded(found.values)

    def check_covariates(self, found: RecordedSettings | None) -> None:
        """Require that a saved state has the covariates of this source. Raises StateError."""
        if found is None or self.values is None:
            return
        saved, current = _covariates(found.values), _covariates(self.values)
        if saved != current:
            raise StateError(
                f"the saved state does not fit the configuration: {describe_differences(saved, current)}; restore the "
                f"old value, or {START_OVER}"
            )

    def is_new(self, found: RecordedSettings | None) -> bool:
        """Return whether this source has settings to record that differ from the recorded ones."""
        return self.values is not None and (found is None or not self.equals(found))

    def record(self, found: RecordedSettings | None, offset: int) -> RecordedSettings | None:
        """Return the settings to record if this source's tasks continue at `offset` after the settings `found`."""
        if self.values is None:
            return None
        if found is None:
            return RecordedSettings(self.values)
        return RecordedSettings(self.values, found.since if self.equals(found) else offset)


def _covariates(values: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the names of the covariates in recorded settings, which other versions may have written, by key."""
    section = values.get("input")
    names = {key: section.get(key) if isinstance(section, dict) else None for key in COVARIATES}
    return {f"input.{key}": sorted(map(str, each)) if isinstance(each, list) else [] for key, each in names.items()}
