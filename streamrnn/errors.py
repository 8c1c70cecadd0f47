"""Every error that streamrnn raises on purpose.

StreamrnnError                  exit code 70  an internal error
 ├── ConfigError                78  a configuration key: its name, its value, what is allowed, the file
 ├── StateError                 78  saved state that does not fit: the old and the new value, and the command that helps
 ├── InputError                 66  an input file cannot be read: its path, the line, what is allowed
 ├── OutputError                73  an output file cannot be written: its path and why
 ├── LogError                   69  the log (Kafka or SQLite) is out of reach or has refused: address, topic, partition
 │    └── Fenced                69  another process has taken over this partition
 └── RecordError                    one record cannot be used: it becomes a dead letter, and the loop goes on
"""

ANEW = "start anew under another name (app), or at a place of your choice by streamrnn state reset"
"""What helps where saved state cannot be gone on with."""


class StreamrnnError(Exception):
    """An internal error, and the root of all others."""

    exit_code = 70


class ConfigError(StreamrnnError):
    """A configuration that cannot be used."""

    exit_code = 78


class StateError(StreamrnnError):
    """Saved state that is damaged or does not fit this configuration."""

    exit_code = 78


class InputError(StreamrnnError):
    """An input file that cannot be read or used."""

    exit_code = 66


class OutputError(StreamrnnError):
    """An output file that cannot be written."""

    exit_code = 73


class LogError(StreamrnnError):
    """The log cannot be reached, or has refused an operation."""

    exit_code = 69


class Fenced(LogError):  # noqa: N818 -- the word that the field has for it
    """Another process has taken over: whatever this one still holds must be thrown away."""


class RecordError(StreamrnnError):
    """One record cannot be used; it goes to the dead letters.

    `reason` is one of a small, documented set of words and labels a metric; the message says the rest.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def missing_extra(subject: str, library: str, extra: str) -> ConfigError:
    """Return the error for a feature whose optional library is not installed.

    `subject` names the feature as the user asked for it, such as `learning.drift = adwin`.
    """
    return ConfigError(f"{subject}: needs {library}, which is not installed: pip install 'streamrnn[{extra}]'")
