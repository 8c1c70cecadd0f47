"""Inputs of the network against formulas over the whole history."""

import math

import numpy as np
import pytest
from support.bank import LEVELS, bank_of, observe
from support.streams import HOUR, START, seasonal

from streamrnn.core.banks.full import FullBank
from streamrnn.core.experts.classical import TRUST_RATE
from streamrnn.core.series import calendar
from streamrnn.core.series.features import ALIGNMENTS
from streamrnn.core.series.state import COMMON, EXPERTS, FIRST_TRUST, INPUTS, TERMS

ROWS, HORIZONS = 600, (1, 3, 12, 24)
E = len(EXPERTS)


def test_inputs_are_those_of_the_formulas() -> None:
    """Lags, seasons, means and calendar of the last row, recomputed from the whole history."""
    y, bank = seasonal(ROWS, 1)[:, 0], bank_of(HORIZONS)
    given = observe(bank, y)
    s1, s12, s24 = (bank.series.scale[0, HORIZONS.index(step)] for step in (1, 12, 24))
    unit = math.sqrt(s1 * s12)
    expected = [(y[-1 - k] - y[-1]) / unit for k in range(1, 13)] + [(y[-25] - y[-1]) / s24]
    for rows in (24, 168):
        for ahead in (0, 1, 12, 24):
            back = rows - ahead if ahead < rows else 0  # at 24 ahead the latest value of the phase is the present one
            expected.append((y[-1 - back] - y[-1]) / (s24 if ahead == 24 else s12))
    terms = np.array(expected)
    np.testing.assert_allclose(given.inputs[-1, :21], np.sign(terms) * np.log1p(np.abs(terms)), atol=1e-3)
    time = START + (ROWS - 1) * HOUR
    day, week = (2 * math.pi * (time % p) / p for p in (calendar.DAY, calendar.WEEK))
    circle = [math.sin(day), math.cos(day), math.sin(2 * day), math.cos(2 * day), math.sin(week), math.cos(week)]
    np.testing.assert_allclose(given.inputs[-1, 23:29], np.sign(circle) * np.log1p(np.abs(circle)), atol=1e-4)
    means = [(bank.series.means[0, i] - (y[-1] - y[0])) / s for i, s in ((2, s12), (4, s24))]
    np.testing.assert_allclose(given.inputs[-1, 21:23], np.sign(means) * np.log1p(np.abs(means)), atol=1e-3)
    age = given.inputs[-1, COMMON - 7 : COMMON]
    np.testing.assert_allclose(
        age, [math.log(24) / 4, 1, 1, 1, math.log1p(ROWS - 1) / 5, 3.0, 0.0], atol=1e-5
    )  # fmt: skip


def test_expert_forecasts_match_their_definitions() -> None:
    """Each classical expert's forecast, in the field's unit, equals its formula."""
    y, bank = seasonal(ROWS, 1)[:, 0], bank_of(HORIZONS)
    given = observe(bank, y)
    smooth = {"smooth_fast": bank.series.smooth[0, 0], "smooth_slow": bank.series.smooth[0, 1]}
    smooth["mean"] = bank.series.means[0, 4]
    for k, h in enumerate(HORIZONS):
        forecasts = dict(zip(EXPERTS, given.points[-1, k].astype(float) * given.units[-1, k], strict=True))
        for name, rows in (("short", 24), ("long", 168)):
            then = y[-1 - (rows - h)] if h < rows else y[-1]
            assert forecasts[f"naive_{name}"] == pytest.approx(then - y[-1], abs=1e-3)
            assert forecasts[f"drifted_{name}"] == pytest.approx(then - y[-1 - rows], abs=1e-3)
        for name, value in smooth.items():
            assert forecasts[name] == pytest.approx(value - (y[-1] - y[0]), abs=1e-3)
        profile = bank.series.short[0, 1, (ROWS - 1 + h) % 24]
        assert forecasts["profile_short"] == pytest.approx(profile - (y[-1] - y[0]), abs=1e-3)
        assert forecasts["shape_short"] == pytest.approx(profile - bank.series.short[0, 1, (ROWS - 1) % 24], abs=1e-3)


