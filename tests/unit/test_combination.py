"""The combination of the networks as a member of the mixture."""

import numpy as np
import pytest
from support.streams import HOUR, START

from streamrnn.core.banks.full import FullBank
from streamrnn.core.ensemble.aggregation import FIRST_VARIANCE
from streamrnn.core.ensemble.feedback import STEPS_BACK
from streamrnn.core.ensemble.ledger import count_members, fill_member_quantiles
from streamrnn.core.series.state import NETWORK_CLIP

LEVELS = (0.1, 0.5, 0.9)


def bank_of(networks: int) -> FullBank:
    """Return a bank with one series, and with this number of networks."""
    bank = FullBank(horizons=(1, 12, 24), quantiles=LEVELS, networks=networks, trained=True)
    bank.add(["a"])
    return bank


@pytest.mark.parametrize("networks", [1, 2, 3])
def test_it_is_the_base_and_what_both_copies_learned(networks: int) -> None:
    """With three networks there is a member head + whole - base behind them; with fewer there is none."""
    bank, points = bank_of(networks), 8
    members = count_members(points, networks)
    assert members == points + networks + (networks == 3) + 1 == bank.ledger.regret.shape[3] == len(bank._mature)
    bank.ledger.networks[0, 0] = np.arange(networks * 3).reshape(networks, 3) ** 2
    outputs = np.empty(3 * members)
    fill_member_quantiles(bank.ledger, bank.parts.analogs, 0, 0, 0, np.zeros(points), np.ones(points), outputs)
    own = outputs.reshape(3, members)[:, points:]
    np.testing.assert_allclose(own[:, :networks].T, bank.ledger.networks[0, 0] * (NETWORK_CLIP / 32767))
    if networks == 3:
        np.testing.assert_allclose(own[:, 3], own[:, 1] + own[:, 2] - own[:, 0])


def test_what_both_copies_learned_adds_up() -> None:
    """Where either copy has learned half of the next change, the median goes further than any of the networks."""
    rng, bank = np.random.default_rng(1), bank_of(3)
    rows, change = np.array([0]), rng.normal(size=400) + 2.0
    values, reached = change.cumsum(), []
    for t, value in enumerate(values[:-1]):
        update = bank.update(rows, np.array([value]), np.array([START + t * HOUR]))
        networks = np.zeros((3, 1, 3, 3), np.float32) + bank.plan.normal[:, None].T.astype(np.float32) / 4
        networks[1:, 0, 0] += 0.5 * change[t + 1] / update.features.units[0, 0]
        bank.parts.feedback.weights[:] = 0
        median = bank.publish(rows, networks, np.zeros((1, 3, 0))).quantiles[0, 0, 1]
        reached.append((median - value) / change[t + 1])
    assert np.median(reached[300:]) > 0.8


def test_state_of_earlier_versions_goes_on() -> None:
    """It lacks the analogs, or also the combination, which begin empty. Forecasts and errors get fewer bits."""
    bank = bank_of(3)
    bank.ledger.regret[:] = 1.5
    saved = {name: array[:1].copy() for name, array in bank.arrays().items()}
    networks = np.random.default_rng(1).normal(size=saved["ledger_networks"].shape).astype(np.float32)
    errors = np.linspace(-4, 4, STEPS_BACK)
    saved["feedback_errors"] = np.rint(errors / 4 * 32767).astype(np.int16)[None]
    for missing in (1, 2):
        shorter = {name: saved[name][..., :-missing] for name in ("ledger_regret", "ledger_variance", "ledger_bound")}
        found = bank.upgrade({**saved, **shorter, "ledger_networks": networks})
        np.testing.assert_array_equal(found["ledger_regret"][..., :-missing], shorter["ledger_regret"])
        assert (found["ledger_regret"][..., -missing:] == 0).all()
        assert (found["ledger_variance"][..., -missing:] == FIRST_VARIANCE).all()
        np.testing.assert_allclose(found["ledger_networks"] * (NETWORK_CLIP / 32767), networks, atol=3e-4)
        np.testing.assert_allclose(found["feedback_errors"][0] * (4 / 127), errors, atol=0.02)
        again = bank.upgrade(found)
        assert all(array is found[name] for name, array in again.items())
