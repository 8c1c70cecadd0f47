"""Cross-series regression between the fields of one key."""

import json
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from support.documents import ROOT
from support.streams import HOUR, START, small

from streamrnn import app
from streamrnn.core.experts.cross_series import NO_ROW, OTHERS, CrossSeriesExpert
from streamrnn.core.series.plan import make_plan
from streamrnn.records import Record, TopicPartition
from streamrnn.settings import Settings

LEAD, ROWS = 3, 1500


def leading(rows: int, kind: str) -> NDArray[np.float64]:
    """Return (rows, 2): a leader, and a noisy follower three rows later in another unit."""
    rng = np.random.default_rng(3)
    steps = rng.normal(size=rows)
    leader = np.cumsum(steps) if kind == "walk" else np.convolve(steps, 0.8 ** np.arange(30))[:rows]
    follower = 5 + 2 * np.concatenate([np.zeros(LEAD), leader[:-LEAD]]) + 0.1 * rng.normal(size=rows)
    return np.stack([leader, follower], 1)


def errors(values: NDArray[np.float64], names: list[str], **options: Any) -> NDArray[np.float64]:
    """Return the errors (S, H) of the medians over those of persistence, in the second half."""
    forecaster = small(horizons=(1, 3), quantiles=(0.1, 0.5, 0.9), **options)
    rows = forecaster.add(names)
    medians = []
    for t, row in enumerate(values):
        medians.append(forecaster.step(rows, row, np.full(len(rows), START + t * HOUR))[0].quantiles[:, :, 1])
        if forecaster.until_due <= 0:
            forecaster.learn()
    found = np.empty((len(names), 2))
    for k, horizon in enumerate((1, 3)):
        origins = np.arange(len(values) // 2, len(values) - horizon)
        truth = values[origins + horizon]
        error = np.abs(truth - np.stack(medians)[origins, :, k]).mean(0)
        found[:, k] = error / np.abs(truth - values[origins]).mean(0)
    return found


@pytest.mark.parametrize("kind", ["walk", "wave"])
def test_a_follower_is_forecast_from_its_leader(kind: str) -> None:
    """Its error is below a quarter of that without the leader; the leader's is no worse."""
    values = leading(ROWS, kind)
    alone, together = (errors(values, ["k/a", "k/b"], enabled=False, joint=joint) for joint in (False, True))
    assert (together[1] < 0.25 * alone[1]).all()
    assert (together[0] < 1.01 * alone[0]).all()


def test_other_keys_are_not_read() -> None:
    """A follower under another key is forecast as without the leader."""
    values = leading(ROWS // 2, "walk")
    apart = errors(values, ["k/a", "other/b"], enabled=False, joint=True)
    assert (apart[1] > 0.9).all()


def test_the_first_six_other_fields_of_a_key_are_read() -> None:
    """In first-seen order; a key may contain slashes."""
    expert = CrossSeriesExpert(make_plan((1, 3), (0.1, 0.5, 0.9)))
    expert.add(["a/b/0", "c/0", *(f"a/b/{n}" for n in range(1, 8)), "c/1"])
    others = expert._fields.arrays["others"][:10].tolist()  # what is behind the forecasts
    assert others[0] == [2, 3, 4, 5, 6, 7]
    assert others[8] == [0, 2, 3, 4, 5, 6]
    assert others[1] == [9, *[NO_ROW] * (OTHERS - 1)]


def test_a_regression_starts_again_only_if_its_fields_have_changed() -> None:
    """Where a field of a key is removed, the terms behind it have moved; all other rows just move up."""
    expert = CrossSeriesExpert(make_plan((1, 3), (0.5,)))
    names = ["j/x", "k/a", "k/b", "j/y", "k/c", "l/z"]
    expert.add(names)
    blank = {name: array[:1].copy() for name, array in expert.arrays().items()}
    for array in expert.arrays().values():
        array[:6] = np.arange(1, 7).reshape(6, *[1] * (array.ndim - 1))
    kept = np.array([0, 1, 3, 4])
    expert.keep(kept, [names[row] for row in kept])
    others = expert._fields.arrays["others"]
    assert [row[row != NO_ROW].tolist() for row in others[:4]] == [[2], [3], [0], [1]]
    for name, array in expert.arrays().items():
        assert (array[0] == 1).all()
        assert (array[2] == 4).all()
        assert array[1].tobytes() == blank[name].tobytes()  # it read b before c
        assert (array[3] == 5).all()


def planned_errors(covariates: list[str]) -> list[float]:
    """Return the mean errors at two horizons, in the second half of a stream that follows what its records plan."""
    rng, rows, horizons = np.random.default_rng(4), 400, (1, 12)
    plan = rng.normal(size=rows + 12)
    values = 50 + 5 * plan + rng.normal(0, 0.5, rows + 12)
    settings = Settings(
        model={"hidden_size": 8, "base": "none"}, learning={"enabled": False}, forecast={"horizons": list(horizons)},
        input={"key": "k", "time": "t", "fields": {"only": ["sold"]}, "covariates": covariates},
    )  # fmt: skip
    task, records = app.task(settings, TopicPartition("in", 0)), []
    for row in range(rows):
        document = {"k": "a", "t": START + row * HOUR, "sold": values[row], "plan": [plan[row + h] for h in horizons]}
        records.append(Record("in", 0, row, START, None, json.dumps(document).encode()))
    made = [json.loads(output.value or b"") for output in task.feed(records)[0]]
    assert [each["series"] for each in made] == ["a/sold"] * rows
    found = np.array([each["quantiles"]["0.5"] for each in made])[rows // 2 :]
    return [float(np.abs(found[:, k] - values[rows // 2 + h : rows + h]).mean()) for k, h in enumerate(horizons)]


def ahead_errors(*, planned: bool, cut: int) -> list[float]:
    """Return the errors over those of persistence, in the second half of loads that follow a planned temperature."""
    text = (ROOT / "docs/how-to/planned-values.md").read_text()
    document = yaml.safe_load(text[text.index("# plans.yaml") : text.index("```\n\n```json")])
    assert document["input"].pop("planned") == ["temperature"]
    if planned:
        document["input"]["planned"] = ["temperature"]
    settings = Settings(**document, model={"hidden_size": 8, "base": "none"}, learning={"enabled": False})
    rng, rows, records = np.random.default_rng(4), 400, list[Record]()
    slow = np.convolve(rng.normal(size=rows + 200), 0.97 ** np.arange(200))[200 : rows + 200]
    loads = 500 - 12 * slow + rng.normal(0, 5, rows)

    def put(row: int, **fields: float) -> None:
        value = json.dumps({"site": "north", "t": START + row * HOUR, **fields}).encode()
        records.append(Record("loads", 0, len(records), START, None, value))

    for row in range(rows):
        if planned and row % 6 == 0:
            for later in range(row, min(row + 31, rows)):
                put(later, temperature=slow[later])
        put(row, load=loads[row])
    task, horizons = app.task(settings, TopicPartition("loads", 0)), settings.forecast.horizons
    outputs = [output for at in range(0, len(records), cut) for output in task.feed(records[at : at + cut])[0]]
    made = np.array([json.loads(output.value or b"")["quantiles"]["0.5"] for output in outputs])
    assert len(made) == rows
    found = []
    for k, h in enumerate(horizons):
        origins = np.arange(rows // 2, rows - h)
        truth = loads[origins + h]
        found.append(float(np.abs(made[origins, k] - truth).mean() / np.abs(loads[origins] - truth).mean()))
    return found


def test_values_planned_ahead_improve_forecasts() -> None:
    """Records of later times, as in the how-to: most of the error goes; feeds may be cut anywhere."""
    alone, ahead = ahead_errors(planned=False, cut=97), ahead_errors(planned=True, cut=97)
    assert min(alone) > 0.8
    assert max(ahead) < 0.6
    assert ahead == ahead_errors(planned=True, cut=10_000)


def test_planned_values_are_used_at_their_horizon() -> None:
    """Elements of a list in the record: each takes away most of the error at its own horizon, and is not published."""
    alone, first, both = (planned_errors([f"plan[{i}]" for i in range(count)]) for count in (0, 1, 2))
    assert min(alone) > 3
    assert first[0] < 1.2 < 3 < first[1]
    assert max(both) < 1.5
