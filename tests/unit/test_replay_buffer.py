"""The replay buffers: stored rows and windows equal the past, with the labels that matured."""

import numpy as np
import pytest
import torch
from support.bank import observe
from support.streams import HORIZONS, HOUR, QUANTILES, START, run, seasonal, small

from streamrnn.core.banks.full import FullBank
from streamrnn.core.handle import Handle
from streamrnn.core.jit import Floats, Integers, Singles
from streamrnn.core.learning.replay_buffer import (
    CAPACITY,
    LABEL_CLIP,
    MAX_NEW_ROWS,
    Examples,
    RowBuffer,
)
from streamrnn.core.learning.window_buffer import WINDOW_COUNT, WindowBuffer, store_rounded
from streamrnn.core.network.shapes import Shape
from streamrnn.core.network.torch_network import initial_weights, split_weights, unroll
from streamrnn.core.series.state import EXPERTS, INPUTS, LEAD
from streamrnn.core.series.wave import WaveFeatures, WaveUpdate

STEPS = np.array(sorted({1, 12, 24, *HORIZONS}))
FROZEN = {"learning_rate": 0.0, "head_rate": 0.0}
"""Learning points without a change of weights."""


def features_of(values: Floats, rows: Integers | None = None) -> WaveFeatures:
    """Return the bank's features of one series from its first row on, of which only `rows` are present."""
    bank = FullBank(horizons=HORIZONS, quantiles=QUANTILES)
    bank.add(["one"])
    return observe(bank, values) if rows is None else observe(bank, values[rows], START + HOUR * rows)


def labels_of(values: Floats, given: WaveFeatures) -> Floats:
    """Return the labels (T, K): changes in units of the origin, NaN beyond the end."""
    labels = np.full((len(values), len(STEPS)), np.nan)
    for k, h in enumerate(STEPS):
        labels[:-h, k] = np.clip((values[h:] - values[:-h]) / given.units[:-h, k], -LABEL_CLIP, LABEL_CLIP)
    return labels


def hidden_before(given: WaveFeatures, row: int, networks: int) -> Singles:
    """Return the state (D, N, U) of an untrained network before a row."""
    shape = Shape("gru", 8, 1)
    parts = split_weights(initial_weights(shape, 9 if networks == 3 else 0), shape)
    state = torch.zeros(1, *shape.states)
    if row:
        _, state = unroll(parts, shape, torch.from_numpy(given.inputs[:row]).unsqueeze(1), state)
    return state[0].numpy()


def test_rounding_is_that_of_half_precision() -> None:
    """Rounded numbers of every exponent, ties, subnormal numbers and infinity are those of numpy, bit by bit."""
    near = [center + np.arange(-20_000, 20_000) for center in (0x33000000, 0x38800000, 0x477FF000, 0x7F7F0000)]
    bits = np.concatenate([np.arange(0, 2**32, 9973), *near, [0, 0x80000000, 0x7F800000, 0xFF800000]])
    values = bits.astype(np.uint32).view(np.float32)
    found = np.empty_like(values)
    store_rounded(found, values)
    with np.errstate(all="ignore"):
        expected = values.astype(np.float16).astype(np.float32)
    known = ~np.isnan(values)
    assert np.isnan(found[~known]).all()
    np.testing.assert_array_equal(found[known].view(np.uint32), expected[known].view(np.uint32))


@pytest.mark.parametrize("networks", [1, 3])
def test_windows_equal_the_past(networks: int) -> None:
    """A complete window has consecutive rows of one series, the state before them, and their labels."""
    values = seasonal(160, 3)
    forecaster = small(networks=networks, **FROZEN)
    run(forecaster, values)
    saved = forecaster.save_shared()
    series = [features_of(values[:, s]) for s in range(3)]
    row, start, _, _ = saved["tapes_marks"]
    complete = np.flatnonzero(row < -1)
    assert len(complete) >= 9
    assert {int(-2 - row[c]) for c in complete} == {0, 1, 2}
    for c in complete:
        s, rows = int(-2 - row[c]), slice(start[c], start[c] + 12)
        for name in ("inputs", "points", "trust", "lead"):
            expected = getattr(series[s], name)[rows].astype(np.float16).astype(np.float32)
            np.testing.assert_allclose(saved[f"tapes_{name}"][c], expected, atol=1e-6, err_msg=name)
        labels = labels_of(values[:, s], series[s])[rows]
        assert np.isfinite(labels).all()
        np.testing.assert_allclose(saved["tapes_labels"][c], labels, atol=1e-4)
        state = hidden_before(series[s], int(start[c]), networks)
        np.testing.assert_allclose(saved["tapes_hidden"][c], state, atol=2e-3)


