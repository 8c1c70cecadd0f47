"""The pieces of a snapshot: framed chunks of safetensors files."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import safetensors
import safetensors.numpy

from streamrnn.errors import START_OVER, StateError
from streamrnn.runtime.snapshot.checks import check_meta, damaged, quote_value

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCHEMA = 1
"""Version of this format; increased with every change that another version would misread."""
META = b"meta"

Piece = tuple[bytes, bytes | None]
"""Key and value; None deletes the key."""

_HEAD = struct.Struct("<III")
_SAFETENSORS_HEAD = struct.Struct("<Q")


class Framed(NamedTuple):
    """A file as pieces."""

    pieces: list[Piece]
    checksums: list[int]
    """CRC-32 of each chunk."""


def save_file(arrays: "Mapping[str, NDArray[Any]]", names: Sequence[str] | None = None) -> bytes:
    """Return arrays as a safetensors file, with the names of its series if it is a page."""
    # the names are a single entry, since the order of entries is undefined and equal states must have equal bytes
    metadata = None if names is None else {"names": orjson.dumps(names).decode()}
    return bytes(safetensors.numpy.save(dict(arrays), metadata))


def load_file(blob: bytes, name: str) -> "dict[str, NDArray[Any]]":
    """Return the arrays of a file, which are writable; `name` is for messages. Raises StateError."""
    try:
        return {key: array.copy() for key, array in safetensors.numpy.load(blob).items()}
    except KeyError as error:  # a type that numpy lacks
        raise damaged(f"the file {name!r}", f"an array has the type {error}") from error
    except (safetensors.SafetensorError, ValueError) as error:
        raise damaged(f"the file {name!r}", str(error)) from error


def names_of(blob: bytes, name: str) -> list[str]:
    """Return the names of the series in a page; `name` is for messages. Raises StateError."""
    try:
        names: list[str] = orjson.loads(_header(blob)[1]["__metadata__"]["names"])
    except (struct.error, LookupError, TypeError, ValueError) as error:
        raise damaged(f"the file {name!r}", f"it has no names of series ({error})") from error
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise damaged(f"the file {name!r}", f"the names of its series are {quote_value(names)}")
    return names


def split(blob: bytes, size: int) -> list[bytes]:
    """Divide a blob into chunks, at least one."""
    return [blob[start : start + size] for start in range(0, max(len(blob), 1), size)]


def split_arrays(blob: bytes) -> list[bytes]:
    """Divide a safetensors file into its header and the bytes of each array."""
    start, header = _header(blob)
    bounds = sorted(array["data_offsets"] for array in header.values())
    return [blob[:start], *(blob[start + first : start + end] for first, end in bounds)]


def frame(payload: bytes, chunks: int) -> tuple[bytes, int]:
    """Return a piece of a file of this number of chunks, and its checksum."""
    checksum = zlib.crc32(payload)
    return _HEAD.pack(SCHEMA, checksum, chunks) + payload, checksum


def frame_all(name: str, chunks: Sequence[bytes], before: int) -> Framed:
    """Return the pieces of these chunks, and deletions of the surplus ones of `before` chunks."""
    framed = [frame(chunk, len(chunks)) for chunk in chunks]
    pieces: list[Piece] = [(piece_key(name, i), piece) for i, (piece, _) in enumerate(framed)]
    return Framed(pieces + delete_pieces(name, len(chunks), before), [checksum for _, checksum in framed])


def delete_pieces(name: str, first: int, end: int) -> list[Piece]:
    """Return deletions of the chunks numbered from `first` up to, excluding, `end`."""
    return [(piece_key(name, i), None) for i in range(first, end)]


def piece_key(name: str, number: int) -> bytes:
    """Return the key of a chunk of a file."""
    return f"{name}/{number}".encode()


def digest_piece(piece: bytes) -> bytes:
    """Return the digest of a piece; 32-bit checksums would eventually miss a change."""
    return blake2b(piece, digest_size=16).digest()


def digest_checksums(checksums: Sequence[int]) -> str:
    """Return one digest over the checksums of all pieces."""
    return blake2b(struct.pack(f"<{len(checksums)}I", *checksums), digest_size=16).hexdigest()


def read_meta(state: Mapping[bytes, bytes]) -> dict[str, Any]:
    """Return the document in the piece `meta`.

    Raises:
        StateError: it is missing or damaged, or has another schema.
    """
    payload, *_ = _open_piece(state, META)
    try:
        meta: dict[str, Any] = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise damaged("the piece 'meta'", str(error)) from error
    check_meta(meta, len(state))
    return meta


def join(state: Mapping[bytes, bytes], name: str) -> tuple[bytes, list[int]]:
    """Return a file made of its chunks, and their checksums.

    Raises:
        StateError: a chunk is missing or damaged, or has another schema.
    """
    first, chunks, checksum = _open_piece(state, piece_key(name, 0))
    if not 0 < chunks <= len(state):
        raise damaged(f"the piece {piece_key(name, 0).decode()!r}", f"it is one of {chunks} pieces of {len(state)}")
    others = [_open_piece(state, piece_key(name, i)) for i in range(1, chunks)]
    return b"".join([first, *(part for part, *_ in others)]), [checksum, *(checksum for *_, checksum in others)]


def _open_piece(state: Mapping[bytes, bytes], key: bytes) -> tuple[bytes, int, int]:
    """Return the payload of a piece, the number of chunks in its file, and its checksum."""
    piece, name = state.get(key), key.decode()
    if piece is None:
        raise StateError(f"the saved state has no piece {name!r}; {START_OVER}")
    if len(piece) < _HEAD.size:
        raise StateError(f"the piece {name!r} of the saved state is damaged: it has {len(piece)} bytes; {START_OVER}")
    schema, expected, chunks = _HEAD.unpack_from(piece)
    if schema != SCHEMA:
        raise StateError(
            f"the piece {name!r} of the saved state has schema {schema}, and this program reads {SCHEMA}: use the "
            f"version that wrote it, or {START_OVER}"
        )
    payload = piece[_HEAD.size :]
    if (checksum := zlib.crc32(payload)) != expected:
        raise StateError(
            f"the piece {name!r} of the saved state is damaged: its checksum is {checksum:08x}, not {expected:08x}; "
            f"{START_OVER}"
        )
    return payload, chunks, checksum


def _header(blob: bytes) -> tuple[int, dict[str, Any]]:
    """Return the length and the content of the header of a safetensors file: 8 bytes with its length, then JSON."""
    (length,) = _SAFETENSORS_HEAD.unpack_from(blob)
    end = _SAFETENSORS_HEAD.size + length
    return end, orjson.loads(blob[_SAFETENSORS_HEAD.size : end])
