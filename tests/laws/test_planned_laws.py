"""Laws of planned values: forecasts are a function of the log, in which plans and observations have one order."""

import json
import random
from contextlib import closing
from typing import Any

import pytest
from support.applications import SMALL, Application
from support.changes import change
from support.fakes import HORIZONS, FakeForecaster, decoder, make_task
from support.inputs import T, cut
from support.log_backends import MemoryWorld
from support.streams import learning_often
from support.worker_harness import RecordingObserver

from streamrnn.core.experts.cross_series import OTHERS
from streamrnn.errors import StateError
from streamrnn.records import Output, Record
from streamrnn.runtime.options import Hooks
from streamrnn.runtime.task import Task
from streamrnn.runtime.worker import Worker
from streamrnn.settings import Settings, load
from streamrnn.timing.order import EventOrder
from streamrnn.timing.planned_inputs import PlannedInputs
from streamrnn.timing.rules import MAX_FIELDS, TimingRule, planned_names

COUNT = 300
PLANNED = ("plan", "price")
KINDS = ("fake", "joint", "grace", "ttl")


def planning(seed: int, keys: int = 4) -> list[Record]:
    """A stream of keys with jittered times, and among them plans, ahead of them, corrected, or of the past."""
    chance, records, times = random.Random(seed), list[Record](), dict.fromkeys(range(keys), T)
    for offset in range(COUNT):
        key = chance.randrange(keys) if offset < 200 else 0  # the others fall silent
        if chance.random() < 0.4:
            time = times[key] + 1000 * chance.randrange(-2, 9)
            fields = {name: round(chance.uniform(0, 9), 2) for name in PLANNED if chance.random() < 0.7}
        else:
            times[key] += 1000 + chance.randrange(-150, 150) + (5000 if chance.random() < 0.05 else 0)
            time, fields = times[key], {name: round(chance.uniform(-50, 50), 3) for name in ("a", "b")}
            fields |= {"plan": 4.5} if chance.random() < 0.2 else {}
        document = {"series": f"p/{key}", "time": time, **fields}
        records.append(Record("sensors", 0, offset, T + offset, None, json.dumps(document).encode()))
    return records


def task_of(kind: str, *, plans: bool = True) -> Task:
    """Return a task whose forecaster learns often."""
    changes: dict[str, Any] = {"covariates": planned_names(PLANNED, HORIZONS)}
    if kind == "grace":
        changes["event_order"] = EventOrder(TimingRule(grace=2000))
    forecaster = learning_often(joint=True) if kind == "joint" else FakeForecaster(every=3, most=40)
    task = make_task(forecaster, decode=decoder(), **changes)
    if kind == "ttl":
        task.configure_series(max_ahead=3_600_000, ttl=20_000)
    if plans:
        task.configure_plans(PlannedInputs(PLANNED, HORIZONS, max_held=COUNT))
    return task


def run(task: Task, feeds: list[list[Record]]) -> list[Output]:
    """Return all outputs for some feeds."""
    return [output for feed in feeds for output in task.feed(feed)[0]]


@pytest.mark.parametrize("kind", KINDS)
def test_cuts_and_restarts_change_nothing(kind: str) -> None:
    """However records are cut into feeds, and wherever the task is saved and loaded, outputs and state are the same."""
    records, chance = planning(5), random.Random(5)
    whole, task, held, outputs, position = task_of(kind), task_of(kind), dict[bytes, bytes | None](), [], 0
    expected = run(whole, [records])
    for feed in cut(records, chance, 25):
        outputs += run(task, [feed])
        position += len(feed)
        held |= dict(task.save(position))
        if chance.random() < 0.5:
            task = task_of(kind)
            assert task.load({key: piece for key, piece in held.items() if piece is not None}) == position
    assert outputs == expected
    assert task.output_hash == whole.output_hash
    final = {key: piece for key, piece in whole.save(COUNT) if piece is not None}
    loaded = task_of(kind)
    loaded.load(dict(final))
    further = planning(6)
    assert run(loaded, [further]) == run(whole, [further])


def test_every_record_with_plans_ends_once() -> None:
    """Observations are forecast as without the plan's fields; records with plans alone are drops, without an output."""
    records = planning(7)
    outputs, report = task_of("fake").feed(records)
    observed = [json.loads(each.value or b"") for each in records]
    alone = sum("a" not in each for each in observed)
    assert report.drops["planned"] + report.drops["no_observation"] + report.dead_letters.total() >= alone > 0
    made = [json.loads(each.value or b"") for each in outputs if each.topic == "sensors.forecasts"]
    assert {each["series"].rpartition("/")[2] for each in made} == {"a", "b"}
    assert [(each["source"]["offset"], each["value"]) for each in made if each["series"].endswith("/a")] == [
        (offset, each["a"]) for offset, each in enumerate(observed) if "a" in each
    ]


def test_plans_of_unknown_keys_end_by_event_time() -> None:
    """Wherever the log is cut: their values are counted, and the keys' later forecasts are made without them."""
    plans = [(key, 0, {"plan": 2.0}) for key in range(1, 9)]
    passed = [(0, second, {"a": 1.0}) for second in (1, 86_399, 86_400, 86_401)]
    later = [(1, 86_402, {"a": 1.0}), (0, 86_403, {"plan": 2.0}), (2, 86_404, {"a": 1.0}), (2, 86_405, {"a": 2.0})]
    records = [document(i, *each[:2], **each[2]) for i, each in enumerate([*plans, *passed, *later])]
    whole, task = task_of("fake"), task_of("fake")
    outputs, report = whole.feed(records)
    assert (report.drops["planned"], report.drops["plan_ended"]) == (9, 7)  # the first key had a series in time
    expected = run(task, [[each] for each in records[:9]])
    loaded = task_of("fake")
    loaded.load({key: piece for key, piece in task.save(9) if piece is not None})
    assert expected + run(loaded, [[each] for each in records[9:]]) == outputs
    assert loaded.output_hash == whole.output_hash


