"""Every error that streamrnn raises on purpose.

StreamrnnError                  exit code 70  an internal error
 ├── ConfigError                78  a configuration key: its name, its value, what is allowed, the file
 ├── StateError                 78  saved state that does not fit: the old and the new value, and the command that helps
 ├── InputError                 66  an input file cannot be read: its path, the line, what is allowed
 ├── OutputError                73  an output file cannot be written: its path and why
 ├── LogError                   69  the log (Kafka or SQLite) is unavailable or refuses: address, topic, partition
 │    ├── Fenced                69  another process owns this partition now
 │    ├── InstanceInUse         69  the group still has a member with this process's instance name
 │    ├── RecordsDeleted        69  retention has deleted the next records before they were read
 │    └── OutputRefused         78  an output topic accepts smaller records or other timestamps than those written
 └── RecordError                    one record is unusable: it becomes a dead letter, and the loop continues
"""

from collections.abc import Callable, Sequence

START_OVER = (
    "start over under another name (app), which leaves this state as it is, or by streamrnn state reset, which deletes "
    "what was learned (streamrnn state export first saves a copy, if the state can still be read)"
)
"""The remedy for saved state that cannot be used."""


class StreamrnnError(Exception):
    """An internal error, and the base class of all others."""

    exit_code = 70


class ConfigError(StreamrnnError):
    """An invalid configuration."""

    exit_code = 78


class StateError(StreamrnnError):
    """Saved state that is damaged or does not fit the configuration."""

    exit_code = 78


class InputError(StreamrnnError):
    """An input file that cannot be read or used."""

    exit_code = 66


class OutputError(StreamrnnError):
    """An output file that cannot be written."""

    exit_code = 73


class LogError(StreamrnnError):
    """The log is unavailable, or refused an operation."""

    exit_code = 69


class Fenced(LogError):  # noqa: N818 -- Kafka's own term
    """Another process owns the partition: uncommitted work of this process must be discarded."""


class InstanceInUse(LogError):  # noqa: N818 -- as the others
    """The group still has a member with this process's instance name, which may be one that was killed just now."""


class RecordsDeleted(LogError):  # noqa: N818 -- as the others
    """Retention has deleted the next records before they were read."""


class OutputRefused(LogError):  # noqa: N818 -- what has happened, as in Kafka's terms
    """A topic does not accept a record: writing it again helps only once the topic's configuration has changed."""

    exit_code = 78


class RecordError(StreamrnnError):
    """One unusable record, which becomes a dead letter.

    Args:
        reason: One of a small, documented set of words, which labels a metric.
        message: The details; or a function that returns them when they are read, since only the first of thousands of
            errors in one record are ever read.
    """

    def __init__(self, reason: str, message: str | Callable[[], str]) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self._message = message

    def __str__(self) -> str:
        """Return the message."""
        return self._message if isinstance(self._message, str) else self._message()


MAX_QUOTED = 3
"""Errors of one record that its dead letter quotes."""


def join_errors(errors: Sequence[RecordError]) -> RecordError:
    """Return one error for all errors of a record, at least one, with the reason of the first one."""
    first, *others = errors
    if not others:
        return first
    texts = [str(first), *(f"{error.reason}: {error}" for error in others[: MAX_QUOTED - 1])]
    more = len(errors) - MAX_QUOTED
    return RecordError(first.reason, "; ".join(texts) + (f"; and {more:,} more" if more > 0 else ""))


def missing_extra(subject: str, library: str, extra: str) -> ConfigError:
    """Return the error for a feature whose optional library is not installed.

    `subject` names the feature as the user asked for it, such as `learning.drift = adwin`.
    """
    return ConfigError(f"{subject}: needs {library}, which is not installed: pip install 'streamrnn[{extra}]'")
