"""Every error that streamrnn raises on purpose.

StreamrnnError                  exit code 70  an internal error
 ├── ConfigError                78  a configuration key: its name, its value, what is allowed, the file
 ├── StateError                 78  saved state that does not fit: the old and the new value, and the command that helps
 ├── InputError                 66  an input file cannot be read: its path, the line, what is allowed
 ├── OutputError                73  an output file cannot be written: its path and why
 ├── LogError                   69  the log (Kafka or SQLite) is unavailable or refuses: address, topic, partition
 │    └── Fenced                69  another process owns this partition now
 └── RecordError                    one record is unusable: it becomes a dead letter, and the loop continues
"""

START_OVER = "start over under another name (app), or choose a start offset with streamrnn state reset"
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


class RecordError(StreamrnnError):
    """One unusable record, which becomes a dead letter.

    `reason` is one of a small, documented set of words and labels a metric; the message gives the details.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def missing_extra(subject: str, library: str, extra: str) -> ConfigError:
    """Return the error for a feature whose optional library is not installed.

    `subject` names the feature as the user asked for it, such as `learning.drift = adwin`.
    """
    return ConfigError(f"{subject}: needs {library}, which is not installed: pip install 'streamrnn[{extra}]'")