def test_windows_of_series_with_missing_rows() -> None:
    """A window has the rows that were present, the state before them, and the labels of those with a later row."""
    values, present = seasonal(220, 2), np.random.default_rng(1).random((220, 2)) > 0.1
    present[:30] = True
    forecaster = small(networks=3, **FROZEN)
    run(forecaster, values, present=present)
    saved = forecaster.save_shared()
    complete = np.flatnonzero(saved["tapes_marks"][0] < -1)
    assert len(complete) >= 9
    gaps = 0
    for c in complete:
        s, numbers = int(-2 - saved["tapes_marks"][0][c]), saved["tapes_numbers"][c]
        rows = np.flatnonzero(present[:, s])
        at = np.searchsorted(rows, numbers)
        np.testing.assert_array_equal(rows[at], numbers)
        np.testing.assert_array_equal(at, at[0] + np.arange(12))
        gaps += int(numbers[-1] - numbers[0] > 11)
        given = features_of(values[:, s], rows)
        for name in ("inputs", "points", "trust", "lead"):
            expected = getattr(given, name)[at].astype(np.float16).astype(np.float32)
            np.testing.assert_allclose(saved[f"tapes_{name}"][c], expected, atol=1e-6, err_msg=name)
        for i, row in enumerate(numbers.tolist()):
            for k, h in enumerate(STEPS.tolist()):
                label = saved["tapes_labels"][c, i, k]
                if present[row + h, s]:
                    change = (values[row + h, s] - values[row, s]) / given.units[at[i], k]
                    assert label == pytest.approx(np.clip(change, -LABEL_CLIP, LABEL_CLIP), abs=1e-4)
                else:
                    assert np.isnan(label)
        state = hidden_before(given, int(at[0]), 3)
        np.testing.assert_allclose(saved["tapes_hidden"][c], state, atol=2e-3)
    assert gaps > 3


def test_stored_rows_equal_the_inputs_of_the_head() -> None:
    """The last 1,024 rows are stored with the base's encoding, all other inputs of its head, and their labels."""
    values = seasonal(CAPACITY + 60, 1)
    forecaster = small(networks=3, **FROZEN)
    run(forecaster, values)
    saved, given = forecaster.save_shared(), features_of(values[:, 0])
    labels = labels_of(values[:, 0], given)
    assert saved["rows_taken"].tolist() == [len(values)]
    for t in (len(values) - 1, len(values) - 5, len(values) - 100, len(values) - CAPACITY):
        at = t % CAPACITY
        for name in ("points", "trust", "lead"):
            np.testing.assert_array_equal(saved[f"rows_{name}"][at], getattr(given, name)[t])
        np.testing.assert_allclose(saved["rows_labels"][at], labels[t], atol=1e-4)
        np.testing.assert_allclose(saved["rows_top"][at], hidden_before(given, t + 1, 3)[0, 0], atol=1e-5)


def test_every_series_is_stored_regularly() -> None:
    """With more series than the buffer can hold, every n-th row of each is stored, and labelled."""
    series = 100  # of each, every seventh row
    forecaster = small(networks=3, enabled=True, head_every=4, head_most=400, every=10**4, most=10**6)
    run(forecaster, seasonal(120, series))
    saved = forecaster.save_shared()
    assert forecaster._networks._series.live == series
    assert saved["rows_taken"][0] == pytest.approx(120 * series / 7, rel=0.3)
    known = ~np.isnan(saved["rows_labels"])
    assert known[:, STEPS.tolist().index(24)].mean() > 0.6
    last_stored = forecaster.save_rows(0, series)["kept"]
    latest = saved["rows_taken"][0] - CAPACITY
    assert (last_stored >= latest).all()
    assert (saved["rows_previous"] >= latest).sum() >= series  # and, for most of them, the one before


class Feeder:
    """Adds rows of one series whose numbers identify the row."""

    def __init__(self) -> None:
        self.rows = RowBuffer(horizons=np.array([1, 3]), shape=Shape("gru", 2, 1))
        self.last_stored = RowBuffer.initial_last(1)
        self.seen = 0

    def feed(self, count: int, *, silent: bool = False) -> None:
        """Add rows; the label of row r is r / 1000 at any horizon; `silent`: no labels."""
        for _ in range(count):
            t = float(self.seen)
            truths = np.array([[(t - h) / 1000 if t >= h and not silent else np.nan for h in (1, 3)]], np.float32)
            part = np.full((1, 2, len(EXPERTS)), t, np.float32)
            lead, units, none = np.full((1, 2, LEAD), t, np.float32), np.full((1, 2), t), np.zeros(1)
            given = WaveFeatures(np.zeros((1, INPUTS), np.float32), part, part, lead, units)
            wave = WaveUpdate(given, np.array([self.seen]), np.zeros(1, np.int64), truths, none, np.zeros((1, 2)), none)
            self.rows.add(self.last_stored, np.array([0]), Handle(wave), np.full((1, 2), t, np.float32), 1)
            self.seen += 1

    def draw(self) -> Examples | None:
        """Draw examples."""
        return self.rows.draw(np.random.default_rng(0))


