"""Widths of the published intervals: what they learn from, that volatility is followed, and that little is lost."""

import numpy as np
import pytest
from support.streams import HOUR, START

from streamrnn.core.banks.full import FullBank
from streamrnn.core.ensemble import widths
from streamrnn.core.jit import Floats

LEVELS = (0.1, 0.5, 0.9)


def run(values: Floats, *, off: bool = False) -> tuple[FullBank, Floats]:
    """Feed a series whose one network forecasts 0 with the usual width; return the one-step quantiles (T, Q), too."""
    bank = FullBank(horizons=(1, 12, 24), quantiles=LEVELS, networks=1, trained=True)
    row, published = bank.add(["s"]), []
    for i, value in enumerate(values.tolist()):
        update = bank.update(row, np.array([value]), np.array([START + HOUR * i]))
        outputs = bank.plan.normal - value / update.features.units[0][:, None]
        if off:
            bank.parts.widths.weights[:] = 0
        published.append(bank.publish(row, outputs[None, None].astype(np.float32), np.zeros((1, 3, 0))).quantiles[0, 0])
    return bank, np.array(published)


def loss(values: Floats, published: Floats, first: int) -> float:
    """Return the mean pinball loss of one-step quantiles from a row on."""
    error = values[first + 1 :, None] - published[first:-1]
    return float(np.maximum(LEVELS * error, (np.array(LEVELS) - 1) * error).mean())


def test_volatile_times_have_wider_intervals() -> None:
    """Where the volatility follows the hour, the loss falls; where offsets follow it, or on noise, little is lost."""
    losses = np.zeros((3, 2))
    for seed in (1, 2, 3):
        rng = np.random.default_rng(seed)
        noise = rng.normal(size=1500)
        slow = np.exp(np.convolve(rng.normal(size=1539), np.ones(40) / 5, "valid")) * noise
        hours = np.where(np.arange(1500) % 24 < 6, 6.0, 1.0) * noise
        for i, values in enumerate((slow, hours, noise)):
            (_, before), (_, after) = run(values, off=True), run(values)
            losses[i] += loss(values, before, 500), loss(values, after, 500)
            np.testing.assert_array_equal(before[:, 1], after[:, 1])  # medians stay
    assert (losses[:, 1] < losses[:, 0] * [1.01, 0.94, 1.005]).all()


def test_features_are_logs_of_running_errors() -> None:
    """Of the horizon's latest errors, those of the target's phase and the latest ones of one step, over the usual."""
    bank, _ = run(np.random.default_rng(2).normal(size=200) * np.where(np.arange(200) % 24 < 6, 6.0, 1.0))
    state, plan = bank.parts.widths, bank.plan
    for k, horizon in enumerate((1, 12, 24)):
        phase = (199 + horizon) % 24  # the first observation has phase 0
        running = np.array([state.latest[0, k], state.profile[0, k, phase], state.latest[0, 0]])
        expected = np.log(running / [state.long[0, k], state.long[0, k], state.long[0, 0]])
        slot = plan.slots[k] + 199 % horizon
        found = state.features[0, slot] * (widths.FEATURE_CLIP / 32767)
        assert found == pytest.approx(expected.clip(-widths.FEATURE_CLIP, widths.FEATURE_CLIP), abs=1e-3)
        assert np.abs(found).max() > 0.1


def test_nothing_is_learned_of_a_forecast_made_before_the_state_began() -> None:
    """State of an earlier version has no features pending: errors count from the first new forecast on."""
    values = np.random.default_rng(3).normal(size=100)
    bank, _ = run(values[:60])
    blank = widths.allocate_widths(1, bank.plan)
    for array, first in zip(bank.parts.widths, blank, strict=True):
        array[0] = first[0]
    bank.update(np.array([0]), values[60:61], np.array([START + HOUR * 60]))
    for array, first in zip(bank.parts.widths, blank, strict=True):
        np.testing.assert_array_equal(array[0], first[0])


def test_quantiles_move_alone() -> None:
    """Weights of a quantile multiply its distance from the median only, by their exponential."""
    bank, _ = run(np.random.default_rng(4).normal(size=60))
    state, mixed = bank.parts.widths, np.array([-1.0, 0.5, 2.0])
    state.weights[0], state.latest[0], state.long[0], state.profile[0] = 0, 2, 1, 0
    state.weights[0, 1, 0] = [0.4, 5.0, 0.1]
    widths.apply_widths(bank.series, state, bank.plan, 0, 1, bank.plan.slots[1], 1.0, START + HOUR * 71.0, mixed)
    assert mixed == pytest.approx([0.5 - 1.5 * np.exp(np.log(2) * 0.5), 0.5, 2.0], rel=1e-3)
