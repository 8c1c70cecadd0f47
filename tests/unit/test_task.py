"""A task's outputs: order, waves, dead letters, drops and the report."""

import json
from collections.abc import Sequence
from contextlib import contextmanager

import pytest
from support.fakes import HORIZONS, INPUT, QUANTILES, TOPICS, FakeForecaster, decoder, make_task, record
from support.inputs import T

from streamrnn.mapping.decoder import RecordDecoder
from streamrnn.mapping.times import TimeRule
from streamrnn.records import Decoded, Record, StepReport, TopicPartition
from streamrnn.wire import OutputEncoder


def observation(offset: int, series: str, time: int, **fields: float) -> Record:
    """Return a valid record."""
    return record(offset, json.dumps({"series": series, "time": time, **fields}).encode())


def summary(outputs: list) -> list[str]:
    """Return outputs in short: series@offset, or the dead letter's reason."""
    short = []
    for output in outputs:
        if output.topic == "sensors.forecasts":
            document = json.loads(output.value)
            short.append(f"{document['series']}@{document['source']['offset']}")
            assert output.key == document["series"].encode()
        else:
            headers = dict(output.headers)
            reason = headers["__streams.errors.message"].decode().split(":")[0]
            short.append(f"{reason}@{headers['__streams.errors.offset'].decode()}")
    return short


def test_outputs_in_input_order() -> None:
    """Forecasts and dead letters have the order of their records, and of the fields in a record."""
    records = [
        observation(0, "p", T, a=1, b=2),
        record(1, b"not json"),
        observation(2, "q", T, b=3),
        observation(3, "p", T + 1, b=4, a=5),
        record(4, None),
    ]
    outputs, _ = make_task().feed(records)
    assert summary(outputs) == ["p/a@0", "p/b@0", "invalid_json@1", "q/b@2", "p/b@3", "p/a@3", "null_value@4"]


def test_outputs_go_to_the_tasks_partition() -> None:
    """Forecasts and dead letters go to the partition number of their record."""
    fifth = TopicPartition("sensors", 5)
    encode = OutputEncoder(partition=fifth, topics=TOPICS, horizons=HORIZONS, quantiles=QUANTILES)
    task = make_task(partition=fifth, encode=encode)
    outputs, _ = task.feed([observation(0, "p", T, a=1)._replace(partition=5), record(1, b"", partition=5)])
    assert [(output.topic, output.partition) for output in outputs] == [
        ("sensors.forecasts", 5),
        ("sensors.dead-letters", 5),
    ]


def test_a_wave_has_each_key_once() -> None:
    """A wave ends before a repeated key; records of different keys are one wave."""
    forecaster = FakeForecaster(every=1000, most=1000)
    records = [observation(i, key, T + i, a=i) for i, key in enumerate("pqrqps")]
    make_task(forecaster).feed(records)
    assert forecaster.waves == [[0, 1, 2], [1, 0, 3]]


def test_waves_end_at_learning_points() -> None:
    """After the record that reaches a learning point the wave is forecast, and then the task learns."""
    forecaster = FakeForecaster(every=1000, most=4)
    works: list[str] = []

    @contextmanager
    def timed(work: str):
        works.append(work)
        yield

    records = [observation(i, f"p{i}", T, a=1, b=2, c=3) for i in range(5)]
    _, report = make_task(forecaster, timed=timed).feed(records)
    assert forecaster.waves == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11], [12, 13, 14]]
    assert works == ["decode", "step", "learn", "step", "learn", "step"]
    assert (report.learning_steps, report.skipped_steps) == (2, 0)
    assert report.learned["head"].gradient_norm == 2.0


def test_late_and_repeated_times() -> None:
    """A duplicate timestamp is a counted drop, an earlier one a dead letter; each series has its own time."""
    task = make_task()
    task.feed([observation(0, "p", T, a=1), observation(1, "q", T - 9, a=1)])
    records = [
        observation(2, "p", T, a=2),
        observation(3, "p", T - 1, b=2),
        observation(4, "q", T - 8, a=2),
        observation(5, "p", T + 1, a=3),
        observation(6, "p", T + 1, a=3, b=3),
        observation(7, "p", T, a=3, b=3),
        observation(8, "p", T + 2, a=3, b=3),
        observation(9, "p", T + 1, a=3, b=3, c=3),
    ]
    outputs, report = task.feed(records)
    assert summary(outputs) == ["p/b@3", "q/a@4", "p/a@5", "p/b@6", "late@7", "p/a@8", "p/b@8", "p/c@9", "late@9"]
    assert report.drops == {"duplicate_time": 2}
    assert report.dead_letters == {"late": 2}
    message = dict(outputs[-1].headers)["__streams.errors.message"].decode()
    assert "'p/a'" in message
    assert "'p/b'" in message