def test_examples_are_the_newly_labelled_rows() -> None:
    """The rows labelled since the draw before the last are drawn, by horizon, and as many older ones."""
    feeder = Feeder()
    assert feeder.draw() is None
    feeder.feed(5)
    feeder.draw()
    feeder.feed(5)
    feeder.draw()
    feeder.feed(5)
    drawn = feeder.draw()
    assert drawn is not None
    numbers = drawn.y[:, 0]
    for part in (drawn.points, drawn.trust, drawn.lead):
        np.testing.assert_array_equal(part, np.repeat(numbers[:, None], part.shape[1], axis=1))
    known = ~np.isnan(drawn.label)
    np.testing.assert_allclose(drawn.label[known], numbers[known] / 1000, rtol=1e-6)
    # fresh ones of horizon 1: origins 4 … 13; of horizon 3: 2 … 11; each followed by ten older ones
    assert numbers[:10].tolist() == list(range(13, 3, -1))
    assert numbers[20:30].tolist() == list(range(11, 1, -1))
    assert len(numbers) == 40
    np.testing.assert_array_equal(numbers[10:20], numbers[30:])


def test_at_most_the_latest_labels_are_drawn() -> None:
    """At most the last 64 labelled rows of a horizon are drawn, and no row that has been overwritten."""
    feeder = Feeder()
    feeder.feed(3 * CAPACITY)
    drawn = feeder.draw()
    assert drawn is not None
    assert len(drawn.label) == 2 * (MAX_NEW_ROWS + MAX_NEW_ROWS)
    assert drawn.y.min() >= 2 * CAPACITY
    known = ~np.isnan(drawn.label)
    np.testing.assert_allclose(drawn.label[known], np.minimum(drawn.y[known, 0] / 1000, LABEL_CLIP), rtol=1e-6)


def test_an_overwritten_row_has_no_label() -> None:
    """A label whose row was overwritten is dropped, and not given to the row that replaced it."""
    feeder = Feeder()
    feeder.feed(20)
    feeder.feed(CAPACITY - 10, silent=True)  # the first ten rows are overwritten
    feeder.feed(8)
    drawn = feeder.draw()
    assert drawn is not None
    fresh = slice(19 + 8)  # labels of horizon 1; older rows come after them
    known = ~np.isnan(drawn.label[fresh])
    numbers = drawn.y[fresh][known, 0]
    assert known.any()
    assert len(set(numbers.tolist())) == len(numbers)


def test_open_windows_are_bounded() -> None:
    """At most half of the windows are open at a time."""
    windows = WindowBuffer(length=4, horizons=np.array([1]), shape=Shape("gru", 2, 1))
    everybody = np.arange(100)
    windows.open(everybody, np.zeros(100, np.int64), 1)
    assert (windows.save()["tapes_marks"][0] >= 0).sum() == WINDOW_COUNT // 2
    windows.open(everybody, np.zeros(100, np.int64), 2)
    assert (windows.save()["tapes_marks"][0] >= 0).sum() == WINDOW_COUNT // 2
    assert windows.draw(8, 8, np.random.default_rng(0)) is None


def test_windows_drawn_are_fresh_ones_and_a_few_older() -> None:
    """Each window is new once; then it may be replayed."""
    values = seasonal(140, 2)
    forecaster = small(batch=3, replay=2, **FROZEN)
    forecaster.add(["s0", "s1"])
    buffer, sizes, fresh_ones = forecaster._networks._windows, [], []
    draw = buffer.draw

    def watched(batch: int, replay: int, generator: np.random.Generator) -> object:
        before = buffer._learned.copy()
        windows = draw(batch, replay, generator)
        learned = np.flatnonzero(buffer._learned & ~before)
        fresh_ones.extend(zip(buffer._series[learned].tolist(), buffer._start[learned].tolist(), strict=True))
        sizes.append(0 if windows is None else len(windows.labels))
        return windows

    buffer.draw = watched  # type: ignore[assignment]
    run(forecaster, values)
    assert 3 <= max(sizes) <= 3 + 2
    assert len(fresh_ones) == len(set(fresh_ones)) >= 6


def test_windows_follow_their_series() -> None:
    """The windows of removed series are free, those of others record the row that the series has now."""
    buffer = WindowBuffer(length=4, horizons=STEPS, shape=Shape("gru", 8, 1))
    buffer.open(np.arange(5), np.full(5, 10), 1)
    buffer.keep(np.array([-1, 0, 1, -1, 2]))
    rows = buffer.save()["tapes_marks"][0]
    assert sorted(rows[rows >= 0].tolist()) == [0, 1, 2]
    assert rows[rows < 0].tolist() == [-1] * (WINDOW_COUNT - 3)
    buffer.open(np.array([7]), np.array([0]), 2)
    assert 7 in buffer.save()["tapes_marks"][0]
