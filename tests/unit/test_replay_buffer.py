"""The memories: what is kept to learn from is what was, with the labels that came."""

import numpy as np
import pytest
import torch
from support.bank import observe
from support.streams import HORIZONS, QUANTILES, run, seasonal, small

from streamrnn.core.banks.full import Bank
from streamrnn.core.jit import Floats, Singles
from streamrnn.core.learning.replay_buffer import (
    CAPACITY,
    LABEL_CLIP,
    RECENT,
    TAPES,
    Examples,
    RowBuffer,
    WindowBuffer,
    halved,
)
from streamrnn.core.network.shapes import Shape
from streamrnn.core.network.torch_network import fresh, split, unroll
from streamrnn.core.series.state import EXPERTS, INPUTS, LEAD
from streamrnn.core.series.wave import Described

STEPS = np.array(sorted({1, 12, 24, *HORIZONS}))
FROZEN = {"learning_rate": 0.0, "head_rate": 0.0}
"""Learning points as usual, and weights that stay as they are."""


def described(values: Floats) -> Described:
    """What a bank tells of one series from its first row on."""
    bank = Bank(horizons=HORIZONS, quantiles=QUANTILES)
    bank.add("one")
    return observe(bank, values)


def labels_of(values: Floats, given: Described) -> Floats:
    """(T, K): the change that came, in units of the origin; NaN where it did not come."""
    labels = np.full((len(values), len(STEPS)), np.nan)
    for k, h in enumerate(STEPS):
        labels[:-h, k] = np.clip((values[h:] - values[:-h]) / given.units[:-h, k], -LABEL_CLIP, LABEL_CLIP)
    return labels


def hidden_before(given: Described, row: int, networks: int) -> Singles:
    """The state (D, N, H) of a network that stays at its first weights, before a row."""
    shape = Shape("gru", 8, 1)
    parts = split(fresh(shape, 9 if networks == 3 else 0), shape)
    state = torch.zeros(1, *shape.states)
    if row:
        _, state = unroll(parts, shape, torch.from_numpy(given.inputs[:row]).unsqueeze(1), state)
    return state[0].numpy()


@pytest.mark.parametrize("networks", [1, 3])
def test_tapes_are_pieces_of_the_past(networks: int) -> None:
    """A complete tape holds consecutive rows of one series, the state before them, and the changes that came."""
    values = seasonal(160, 3)
    forecaster = small(networks=networks, **FROZEN)
    run(forecaster, values)
    saved = forecaster.save_shared()
    series = [described(values[:, s]) for s in range(3)]
    row, start, _, _ = saved["tapes_marks"]
    complete = np.flatnonzero(row < -1)
    assert len(complete) >= 9
    assert {int(-2 - row[c]) for c in complete} == {0, 1, 2}
    for c in complete:
        s, rows = int(-2 - row[c]), slice(start[c], start[c] + 12)
        for name in ("inputs", "points", "trust", "lead"):
            expected = halved(getattr(series[s], name)[rows])
            np.testing.assert_allclose(saved[f"tapes_{name}"][c], expected, atol=1e-6, err_msg=name)
        labels = labels_of(values[:, s], series[s])[rows]
        assert np.isfinite(labels).all()
        np.testing.assert_allclose(saved["tapes_labels"][c], labels, atol=1e-4)
        state = hidden_before(series[s], int(start[c]), networks)
        np.testing.assert_allclose(saved["tapes_hidden"][c], state, atol=2e-3)


def test_rows_are_what_the_base_read() -> None:
    """The last 1,024 rows are kept with the base's output, all that its head reads, and each label once it has come."""
    values = seasonal(CAPACITY + 60, 1)
    forecaster = small(networks=3, **FROZEN)
    run(forecaster, values)
    saved, given = forecaster.save_shared(), described(values[:, 0])
    labels = labels_of(values[:, 0], given)
    assert saved["rows_taken"].tolist() == [len(values)]
    for t in (len(values) - 1, len(values) - 5, len(values) - 100, len(values) - CAPACITY):
        place = t % CAPACITY
        for name in ("points", "trust", "lead"):
            np.testing.assert_array_equal(saved[f"rows_{name}"][place], getattr(given, name)[t])
        np.testing.assert_allclose(saved["rows_labels"][place], labels[t], atol=1e-4)
        np.testing.assert_allclose(saved["rows_top"][place], hidden_before(given, t + 1, 3)[0, 0], atol=1e-5)