def test_a_series_occurs_in_a_wave_once() -> None:
    """Records of one key with different fields are one wave, as in the long format."""
    task = make_task(forecaster := FakeForecaster(every=1000, most=1000))
    records = [observation(i, "p", T + i // 3, **{"abc"[i % 3]: i}) for i in range(9)]
    outputs, _ = task.feed(records)
    assert summary(outputs) == [f"p/{'abc'[i % 3]}@{i}" for i in range(9)]
    assert forecaster.waves == [[0, 1, 2]] * 3


def test_new_series_join_together_with_their_wave() -> None:
    """The forecaster gets the new series of a wave at once; until then records can already refer to them."""
    forecaster, joined = FakeForecaster(every=1000, most=1000), []
    add, forecaster.add = forecaster.add, lambda names: (joined.append(list(names)), add(names))[1]
    records = [observation(i, "pqrp"[i], T, **{"aaab"[i]: i}) for i in range(4)]
    records += [observation(4, "q", T, a=4), observation(5, "q", T - 1, a=5), observation(6, "s", T, c=6, a=6)]
    task = make_task(forecaster)
    outputs, report = task.feed([*records, observation(7, "p", T + 1, a=7, d=7)])
    assert joined == [["p/a", "q/a", "r/a", "p/b", "s/c", "s/a"], ["p/d"]]
    assert summary(outputs)[:5] == ["p/a@0", "q/a@1", "r/a@2", "p/b@3", "late@5"]
    assert (report.drops, report.new_series) == ({"duplicate_time": 1}, 7)
    assert forecaster.waves == [[0, 1, 2, 3, 4, 5], [0, 6]]
    assert task.feed([observation(8, "p", T + 2, a=8, b=8, d=8)])[1].forecasts == 3


def test_a_wave_has_space_for_scanned_and_decoded_records() -> None:
    """New series between known ones do not use the space of those that are scanned."""
    keys = [f"known {i}" for i in range(200)]
    task = make_task(forecaster := FakeForecaster(every=10_000, most=10_000), max_series=2000)
    task.feed([observation(i, key, T, a=i) for i, key in enumerate(keys)])
    mixed = [*keys[:100], *(f"new {i}" for i in range(400)), *keys[100:]]
    outputs, _ = task.feed([observation(200 + i, key, T + 1, a=i) for i, key in enumerate(mixed)])
    assert [json.loads(output.value)["series"] for output in outputs] == [f"{key}/a" for key in mixed]
    assert [len(wave) for wave in forecaster.waves] == [200, 600]


def test_a_record_with_several_observations() -> None:
    """Each is forecast, also two of one series; one dead letter, behind its record's forecasts, names the others."""
    lines = [
        {"series": "p", "time": T, "a": 1},
        {"series": "q", "time": T, "a": "x"},
        {"series": "p", "time": T, "a": 2},
    ]
    lines += [{"series": "p", "time": T + 1, "a": 3}, {"series": "p", "time": T - 1, "a": 4}]
    outputs, report = make_task().feed([record(0, json.dumps(lines).encode()), observation(1, "p", T + 2, a=5)])
    assert summary(outputs) == ["p/a@0", "p/a@0", "no_fields@0", "p/a@1"]
    assert (report.forecasts, report.drops) == (3, {"duplicate_time": 1})
    message = dict(outputs[2].headers)["__streams.errors.message"].decode()
    assert message.startswith("no_fields: ")
    assert f"; late: its time {T - 1} lies before {T + 1}, the latest of the key 'p'" in message


def test_too_many_series() -> None:
    """A field that would exceed max_series is in a dead letter; known series, and its siblings, continue."""
    task = make_task(max_series=3)
    outputs, report = task.feed(
        [
            observation(0, "p", T, a=1, b=1),
            observation(1, "q", T, a=1, b=1),
            observation(2, "r", T, a=1),
            observation(3, "p", T + 1, a=1, b=1, c=1),
            observation(4, "p", T + 1, a=1, b=1),
            observation(5, "q", T + 1, a=1),
        ]
    )
    assert summary(outputs) == [
        "p/a@0", "p/b@0", "q/a@1", "too_many_series@1", "too_many_series@2", "p/a@3", "p/b@3", "too_many_series@3",
        "q/a@5",
    ]  # fmt: skip
    assert report.series == 3


def test_report() -> None:
    """Each record is counted once, and scores are summed over the waves of the feed."""
    task = make_task(FakeForecaster(every=1000, most=1000))
    records = [
        observation(0, "p", T, a=1, b=1),
        observation(1, "p", T + 5, a=1),
        observation(2, "p", T + 5, a=1),
        record(3, b"x"),
    ]
    _, report = task.feed(records)
    assert report == StepReport(
        INPUT, records=4, forecasts=3, dead_letters=report.dead_letters, drops=report.drops, series=2,
        event_time=T + 5, last_dead_letter=report.last_dead_letter, drift_alarms=2, expert_failures=3,
        waves=report.waves, new_series=2, state_bytes=2 * FakeForecaster().row_bytes,
    )  # fmt: skip
    assert report.scores is not None
    assert report.scores.tolist() == [[number] * len(HORIZONS) for number in (3, 2, 4, 3, 1, 8, 6, 2)]
    assert [(wave.series, wave.times.tolist(), wave.values.tolist()) for wave in report.waves] == [
        (["p/a", "p/b"], [T, T], [1.0, 1.0]),
        (["p/a"], [T + 5], [1.0]),
    ]
    assert [wave.rows.tolist() for wave in report.waves] == [[0, 1], [0]]
    assert (report.dead_letters.total(), report.drops.total(), task.accepted) == (1, 1, 2)
    assert report.last_dead_letter is not None
    assert report.last_dead_letter[:2] == (3, "invalid_json")
    assert report.last_dead_letter.text.startswith("the value is not JSON")


def test_times_whose_unit_is_found_are_scanned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a number has decided the unit, no record of known series is decoded by itself, also after a restart."""
    decoded: list[int] = []
    read = RecordDecoder.decode

    def counted(self: RecordDecoder, records: Sequence[Record]) -> list[Decoded]:
        decoded.append(len(records))
        return read(self, records)

    monkeypatch.setattr(RecordDecoder, "decode", counted)
    task, loaded = (make_task(decode=decoder(times=TimeRule(unit="auto"))) for _ in range(2))
    task.feed([observation(0, "p", T, a=1), observation(1, "q", T, a=2)])
    assert decoded == [2]
    task.feed([observation(2, "p", T + 1, a=1), observation(3, "q", T + 1, a=2)])
    loaded.load({key: piece for key, piece in task.save(4) if piece is not None})
    loaded.feed([observation(4, "p", T + 2, a=1), observation(5, "q", T + 2, a=2)])
    assert decoded == [2]


def test_empty_feed() -> None:
    """No records, no outputs, no step."""
    forecaster = FakeForecaster()
    task = make_task(forecaster)
    before = task.output_hash
    assert task.feed([])[0] == []
    assert (forecaster.waves, task.output_hash) == ([], before)


def test_key_with_slashes_after_loading() -> None:
    """A loaded task separates a key with slashes from its field."""
    task = make_task()
    task.feed([observation(0, "site/a/b", T, x=1, y=2), observation(1, "site", T, x=1)])
    loaded = make_task()
    assert loaded.load(dict(task.save(2))) == 2
    outputs, report = loaded.feed([observation(2, "site/a/b", T, x=1), observation(3, "site/a/b", T + 1, y=1)])
    assert summary(outputs) == ["site/a/b/y@3"]
    assert report.drops == {"duplicate_time": 1}
    assert report.series == 3


def test_an_internal_error_is_raised() -> None:
    """A bug in the forecaster is raised, not turned into dead letters."""

    class Broken(FakeForecaster):
        def step(self, rows: object, values: object, times: object) -> object:
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        make_task(Broken()).feed([observation(0, "p", T, a=1)])


def test_covariates_are_not_published() -> None:
    """Covariates are observed and count as series; the order of the other fields' forecasts is unchanged."""
    forecaster = FakeForecaster()
    task = make_task(forecaster, decode=decoder(fields=("a", "c"), covariates=("b",)), covariates=("b",))
    lines = [
        {"series": "p", "time": T, "a": 1, "b": 2, "c": 3},
        {"series": "q", "time": T, "b": 5, "c": 6, "a": 4},
        {"series": "p", "time": T + 1000, "a": 7, "c": 9},
        {"series": "p", "time": T + 2000, "a": 10, "b": 11, "c": "x"},
    ]
    outputs, report = task.feed([record(i, json.dumps(line).encode()) for i, line in enumerate(lines)])
    forecasts = [json.loads(each.value) for each in outputs if each.topic == "sensors.forecasts"]
    assert [(each["series"], each["value"]) for each in forecasts] == [
        ("p/a", 1), ("p/c", 3), ("q/a", 4), ("q/c", 6), ("p/a", 7), ("p/c", 9), ("p/a", 10),
    ]  # fmt: skip
    assert forecaster.names == ["p/a", "p/c", "p/b", "q/a", "q/c", "q/b"]
    assert (report.forecasts, report.series) == (7, 6)
    assert dict(report.dead_letters) == {"not_a_number": 1}
