"""Reloading the configuration of a running daemon at SIGHUP: all changes take effect, or none."""

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from streamrnn.errors import ConfigError, LogError
from streamrnn.records import TopicPartition
from streamrnn.runtime.processes import WorkerProcesses
from streamrnn.settings import Settings
from streamrnn.settings.changes import SettingChange, changes_between, problems_of

if TYPE_CHECKING:
    from streamrnn.core.forecaster import CoreForecaster

logger = logging.getLogger(__name__)

PARENT_KEYS = frozenset({"workers", "metrics.port", "kafka.instance"})
"""Keys that the parent of several workers sets individually for each worker."""


class Reloader:
    """Reads the settings again at each call.

    Args:
        settings: The current settings.
        read: Returns new settings; raises ConfigError.
        check: Raises ConfigError or LogError if new settings cannot take effect although they are valid.
        apply: Applies new settings after they are checked.
        count: Called with the result of each reload.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        read: Callable[[], Settings],
        check: Callable[[Settings, Settings], None] = lambda _before, _after: None,
        apply: Callable[[Settings, Sequence[SettingChange]], None],
        count: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.settings = settings
        self.changed: frozenset[str] = frozenset()
        """Keys that differed at the latest call."""
        self._read, self._check, self._apply, self._count = read, check, apply, count

    def __call__(self) -> str:
        """Reload; return the result, one of `catalogue.RELOAD_RESULTS`. Logs what happened, and never raises.

        `invalid` and `refused` leave the settings as they are, as `failed` does, because of an unavailable registry or
        an internal error.
        """
        try:
            result = self._reload()
        except ConfigError as error:
            result = "invalid"
            _log_refused(result, str(error))
        except Exception as error:
            result = "failed"
            if isinstance(error, LogError):
                _log_refused(result, str(error))
            else:
                logger.exception("reload_failed", extra={"error": f"{type(error).__name__}: {error}"})
        self._count(result)
        return result

    def _reload(self) -> str:
        new = self._read()
        changes = changes_between(self.settings, new)
        self.changed = frozenset(change.key for change in changes)
        if problems := problems_of(changes):
            others = len(changes) - len(problems)
            also = f"\nthe other changes ({others}) would take effect without these" if others else ""
            _log_refused("refused", "\n".join(problems) + also)
            return "refused"
        if not changes:
            logger.info("reloaded", extra={"changed": []})
            return "unchanged"
        try:
            self._check(self.settings, new)
        except _Refused as error:
            _log_refused("refused", str(error))
            return "refused"
        self._apply(new, changes)
        self.settings = new
        logger.info("reloaded", extra={"changed": [str(change) for change in changes]})
        return "applied"


class _Refused(Exception):  # noqa: N818 -- no error of the program
    """Settings that are valid, but do not fit the state in memory."""


def _log_refused(result: str, error: str) -> None:
    logger.error("reload_refused", extra={"result": result, "error": error})


def check_tasks(before: Settings, after: Settings) -> None:
    """Check that new settings can make tasks, and that these can continue with the state of the current tasks.

    Raises:
        ConfigError: a library is missing, or a time zone, a calendar or a schema cannot be used.
        LogError: the schema registry is unavailable.
    """
    from streamrnn import app  # noqa: PLC0415 -- the numerical libraries

    if after.page.enabled and after.forecast.quantiles != before.forecast.quantiles:
        raise _Refused("forecast.quantiles: the live page (page.enabled) shows them as they were; restart the daemon")
    for topic in after.input.topics:
        app.register_forecasts(after, topic)
        app.task(after, TopicPartition(topic, 0))
    _check_state(after, *map(app.forecaster, (before, after)))


def _check_state(after: Settings, old: "CoreForecaster", new: "CoreForecaster") -> None:
    from streamrnn.runtime.snapshot.layout import describe_differences  # noqa: PLC0415 -- numpy

    if new.layout != old.layout and not new.describe_migration(old.layout):
        found = describe_differences(old.layout, new.layout)
        raise _Refused(
            f"the learned state does not fit the new settings: {found}; restore the old value, or run the new one "
            "under another app (streamrnn replay --with compares them first)"
        )
    if after.numerics == "strict" and (found := describe_differences(old.numerics, new.numerics)):
        raise _Refused(
            f"the new settings change the arithmetic, which numerics: strict forbids: {found}; restart the daemon "
            "with numerics: lenient"
        )


def reload_workers(reloader: Reloader, workers: WorkerProcesses) -> None:
    """Reload the settings of the parent of several workers, and make the workers reload theirs.

    If the parent refuses the settings, the workers refuse and count them too; but they would not notice changes of
    PARENT_KEYS, and are not reloaded then.
    """
    if reloader() != "refused" or reloader.changed.isdisjoint(PARENT_KEYS):
        workers.reload()
