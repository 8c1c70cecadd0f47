"""Bounds of the quantiles: configured or found in the values, respected, given up, and no worse."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.streams import QUANTILES, joined, run, seasonal, small, state, wave

from streamrnn.core.config import BoundRule
from streamrnn.core.ensemble.bounds import EVIDENCE, current_bounds, rule_of
from streamrnn.core.forecaster import CoreForecaster
from streamrnn.errors import ConfigError
from streamrnn.settings import from_sections

START, HOUR = 1_700_000_000_000, 3_600_000
HORIZONS, LEVELS = (1, 3, 6), np.array(QUANTILES)
AUTO: tuple[tuple[str, BoundRule], ...] = (("*", "auto"),)
NONE = (-np.inf, np.inf)
VARIANTS = pytest.mark.parametrize("variant", ["full", "lean"])
Values = NDArray[np.float64]


def forecasts(values: Values, **options: Any) -> tuple[Values, Values]:
    """Return quantiles (T, S, H, Q) and anomaly scores (T, S) of values (T, S), one wave a row."""
    forecaster = small(networks=3, every=16, head_every=8, most=10**6, head_most=10**6, **options)
    published = run(forecaster, values)
    return np.array([each.quantiles for each in published]), np.array([each.anomaly for each in published])


def pinball(values: Values, quantiles: Values, first: int) -> Values:
    """Return the mean pinball loss by series and horizon, (S, H), of the origins from `first` on."""
    losses = []
    for h, horizon in enumerate(HORIZONS):
        error = values[first + horizon :, :, None] - quantiles[first:-horizon, :, h]
        losses.append(np.maximum(LEVELS * error, (LEVELS - 1) * error).mean((0, 2)))
    return np.array(losses).T


def coverage(values: Values, quantiles: Values, first: int) -> Values:
    """Return the share of values within the outermost interval by series and horizon, (S, H)."""
    inside = []
    for h, horizon in enumerate(HORIZONS):
        truth, final = values[first + horizon :], quantiles[first:-horizon, :, h]
        inside.append(((final[..., 0] <= truth) & (truth <= final[..., -1])).mean(0))
    return np.array(inside).T


def counts(rows: int, series: int) -> Values:
    """Hourly counts that are mostly 0 by night."""
    mean = 0.2 + 3 * np.maximum(0, np.sin(2 * np.pi * np.arange(rows) / 24))
    return np.random.default_rng(1).poisson(mean[:, None], (rows, series)).astype(float)


def percentages(rows: int, series: int) -> Values:
    """Utilizations that are often near 0 or 100, and sometimes at them."""
    rng, level = np.random.default_rng(2), np.zeros((rows, series))
    for t in range(1, rows):
        level[t] = 0.95 * level[t - 1] + rng.normal(size=series)
    return np.clip(50 + 25 * level, 0, 100)


def prices(rows: int, series: int) -> Values:
    """Prices that fall to small numbers and stay positive."""
    steps = np.random.default_rng(3).normal(-0.005, 0.08, (rows, series))
    return np.exp(np.cumsum(steps, axis=0))


STREAMS = {"counts": counts, "percentages": percentages, "prices": prices}
BOUNDED = {"counts": (0.0, np.inf), "percentages": (0.0, 100.0), "prices": (0.0, np.inf)}


@pytest.mark.parametrize(
    ("stream", "variant"),
    [
        ("counts", "full"),
        ("percentages", "lean"),
        ("prices", "full"),
        *(
            pytest.param(*each, marks=pytest.mark.long)
            for each in [("counts", "lean"), ("percentages", "full"), ("prices", "lean")]
        ),
    ],
)
def test_quantiles_stay_in_bounds_and_are_no_worse(variant: str, stream: str) -> None:
    """Configured or found: no quantile outside them, none crossed, the pinball loss no larger, coverage as promised."""
    values, first = STREAMS[stream](700, 6), 200
    low, high = BOUNDED[stream]
    free, _ = forecasts(values, variant=variant)
    assert ((free[first:] < low) | (free[first:] > high)).any(), "the stream tests nothing"
    loss, covered = pinball(values, free, first), coverage(values, free, first)
    for bounds in ((("*", (low, high)),), AUTO):
        bounded, _ = forecasts(values, variant=variant, bounds=bounds)
        begin = 0 if bounds != AUTO else EVIDENCE
        assert bounded[begin:].min() >= low
        assert bounded[begin:].max() <= high or (bounds == AUTO and stream == "percentages")
        assert (np.diff(bounded, axis=3) >= 0).all()
        assert np.log(pinball(values, bounded, first) / loss).mean() <= 0.0
        assert (coverage(values, bounded, first) >= covered - 0.03).all()


def test_percentages_are_bounded_once_seen_near_both_ends() -> None:
    """The upper bound of 100 holds from the 100 observations and values near both ends on."""
    values = percentages(700, 6)
    found, _ = forecasts(values, bounds=AUTO)
    lowest, highest = np.minimum.accumulate(values), np.maximum.accumulate(values)
    known = (np.arange(700)[:, None] >= EVIDENCE) & (lowest <= 10) & (highest >= 90)
    assert known[-1].all()
    assert found[known].max() == 100.0
    assert found[~known].max() > 100.0


@VARIANTS
def test_configured_bounds_hold_whatever_the_values(variant: str) -> None:
    """Values outside them are observed, are anomalies, and leave no trace once the series is back."""
    values = 5 + np.random.default_rng(4).normal(size=(300, 3))
    values[150:160] += 40
    bounded, anomaly = forecasts(values, variant=variant, bounds=(("*", (0.0, 10.0)),))
    assert bounded.min() >= 0.0
    assert bounded.max() <= 10.0
    assert (anomaly[150] > 1).all()
    free, _ = forecasts(values, variant=variant)
    assert (np.diff(bounded[200:, :, 0, [0, -1]]) <= 1.2 * np.diff(free[200:, :, 0, [0, -1]])).mean() > 0.9


@VARIANTS
def test_a_bound_is_given_up_when_it_is_crossed(variant: str) -> None:
    """A walk above 0 is bounded there until the first value below; from then on its forecasts are free."""
    walk = 3 + np.abs(np.cumsum(np.random.default_rng(5).normal(size=(400, 1)), axis=0))
    walk[200:] = 0.5 + np.random.default_rng(6).normal(size=(200, 1)) * 0.1
    walk[250:] -= 2
    found, _ = forecasts(walk, variant=variant, bounds=AUTO)
    assert found[EVIDENCE:250].min() == 0.0
    assert found[250].min() < 0.0


def limits(bounds: tuple[tuple[str, BoundRule], ...], values: list[float]) -> tuple[float, float]:
    """Return the bounds of a series after some values."""
    forecaster = small(bounds=bounds, enabled=False)
    run(forecaster, np.array(values)[:, None])
    return current_bounds(forecaster._bank._bounds.rows, 0)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 3.0] * 49 + [0.0], NONE),
        ([0.0, 3.0] * 50, (0.0, np.inf)),
        ([-0.0, -3.0] * 50, (-np.inf, 0.0)),
        ([0.0] * 100, (0.0, np.inf)),
        ([1.0, 2.0] * 50 + [-1e-9], NONE),
        ([4.0, 95.0] * 50, (0.0, 100.0)),
        ([4.0, 89.0] * 50, (0.0, np.inf)),
        ([11.0, 95.0] * 50, (0.0, np.inf)),
        ([4.0, 95.0] * 50 + [100.5], (0.0, np.inf)),
        ([60.0, 100.0] * 50, (0.0, 100.0)),
        ([60.0, 100.0] * 50 + [100.5], (0.0, np.inf)),
        ([60.0, 100.0] * 49, NONE),
        ([-4.0, 95.0] * 50, NONE),
    ],
)
def test_bounds_are_what_was_never_crossed(values: list[float], expected: tuple[float, float]) -> None:
    """0 on one side after 100 observations; 100 with values near both ends or just there; beyond, none."""
    assert limits(AUTO, values) == expected


def test_the_first_matching_pattern_holds() -> None:
    """A pattern is of the field, or of the whole name where it has a slash."""
    rules = (("*_pct", (0.0, 100.0)), ("web/*/load", NONE), ("load", (0.0, np.inf)), ("temp [C]", NONE), ("*", "auto"))
    assert rule_of(rules, "web/1/cpu_pct") == (0.0, 100.0)
    assert rule_of(rules, "web/1/load") == NONE
    assert rule_of(rules, "db/load") == (0.0, np.inf)
    assert rule_of(rules, "db/temp [C]") == NONE
    assert rule_of(rules, "db/other") == "auto"
    assert rule_of(rules[:3], "db/other") == NONE


def resumed(first: CoreForecaster, **options: Any) -> CoreForecaster:
    """Return a forecaster of other options with the state of `first`."""
    second = small(**options)
    assert (second.layout == first.layout) or second.describe_migration(first.layout)
    second.load(first.save_shared(), [first.save_rows(0, 3)], first.names, first.layout)
    return second


@VARIANTS
def test_configured_bounds_are_no_part_of_the_state(variant: str) -> None:
    """They can be set, changed and dropped at will; bounds found in the values begin with new evidence."""
    values = seasonal(150, 3) - 45
    options: dict[str, Any] = {"variant": variant, "enabled": False}
    plain, bounded = small(**options), small(**options, bounds=(("*", (0.0, 10.0)),))
    run(plain, values), run(bounded, values)
    assert bounded.layout == plain.layout
    assert state(bounded).keys() == state(plain).keys()
    found = resumed(plain, **options, bounds=AUTO)
    assert "reset: the evidence for bounds" in found.describe_migration(plain.layout)
    later = run(found, np.abs(seasonal(110, 3) - 45), first=150)
    assert later[-1].quantiles.min() >= 0.0
    assert later[0].quantiles.min() < 0.0
    free = resumed(found, **options)
    assert "bounds" not in "".join(state(free))
    assert free.row_bytes == plain.row_bytes < found.row_bytes


def test_a_value_sees_the_bounds_of_its_time() -> None:
    """Bounds depend on the series alone: rows of one wave share none."""
    values = seasonal(120, 2) - np.array([45.0, 0.0])
    together = small(bounds=AUTO, enabled=False)
    apart = run(small(bounds=AUTO, enabled=False), values[:, 1:])
    together.add(["a", "b"])
    for t, row in enumerate(values):
        both = joined([wave(together, np.arange(2), row, START + t * HOUR)])
        assert both.quantiles[1].tobytes() == apart[t].quantiles[0].tobytes()


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("positive", "must be none, auto, or {min: 0, max: 100}"),
        ({"min": 5, "max": "1"}, "has a min of 5, which must be below its max, 1"),
        ({"min": "low"}, "has 'low', which is not a number"),
        ({"*_pct": {"top": 100}}, "must be none, auto"),
        ({}, "at least one of the two"),
        ("{min: 0}", "is not a JSON object"),
    ],
)
def test_what_is_no_bound_is_refused(given: object, problem: str) -> None:
    """The message says what is allowed."""
    with pytest.raises(ConfigError, match=r"forecast\.bounds") as raised:
        from_sections({"forecast": {"bounds": given}})
    assert problem in str(raised.value)


@pytest.mark.parametrize(
    "given", ["none", "auto", {"min": 0}, '{"max": 1}', {"*_pct": {"min": 0, "max": 100}, "a": "none", "*": "auto"}]
)
def test_bounds_are_shown_as_they_are_read(given: object) -> None:
    """The effective configuration loads as the same settings."""
    settings = from_sections({"forecast": {"bounds": given}})
    shown = settings.model_dump(mode="json")["forecast"]["bounds"]
    assert from_sections({"forecast": {"bounds": shown}}) == settings
