"""Output files: complete or not at all; devices, pipes and links stay what they are."""

import errno
import os
from pathlib import Path
from threading import Thread

import pytest

from streamrnn.errors import OutputError
from streamrnn.files import written_atomically


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    """What is no regular file, such as /dev/null or /dev/stdout, gets the content and remains."""
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    with written_atomically(pipe) as file:
        file.write(b"forecasts")
    reader.join()
    assert read == [b"forecasts"]
    assert pipe.is_fifo()


def test_a_link_stays_one(tmp_path: Path) -> None:
    """The file that a symbolic link names is replaced, not the link."""
    (tmp_path / "data").mkdir()
    target, link = tmp_path / "data" / "real", tmp_path / "link"
    link.symlink_to(target)
    for content in (b"first", b"second"):
        with written_atomically(link) as file:
            file.write(content)
        assert link.is_symlink()
        assert target.read_bytes() == content
    assert [path.name for path in target.parent.iterdir()] == ["real"]


def test_a_read_only_file_system_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It refuses to create the file, and to remove it; the message names the path and the reason."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    words = r"out\.jsonl cannot be written: Read-only file system"
    with pytest.raises(OutputError, match=words), written_atomically(tmp_path / "out.jsonl"):
        pass
