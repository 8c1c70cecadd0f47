"""Forecasts and dead letters as bytes, and the running hash over them."""

import json
import random

import numpy as np
import pytest
from support.fakes import record

from streamrnn.columns.output_hash import HashFunction, extend_hash, extend_hash_v1
from streamrnn.core.forecaster import Forecasts
from streamrnn.dead_letters import BUDGET, MESSAGE_BYTES, is_cut, size_of
from streamrnn.errors import RecordError, StreamrnnError
from streamrnn.records import NO_OUTPUTS, Output, OutputTopics, TopicPartition
from streamrnn.wire import OutputEncoder

T = 1_700_000_000_000
TOPICS = OutputTopics("sensors.forecasts", "sensors.dead-letters", "app.state")
PARTITION = TopicPartition("sensors", 2)
ENCODE = OutputEncoder(partition=PARTITION, topics=TOPICS, horizons=[1, 12], quantiles=[0.1, 0.5, 0.95])


def forecasts(**changes: object) -> Forecasts:
    """A wave of one row."""
    quantiles = np.array([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]])
    target_times = np.array([[T + 60_000, T + 720_000]])
    no = np.array([False])
    made = Forecasts(target_times, quantiles, np.array([0.12]), np.array([[0.31, 0.22]]), no, no, "3f9c1a")
    return made._replace(**changes)


def encode(name: str, time: int, value: float, offset: int, made: Forecasts) -> Output:
    """Encode one forecast."""
    encoder = OutputEncoder(partition=PARTITION, topics=TOPICS, horizons=[1, 12], quantiles=[0.1, 0.5, 0.95])
    columns = np.array([0]), np.array([value]), np.array([time]), np.array([offset])
    (output,) = encoder.forecasts([name], *columns, made)
    return output


def test_forecast_record() -> None:
    """A forecast is the documented JSON object, byte for byte, under its series' name at its event time."""
    output = encode("pump-7/temperature", T, 71.3, 81231, forecasts())
    expected = (
        '{"series":"pump-7/temperature","time":1700000000000,"value":71.3,"horizon":[1,12],'
        '"target_time":[1700000060000,1700000720000],'
        '"quantiles":{"0.1":[1.0,4.0],"0.5":[2.0,5.0],"0.95":[3.0,6.0]},'
        '"anomaly_score":0.12,"skill":[0.31,0.22],"status":"ok","model":"3f9c1a",'
        '"source":{"topic":"sensors","partition":2,"offset":81231}}'
    )
    assert output == Output("sensors.forecasts", 2, b"pump-7/temperature", expected.encode(), T)


def test_status_and_early_time() -> None:
    """The status of a new series is `warming`; a time before 1970 is published, though no log can store it."""
    output = encode("p/a", -5, 7.0, 0, forecasts(warming=np.array([True])))
    document = json.loads(output.value or b"")
    assert (document["status"], document["value"], document["time"]) == ("warming", 7, -5)
    assert output.timestamp == 0


def test_status_of_a_drifting_series() -> None:
    """The status after a recent drift alarm is `drifting`, unless it is still `warming`."""
    yes = np.array([True])
    output = encode("p/a", T, 7.0, 0, forecasts(drifting=yes))
    assert json.loads(output.value or b"")["status"] == "drifting"
    output = encode("p/a", T, 7.0, 0, forecasts(drifting=yes, warming=yes))
    assert json.loads(output.value or b"")["status"] == "warming"


