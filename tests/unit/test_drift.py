"""Drift detection: alarms on growing errors, the drifting status, and discounted regrets."""

import sys
from typing import Any

import numpy as np
import pytest
from support.streams import bits, run, seasonal, small

from streamrnn.core.experts.drift import DISCOUNT, FIRST, LASTING, Drift
from streamrnn.core.experts.safe_pickle import dumped
from streamrnn.errors import ConfigError, StateError

DETECTORS = ("adwin", "page_hinkley", "kswin")
ROW = np.array([0])


def fed(drift: Drift, scores: Any, first: int = 0) -> list[int]:
    """Feed one series; return the observations with an alarm."""
    return [first + i for i, score in enumerate(scores) if len(drift.step(ROW, ROW + first + i, np.array([score])))]


def worse(rows: int, at: int, factor: float, seed: int = 0) -> Any:
    """Return errors that are `factor` times larger from `at` on."""
    scores = np.abs(np.random.default_rng(seed).normal(size=rows))
    scores[at:] *= factor
    return scores


@pytest.mark.parametrize("detector", DETECTORS)
def test_a_series_that_becomes_harder_gives_an_alarm(detector: str) -> None:
    """Errors five times as large raise an alarm within 100 observations, and none before."""
    drift = Drift(detector=detector)
    drift.add(1)
    alarms = fed(drift, worse(700, 500, 5.0))
    assert alarms
    assert 500 <= alarms[0] < 600
    assert drift.alarms == len(alarms)


@pytest.mark.parametrize("detector", ["adwin", "page_hinkley"])
def test_a_series_that_becomes_easier_gives_none(detector: str) -> None:
    """Errors a fifth as large raise no alarm."""
    drift = Drift(detector=detector)
    drift.add(1)
    assert fed(drift, worse(900, 500, 0.2)) == []


@pytest.mark.parametrize("detector", DETECTORS)
def test_young_series_and_missing_labels_are_not_fed(detector: str) -> None:
    """A detector is not fed before the hundredth observation, nor without a label."""
    drift, other = Drift(detector=detector), Drift(detector=detector)
    for each in (drift, other):
        each.add(1)
    assert fed(drift, worse(FIRST, 50, 10.0)) == []
    fed(drift, [np.nan] * 50, first=FIRST)
    assert drift.save(0, 1).tobytes() == other.save(0, 1).tobytes()


def test_a_series_counts_as_drifting_for_a_hundred_observations() -> None:
    """From the observation with the alarm on; a series without an alarm is never drifting."""
    drift = Drift(detector="adwin")
    drift.add(2)
    (alarm,) = fed(drift, worse(560, 500, 5.0))[:1]
    seen = np.arange(alarm + 1, alarm + LASTING + 2)  # after that observation, and on
    assert [bool(drift.is_drifting(ROW, ROW + n)[0]) for n in seen] == [True] * LASTING + [False]
    assert not drift.is_drifting(ROW + 1, ROW + alarm + 1).any()


def test_an_alarm_discounts_the_regrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The regrets of that series alone shrink to a fifth before its next forecast."""
    values = seasonal(150, 2)
    calm, alarmed = small(drift="adwin", enabled=False), small(drift="adwin", enabled=False)
    for each in (calm, alarmed):
        run(each, values[:-1])
    run(calm, values[-1:], first=149)
    monkeypatch.setattr(Drift, "step", lambda _self, rows, _seen, _scores: rows[rows == 1])
    (found,) = run(alarmed, values[-1:], first=149)
    np.testing.assert_array_equal(alarmed._bank.ledger.regret[0], calm._bank.ledger.regret[0])
    np.testing.assert_allclose(alarmed._bank.ledger.regret[1], DISCOUNT * calm._bank.ledger.regret[1], rtol=1e-6)
    assert (calm._bank.ledger.regret[1] != 0).any()
    plain = calm.forecast(np.arange(2)).quantiles
    np.testing.assert_array_equal(found.quantiles[0], plain[0])
    assert (found.quantiles[1] != plain[1]).any()


def test_a_changed_series_is_published_as_drifting() -> None:
    """After a season turns into noise the series is drifting and the alarm is counted; the other series is not."""
    values = seasonal(420, 2)
    values[300:, 0] += np.random.default_rng(1).normal(size=120) * 40
    forecaster = small(drift="adwin", enabled=False)
    drifting = np.array([f.drifting for f in run(forecaster, values)])
    assert drifting[300:, 0].any()
    assert not drifting[:300].any()
    assert not drifting[:, 1].any()
    assert forecaster.take_counts().drift_alarms >= 1
    assert forecaster.take_counts().drift_alarms == 0


def test_without_a_detector_no_series_is_drifting() -> None:
    """The default has no detectors and saves none."""
    forecaster = small(enabled=False)
    assert not any(f.drifting.any() for f in run(forecaster, seasonal(20, 2)))
    assert "drift" not in forecaster.save_rows(0, 1)
    assert "drift" not in forecaster.layout
    assert small(drift="adwin").layout["drift"] != small(drift="kswin").layout["drift"]


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("rows", [90, 330])
def test_saved_and_loaded_is_never_interrupted(detector: str, rows: int) -> None:
    """Save, load, continue: the same forecasts, alarms and statuses, bit for bit."""
    values = seasonal(420, 3)
    values[300:, 0] += np.random.default_rng(1).normal(size=120) * 40
    whole, broken, resumed = (small(drift=detector, enabled=False) for _ in range(3))
    expected = run(whole, values)[rows:]
    run(broken, values[:rows])
    pages = [{k: a.copy() for k, a in broken.save_rows(i, 2).items()} for i in (0, 2)]
    resumed.load(broken.save_shared(), pages, broken.names)
    found = run(resumed, values[rows:], first=rows)
    assert bits(found) == bits(expected)
    assert [f.drifting.tolist() for f in found] == [f.drifting.tolist() for f in expected]
    assert any(f.drifting.any() for f in expected)


@pytest.mark.parametrize("state", [3, [[1], []], [[1], [2]], []])
def test_damaged_state_is_refused(state: object) -> None:
    """Anything but a list of detectors is a StateError."""
    with pytest.raises(StateError, match="drift detectors are damaged"):
        Drift(detector="adwin").load([dumped(state)])


def test_river_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without river the message says how to install it."""
    monkeypatch.setitem(sys.modules, "river", None)
    with pytest.raises(ConfigError, match=r"learning.drift = adwin: needs river.*pip install 'streamrnn\[river\]'"):
        small(drift="adwin")