def document(offset: int, key: int, time: int, **fields: float) -> Record:
    """Return a record of a key at a time, seconds after T."""
    value = json.dumps({"series": f"p/{key}", "time": T + 1000 * time, **fields})
    return Record("sensors", 0, offset, T + offset, None, value.encode())


def test_plans_of_removed_keys_are_forgotten_after_a_restart() -> None:
    """Also where no observation that uses a plan lies between the restart and the end of the series."""
    first = [(0, 0, {"a": 1.0}), (0, 0, {"plan": 2.0}), (0, 1, {"a": 2.0})]
    others = [(1, second, {"a": float(second)}) for second in range(2, 40)]
    back = [(0, 40, {"a": 3.0}), (0, 41, {"a": 4.0})]
    records = [document(i, key, time, **fields) for i, (key, time, fields) in enumerate([*first, *others, *back])]
    whole, begun, loaded = (task_of("ttl") for _ in range(3))
    run(begun, [records[:5]])
    loaded.load({key: piece for key, piece in begun.save(5) if piece is not None})
    expected = run(whole, [records])[-2:]
    assert run(loaded, [records[5:]])[-2:] == expected
    assert whole.feed([])[1].series == loaded.feed([])[1].series == 2  # no covariates: the plan is gone


@pytest.mark.parametrize("kind", ["fake", "joint"])
def test_fields_in_records_of_their_own_are_forecast(kind: str) -> None:
    """A covariate that has the time of another field of its key already is no reason for a dead letter or a drop."""
    records = [document(0, 0, 0, plan=2.0)]
    for time in range(1, 9):
        records += [document(len(records), 0, 2 * time, a=1.5), document(len(records) + 1, 0, 2 * time, b=2.5)]
        records.append(document(len(records), 0, 2 * time - 1, c=3.5))
    outputs, report = task_of(kind).feed(records)
    assert (report.dead_letters.total(), dict(report.drops)) == (0, {"planned": 1})
    assert [output.topic for output in outputs] == ["sensors.forecasts"] * 24


def test_what_is_planned_afterwards_changes_nothing_before() -> None:
    """Changing a plan changes no output of the records before it, and some behind it."""
    records, changed = planning(8), planning(8)
    at = COUNT // 2
    for i, each in enumerate(changed[at:], at):
        document = json.loads(each.value or b"")
        if "a" not in document and "plan" in document:
            changed[i] = each._replace(value=json.dumps(document | {"plan": 9.9}).encode())
    one, other = (run(task_of("fake"), [each]) for each in (records, changed))
    differ = [i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
    before = len(run(task_of("fake"), [records[:at]]))
    assert differ
    assert min(differ) >= before


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({"forecast.horizons": "1,6"}, "horizons was \\[1, 3\\] when the state was saved and is \\[1, 6\\] now"),
        ({"input.planned": "price"}, r"input.planned was \['plan', 'price'\] when .* and is \['price'\] now"),
        ({"input.planned": "plan,price,b"}, "input.planned was .* and is \\['b', 'plan', 'price'\\] now"),
        ({"input.covariates": "b"}, r"input.covariates was \[\] when the state was saved and is \['b'\] now"),
        ({"input.planned": "price,plan", "output.every": "2"}, None),
    ],
)
def test_other_covariates_do_not_fit_the_state(changed: dict[str, str], difference: str | None) -> None:
    """Those of the old horizons or fields would be published, as nothing says that they were covariates."""
    settings = {"input.planned": "plan,price"}
    application = Application(MemoryWorld(), 1)
    application.produce(planning(9))

    def run_worker(given: dict[str, str]) -> None:
        present = load(None, ["app=one", *SMALL, *(f"{key}={value}" for key, value in given.items())])
        with closing(start_worker(application, present)) as worker:
            for _ in range(30):
                worker.run_once()
            worker.stop()
            worker.run()

    run_worker(settings)
    if difference is None:
        run_worker(settings | changed)
    else:
        with pytest.raises(StateError, match=difference):
            run_worker(settings | changed)


def start_worker(application: Application, settings: Settings) -> Worker:
    """Return a worker of these settings, as `streamrnn run` makes it."""
    first = change(settings)
    return Worker(
        connect=lambda: application.open(settings), make_task=first.source, outputs=first.outputs, start=first.start,
        commits=first.commits, hooks=Hooks(observer=RecordingObserver()),
    )  # fmt: skip


def test_covariates_fit_the_fields_that_are_read() -> None:
    """As many as a field reads of the others of its key."""
    assert MAX_FIELDS == OTHERS
    assert planned_names(["a"], (1, 3, 6, 12, 24)) == ["a+1", "a+6", "a+24"]
    assert planned_names(["a", "b"], (1, 24)) == ["a+1", "a+24", "b+1", "b+24"]
    for fields in range(1, 7):
        for horizons in range(1, 30):
            names = planned_names([str(field) for field in range(fields)], range(1, horizons + 1))
            assert len({*names}) == len(names) <= OTHERS
            assert names[-1].endswith(f"+{horizons}")
