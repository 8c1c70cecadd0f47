"""Laws of the task: what it says is a function of its records, and every record ends somewhere, once."""

import json
import random
from collections import Counter
from typing import Any

import pytest
from support.fakes import HORIZONS, QUANTILES, FakeForecaster, make_task
from support.inputs import cut, mixed
from support.streams import small

from streamrnn.records import Output, Record
from streamrnn.runtime.task import Task

KINDS_OF = {
    "bidirectional": {"encoder": "bidirectional", "context": 3},
    "attention": {"encoder": "attention"},
    "joint": {"joint": True},
    "direction": {"direction": True},
}
KINDS = ["fake", "one network", "three networks", *KINDS_OF]
COUNT = 400


def forecaster(kind: str) -> Any:
    """A forecaster that learns often."""
    if kind == "fake":
        return FakeForecaster(every=3, most=40)
    return small(
        networks=3 if kind == "three networks" else 1, horizons=HORIZONS, quantiles=QUANTILES, hidden_size=4, window=4,
        every=2, most=40, head_every=1, head_most=30, batch=4, replay=4, **KINDS_OF.get(kind, {}),
    )  # fmt: skip


def run(task: Task, feeds: list[list[Record]]) -> list[Output]:
    """All that a task says to some feeds."""
    return [output for feed in feeds for output in task.feed(feed)[0]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_cuts_change_nothing(kind: str, seed: int) -> None:
    """However the records are cut into feeds, outputs and state are the same, bit for bit."""
    records = mixed(COUNT, seed=seed)
    whole, pieces = make_task(forecaster(kind)), make_task(forecaster(kind))
    expected = run(whole, [records])
    chance = random.Random(seed)
    assert run(pieces, cut(records, chance, chance.choice([1, 3, 50]))) == expected
    assert (pieces.output_hash, pieces.accepted) == (whole.output_hash, whole.accepted)
    assert pieces.save(len(records)) == whole.save(len(records))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_saving_and_loading_changes_nothing(kind: str, seed: int) -> None:
    """A task saved and loaded any number of times, page by changed page, says what an uninterrupted one says."""
    chance = random.Random(seed)
    records = mixed(COUNT, seed=seed, keys=chance.choice([1, 7, 40]))
    expected = run(make_task(forecaster(kind)), [records])
    task, held, outputs, position = make_task(forecaster(kind)), {}, [], 0
    for feed in cut(records, chance, 60):
        outputs += run(task, [feed])
        position += len(feed)
        for key, piece in task.save(position):
            held[key] = piece
        if chance.random() < 0.5:
            task = make_task(forecaster(kind))
            assert task.load({key: piece for key, piece in held.items() if piece is not None}) == position
    assert outputs == expected


@pytest.mark.parametrize("kind", KINDS)
def test_every_record_ends_once(kind: str) -> None:
    """Each record is in exactly one of: forecasts, dead letters, counted drops."""
    records = mixed(COUNT, seed=9)
    task = make_task(forecaster(kind), max_series=15)
    outputs, report = task.feed(records)
    forecast = {json.loads(o.value or b"")["source"]["offset"] for o in outputs if o.topic == "sensors.forecasts"}
    letters = [dict(o.headers)["__streams.errors.offset"] for o in outputs if o.topic == "sensors.dead-letters"]
    dead = Counter(int(offset or b"") for offset in letters)
    assert set(dead.values()) == {1}
    assert not forecast & set(dead)
    assert len(forecast) + len(dead) + report.drops.total() == len(records) == report.records
    assert (len(forecast), len(dead)) == (task.accepted, report.dead_letters.total())
    assert {"late", "too_many_series", "invalid_json", "no_fields"} <= set(report.dead_letters)
    assert report.drops["duplicate_time"] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_follow_the_inputs_order(kind: str) -> None:
    """The offsets that outputs point to never go back."""
    outputs, _ = make_task(forecaster(kind)).feed(mixed(COUNT, seed=5))
    offsets = [
        json.loads(o.value or b"")["source"]["offset"]
        if o.topic == "sensors.forecasts"
        else int(dict(o.headers)["__streams.errors.offset"] or b"")
        for o in outputs
    ]
    assert offsets == sorted(offsets)


@pytest.mark.parametrize("kind", KINDS)
def test_no_look_ahead(kind: str) -> None:
    """Changing a record changes no output of an earlier one."""
    records = mixed(200, seed=3)
    changed = [*records[:120], *(r._replace(value=(r.value or b"").replace(b"1", b"2")) for r in records[120:])]
    first, second = (run(make_task(forecaster(kind)), [each]) for each in (records, changed))
    early = run(make_task(forecaster(kind)), [records[:120]])
    assert first[: len(early)] == second[: len(early)] == early
    assert first != second
