"""Laws of the task: its outputs are a function of its records, and every record ends somewhere, once."""

import json
import random
from typing import Any

import pytest
from support.fakes import HORIZONS, INPUT, QUANTILES, TOPICS, FakeForecaster, make_task
from support.inputs import cut, mixed
from support.seeds import seeds
from support.streams import learning_often

from streamrnn.core.config import AlertConfig, AnomalyRule, Threshold
from streamrnn.records import Output, Record
from streamrnn.runtime.task import Task
from streamrnn.wire import OutputEncoder

KINDS_OF = {
    "bidirectional": {"encoder": "bidirectional", "context": 3},
    "attention": {"encoder": "attention"},
    "joint": {"joint": True},
    "direction": {"direction": True},
    "bounds": {"bounds": (("a", (0.0, 1.0)), ("*", "auto"))},
    "local time": {"timezone": "Europe/Berlin", "events": ({"date": "2023-11-15", "like": "sunday"},)},
    "zones": {"timezone": (("pump/1*", "Europe/Berlin"), ("*", "America/New_York"))},
    "alerts": {
        "thresholds": (Threshold("a", above=20.0), Threshold("pump/*/b", below=0.0, probability=0.4)),
        "alerts": AlertConfig((AnomalyRule("a", "up", 5.0), AnomalyRule("b", "down")), changes=True),
    },
}
KINDS = ["fake", "one network", "three networks", *KINDS_OF]
COUNT = 400


def forecaster(kind: str) -> Any:
    """A forecaster that learns often."""
    if kind == "fake":
        return FakeForecaster(every=3, most=40)
    return learning_often(networks=3 if kind == "three networks" else 1, **KINDS_OF.get(kind, {}))


def task_of(kind: str, *, every: int = 3, on_change: bool = True, **changes: Any) -> Task:
    """Return a task; that of `alerts` writes events, and thins its forecasts."""
    if kind == "alerts":
        topics = TOPICS._replace(events="sensors.events")
        given = {"partition": INPUT, "topics": topics, "horizons": HORIZONS, "quantiles": QUANTILES}
        changes["encode"] = OutputEncoder(**given, every=every, on_change=on_change)
    return make_task(forecaster(kind), **changes)


