"""Joint anomaly scores: one in a hundred reaches 1 whatever the dependence, and shares add up."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from support.streams import HOUR, START, small

from streamrnn.core.alerts.changes import CALM_OBSERVATIONS, JOINT
from streamrnn.core.alerts.joint import LEFT, JointAnomaly, JointScores, surprise, usual_edge
from streamrnn.core.config import AlertConfig
from streamrnn.core.jit import Booleans, Floats, Integers

EDGE = NormalDist().inv_cdf(0.995)


def joint_of(fields: int, keys: int = 1) -> JointAnomaly:
    """Return the joint scores of some keys; the fields of a key are not next to each other."""
    joint = JointAnomaly()
    joint.extend({}, [f"site/{key}/f{field}" for field in range(fields) for key in range(keys)])
    return joint


def calm(count: int) -> Booleans:
    """Return that no series is warming up."""
    return np.zeros(count, np.bool_)


def run(joint: JointAnomaly, scores: Floats) -> JointScores:
    """Step scores (T, B) of all series, and return the joint scores (T, B)."""
    rows = np.arange(scores.shape[1])
    made = [joint.step(rows, each, calm(len(rows))) for each in scores]
    return JointScores(*map(np.array, zip(*made, strict=True)))


def test_surprises_are_logs_of_tail_probabilities() -> None:
    """Those of a normal distribution up to a score of 1, and from there on powers of a hundredth."""
    for score in (0.0, 0.1, 0.5, 0.99, 1.0):
        assert surprise(score) == pytest.approx(-math.log(2 * NormalDist().cdf(-EDGE * score)), abs=1e-9)
    for score in (1.0, 2.0, 7.5):
        assert math.exp(-surprise(score)) == pytest.approx(0.01**score)


@pytest.mark.parametrize("fields", [1, 2, 5, 20, 100])
def test_the_unit_is_the_quantile_of_independent_fields(fields: int) -> None:
    """One in a hundred sums of exponential variables exceeds it, by the closed form of the gamma distribution."""
    edge = float(usual_edge(np.array([fields]))[0])
    terms = [math.exp(k * math.log(edge) - edge - math.lgamma(k + 1)) for k in range(fields)]
    assert sum(terms) == pytest.approx(0.01, rel=0.04)


@pytest.mark.parametrize("dependence", [0.0, 1.0])
@pytest.mark.parametrize("fields", [2, 6])
def test_one_in_a_hundred_reaches_one(fields: int, dependence: float) -> None:
    """Of fields that have nothing to do with each other from the first on, of dependent ones after some hundreds."""
    rng = np.random.default_rng(fields)
    common = rng.normal(size=(4000, 1))
    scores = np.abs(dependence * common + math.sqrt(1 - dependence**2) * rng.normal(size=(4000, fields))) / EDGE
    found = run(joint_of(fields), scores)
    assert (found.score[1000:, 0] >= 1).mean() == pytest.approx(0.01, abs=0.003)
    assert dependence or (found.score[:1000, 0] >= 1).mean() == pytest.approx(0.01, abs=0.01)


def test_shares_are_those_of_the_surprise() -> None:
    """They sum to 1; all fields of a key have its score; many small deviations count as one large one does."""
    found = run(joint_of(4), np.array([[3.0, 0.1, 0.1, 0.1], [0.9, 0.9, 0.9, 0.9], [0.5, 0.0, 0.0, 0.0], [0, 0, 0, 0]]))
    assert found.share[0].argmax() == 0
    assert found.share[0, 0] > 0.9
    np.testing.assert_array_equal(found.share[1], 0.25)
    np.testing.assert_array_equal(found.share[2], [1, 0, 0, 0])
    np.testing.assert_array_equal(found.share[3], 0)
    assert (found.score == found.score[:, :1]).all()
    assert (found.score[:2, 0] > 1).all()
    assert (found.score[2:, 0] < 1).all()
    assert (found.fields == 4).all()


def test_waves_and_other_keys_have_no_effect() -> None:
    """A key's scores depend on its own observations alone, whichever other keys and whatever order a wave has.

    An observation may lack fields.
    """
    rng, keys, fields = np.random.default_rng(1), 5, 3
    scores = rng.exponential(0.4, (300, keys * fields))
    whole, parts = joint_of(fields, keys), joint_of(fields, keys)
    for each in scores:
        present = np.flatnonzero(rng.random(keys * fields) < 0.8)
        expected = whole.step(present, each[present], calm(len(present)))
        found = JointScores.empty(len(present))
        for some in np.array_split(rng.permutation(keys), 2):
            chosen = rng.permutation(np.flatnonzero(np.isin(present % keys, some)))
            rows = present[chosen]
            made = parts.step(rows, each[rows], calm(len(rows)))
            for to, column in zip(found, made, strict=True):
                to[chosen] = column
        for one, other in zip(expected, found, strict=True):
            np.testing.assert_array_equal(one, other)


def test_fewer_than_two_fields_have_no_score() -> None:
    """A field alone, or beside others that are warming up, has none, and the others have theirs without it."""
    joint, rows = joint_of(3), np.arange(3)
    assert joint.step(rows[:1], np.array([5.0]), calm(1)).score.tolist() == [0]
    warming = np.array([False, True, True])
    assert joint.step(rows, np.full(3, 5.0), warming).score.tolist() == [0, 0, 0]
    found = joint.step(rows, np.full(3, 5.0), np.array([True, False, False]))
    assert found.fields.tolist() == [0, 2, 2]
    assert found.share.tolist() == [0, 0.5, 0.5]
    assert (found.score > 1).tolist() == [False, True, True]


def test_saved_and_removed_series_go_on() -> None:
    """A restored state continues with the same bits, and after the removal of a key the others do."""
    rng, keys, fields = np.random.default_rng(2), 4, 2
    scores = rng.exponential(0.5, (400, keys * fields))
    joint = joint_of(fields, keys)
    run(joint, scores[:200])
    restored, rest = JointAnomaly(), np.array([0, 2, 3, 4, 6, 7])
    names = [f"site/{row % keys}/f{row // keys}" for row in range(keys * fields)]
    saved = {name: array[: len(names)].copy() for name, array in joint.arrays().items()}
    restored.extend({name: array[:3] for name, array in saved.items()}, names[:3])
    restored.extend({name: array[3:] for name, array in saved.items()}, names[3:])
    expected = run(joint, scores[200:])
    restored.keep(rest)
    found = run(restored, scores[200:, rest])
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one[:, rest], other)
    assert (expected.score > 0).all()


def test_a_forecaster_has_joint_scores() -> None:
    """A peak of all fields of a key is found in the forecast's joint score; nothing else of a forecast changes."""
    rng, values = np.random.default_rng(3), 0.0
    plain, joint = small(enabled=False), small(enabled=False, alerts=AlertConfig(joint=True))
    rows, _ = (each.add(["a/x", "a/y", "b/x"]) for each in (plain, joint))
    for t in range(60):
        values = rng.normal(size=3) + (np.array([6.0, 6.0, 0.0]) if t == 50 else 0)
        before, after = (each.step(rows, values, np.full(3, START + t * HOUR))[0] for each in (plain, joint))
        np.testing.assert_array_equal(before.quantiles, after.quantiles)
        np.testing.assert_array_equal(before.anomaly, after.anomaly)
        assert before.joint is None
        assert after.joint is not None
        assert after.joint.fields.tolist() == ([0, 0, 0] if t < 31 else [2, 2, 0])
        if t == 50:
            assert after.joint.score[0] > 1
            assert after.joint.share[:2].sum() == pytest.approx(1, abs=1e-3)
    latest = joint.forecast(rows).joint
    assert latest is not None
    assert not latest.score.any()


