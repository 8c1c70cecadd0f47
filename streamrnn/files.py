"""Writing files atomically."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from streamrnn.errors import OutputError


@contextmanager
def written_atomically(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that appears as `path`, complete and on disk, when the block ends; on an error, not at all.

    A device or a pipe, such as /dev/null or /dev/stdout, is written to as it is, and never replaced; a link stays one.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            with path.open("wb") as stream:
                yield stream
            return
        target = path.resolve() if path.is_symlink() else path
        part = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            with part.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        finally:
            with suppress(OSError):  # a file system that is read-only refuses to remove even what is not there
                part.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error
