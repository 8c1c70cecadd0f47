"""Laws of the columns: what is scanned and written in compiled loops equals what the general code reads and writes."""

import json
import random
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import orjson
import pytest
from support.fakes import FakeForecaster, decoder, make_task, observe, record
from support.inputs import ALL_FIELDS, BAD, T, cut, mixed

from streamrnn.columns.index import ABSENT, NameIndex, PairIndex
from streamrnn.columns.output_hash import extend_by_text, extend_hash
from streamrnn.columns.scanner import JsonScanner
from streamrnn.core.forecaster import Forecasts
from streamrnn.errors import RecordError
from streamrnn.mapping.decoder import RecordDecoder
from streamrnn.records import NO_OUTPUTS, Observation, OutputTopics, Record, TopicPartition
from streamrnn.timestamps import parse_iso
from streamrnn.wire import OutputEncoder
from streamrnn.wire.alerts import WaveRecords

KEYS = ["p", "q7", "42", "-3", "pump 7/x", "k"]
FIELDS = ["a", "b", "temperature"]
MAPPINGS = {
    "all fields": {},
    "configured fields": {"fields": ("b", "a")},
    "the record's own key": {"key": None},
    "the record's own time": {"time": None, "fields": ("a",)},
    "neither": {"key": None, "time": None},
}


def scanner(decode: RecordDecoder) -> tuple[JsonScanner, list[str], list[str]]:
    """Return a scanner that knows all keys and fields, and their names by number."""
    made = JsonScanner(decode.mapping)
    made.keys.extend([key.encode() for key in KEYS])
    known = [made.members.find(field.encode()) for field in FIELDS]
    made.members.extend([f.encode() for f, number in zip(FIELDS, known, strict=True) if number == ABSENT])
    members = [made.members.name(number).decode() for number in range(len(made.members))]
    made.series.extend([(key, member) for key in range(len(KEYS)) for member in range(len(members))])
    return made, KEYS, members


def scan(decode: RecordDecoder, records: list[Record]) -> list[Observation | None]:
    """Return the scanned observations, None where a record was left."""
    made, keys, members = scanner(decode)
    columns, _ = made.scan(
        [r.key for r in records], [r.value for r in records], [r.timestamp for r in records], decode.mapping
    )
    scanned = columns.content
    found: list[Observation | None] = []
    for r, key in enumerate(scanned.known.tolist()):
        entries = slice(scanned.starts[r], scanned.starts[r + 1])
        fields = zip((members[m] for m in scanned.members[entries]), scanned.values[entries].tolist(), strict=True)
        found.append(None if key == ABSENT else Observation(keys[key], int(scanned.times[r]), tuple(fields)))
    return found


def test_new_keys_are_scanned_in_the_next_feed() -> None:
    """Keys, fields and series that were added after a feed are found, however many there are."""
    decode = decoder()
    made, _, _ = scanner(decode)
    for count in (1, 1000):
        new = [f"{count}-{number}" for number in range(count)]
        values = [b'{"series":"%b","time":%d,"a":1}' % (key.encode(), T) for key in new]
        assert made.scan([None] * count, values, [T] * count, decode.mapping)[1] == count
        first, field = len(made.keys), made.members.find(b"a")
        made.keys.extend([key.encode() for key in new])
        made.series.extend([(first + number, field) for number in range(count)])
        assert made.scan([None] * count, values, [T] * count, decode.mapping)[1] == 0


def exact(observation: Observation | None) -> object:
    """Return an observation so that equality distinguishes 0.0 and -0.0."""
    return observation and (*observation[:2], [(name, value.hex()) for name, value in observation.fields])


def require_equal(decode: RecordDecoder, records: list[Record]) -> int:
    """Compare the scanned records with the decoder; return how many were scanned."""
    count = 0
    for each, found in zip(records, scan(decode, records), strict=True):
        if found is not None:
            assert exact(found) == exact(observe(decode, each)), each
            count += 1
    return count


def number(chance: random.Random) -> str:
    """Return a number as JSON, of any usual form."""
    return chance.choice([
        lambda: repr(chance.gauss(0, 1)), lambda: f"{chance.gauss(50, 10):.{chance.randint(0, 20)}f}",
        lambda: repr(chance.uniform(-1, 1) * 10 ** chance.randint(-300, 36)), lambda: str(chance.randint(-5, 5)),
        lambda: str(chance.randint(-(10**20), 10**20)), lambda: f"{chance.uniform(0, 10):.{chance.randint(0, 17)}e}",
        lambda: chance.choice(["0", "-0", "0.0", "-0.0", "-0e3", "1E5", "1e+05", "9007199254740993", "5e-324"]),
    ])()  # fmt: skip


def value(chance: random.Random) -> str:
    """Return any JSON value, mostly a number."""
    return number(chance) if chance.random() < 0.9 else chance.choice(['"x"', "true", "false", "null", "[1]", "{}"])


