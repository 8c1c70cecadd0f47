"""The running hash over outputs: 128 bits, by multiplication and folding of 64-bit halves.

It detects differences between a replay and the committed outputs, but not attacks. The state after an output depends
only on the state before and on the output, and therefore not on the division of outputs among calls.
"""

import struct
from collections.abc import Callable, Sequence
from hashlib import blake2b
from itertools import chain, repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.columns.index import Bytes
from streamrnn.core.jit import Integers, compiled, load_word
from streamrnn.records import Output

FIRST, SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
ABSENT = -1  # length of a missing key or value


class HashedText(NamedTuple):
    """Outputs without headers, as the hash reads them."""

    text: Bytes  # keys and values, in turn
    frames: Integers  # (N, 4) timestamps, lengths of keys and values, zeros


HashFunction = Callable[[bytes, Sequence[Output]], bytes]
"""Returns the running hash, 16 bytes, extended by timestamp, key, value and headers of each output."""
_LENGTHS = struct.Struct("<qqqq")


@compiled
def fold(a: np.uint64, b: np.uint64) -> np.uint64:
    """Return the exclusive or of the two halves of the 128-bit product of `a` and `b`."""
    a_low, a_high, b_low, b_high = a & LOW, a >> HALF, b & LOW, b >> HALF
    crossed = a_high * b_low + (a_low * b_low >> HALF)
    middle = a_low * b_high + (crossed & LOW)
    return (a * b) ^ (a_high * b_high + (crossed >> HALF) + (middle >> HALF))


@compiled
def read_word(text: Bytes, at: int, end: int) -> np.uint64:
    """Return up to eight bytes from `at` on as a little-endian number (on a little-endian machine)."""
    if at + 8 <= end:
        return load_word(text, at)
    word = np.uint64(0)
    for i in range(end - at):
        word |= np.uint64(text[at + i]) << np.uint64(8 * i)
    return word


@compiled
def extend(state: NDArray[np.uint64], text: Bytes, frames: Integers) -> None:
    """Extend the hash `state` (2,) by N outputs; `text` has their keys, values and headers.

    `frames` (4 N,) has for each output its timestamp, the lengths of key and value (ABSENT: missing), and the length of
    the headers.
    """
    a, b, at = state[0], state[1], 0
    for n in range(0, len(frames), 4):
        timestamp, key, value, headers = frames[n], frames[n + 1], frames[n + 2], frames[n + 3]
        a = fold(a ^ np.uint64(timestamp) ^ FIRST, b ^ np.uint64(key) ^ SECOND)
        b = fold(b ^ np.uint64(value) ^ SECOND, a ^ np.uint64(headers) ^ FIRST)
        end = at + max(key, 0) + max(value, 0) + headers
        while at < end:
            a = fold(a ^ read_word(text, at, end) ^ FIRST, read_word(text, min(at + 8, end), end) ^ SECOND)
            third, fourth = read_word(text, min(at + 16, end), end), read_word(text, min(at + 24, end), end)
            b = fold(b ^ third ^ SECOND, fourth ^ FIRST)
            at = min(at + 32, end)
        a, b = fold(a ^ FIRST, b ^ SECOND) + b, fold(b ^ FIRST, a ^ SECOND)
    state[0], state[1] = a, b


def extend_hash(output_hash: bytes, outputs: Sequence[Output]) -> bytes:
    """See HashFunction."""
    if not outputs:
        return output_hash
    _, _, keys, values, timestamps, headers = zip(*outputs, strict=True)
    if any(headers) or None in keys or None in values:
        encoded = [_encode_headers(each) for each in headers]
        sizes = ([ABSENT if part is None else len(part) for part in each] for each in (keys, values))
        frames = zip(timestamps, *sizes, map(len, encoded), strict=True)
        parts = [part or b"" for part in chain.from_iterable(zip(keys, values, encoded, strict=True))]
    else:
        frames = zip(timestamps, map(len, keys), map(len, values), repeat(0), strict=False)
        parts = list(chain.from_iterable(zip(keys, values, strict=True)))
    numbers = np.fromiter(chain.from_iterable(frames), np.int64, 4 * len(outputs)).reshape(-1, 4)
    return extend_by_text(output_hash, HashedText(np.frombuffer(b"".join(parts), np.uint8), numbers))


def extend_by_text(output_hash: bytes, outputs: HashedText) -> bytes:
    """Return what `extend_hash` does, from outputs that are one text already."""
    state = bytearray(output_hash)
    extend(np.frombuffer(state, np.uint64), outputs.text, outputs.frames.reshape(-1))
    return bytes(state)


def _encode_headers(headers: Sequence[tuple[str, bytes | None]]) -> bytes:
    return b"".join(
        b"%d %d " % (len(name.encode()), ABSENT if content is None else len(content)) + name.encode() + (content or b"")
        for name, content in headers
    )


def extend_hash_v1(output_hash: bytes, outputs: Sequence[Output]) -> bytes:
    """Return the hash of commits with manifests of schema 1; see HashFunction."""
    for output in outputs:
        key, value = output.key, output.value
        digest = blake2b(output_hash, digest_size=len(output_hash))
        sizes = (ABSENT if part is None else len(part) for part in (key, value))
        digest.update(_LENGTHS.pack(output.timestamp, *sizes, len(output.headers)))
        digest.update(key or b"")
        digest.update(value or b"")
        for name, content in output.headers:
            text = name.encode()
            digest.update(_LENGTHS.pack(len(text), ABSENT if content is None else len(content), 0, 0))
            digest.update(text + (content or b""))
        output_hash = digest.digest()
    return output_hash