@pytest.mark.parametrize("name", ["quantiles", "anomaly", "skill"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(name: str, bad: float) -> None:
    """A forecast with a number that JSON cannot hold is an internal error, never a null in the output."""
    given = forecasts()
    getattr(given, name).flat[-1] = bad
    with pytest.raises(StreamrnnError, match=r"p/a.*not finite"):
        encode("p/a", T, 1.0, 0, given)


@pytest.mark.parametrize("key", [None, b"", b"\xff"])
@pytest.mark.parametrize("value", [None, b"", b"\xff{"])
def test_dead_letter(key: bytes | None, value: bytes | None) -> None:
    """A dead letter has the record's key, value and timestamp, and headers with the error and the position."""
    given = record(17, value, key=key, timestamp=-1, partition=3)
    output = ENCODE.dead_letter(given, RecordError("late", "too läte"))
    assert output[:5] == ("sensors.dead-letters", 3, key, value, -1)
    assert output.headers == (
        ("__streams.errors.exception", b"RecordError"),
        ("__streams.errors.message", "late: too läte".encode()),
        ("__streams.errors.topic", b"sensors"),
        ("__streams.errors.partition", b"3"),
        ("__streams.errors.offset", b"17"),
    )


def test_a_dead_letter_has_the_headers_of_its_record() -> None:
    """They come after those about the error, of which a record has none of its own; clients cannot write nulls."""
    own = (("h", b"\x00"), ("__streams.errors.topic", b"other"), ("h", None), ("\udcff", b""), ("", b"x"))
    output = ENCODE.dead_letter(record(17, b"")._replace(headers=own), RecordError("late", "words"))
    assert [name for name, _ in output.headers[:5]] == [
        f"__streams.errors.{name}" for name in ("exception", "message", "topic", "partition", "offset")
    ]
    assert output.headers[5:] == (("h", b"\x00"), ("h", b""), ("\\udcff", b""), ("", b"x"))
    assert not is_cut(dict(output.headers)["__streams.errors.message"] or b"")


@pytest.mark.parametrize("own", [[("h", b"x" * 100_000)] * 5, [("", b"")] * 50_000])
def test_many_headers_are_cut(own: list[tuple[str, bytes]]) -> None:
    """The record's headers have at most a quarter of the budget, with what Kafka adds to each; the message says so."""
    output = ENCODE.dead_letter(record(17, b"v" * 300_000)._replace(headers=tuple(own)), RecordError("late", "words"))
    assert size_of(output) <= BUDGET
    message = dict(output.headers)["__streams.errors.message"] or b""
    kept = len(output.headers) - 5
    assert b"(the list of headers is cut here to its first %s of %s)" % (
        f"{kept:,}".encode(), f"{len(own):,}".encode(),
    ) in message  # fmt: skip
    assert is_cut(message)
    assert kept < len(own)
    assert len(output.value or b"") > BUDGET // 2


def test_large_dead_letter() -> None:
    """A record that is too large is truncated, and the message states the sizes."""
    given = record(0, b"v" * 600_000, key=b"k" * 600_000)
    output = ENCODE.dead_letter(given, RecordError("too_large", "words"))
    key, value = len(output.key or b""), len(output.value or b"")
    assert BUDGET - 100 < size_of(output) <= BUDGET
    assert abs(key - value) <= 1
    assert (
        dict(output.headers)["__streams.errors.message"]
        == (
            f"too_large: words (the key is cut here to its first {key:,} of 600,000 bytes)"
            f" (the value is cut here to its first {value:,} of 600,000 bytes)"
        ).encode()
    )


@pytest.mark.parametrize(("key", "value"), [(10, 600_000), (600_000, 10), (0, 262_144), (200_000, 100_000)])
def test_a_dead_letter_is_cut_no_more_than_needed(key: int, value: int) -> None:
    """The shorter part is kept whole where it fits, and the budget is used."""
    output = ENCODE.dead_letter(record(0, b"v" * value, key=b"k" * key), RecordError("too_large", "words"))
    assert BUDGET - 200 < size_of(output) <= BUDGET
    assert min(len(output.key or b""), len(output.value or b"")) == min(key, value, BUDGET // 2)


def test_the_message_of_a_dead_letter_is_bounded() -> None:
    """An error message that quotes a long text is cut between characters."""
    output = ENCODE.dead_letter(record(0, b"v"), RecordError("late", "ä" * 10_000))
    message = dict(output.headers)["__streams.errors.message"]
    assert message is not None
    assert MESSAGE_BYTES - 2 <= len(message) <= MESSAGE_BYTES
    assert set(message.decode()) <= set("late: ä")


@pytest.mark.parametrize("extend", [extend_hash, extend_hash_v1])
def test_output_hash_does_not_depend_on_the_calls(extend: HashFunction) -> None:
    """The running hash of some outputs is the same however they are divided among calls."""
    chance = random.Random(1)
    outputs = [Output("f", 0, chance.choice([None, b"k"]), chance.randbytes(9), number) for number in range(20)]
    output_hash = NO_OUTPUTS
    for output in outputs:
        output_hash = extend(output_hash, [output])
    assert extend(NO_OUTPUTS, outputs) == output_hash == extend(extend(NO_OUTPUTS, outputs[:7]), outputs[7:])


@pytest.mark.parametrize("extend", [extend_hash, extend_hash_v1])
def test_output_hash_detects_every_difference(extend: HashFunction) -> None:
    """A difference in key, value, timestamp, headers or order, or a shifted boundary, changes the running hash."""
    base = Output("f", 0, b"ab", b"cd", 5, (("x", b"yz"),))
    others = [
        [base._replace(key=b"a", value=b"bcd")],
        [base._replace(key=None, value=b"abcd")],
        [base._replace(key=b"", value=b"abcd")],
        [base._replace(value=None)],
        [base._replace(value=b"")],
        [base._replace(timestamp=6)],
        [base._replace(headers=())],
        [base._replace(headers=(("xy", b"z"),))],
        [base._replace(headers=(("x", None),))],
        [base._replace(headers=(("x", b""),))],
        [base, base],
        [],
    ]
    hashes = {extend(NO_OUTPUTS, outputs) for outputs in [[base], *others]}
    assert len(hashes) == 1 + len(others)
