"""Input records for tests: a mixed stream, and everything that can be wrong with a record."""

import json
import random
from typing import Any

from streamrnn.records import Record

T = 1_700_000_000_000

BAD: dict[str, tuple[bytes | None, str]] = {
    "null value": (None, "null_value"),
    "empty": (b"", "invalid_json"),
    "not UTF-8": (b'{"series": "\xff\xfe", "time": 1700000000000, "a": 1}', "invalid_utf8"),
    "cut off": (b'{"series": "p", "time": 17', "invalid_json"),
    "cut off behind a byte order mark": (b'\xef\xbb\xbf{"series": "p", "time": 17', "invalid_json"),
    "NaN as time": (b'{"series": "p", "time": NaN, "a": 1}', "missing_time"),
    "Infinity": (b'{"series": "p", "time": 1700000000000, "a": Infinity}', "out_of_range"),
    "beyond a double": (b'{"series": "p", "time": 1700000000000, "a": 1e999}', "invalid_json"),
    "lone surrogate": (b'{"series": "\\ud800", "time": 1700000000000, "a": 1}', "invalid_json"),
    "too deep": (b"[" * 5000, "invalid_json"),
    "too large": (b'{"series": "p", "x": "' + b"x" * 70_000 + b'"}', "too_large"),
    "array": (b"[1, 2]", "not_an_object"),
    "true": (b"true", "not_an_object"),
    "a word": (b'"on"', "not_an_object"),
    "null": (b"null", "not_an_object"),
    "no key": (b'{"time": 1700000000000, "a": 1}', "missing_key"),
    "null key": (b'{"series": null, "time": 1700000000000, "a": 1}', "missing_key"),
    "empty key": (b'{"series": "", "time": 1700000000000, "a": 1}', "invalid_key"),
    "truth value as key": (b'{"series": true, "time": 1700000000000, "a": 1}', "invalid_key"),
    "float as key": (b'{"series": 1.5, "time": 1700000000000, "a": 1}', "invalid_key"),
    "control character in key": (b'{"series": "a\\u0000b", "time": 1700000000000, "a": 1}', "invalid_key"),
    "long key": (json.dumps({"series": "ä" * 129, "time": T, "a": 1}).encode(), "invalid_key"),
    "no time": (b'{"series": "p", "a": 1}', "missing_time"),
    "time in 1970": (b'{"series": "p", "time": 170000000, "a": 1}', "invalid_time"),
    "time as truth value": (b'{"series": "p", "time": true, "a": 1}', "invalid_time"),
    "time as words": (b'{"series": "p", "time": "yesterday", "a": 1}', "invalid_time"),
    "time in microseconds": (b'{"series": "p", "time": 1700000000000000, "a": 1}', "invalid_time"),
    "time before 1900": (b'{"series": "p", "time": "1899-12-31T23:59:59Z", "a": 1}', "invalid_time"),
    "time in 2200": (b'{"series": "p", "time": "2200-01-01", "a": 1}', "invalid_time"),
    "time that overflows": (b'{"series": "p", "time": "0001-01-01T00:00:00+23:59", "a": 1}', "invalid_time"),
    "field missing": (b'{"series": "p", "time": 1700000000000, "b": 1}', "missing_field"),
    "text": (b'{"series": "p", "time": 1700000000000, "a": "1.5 or so"}', "not_a_number"),
    "truth value": (b'{"series": "p", "time": 1700000000000, "a": true}', "not_a_number"),
    "object": (b'{"series": "p", "time": 1700000000000, "a": {}}', "not_a_number"),
    "1e308": (b'{"series": "p", "time": 1700000000000, "a": 1e308}', "out_of_range"),
    "-1e38": (b'{"series": "p", "time": 1700000000000, "a": -1e38}', "out_of_range"),
    "300 digits": (b'{"series": "p", "time": 1700000000000, "a": ' + b"9" * 300 + b"}", "out_of_range"),
}
"""Name -> value and the reason with which a decoder for the field `a` refuses it."""

ALL_FIELDS: dict[str, tuple[bytes | None, str]] = {
    "no number": (b'{"series": "p", "time": 1700000000000, "a": "x", "b": null}', "no_fields"),
    "long field": (b'{"series": "p", "time": 1700000000000, "%s": 1}' % (b"a" * 257), "invalid_field"),
    "empty field": (b'{"series": "p", "time": 1700000000000, "": 1}', "invalid_field"),
    "1e38 in a field": (b'{"series": "p", "time": 1700000000000, "b": 1e38}', "out_of_range"),
}
"""The same where all numeric fields are wanted."""


def mixed(count: int, *, seed: int, keys: int = 7, partition: int = 0, start: int = T) -> list[Record]:
    """A stream of many keys, with changing fields, bad records, repeated and late times."""
    chance = random.Random(seed)
    bad = [value for value, _ in ALL_FIELDS.values()] + [value for value, _ in BAD.values()]
    times = dict.fromkeys(range(keys), start)
    records = []
    for offset in range(count):
        key = chance.randrange(keys)
        times[key] += chance.choice([1000, 1000, 1000, 1000, 1000, 1000, 0, -5000])
        fields = {name: round(chance.uniform(-50, 50), 3) for name in ("a", "b", "c") if chance.random() < 0.8}
        document = {"series": f"pump/{key}", "time": times[key], **fields}
        several = chance.random() < 0.1  # observations in one record
        value: bytes | None = json.dumps(_several(document, chance) if several else document).encode()
        if chance.random() < 0.08:
            value = chance.choice(bad)
        records.append(
            Record("sensors", partition, offset, start + offset, chance.choice([None, b"k", b"\xff"]), value)
        )
    return records


def _several(document: dict[str, Any], chance: random.Random) -> list[Any]:
    """Return a document with others of its key: the same, or at other times, with other fields, or unusable."""
    changes: list[dict[str, Any]] = [
        {}, {"time": document["time"] + 1000}, {"time": document["time"] - 7000}, {"a": "x"}, {"b": 1e300}, {"d": 7.5},
        {"series": None},
    ]  # fmt: skip
    return [document | chance.choice(changes) for _ in range(chance.randint(1, 4))]


def cut(records: list[Record], chance: random.Random, longest: int) -> list[list[Record]]:
    """Cut records into feeds of random length, empty ones among them."""
    feeds, start = [], 0
    while start < len(records):
        length = chance.randint(0, longest)
        feeds.append(records[start : start + length])
        start += length
    return feeds


def coming_and_going(count: int, *, seed: int, partition: int = 0, start: int = T) -> list[Record]:
    """A stream of keys that live for a while, fall silent and may come back, with wrong clocks and bad records."""
    chance = random.Random(seed)
    bad = [value for value, _ in BAD.values()]
    time, first = start, 0
    records = []
    for offset in range(count):
        time += chance.choice([0, 1000, 3000])
        first += chance.random() < 0.1
        name = first + chance.randrange(6) if chance.random() < 0.9 else chance.randrange(first + 1)
        fields = {each: round(chance.uniform(-50, 50), 3) for each in ("a", "b", "c") if chance.random() < 0.8}
        when = time + chance.choice([0] * 30 + [-5000, -(10**7), 10**12])
        value: bytes | None = json.dumps({"series": f"pump/{name}", "time": when, **fields}).encode()
        if chance.random() < 0.05:
            value = chance.choice(bad)
        stamp = chance.choice([time, time, when, -1])
        records.append(Record("sensors", partition, offset, stamp, b"k", value))
    return records
