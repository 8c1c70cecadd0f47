"""Forecasts and dead letters as bytes, and the running hash over them."""

import json
import random

import numpy as np
import pytest
from support.fakes import record

from streamrnn.core.forecaster import Forecasts
from streamrnn.errors import RecordError, StreamrnnError
from streamrnn.records import Output
from streamrnn.wire import LARGEST_COPY, NO_CHAIN, Row, chained, dead_letter, forecast_outputs

T = 1_700_000_000_000


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
    (output,) = forecast_outputs("sensors.forecasts", [row], forecasts(), [1, 12], [0.1, 0.5, 0.95])
    expected = (
        '{"series":"pump-7/temperature","time":1700000000000,"value":71.3,"horizon":[1,12],'
        '"target_time":[1700000060000,1700000720000],'
        '"quantiles":{"0.1":[1.0,4.0],"0.5":[2.0,5.0],"0.95":[3.0,6.0]},'
        '"anomaly_score":0.12,"skill":[0.31,0.22],"status":"ok","model":"3f9c1a",'
        '"source":{"topic":"sensors","partition":2,"offset":81231}}'
    )
    assert output == Output("sensors.forecasts", 2, b"pump-7/temperature", expected.encode(), T)


def test_status_and_early_time() -> None:
    """A warming series says so, and a time before 1970 is kept, though no log has one."""
    row = Row("p/a", -5, 7.0, record(0, b""))
    (output,) = forecast_outputs("f", [row], forecasts(warming=np.array([True])), [1, 12], [0.1, 0.5, 0.95])
    document = json.loads(output.value or b"")
    assert (document["status"], document["value"], document["time"]) == ("warming", 7, -5)
    assert output.timestamp == 0


def test_status_of_a_drifting_series() -> None:
    """A series with a recent alarm of drift says so, unless it is still warming."""
    yes, row = np.array([True]), Row("p/a", T, 7.0, record(0, b""))
    (output,) = forecast_outputs("f", [row], forecasts(drifting=yes), [1, 12], [0.1, 0.5, 0.95])
    assert json.loads(output.value or b"")["status"] == "drifting"
    (output,) = forecast_outputs("f", [row], forecasts(drifting=yes, warming=yes), [1, 12], [0.1, 0.5, 0.95])
    assert json.loads(output.value or b"")["status"] == "warming"


@pytest.mark.parametrize("name", ["quantiles", "anomaly", "skill"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nothing_that_is_not_finite_is_written(name: str, bad: float) -> None:
    """A forecast with a number that JSON cannot hold is an internal error, never a null in the output."""
    given = forecasts()
    getattr(given, name).flat[-1] = bad
    with pytest.raises(StreamrnnError, match=r"p/a.*not finite"):
        forecast_outputs("f", [Row("p/a", T, 1.0, record(0, b""))], given, [1, 12], [0.1, 0.5, 0.95])


@pytest.mark.parametrize("key", [None, b"", b"\xff"])
@pytest.mark.parametrize("value", [None, b"", b"\xff{"])
def test_dead_letter(key: bytes | None, value: bytes | None) -> None:
    """A dead letter has key, value and timestamp as they came, and headers that say what and where."""
    given = record(17, value, key=key, timestamp=-1, partition=3)
    output = dead_letter("sensors.dead-letters", given, RecordError("late", "too läte"))
    assert output[:5] == ("sensors.dead-letters", 3, key, value, -1)
    assert output.headers == (
        ("__streams.errors.exception", b"RecordError"),
        ("__streams.errors.message", "late: too läte".encode()),
        ("__streams.errors.topic", b"sensors"),
        ("__streams.errors.partition", b"3"),
        ("__streams.errors.offset", b"17"),
    )


def test_dead_letter_larger_than_a_log_takes() -> None:
    """A record too large to be written again is cut, and the message says how much is left."""
    given = record(0, b"v" * (LARGEST_COPY + 1), key=b"k" * LARGEST_COPY)
    output = dead_letter("d", given, RecordError("too_large", "words"))
    assert (len(output.key or b""), len(output.value or b"")) == (LARGEST_COPY, LARGEST_COPY)
    assert dict(output.headers)["__streams.errors.message"] == (
        b"too_large: words (the value is cut here to its first 524,288 of 524,289 bytes)"
    )


def test_chain_does_not_depend_on_calls() -> None:
    """The running hash of some outputs is the same however they are divided among calls."""
    chance = random.Random(1)
    outputs = [Output("f", 0, chance.choice([None, b"k"]), chance.randbytes(9), number) for number in range(20)]
    chain = NO_CHAIN
    for output in outputs:
        chain = chained(chain, [output])
    assert chained(NO_CHAIN, outputs) == chain == chained(chained(NO_CHAIN, outputs[:7]), outputs[7:])


def test_chain_sees_every_difference() -> None:
    """Whatever differs in key, value, timestamp, headers or order, also a shifted border, changes the running hash."""
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
    chains = {chained(NO_CHAIN, outputs) for outputs in [[base], *others]}
    assert len(chains) == 1 + len(others)
