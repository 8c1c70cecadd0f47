"""Every error that streamrnn raises on purpose.

StreamrnnError                  exit code 70
 ├── ConfigError                78  a key of the configuration: its name, its value, what is allowed, the file
 ├── StateError                 78  saved state that does not fit: its old and its new value, and the command that helps
 ├── LogError                   69  the log (Kafka or SQLite) is out of reach or has refused: address, topic, partition
 │    └── Fenced                69  another process has taken over this partition
 └── RecordError                    one record cannot be used: it goes to the dead letters, the loop goes on
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