def tracked(joint: JointAnomaly, rows: Integers, score: float, shares: Floats) -> list[list[int]]:
    """Return what begins or ends in one key's observation with this joint score."""
    count = len(rows)
    return joint.track(rows, JointScores(np.full(count, score), shares, np.full(count, count))).tolist()


def test_a_joint_anomaly_begins_and_ends_once() -> None:
    """At the first score of 1, and after CALM_OBSERVATIONS without, in the series with the largest share."""
    joint, rows = joint_of(3), np.array([2, 0, 1])
    assert tracked(joint, rows, 0.9, np.full(3, 1 / 3)) == []
    assert tracked(joint, rows, 1.0, np.array([0.2, 0.5, 0.3])) == [[1, JOINT, 1]]
    assert tracked(joint, rows, 3.0, np.full(3, 1 / 3)) == []
    assert tracked(joint, rows[:2], 2.0, np.full(2, 0.5)) == []  # two of its fields
    for _ in range(CALM_OBSERVATIONS - 1):
        assert tracked(joint, rows, 0.0, np.zeros(3)) == []
    assert joint.track(rows, JointScores.empty(3)).tolist() == []  # all are warming up
    assert tracked(joint, rows, 0.0, np.zeros(3)) == [[1, JOINT, 0]]  # equal shares: the first row
    assert tracked(joint, rows, 0.0, np.zeros(3)) == []


def test_keys_have_joint_anomalies_of_their_own() -> None:
    """In one wave one key's begins, another's goes on; a restored state goes on, also one of before there were any."""
    joint, rows = joint_of(2, keys=2), np.arange(4)  # keys 0, 1, 0, 1
    score, share, fields = np.array([0.0, 2.0, 0.0, 2.0]), np.array([0.5, 0.1, 0.5, 0.9]), np.full(4, 2)
    assert joint.track(rows, JointScores(score, share, fields)).tolist() == [[3, JOINT, 1]]
    assert JointScores(score, share, fields).anomalies == 1
    names, saved = (
        ["site/0/f0", "site/1/f0", "site/0/f1", "site/1/f1"],
        {n: a[:4].copy() for n, a in joint.arrays().items()},
    )
    for kept, begins in ((saved, [0]), ({n: a for n, a in saved.items() if n != LEFT}, [0, 3])):
        restored = JointAnomaly()
        restored.extend(kept, names)
        found = restored.track(rows, JointScores(np.full(4, 2.0), share, fields))
        assert found.tolist() == [[b, JOINT, 1] for b in begins]