def run(task: Task, feeds: list[list[Record]]) -> list[Output]:
    """Return all outputs for some feeds."""
    return [output for feed in feeds for output in task.feed(feed)[0]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", seeds(1, 8))
def test_cuts_change_nothing(kind: str, seed: int) -> None:
    """However the records are cut into feeds, outputs and state are the same, bit for bit."""
    records = mixed(COUNT, seed=seed)
    whole, pieces = task_of(kind), task_of(kind)
    expected = run(whole, [records])
    chance = random.Random(seed)
    assert run(pieces, cut(records, chance, chance.choice([1, 3, 50]))) == expected
    assert (pieces.output_hash, pieces.accepted) == (whole.output_hash, whole.accepted)
    assert pieces.save(len(records)) == whole.save(len(records))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", seeds(1, 8))
def test_saving_and_loading_changes_nothing(kind: str, seed: int) -> None:
    """A task saved and loaded any number of times, page by changed page, has the outputs of an uninterrupted one."""
    chance = random.Random(seed)
    records = mixed(COUNT, seed=seed, keys=chance.choice([1, 7, 40]))
    expected = run(task_of(kind), [records])
    task, held, outputs, position = task_of(kind), {}, [], 0
    for feed in cut(records, chance, 60):
        outputs += run(task, [feed])
        position += len(feed)
        for key, piece in task.save(position):
            held[key] = piece
        if chance.random() < 0.5:
            task = task_of(kind)
            assert task.load({key: piece for key, piece in held.items() if piece is not None}) == position
    assert outputs == expected


@pytest.mark.parametrize("kind", KINDS)
def test_every_observation_ends_once(kind: str) -> None:
    """Each value is in exactly one of: forecasts, the dead letter of its record, drops for a duplicate time."""
    records = mixed(COUNT, seed=9)
    task = task_of(kind, max_series=15, every=0, on_change=False)
    outputs, report = task.feed(records)
    made = [json.loads(o.value or b"") for o in outputs if o.topic == "sensors.forecasts"]
    forecast = {(each["source"]["offset"], each["series"], each["time"]): each["value"] for each in made}
    assert len(forecast) == len(made) == report.forecasts
    letters = {
        int(headers["__streams.errors.offset"] or b""): (headers["__streams.errors.message"] or b"").decode()
        for headers in (dict(o.headers) for o in outputs if o.topic == "sensors.dead-letters")
    }
    assert len(letters) == report.dead_letters.total() == len(outputs) - len(made) - report.events.total()
    latest: dict[str, int] = {}
    duplicates = 0
    for each in records:
        documents = documents_of(each)
        for document in documents:
            key, time = document.pop("series"), document.pop("time")
            repeated = False
            for series, value in ((f"{key}/{name}", value) for name, value in document.items()):
                if not usable(value) or latest.get(series, time) > time:
                    assert each.offset in letters or value == "x"  # text is no number, and no error
                elif latest.get(series) == time:
                    repeated = True
                elif forecast.get((each.offset, series, time)) == value:
                    latest[series] = time
                else:
                    assert each.offset in letters
            duplicates += repeated
        assert documents or each.offset in letters
    assert report.drops == {"duplicate_time": duplicates}
    assert duplicates > 0
    assert {"late", "too_many_series", "invalid_json", "no_fields", "missing_key"} <= set(report.dead_letters)


def usable(value: object) -> bool:
    """Return whether a value is a number within bounds."""
    return isinstance(value, int | float) and abs(value) < 1e37


def documents_of(record: Record) -> list[dict[str, Any]]:
    """Return the objects in a usual record; none of another one."""
    try:
        found = json.loads(record.value or b"")
    except (ValueError, RecursionError):
        return []
    listed = found if isinstance(found, list) else [found]
    return [each for each in listed if isinstance(each, dict) and str(each.get("series")).startswith("pump/")]


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_follow_the_inputs_order(kind: str) -> None:
    """The offsets that outputs point to never go back."""
    outputs, _ = task_of(kind).feed(mixed(COUNT, seed=5))
    offsets = [
        int(dict(o.headers)["__streams.errors.offset"] or b"")
        if o.topic == "sensors.dead-letters"
        else json.loads(o.value or b"")["source"]["offset"]
        for o in outputs
    ]
    assert offsets == sorted(offsets)


@pytest.mark.parametrize("kind", KINDS)
def test_no_look_ahead(kind: str) -> None:
    """Changing a record changes no output of an earlier one."""
    records = mixed(200, seed=3)
    changed = [*records[:120], *(r._replace(value=(r.value or b"").replace(b"1", b"2")) for r in records[120:])]
    first, second = (run(task_of(kind), [each]) for each in (records, changed))
    early = run(task_of(kind), [records[:120]])
    assert first[: len(early)] == second[: len(early)] == early
    assert first != second


@pytest.mark.parametrize(("every", "on_change"), [(3, False), (0, True), (5, True)])
def test_thinning_leaves_out_forecasts_and_nothing_else(every: int, *, on_change: bool) -> None:
    """Those that are published are as without it, in their order; the others are counted, and events do not change."""
    records = mixed(COUNT, seed=2)
    (all_of_them, _), (found, report) = (
        task_of("alerts", every=given, on_change=changes).feed(records)
        for given, changes in ((0, False), (every, on_change))
    )
    published = [o for o in found if o.topic == "sensors.forecasts"]
    every_one = [o for o in all_of_them if o.topic == "sensors.forecasts"]
    assert [o for o in all_of_them if o.topic != "sensors.forecasts"] == [
        o for o in found if o.topic != "sensors.forecasts"
    ]
    at_events = {(o.key, o.timestamp) for o in found if o.topic == "sensors.events"}
    counts: dict[bytes | None, int] = {}
    expected = []
    for output in every_one:
        number = counts[output.key] = counts.get(output.key, -1) + 1
        due = number % every == 0 if every else number == 0
        if due or (on_change and (output.key, output.timestamp) in at_events):
            expected.append(output)
    assert published == expected
    assert report.drops["thinned"] == len(every_one) - len(published) > 0
    assert (report.forecasts, report.events.total()) == (
        len(published),
        sum(o.topic == "sensors.events" for o in found),
    )
