"""Pretraining: examples and batches."""

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.pretraining import CPU, STEPS, TINY, drawn_series

from streamrnn.commands.pretrain.batches import iterate_batches
from streamrnn.commands.pretrain.examples import (
    HORIZONS,
    LABEL_CLIP,
    MAX_HORIZON,
    UNLABELLED,
    SeriesExamples,
    build_examples,
    draw_horizons,
)
from streamrnn.core.banks.full import FullBank
from streamrnn.core.network.shapes import KNOTS
from streamrnn.core.series.plan import REFERENCE_STEPS

if TYPE_CHECKING:
    import torch

    from streamrnn.core.jit import Floats


def test_examples_equal_the_banks_features_row_by_row() -> None:
    """Features are those of a bank with each series alone and only its present rows; labels are h of its rows ahead."""
    made = drawn_series()
    examples = build_examples(made, STEPS)
    for n in range(made.values.shape[1]):
        rows = np.flatnonzero(made.present[:, n])
        bank = FullBank(horizons=STEPS, quantiles=KNOTS)
        series = bank.add(["alone"])
        units: list[Floats] = []
        numbers: list[int] = []
        for at, row in enumerate(rows):
            features = bank.observe(series, made.values[row, n : n + 1], made.times[row, n : n + 1])
            for array, one in zip(examples[:4], features[:4], strict=True):
                np.testing.assert_array_equal(array[n, at], one[0].astype(np.float16))
            units.append(features.units[0])
            numbers.append(int(bank.observations(0)))
        for at in range(made.values.shape[0]):
            for k, h in enumerate(STEPS):
                label = examples.labels[n, at, k]
                if at < UNLABELLED or at >= len(rows) or numbers[at] + h not in numbers:
                    assert np.isnan(label)
                    continue
                change = made.values[rows[numbers.index(numbers[at] + h)], n] - made.values[rows[at], n]
                wanted = min(max(change / units[at][k], -LABEL_CLIP), LABEL_CLIP)
                assert label == np.float16(wanted), (n, at, h)
        assert not examples.inputs[n, len(rows) :].any()


@pytest.mark.parametrize("row", [20, 63, 110])
def test_no_example_depends_on_the_future(row: int) -> None:
    """Garbage after a row changes no features up to it, and no label that had matured by then."""
    made = drawn_series()._replace(present=np.ones((160, 6), np.bool_))
    values, times = made.values.copy(), made.times.copy()
    values[row + 1 :] = np.random.default_rng(0).normal(size=values[row + 1 :].shape) * 1e6
    times[row + 1 :] += 12_345
    true, garbled = build_examples(made, STEPS), build_examples(made._replace(values=values, times=times), STEPS)
    for one, two in zip(true[:4], garbled[:4], strict=True):
        np.testing.assert_array_equal(one[:, : row + 1], two[:, : row + 1])
        assert not np.array_equal(one[:, row + 1 :], two[:, row + 1 :])
    for k, h in enumerate(STEPS):
        known = max(row + 1 - h, 0)
        np.testing.assert_array_equal(true.labels[:, :known, k], garbled.labels[:, :known, k])


def test_examples_are_in_range() -> None:
    """For any series all numbers but missing labels are finite in half precision, and labels are clipped."""
    examples = build_examples(drawn_series(count=40, rows=200, seed=9), STEPS)
    assert all(np.isfinite(part).all() for part in examples[:4])
    assert np.nanmax(np.abs(examples.labels)) == LABEL_CLIP
    assert np.isfinite(examples.labels).mean() > 0.7


def test_random_horizons() -> None:
    """The reference steps are always among the horizons; the others cover the range, near ones more often."""
    generator, found = np.random.default_rng(0), Counter[int]()
    for _ in range(400):
        horizons = draw_horizons(generator)
        assert sorted(set(horizons)) == list(horizons)
        assert len(horizons) == HORIZONS
        assert set(REFERENCE_STEPS) < set(horizons)
        found.update(set(horizons) - set(REFERENCE_STEPS))
    assert min(found) == 2
    assert MAX_HORIZON - 6 < max(found) <= MAX_HORIZON
    assert sum(found[h] for h in range(2, 14)) > sum(found[h] for h in range(14, MAX_HORIZON + 1)) * 0.75


def numbered(shard: int) -> SeriesExamples:
    """Make examples whose inputs identify shard, series and row, and whose other parts identify row and horizon."""
    rows = TINY.lengths[shard % 2]
    count, horizons = TINY.shard // rows, 4
    inputs = np.zeros((count, rows, 3), np.float16)
    inputs[..., 0], inputs[..., 1], inputs[..., 2] = shard, np.arange(count)[:, None], np.arange(rows)
    marks = np.arange(rows)[:, None] + np.arange(horizons) / 8
    labels = np.broadcast_to(marks, (count, rows, horizons)).astype(np.float16)
    wide = np.repeat(labels[..., None], 2, -1)
    return SeriesExamples(inputs, wide, wide, wide, labels)


def test_lanes_run_through_series() -> None:
    """A lane reads a series in order from its first row, to its last batch or in half of the cases to its youth's end.

    It reports when it begins another.
    """
    source = iterate_batches(np.random.default_rng(0), TINY, numbered, CPU)
    before: torch.Tensor | None = None
    early = []
    for _ in range(200):
        batch, begins = next(source)
        row = batch.inputs[..., 2]
        assert (row[1:] == row[:-1] + 1).all()
        for b in range(TINY.lanes):
            if begins[b]:
                assert row[0, b] == 0
                if before is not None:
                    early.append(before[-1, b, 2] == TINY.youth - 1)
                    assert early[-1] or before[-1, b, 2] == TINY.lengths[int(before[-1, b, 0]) % 2] - 1
            else:
                assert before is not None
                assert (batch.inputs[0, b, :2] == before[-1, b, :2]).all()
                assert row[0, b] == before[-1, b, 2] + 1
        before = batch.inputs
    assert np.mean(early) == pytest.approx(TINY.young, abs=0.15)


def test_parts_of_a_batch_belong_together() -> None:
    """Points, trust, lead and labels are of the same rows as the inputs, and of the same horizons, which change."""
    source, chosen = iterate_batches(np.random.default_rng(0), TINY, numbered, CPU), set()
    for _ in range(20):
        batch, _ = next(source)
        horizon = (batch.labels - batch.inputs[..., 2:]) * 8
        assert batch.labels.shape == (TINY.window, TINY.lanes, TINY.horizons)
        assert (horizon == horizon[0, 0]).all()
        chosen.add(tuple(horizon[0, 0].int().tolist()))
        for part in (batch.points, batch.trust, batch.lead):
            assert (part == batch.labels[..., None]).all()
    assert {step for pair in chosen for step in pair} == {0, 1, 2, 3}
    assert all(near < far for near, far in chosen)


def test_shards_are_replaced() -> None:
    """Shards are made in order, as many as it takes to read each row `reuse` times; none is read after its removal."""
    made: list[int] = []

    def make_shard(number: int) -> SeriesExamples:
        made.append(number)
        return numbered(number)

    source, turns = iterate_batches(np.random.default_rng(0), TINY, make_shard, CPU), 400
    for _ in range(turns):
        batch, begins = next(source)
        fresh_shards = batch.inputs[0, begins, 0]
        assert not len(fresh_shards) or fresh_shards.min() > made[-1] - TINY.pool
    assert made == list(range(len(made)))
    read = turns * TINY.window * TINY.lanes
    assert len(made) * TINY.shard * TINY.reuse == pytest.approx(read + TINY.first * TINY.shard * TINY.reuse, rel=0.05)
