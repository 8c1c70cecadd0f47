"""Explanations: those of the latest forecast, read without changing the state."""

from typing import Any

import numpy as np
import pytest
from support.streams import HORIZONS, HOUR, QUANTILES, START, bits, run, seasonal, small, state

from streamrnn.core.banks.full import MIXED, FullBank
from streamrnn.core.banks.lean.bank import LeanBank
from streamrnn.core.banks.lean.ledger import fill_lean_weights
from streamrnn.core.ensemble.aggregation import fill_prior, fill_weights, label_weight
from streamrnn.core.ensemble.ledger import fill_points
from streamrnn.core.experts.classical import UNKNOWN
from streamrnn.core.experts.drift import LASTING
from streamrnn.core.forecaster import CoreForecaster
from streamrnn.explanation.answer import Explanation
from streamrnn.explanation.explainer import SeriesExplainer
from streamrnn.explanation.state import explain_series
from streamrnn.records import TopicPartition

TASK = TopicPartition("sensors", 0)


def kernel_weights(forecaster: CoreForecaster, row: int) -> Any:
    """Return the weights (H, M) of the latest forecast as the compiled functions compute them, means over quantiles."""
    bank: Any = forecaster._bank
    plan, members, seen = bank.plan, len(bank._mature), int(bank.series.seen[row])
    prior, found = np.empty(members), np.zeros((len(HORIZONS), members))
    for i, k in enumerate(plan.published):
        if isinstance(bank, LeanBank):
            fill_prior(bank._young, bank._mature, seen - 1, prior)
            fill_lean_weights(bank.series.loss[row, k], prior, found[i])
            continue
        assert isinstance(bank, FullBank)
        points, sizes = np.empty((2, len(bank._chosen)))
        fill_prior(bank._young, bank._mature, seen - 1 - int(plan.horizons[k]), prior)
        parts = (getattr(bank.ledger, name)[row, k].ravel() for name in ("regret", "variance", "bound"))
        rates, weights = np.empty((2, len(QUANTILES) * members))
        fill_weights(*parts, prior, label_weight(int(plan.horizons[k])), rates, weights)
        slot = plan.slots[k] + (seen - 1) % plan.horizons[k]
        fill_points(bank.series, bank.ledger, row, k, slot, bank._chosen, points, sizes)
        for each in weights.reshape(-1, members):
            each[: len(points)][np.isnan(points)] = 0.0
            each[-1] *= bank.parts.analogs.quantiles[row, slot, 0] != UNKNOWN
            found[i] += each / each.sum() / len(QUANTILES)
    return found


@pytest.mark.parametrize("variant", ["full", "lean"])
@pytest.mark.parametrize("rows", [20, 300])
def test_weights_are_those_of_the_mixture(variant: str, rows: int) -> None:
    """The weights of every member and horizon equal those that the compiled functions give, and sum to 1."""
    forecaster = small(networks=3, variant=variant)
    run(forecaster, seasonal(rows, 2))
    for row in range(2):
        found = explain_series(forecaster, row)
        assert found.horizon == list(HORIZONS)
        networks = forecaster.layout["networks"]
        assert isinstance(networks, int)
        names = ["persistence", *(MIXED if variant == "full" else ()), *(f"network_{n + 1}" for n in range(networks))]
        names += ["combination", "analogs"] if variant == "full" else []
        by_name = {member.name: member.weight for member in found.members}
        assert pytest.approx(kernel_weights(forecaster, row), abs=1e-4) == np.array([by_name[name] for name in names]).T
        assert sum(by_name[name][0] for name in names) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("variant", ["full", "lean"])
def test_explaining_changes_nothing(variant: str) -> None:
    """Forecasts and state are the same, bit for bit, with and without explanations in between."""
    values = seasonal(120, 2)
    plain, asked = small(variant=variant), small(variant=variant)
    expected = run(plain, values)
    found = []
    for t, row in enumerate(values):
        found += run(asked, row[None], first=t)
        explain_series(asked, t % 2)
    assert bits(found) == bits(expected)
    assert state(asked) == state(plain)


@pytest.mark.parametrize("variant", ["full", "lean"])
def test_the_width_is_that_of_the_published_interval(variant: str) -> None:
    """The width at each horizon is that of the outermost published quantiles, and step and times are the series'."""
    forecaster = small(variant=variant)
    last = run(forecaster, seasonal(200, 2))[-1]
    for row in range(2):
        found = explain_series(forecaster, row)
        width = last.quantiles[row, :, -1] - last.quantiles[row, :, 0]
        assert found.width == pytest.approx(width.tolist(), rel=1e-3)
        assert (found.observations, found.first_time, found.time) == (200, START, START + 199 * HOUR)
        assert found.step_seconds == 3600
        assert [season.seconds for season in found.seasons] == [86_400, 604_800]
        assert found.seasons[0].gain > 0.2


class WatchedTask:
    """What a worker's task is to those who ask."""

    last_offset = 4

    def __init__(self, forecaster: CoreForecaster) -> None:
        self.forecaster = forecaster


def causes(found: Explanation) -> dict[str, float]:
    """Return the amounts by cause."""
    return {each.cause: each.amount for each in found.causes}


def test_causes_are_named() -> None:
    """A young series, larger changes than usual, and a gap before the last observation."""
    young = small()
    run(young, seasonal(12, 1))
    assert causes(explain_series(young, 0))["young"] == 12
    values = seasonal(240, 1)
    values[-24:] += np.random.default_rng(0).normal(0, 20, (24, 1))
    volatile = small()
    run(volatile, values[:-24])
    assert "volatile" not in causes(explain_series(volatile, 0))
    run(volatile, values[-24:], first=216)
    assert causes(explain_series(volatile, 0))["volatile"] > 2
    assert "gap" not in causes(explain_series(volatile, 0))
    run(volatile, values[-1:], first=245)
    assert causes(explain_series(volatile, 0))["gap"] == 5


@pytest.mark.parametrize("option", [{"drift": "adwin"}, {"level_shifts": True}])
def test_a_drift_is_dated(option: dict[str, Any]) -> None:
    """It is named as long as the status is drifting, with the observations since its alarm."""
    forecaster = small(**option)
    values = seasonal(460, 1)
    values[300:] = 50_000 + 60 * (values[300:] - 50) if "drift" not in option else values[300:] * 40
    alarm = None
    for t, row in enumerate(values):
        (made,) = run(forecaster, row[None], first=t)
        found = explain_series(forecaster, 0)
        assert (found.drifting_for is not None) == bool(made.drifting[0])
        if found.drifting_for is not None:
            began = found.observations - found.drifting_for
            alarm = began if alarm is None or began > alarm else alarm
            assert began == alarm
            assert 0 < found.drifting_for <= LASTING
            assert causes(found)["drift"] == found.drifting_for
    assert alarm is not None


def test_series_are_explained_by_name_while_their_task_lives() -> None:
    """Names are found although rows move; nothing is known of other tasks, other names and ended tasks."""
    explainer, forecaster = SeriesExplainer(), small()
    task = WatchedTask(forecaster)
    explainer.watch(TASK, task)
    run(forecaster, seasonal(5, 3))
    found = explainer.explain(TASK, "s2")
    assert found is not None
    assert Explanation(**found).series == "s2"
    forecaster.keep(np.array([0, 2]))
    again = explainer.explain(TASK, "s2")
    assert again is not None
    assert again["series"] == "s2"
    assert explainer.explain(TASK, "s1") is None
    assert explainer.explain(TopicPartition("sensors", 1), "s2") is None
    del task
    assert explainer.explain(TASK, "s2") is None
