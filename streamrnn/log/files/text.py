"""Text files: decompression and detection of the encoding."""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from streamrnn.errors import InputError

GZIP = b"\x1f\x8b"
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_OTHERS = {
    b"PK\x03\x04": "a zip archive or a workbook: save its sheet as CSV, or unpack it",
    b"\x28\xb5\x2f\xfd": "compressed by zstd: decompress it, or compress it by gzip",
    b"PAR1": "a Parquet file: name it .parquet",
    b"ARROW1": "an Arrow file: name it .arrow",
    b"\xd0\xcf\x11\xe0": "an Excel workbook: save its sheet as CSV",
}
_CHUNK = 1 << 20


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading its bytes, decompressed if it is gzip.

    Raises:
        InputError: it cannot be read; also raised for errors while the block runs.
    """
    try:
        with path.open("rb") as raw:
            magic = raw.read(len(GZIP))
            raw.seek(0)
            if magic == GZIP:
                with gzip.open(raw) as inner:
                    yield cast("BinaryIO", inner)
            else:
                yield raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path} cannot be decompressed: {error}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


@contextmanager
def opened_text(path: Path, encoding: str) -> Iterator[TextIO]:
    """Open a file for reading its text with unchanged line ends; raise as `opened`."""
    with opened(path) as file:
        text = io.TextIOWrapper(file, encoding, newline="")
        try:
            yield text
        finally:
            text.detach()


def find_encoding(path: Path) -> tuple[str, str]:
    """Return the encoding of a text file, and a note if it is neither UTF-8 nor has a byte-order mark.

    Raises:
        InputError: it cannot be read, or is not text.
    """
    with opened(path) as file:
        first = file.read(_CHUNK)
        for mark, encoding in _MARKS:
            if first.startswith(mark):
                return encoding, ""
        for magic, words in _OTHERS.items():
            if first.startswith(magic):
                raise InputError(f"{path} is {words}")
        if b"\0" in first[:4096]:
            raise InputError(f"{path} has NUL bytes, as UTF-16 without a byte-order mark has: set input.csv.encoding")
        decoder, line, windows = codecs.getincrementaldecoder("utf-8")(), 1, True
        damage = ""
        while first:
            if not damage:
                try:
                    decoder.decode(first)
                except UnicodeDecodeError as error:
                    before = error.object[: error.start].count(b"\n")
                    damage = f"line {line + before} has the byte 0x{error.object[error.start]:02x}"
            line += first.count(b"\n")
            windows = windows and _is_windows(first)
            first = file.read(_CHUNK)
        if not damage:
            return "utf-8", ""
    encoding = "cp1252" if windows else "latin-1"
    return encoding, f"is not UTF-8 ({damage}) and read as {encoding}; input.csv.encoding names another one"


def _is_windows(chunk: bytes) -> bool:
    try:
        chunk.decode("cp1252")
    except UnicodeDecodeError:
        return False
    return True