def text_time(chance: random.Random) -> str:
    """Return a time as ISO 8601 in one of many forms."""
    offset = chance.choice([UTC, None, timezone(timedelta(minutes=chance.randint(-1439, 1439)))])
    moment = datetime(1950, 1, 1, tzinfo=offset) + timedelta(microseconds=chance.randrange(7 * 10**15))
    if chance.random() < 0.3:
        moment = moment.replace(microsecond=0)
    text = moment.isoformat(chance.choice("T "), chance.choice(["auto", "milliseconds", "seconds", "microseconds"]))
    return text.replace("+00:00", "Z")


def line(chance: random.Random, *, whole: bool = False) -> bytes:
    """Return a record's value, mostly valid; `whole`: its time is a number."""
    names = chance.sample([*FIELDS, "c", "note"], chance.randint(0, 4))
    members = [(name, value(chance)) for name in names]
    key = chance.choice(KEYS)
    members.append(("series", key if key.lstrip("-").isdigit() and chance.random() < 0.5 else json.dumps(key)))
    time = str(T + chance.randint(-5, 5)) if whole or chance.random() < 0.6 else f'"{text_time(chance)}"'
    members.append(("time", time))
    if chance.random() < 0.1:
        members.append(chance.choice(members))
    chance.shuffle(members)
    space = [chance.choice(["", " ", "\n\t "]) for _ in range(4)]
    body = f"{space[2]},{space[0]}".join(f'"{name}"{space[1]}:{space[3]}{text}' for name, text in members)
    return f"{space[0]}{{{space[1]}{body}{space[3]}}}{space[2]}".encode()


def damaged(chance: random.Random, text: bytes) -> bytes:
    """Change, remove or add a byte."""
    at, byte = chance.randrange(len(text) + 1), chance.choice(b'{}[]",:.-+eE0123456789 \\tn\x00\xff\n').to_bytes(1)
    return text[:at] + chance.choice([byte, b"", byte + text[at : at + 1]]) + text[at + 1 :]


@pytest.mark.parametrize("name", MAPPINGS)
@pytest.mark.parametrize("seed", range(3))
def test_scanned_records_equal_decoded_ones(name: str, seed: int) -> None:
    """Whatever the scanner accepts, the decoder reads as the same observation, bit for bit."""
    chance, decode = random.Random(seed), decoder(**MAPPINGS[name])
    lines = [line(chance) for _ in range(3000)]
    lines += [damaged(chance, chance.choice(lines)) for _ in range(3000)]
    records = [
        record(i, text, key=chance.choice([*KEYS, "new", ""]).encode(), timestamp=chance.choice([T, -1, -(10**15), 7]))
        for i, text in enumerate(lines)
    ]
    assert require_equal(decode, records) > 60


@pytest.mark.parametrize("name", [*BAD, *ALL_FIELDS])
def test_bad_records_are_left(name: str) -> None:
    """No record that the decoder refuses is scanned."""
    text, _ = (BAD | ALL_FIELDS)[name]
    for decode in (decoder(), decoder(fields=("a",))):
        try:
            observe(decode, record(0, text))
        except RecordError:
            assert scan(decode, [record(0, text)]) == [None]


@pytest.mark.parametrize(
    "text",
    [
        b'{"series":"p","time":1700000000000,"a":1}',
        b'{"series": "p", "time": "2023-11-14T22:13:20.123456+02:00", "a": -1.5e-3, "b": 0.8444218515250481}',
        b' { "a" : 17.123456789012345 , "note" : "x" , "time" : 1700000000000 , "ok" : true , "series" : 42 } ',
    ],
)
def test_usual_records_are_scanned(text: bytes) -> None:
    """The forms that most producers write take the fast path."""
    decode = decoder()
    assert require_equal(decode, [record(0, text)]) == 1


def test_numbers_equal_those_of_the_decoder() -> None:
    """All digits of a double, and more, are read as the nearest double."""
    chance = random.Random(5)
    texts = [repr(each) for each in np.frombuffer(chance.randbytes(160_000)).tolist() if abs(each) < 1e37]
    texts += [f"{chance.uniform(-1e6, 1e6):.{chance.randint(0, 25)}f}" for _ in range(5000)]
    records = [record(i, f'{{"series":"p","time":{T},"a":{text}}}'.encode()) for i, text in enumerate(texts)]
    assert require_equal(decoder(), records) == len(records)


def test_times_equal_those_of_the_decoder() -> None:
    """ISO 8601 in all usual forms, leap days and the ends of months are the same time."""
    chance = random.Random(6)
    texts = [text_time(chance) for _ in range(5000)]
    texts += [f"{year}-{month:02d}-{day:02d}T00:00:00Z" for year in (1900, 1970, 2000, 2023, 2024, 2100)
              for month in range(14) for day in (0, 1, 28, 29, 30, 31, 32)]  # fmt: skip
    records = [record(i, f'{{"series":"p","time":"{text}","a":1}}'.encode()) for i, text in enumerate(texts)]
    assert require_equal(decoder(), records) > 5000
    assert parse_iso("2024-02-29T00:00:00Z") in {found.time for found in scan(decoder(), records) if found}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["all fields", "configured fields"])
