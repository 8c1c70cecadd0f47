"""Observations in files, as the commands read them."""

from pathlib import Path
from typing import Any

from streamrnn import app
from streamrnn.commands.inputs import InputFile, open_input
from streamrnn.settings import from_sections

Seen = list[tuple[str, int, str, float]]
"""Key, time, field and value of each observation."""


def opened_file(path: Path, *, sort: bool = False, **read: Any) -> InputFile:
    """Open a file by the section `input`."""
    return open_input(from_sections({"input": read}), path, 0, sort=sort)


def seen(path: Path, *, sort: bool = False, **read: Any) -> Seen:
    """Return what a file has, by the section `input`, in its order."""
    return observed(opened_file(path, sort=sort, **read))


def observed(file: InputFile) -> Seen:
    """Return what an open file has, in its order."""
    decoder = app.decoder(file.settings)
    return [
        (each.key, each.time, field, value)
        for record in file.read()
        for each in decoder.decode_one(record).observations
        for field, value in each.fields
    ]