def test_every_series_has_its_turn() -> None:
    """With more series than there is room for, each is kept every so many rows, in turns, and gets its labels."""
    series = 100  # of each, every seventh row
    forecaster = small(networks=3, enabled=True, head_every=4, head_most=400, every=10**4, most=10**6)
    run(forecaster, seasonal(120, series), cut=lambda _: [list(range(series))])
    saved = forecaster.save_shared()
    assert forecaster._networks._activity.live == series
    assert saved["rows_taken"][0] == pytest.approx(120 * series / 7, rel=0.3)
    known = ~np.isnan(saved["rows_labels"])
    assert known[:, STEPS.tolist().index(24)].mean() > 0.6
    held = forecaster.save_rows(0, series)["kept"]
    latest = saved["rows_taken"][0] - CAPACITY
    assert (held >= latest).all()
    assert (saved["rows_previous"] >= latest).sum() >= series  # and, for most of them, the one before


class Feeder:
    """Rows of one series whose numbers tell which row they are."""

    def __init__(self) -> None:
        self.rows = RowBuffer(horizons=np.array([1, 3]), shape=Shape("gru", 2, 1))
        self.held = RowBuffer.room(1)
        self.seen = 0

    def feed(self, count: int, *, silent: bool = False) -> None:
        """So many rows; the label of horizon h that comes at row t is that of t - h: its thousandth; `silent`: none."""
        for _ in range(count):
            t = float(self.seen)
            truths = np.array([[(t - h) / 1000 if t >= h and not silent else np.nan for h in (1, 3)]], np.float32)
            part = np.full((1, 2, len(EXPERTS)), t, np.float32)
            given = Described(np.zeros((1, INPUTS), np.float32), part, part, np.full((1, 2, LEAD), t, np.float32), t)
            self.rows.take(
                self.held, np.array([0]), np.array([self.seen]), truths, np.full((1, 2), t, np.float32), given, 1
            )
            self.seen += 1

    def draw(self) -> Examples | None:
        """Examples."""
        return self.rows.draw(np.random.default_rng(0))


def test_examples_are_the_rows_whose_labels_came() -> None:
    """Drawn are the rows labelled since the last step but one, by horizon, and as many older ones."""
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


def test_labels_that_wait_long_are_not_all_drawn() -> None:
    """At most the freshest 64 of a horizon are drawn; rows that have been overwritten are never told as others."""
    feeder = Feeder()
    feeder.feed(3 * CAPACITY)
    drawn = feeder.draw()
    assert drawn is not None
    assert len(drawn.label) == 2 * (RECENT + RECENT)
    assert drawn.y.min() >= 2 * CAPACITY
    known = ~np.isnan(drawn.label)
    np.testing.assert_allclose(drawn.label[known], np.minimum(drawn.y[known, 0] / 1000, LABEL_CLIP), rtol=1e-6)


def test_a_row_that_was_overwritten_teaches_nothing() -> None:
    """Its label came, but what the network read of it has gone; the row in its place does not teach twice."""
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


def test_tapes_are_bounded_and_the_oldest_goes_first() -> None:
    """At most half of the tapes run at a time; a tape that waits for its series for long is given to another."""
    tapes = WindowBuffer(length=4, horizons=np.array([1]), shape=Shape("gru", 2, 1))
    everybody = np.arange(100)
    tapes.begin(everybody, np.zeros(100, np.int64), 1)
    assert (tapes.save()["tapes_marks"][0] >= 0).sum() == TAPES // 2
    tapes.begin(everybody, np.zeros(100, np.int64), 2)
    assert (tapes.save()["tapes_marks"][0] >= 0).sum() == TAPES // 2
    assert tapes.draw(8, 8, np.random.default_rng(0)) is None


def test_windows_drawn_are_fresh_ones_and_a_few_older() -> None:
    """Each window is fresh once; then it may come back from memory."""
    values = seasonal(140, 2)
    forecaster = small(batch=3, replay=2, **FROZEN)
    forecaster.add("s0")
    forecaster.add("s1")
    tapes, sizes, fresh_ones = forecaster._networks._tapes, [], []
    draw = tapes.draw

    def watched(batch: int, replay: int, generator: np.random.Generator) -> object:
        before = tapes._learned.copy()
        windows = draw(batch, replay, generator)
        learned = np.flatnonzero(tapes._learned & ~before)
        fresh_ones.extend(zip(tapes._row[learned].tolist(), tapes._start[learned].tolist(), strict=True))
        sizes.append(0 if windows is None else len(windows.labels))
        return windows

    tapes.draw = watched  # type: ignore[assignment]
    run(forecaster, values)
    assert 3 <= max(sizes) <= 3 + 2
    assert len(fresh_ones) == len(set(fresh_ones)) >= 6