def test_lead_describes_the_horizon() -> None:
    """Log of the horizon, its share of the season, and log of its scale over that of one step."""
    bank = bank_of(HORIZONS)
    given = observe(bank, seasonal(ROWS, 1)[:, 0])
    units = given.units[-1]
    expected = [[math.log(h) / 3, min(h / 24, 2), math.log(units[k] / units[0]) / 2] for k, h in enumerate(HORIZONS)]
    np.testing.assert_allclose(given.lead[-1], expected, atol=1e-5)


def test_trust_is_the_running_error_over_persistences() -> None:
    """The log of decayed sums of |error|, each in the units of its origin, over all matured labels."""
    y, bank = seasonal(300, 1)[:, 0], bank_of(HORIZONS)
    given = observe(bank, y)
    for k, h in enumerate(HORIZONS):
        errors = np.full(E + 1, FIRST_TRUST)
        for t in range(8, 300 - h):
            truth = np.clip((y[t + h] - y[t]) / given.units[t, k], -8, 8)
            forecasts = np.clip(given.points[t, k], -8, 8)
            errors = TRUST_RATE * errors + np.abs(truth - np.append(forecasts, 0.0))
        expected = np.clip(np.log(errors[:E] / errors[E]), -5, 5)
        np.testing.assert_allclose(given.trust[-1, k], expected, atol=2e-3)
    at = list(HORIZONS).index(12)
    np.testing.assert_array_equal(given.inputs[-1, COMMON + E :], given.trust[-1, at])
    forecasts = given.points[-1, at]
    np.testing.assert_allclose(
        given.inputs[-1, COMMON : COMMON + E], np.sign(forecasts) * np.log1p(np.abs(forecasts)), atol=1e-6
    )
    assert given.inputs.shape[1] == INPUTS


def test_new_series_have_equal_trust() -> None:
    """Before any label all trusts are 0, and all experts forecast persistence."""
    given = observe(bank_of(), [3.5])
    assert (given.trust == 0).all()
    assert (given.points == 0).all()
    assert np.isfinite(given.inputs).all()


def test_features_are_causal() -> None:
    """Changing values from row t on changes no feature before t."""
    y = seasonal(300, 1)[:, 0]
    other = y.copy()
    other[200:] = -7 * other[200:] + 1e6
    for a, b in zip(observe(bank_of(), y), observe(bank_of(), other), strict=True):
        np.testing.assert_array_equal(a[:200], b[:200])
        assert (a[200:] != b[200:]).any()


def test_series_of_a_bank_are_independent() -> None:
    """A series has the same features alone and among others that are added later, when arrays grow."""
    values = seasonal(120, 20)
    alone, together = FullBank(horizons=HORIZONS, quantiles=LEVELS), FullBank(horizons=HORIZONS, quantiles=LEVELS)
    alone.add(["one"])
    expected = observe(alone, values[:, 11])
    for t, row in enumerate(values):
        together.add([f"s{number}" for number in range(len(together.names), min(20, 12 + t // 2))])
        rows = np.arange(len(together.names))
        given = together.observe(rows, row[rows], np.full(len(rows), START + t * HOUR))
        for a, b in zip(given, expected, strict=True):
            np.testing.assert_array_equal(a[11], b[t])


def test_all_regressors_are_filled() -> None:
    """All but one: a day ahead the latest value of the phase is the present one. The last is constant."""
    bank = bank_of()
    observe(bank, seasonal(400, 1)[:, 0])
    terms = bank.series.terms[0]
    assert terms.shape[1] == TERMS
    assert (terms[:, -1] == round(32767 / 10)).all()
    assert np.flatnonzero(np.abs(terms).max(0) == 0).tolist() == [13 + ALIGNMENTS.index(24)]