def test_a_task_without_the_scanner_has_the_same_outputs(name: str, seed: int) -> None:
    """The fast path changes no output, whatever the records are, however they are cut into feeds."""
    hidden = ("temperature",) if name == "configured fields" else ()
    fast_decoder, general_decoder = (decoder(fields=("a", "b") if hidden else "*", covariates=hidden) for _ in range(2))
    general_decoder._flat = False
    chance = random.Random(seed)
    records = mixed(600, seed=seed, keys=12) + [record(600 + i, line(chance, whole=True)) for i in range(600)]
    tasks = [
        make_task(FakeForecaster(), decode=each, covariates=hidden, max_series=25)
        for each in (fast_decoder, general_decoder)
    ]
    fast, general = ([o for feed in cut(records, chance, 50) for o in task.feed(feed)[0]] for task in tasks)
    assert fast == general
    assert (tasks[0].output_hash, tasks[0].accepted) == (tasks[1].output_hash, tasks[1].accepted)
    assert tasks[0].output_hash == extend_hash(NO_OUTPUTS, fast)
    assert tasks[0].save(9) == tasks[1].save(9)


def document(name: str, row: int, observed: tuple[float, int, int], made: Forecasts) -> bytes:
    """Write one forecast by way of a dictionary."""
    number, time, offset = observed
    target_times, quantiles, anomaly, skill, warming, drifting = (np.asarray(each)[row] for each in made[:6])
    return orjson.dumps({
        "series": name, "time": time, "value": number, "horizon": [1, 12], "target_time": target_times.tolist(),
        "quantiles": dict(zip(["0.1", "0.5", "0.95"], quantiles.T.tolist(), strict=True)),
        "anomaly_score": float(anomaly), "skill": skill.tolist(),
        "status": "warming" if warming else "drifting" if drifting else "ok", "model": made.model,
        "source": {"topic": "sënsors", "partition": 3, "offset": offset},
    })  # fmt: skip


def test_written_forecasts_equal_those_of_orjson() -> None:
    """The documents of a wave are what orjson writes, byte for byte, for names and numbers of any kind.

    The text in which they are written has the output hash of the records.
    """
    chance, count = np.random.default_rng(3), 500
    names = [f'k{n}/fïeld "{n}"\\' for n in range(40)]
    topics = OutputTopics("f", "d", "s")
    encoder = OutputEncoder(
        partition=TopicPartition("sënsors", 3), topics=topics, horizons=[1, 12], quantiles=[0.1, 0.5, 0.95]
    )
    for model in ("3f9c1a", "x"):
        magnitudes = 10.0 ** chance.integers(-30, 30, (count, 2, 3))
        made = Forecasts(
            chance.integers(-(10**13), 10**13, (count, 2)), chance.normal(size=(count, 2, 3)) * magnitudes,
            np.round(chance.exponential(size=count), 4), np.round(chance.normal(size=(count, 2)), 4),
            chance.random(count) < 0.3, chance.random(count) < 0.3, model,
        )  # fmt: skip
        rows, values = chance.integers(0, 40, count), np.round(chance.normal(size=count), 3)
        values[:3] = 0.0, -0.0, 30.0
        times, offsets = chance.integers(-(10**12), 10**13, count), chance.integers(0, 10**9, count)
        (text,) = (published := encoder.publish(WaveRecords(names, rows, values, times, offsets), made)).texts
        outputs = published.outputs
        assert extend_by_text(NO_OUTPUTS, text) == extend_hash(NO_OUTPUTS, outputs)
        for b, output in enumerate(outputs):
            name, observed = names[rows[b]], (float(values[b]), int(times[b]), int(offsets[b]))
            assert output.value == document(name, b, observed, made)
            assert output[:2] + output[4:] == ("f", 3, max(int(times[b]), 0), ())
            assert output.key == name.encode()


def test_an_index_finds_what_was_added() -> None:
    """Names and pairs are found by their number after any growth, and others are not."""
    names, pairs = NameIndex(), PairIndex()
    added = [f"name {n}".encode() for n in range(2000)]
    for start in range(0, 2000, 37):
        numbers = range(start, min(start + 37, 2000))
        assert [names.add(added[n]) for n in numbers[:20]] == list(numbers[:20])
        assert [pairs.add((n % 50, n // 50)) for n in numbers[:20]] == list(numbers[:20])
        assert [(names.find(added[n]), pairs.find(n % 50, n // 50)) for n in numbers[:20]] == [
            (n, n) for n in numbers[:20]
        ]
        names.extend([added[n] for n in numbers[20:]])
        pairs.extend([(n % 50, n // 50) for n in numbers[20:]])
    assert [names.find(name) for name in added] == list(range(2000))
    assert [names.name(n) for n in (0, 1999)] == [added[0], added[-1]]
    assert names.find(b"name 2000") == names.find(b"") == ABSENT
    assert all(pairs.find(n % 50, n // 50) == n for n in range(2000))
    assert pairs.find(51, 0) == ABSENT
    assert len(names) == len(pairs) == 2000
