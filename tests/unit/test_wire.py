"""Forecasts and dead letters as bytes, and the running hash over them."""

import json
import random

import numpy as np
import pytest
from support.fakes import record

from streamrnn.core.forecaster import Forecasts
from streamrnn.errors import RecordError, StreamrnnError
from streamrnn.records import Output
from streamrnn.wire import LARGEST_COPY, NO_OUTPUTS, OutputEncoder, OutputTopics, Row, extend_hash

T = 1_700_000_000_000
TOPICS = OutputTopics("sensors.forecasts", "sensors.dead-letters", "app.state")
ENCODE = OutputEncoder(topics=TOPICS, horizons=[1, 12], quantiles=[0.1, 0.5, 0.95])


def forecasts(**changes: object) -> Forecasts:
    """A wave of one row."""
    quantiles = np.array([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]])
    target_times = np.array([[T + 60_000, T + 720_000]])
    no = np.array([False])
    made = Forecasts(target_times, quantiles, np.array([0.12]), np.array([[0.31, 0.22]]), no, no, "3f9c1a")
    return made._replace(**changes)


def test_forecast_record() -> None:
    """A forecast is the documented JSON object, byte for byte, under its series' name at its event time."""
    row = Row("pump-7/temperature", T, 71.3, record(81231, b"", partition=2))
    (output,) = ENCODE.forecasts([row], forecasts())
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
    row = Row("p/a", -5, 7.0, record(0, b""))
    (output,) = ENCODE.forecasts([row], forecasts(warming=np.array([True])))
    document = json.loads(output.value or b"")
    assert (document["status"], document["value"], document["time"]) == ("warming", 7, -5)
    assert output.timestamp == 0


def test_status_of_a_drifting_series() -> None:
    """The status after a recent drift alarm is `drifting`, unless it is still `warming`."""
    yes, row = np.array([True]), Row("p/a", T, 7.0, record(0, b""))
    (output,) = ENCODE.forecasts([row], forecasts(drifting=yes))
    assert json.loads(output.value or b"")["status"] == "drifting"
    (output,) = ENCODE.forecasts([row], forecasts(drifting=yes, warming=yes))
    assert json.loads(output.value or b"")["status"] == "warming"


@pytest.mark.parametrize("name", ["quantiles", "anomaly", "skill"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(name: str, bad: float) -> None:
    """A forecast with a number that JSON cannot hold is an internal error, never a null in the output."""
    given = forecasts()
    getattr(given, name).flat[-1] = bad
    with pytest.raises(StreamrnnError, match=r"p/a.*not finite"):
        ENCODE.forecasts([Row("p/a", T, 1.0, record(0, b""))], given)


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


def test_large_dead_letter() -> None:
    """A record that is too large is truncated, and the message states the sizes."""
    given = record(0, b"v" * (LARGEST_COPY + 1), key=b"k" * LARGEST_COPY)
    output = ENCODE.dead_letter(given, RecordError("too_large", "words"))
    assert (len(output.key or b""), len(output.value or b"")) == (LARGEST_COPY, LARGEST_COPY)
    assert dict(output.headers)["__streams.errors.message"] == (
        b"too_large: words (the value is cut here to its first 524,288 of 524,289 bytes)"
    )


def test_output_hash_does_not_depend_on_the_calls() -> None:
    """The running hash of some outputs is the same however they are divided among calls."""
    chance = random.Random(1)
    outputs = [Output("f", 0, chance.choice([None, b"k"]), chance.randbytes(9), number) for number in range(20)]
    output_hash = NO_OUTPUTS
    for output in outputs:
        output_hash = extend_hash(output_hash, [output])
    assert (
        extend_hash(NO_OUTPUTS, outputs)
        == output_hash
        == extend_hash(extend_hash(NO_OUTPUTS, outputs[:7]), outputs[7:])
    )


def test_output_hash_detects_every_difference() -> None:
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
    hashes = {extend_hash(NO_OUTPUTS, outputs) for outputs in [[base], *others]}
    assert len(hashes) == 1 + len(others)
