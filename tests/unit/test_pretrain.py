"""From synthetic series to a base network in a file."""

import math
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import orjson
import pytest
import safetensors.numpy
import torch

from streamrnn.cli import main
from streamrnn.commands.pretrain import command, pipeline
from streamrnn.commands.pretrain.batches import Sizes, Window, windows
from streamrnn.commands.pretrain.examples import (
    FARTHEST,
    HORIZONS,
    LABEL_CLIP,
    UNWEIGHTED,
    Examples,
    describe,
    some_horizons,
)
from streamrnn.commands.pretrain.history import FEWEST_ROWS, SHARE, History, mixed, read_history
from streamrnn.commands.pretrain.prior import Stories, draw
from streamrnn.commands.pretrain.train import (
    COLD_UNTIL,
    LAST_RATE,
    LEARNING_RATE,
    MEDIAN,
    SCORED_FROM,
    WARM_UP,
    Scores,
    Trained,
    forecast,
    rate_of,
    train,
    validate,
)
from streamrnn.core.banks.full import Bank
from streamrnn.core.jit import Floats, Singles
from streamrnn.core.network.shapes import KNOTS, Shape
from streamrnn.core.network.torch_network import fresh
from streamrnn.core.series.plan import REFERENCE_STEPS
from streamrnn.core.series.state import EXPERTS
from streamrnn.core.variants import shape_of
from streamrnn.errors import ConfigError, InputError
from streamrnn.weights import SHIPPED, base_path
from streamrnn.weights.card import Card, read_base, read_card, write_base

HOUR, START = 3_600_000, 1_700_000_000_000
STEPS = (1, 5, 12, 24)
"""Horizons; they hold REFERENCE_STEPS."""
CPU = torch.device("cpu")
SMALL = Shape("gru", 8, 1, 16)
TINY = Sizes(window=16, lanes=8, horizons=2, lengths=(128, 256), lot=1024, shelf=3, first=2, reuse=4)


def stories(count: int = 6, rows: int = 160, seed: int = 5) -> Stories:
    """Some synthetic series, every third one with missing rows."""
    drawn = draw(np.random.default_rng(seed), count, rows)
    present = drawn.present.copy()
    present[np.random.default_rng(seed).random((rows, count)) < 0.1] = False
    present[:, np.arange(count) % 3 > 0] = True
    return drawn._replace(present=present)


def days(count: int = 8, rows: int = 256, seed: int = 0) -> Stories:
    """Series that any network learns to forecast: a season of a day, and a little noise."""
    generator = np.random.default_rng(seed)
    hours = np.arange(rows)[:, None]
    values = np.sin(2 * np.pi * (hours / 24 + generator.random(count))) + 0.1 * generator.normal(size=(rows, count))
    times = np.repeat(START + hours * HOUR, count, 1)
    return Stories(values, times, np.ones((rows, count), np.bool_), [("day",)] * count)


# Examples


def test_examples_are_what_the_bank_says_row_by_row() -> None:
    """Inputs are those of a bank that sees each series alone and only its present rows; labels lie h of them ahead."""
    made = stories()
    examples = describe(made, STEPS)
    for n in range(made.values.shape[1]):
        rows = np.flatnonzero(made.present[:, n])
        bank = Bank(horizons=STEPS, quantiles=KNOTS)
        series = np.array([bank.add("alone")])
        units: list[Floats] = []
        for place, row in enumerate(rows):
            described = bank.observe(series, made.values[row, n : n + 1], made.times[row, n : n + 1])
            for held, one in zip(examples[:4], described[:4], strict=True):
                np.testing.assert_array_equal(held[n, place], one[0].astype(np.float16))
            units.append(described.units[0])
        for place in range(made.values.shape[0]):
            for k, h in enumerate(STEPS):
                label = examples.labels[n, place, k]
                if place < UNWEIGHTED or place + h >= len(rows):
                    assert np.isnan(label)
                    continue
                change = made.values[rows[place + h], n] - made.values[rows[place], n]
                wanted = min(max(change / units[place][k], -LABEL_CLIP), LABEL_CLIP)
                assert label == np.float16(wanted), (n, place, h)
        assert not examples.inputs[n, len(rows) :].any()


@pytest.mark.parametrize("row", [20, 63, 110])
def test_no_example_reads_the_future(row: int) -> None:
    """Garbage after a row changes no example up to it, and no label that had come by then."""
    made = stories()._replace(present=np.ones((160, 6), np.bool_))
    values, times = made.values.copy(), made.times.copy()
    values[row + 1 :] = np.random.default_rng(0).normal(size=values[row + 1 :].shape) * 1e6
    times[row + 1 :] += 12_345
    true, garbled = describe(made, STEPS), describe(made._replace(values=values, times=times), STEPS)
    for one, two in zip(true[:4], garbled[:4], strict=True):
        np.testing.assert_array_equal(one[:, : row + 1], two[:, : row + 1])
        assert not np.array_equal(one[:, row + 1 :], two[:, row + 1 :])
    for k, h in enumerate(STEPS):
        known = max(row + 1 - h, 0)
        np.testing.assert_array_equal(true.labels[:, :known, k], garbled.labels[:, :known, k])


def test_examples_are_in_range() -> None:
    """Whatever the series, everything but a missing label is finite in half precision, and labels are clipped."""
    examples = describe(stories(count=40, rows=200, seed=9), STEPS)
    assert all(np.isfinite(part).all() for part in examples[:4])
    assert np.nanmax(np.abs(examples.labels)) == LABEL_CLIP
    assert np.isfinite(examples.labels).mean() > 0.7


def test_random_horizons() -> None:
    """The reference steps are always among the horizons; the others come from all of the range, near ones oftener."""
    generator, found = np.random.default_rng(0), Counter[int]()
    for _ in range(400):
        horizons = some_horizons(generator)
        assert sorted(set(horizons)) == list(horizons)
        assert len(horizons) == HORIZONS
        assert set(REFERENCE_STEPS) < set(horizons)
        found.update(set(horizons) - set(REFERENCE_STEPS))
    assert min(found) == 2
    assert FARTHEST - 6 < max(found) <= FARTHEST
    assert sum(found[h] for h in range(2, 14)) > sum(found[h] for h in range(14, FARTHEST + 1)) * 0.75


# Windows


def numbered(lot: int) -> Examples:
    """Examples whose inputs tell lot, series and row, and whose other parts tell the row and the horizon."""
    rows = TINY.lengths[lot % 2]
    count, horizons = TINY.lot // rows, 4
    inputs = np.zeros((count, rows, 3), np.float16)
    inputs[..., 0], inputs[..., 1], inputs[..., 2] = lot, np.arange(count)[:, None], np.arange(rows)
    told = np.arange(rows)[:, None] + np.arange(horizons) / 8
    labels = np.broadcast_to(told, (count, rows, horizons)).astype(np.float16)
    wide = np.repeat(labels[..., None], 2, -1)
    return Examples(inputs, wide, wide, wide, labels)


def test_lanes_run_through_whole_series() -> None:
    """A lane reads a series from its first row to its last window, in order, and says when it begins another."""
    source = windows(np.random.default_rng(0), TINY, numbered, CPU)
    before: torch.Tensor | None = None
    for _ in range(60):
        window, begun = next(source)
        row = window.inputs[..., 2]
        assert (row[1:] == row[:-1] + 1).all()
        for b in range(TINY.lanes):
            if begun[b]:
                assert row[0, b] == 0
                assert before is None or before[-1, b, 2] == TINY.lengths[int(before[-1, b, 0]) % 2] - 1
            else:
                assert before is not None
                assert (window.inputs[0, b, :2] == before[-1, b, :2]).all()
                assert row[0, b] == before[-1, b, 2] + 1
        before = window.inputs


def test_parts_of_a_window_belong_together() -> None:
    """Points, trust, lead and labels are of the same rows as the inputs, and of the same horizons, which change."""
    source, chosen = windows(np.random.default_rng(0), TINY, numbered, CPU), set()
    for _ in range(20):
        window, _ = next(source)
        horizon = (window.labels - window.inputs[..., 2:]) * 8
        assert window.labels.shape == (TINY.window, TINY.lanes, TINY.horizons)
        assert (horizon == horizon[0, 0]).all()
        chosen.add(tuple(horizon[0, 0].int().tolist()))
        for part in (window.points, window.trust, window.lead):
            assert (part == window.labels[..., None]).all()
    assert {step for pair in chosen for step in pair} == {0, 1, 2, 3}
    assert all(near < far for near, far in chosen)


def test_lots_come_and_go() -> None:
    """Lots are made in order, as many as it takes to read each row `reuse` times; none is read that left the shelf."""
    made: list[int] = []

    def lot(number: int) -> Examples:
        made.append(number)
        return numbered(number)

    source, turns = windows(np.random.default_rng(0), TINY, lot, CPU), 400
    for _ in range(turns):
        window, begun = next(source)
        fresh_lots = window.inputs[0, begun, 0]
        assert not len(fresh_lots) or fresh_lots.min() > made[-1] - TINY.shelf
    assert made == list(range(len(made)))
    read = turns * TINY.window * TINY.lanes
    assert len(made) * TINY.lot * TINY.reuse == pytest.approx(read + TINY.first * TINY.lot * TINY.reuse, rel=0.05)


# Training


def trained(seed: int = 0, steps: int = 150, shape: Shape = SMALL) -> list[Trained]:
    """A training of a second."""
    torch.set_num_threads(1)

    def lot(number: int) -> Examples:
        return describe(days(seed=number), STEPS)

    sizes = Sizes(window=16, lanes=8, horizons=2, lengths=(256,), lot=2048, shelf=2, first=1, reuse=40)
    scored = [describe(days(rows=320, seed=1000), STEPS)]
    return list(train(shape, lot, scored, steps=steps, reports=3, seed=seed, device=CPU, sizes=sizes))


def test_a_training_learns() -> None:
    """Loss and error fall, of the weights and of their running average."""
    first, _, last = trained()
    assert [first.step, last.step] == [50, 150]
    assert last.rows == 150 * 16 * 8
    assert last.loss < 0.8 * first.loss
    assert last.best.pinball < 0.8 * first.best.pinball
    assert last.best.error < 0.9 * first.best.error
    assert last.last.pinball != last.average.pinball == pytest.approx(last.last.pinball, rel=0.2)


def test_the_better_weights_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report has the weights or their running average, whichever has the smaller pinball loss, with its scores."""
    scored = [describe(days(rows=320, seed=1000), STEPS)]
    calm = trained(steps=30)
    monkeypatch.setattr("streamrnn.commands.pretrain.train.LEARNING_RATE", 0.1)  # too much: only the average is of use
    wild = trained(steps=60)
    for report in (*calm, *wild):
        assert report.best.pinball == min(report.last.pinball, report.average.pinball)
        assert validate(torch.from_numpy(report.weights), SMALL, scored, 16, CPU) == report.best
    assert {report.best == report.last for report in (*calm, *wild)} == {True, False}


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_seed_fixes_every_bit(cell: str) -> None:
    """The same seed gives the same weights and scores; another one gives others."""
    shape = Shape(cell, 8, 1, 16)
    one, two, other = (trained(seed, 30, shape)[-1] for seed in (0, 0, 1))
    assert one.weights.tobytes() == two.weights.tobytes()
    assert one[:-1] == two[:-1]
    assert one.weights.tobytes() != other.weights.tobytes()


def test_the_state_is_carried_over_a_series_and_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lane's state comes from its window before, without a gradient, and is zero where it begins a series."""
    given: list[torch.Tensor] = []
    left: list[torch.Tensor] = []

    def watched(*arguments: object) -> tuple[torch.Tensor, torch.Tensor]:
        knots, state = forecast(*arguments)  # type: ignore[arg-type]
        if torch.is_grad_enabled():
            given.append(arguments[-1].clone())  # type: ignore[attr-defined]
            left.append(state.detach().clone())
            assert not arguments[-1].requires_grad  # type: ignore[attr-defined]
        return knots, state

    monkeypatch.setattr("streamrnn.commands.pretrain.train.forecast", watched)
    trained(steps=40)
    for turn in range(40):
        if turn % 16 == 0:  # all series have 256 rows, and all lanes began at once
            assert not given[turn].any()
        else:
            assert torch.equal(given[turn], left[turn - 1])


def test_the_learning_rate_rises_and_falls() -> None:
    """A rise over WARM_UP steps, then half a cosine down to LAST_RATE of the highest."""
    rates = [rate_of(step, 2000) for step in range(2000)]
    top = rates.index(max(rates))
    assert top == WARM_UP - 1
    assert rates[0] == pytest.approx(LEARNING_RATE / WARM_UP, rel=1e-3)
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] == pytest.approx(LEARNING_RATE * LAST_RATE, rel=1e-3)
    assert rates[1000] == pytest.approx(LEARNING_RATE * (1 + LAST_RATE) / 2, rel=0.01)


def test_scores_are_those_of_the_whole_series() -> None:
    """Validation in windows equals a plain loop over whole series: ratios to persistence, cold ones, pinball loss."""
    lots = [describe(stories(count=5, rows=400, seed=seed), STEPS) for seed in (1, 2)]
    weights = fresh(SMALL, 3)
    ratios: dict[str, list[float]] = {"error": [], "cold": [], "expert": []}
    total = count = 0.0
    for examples in lots:
        window = [torch.from_numpy(part).float().transpose(0, 1) for part in examples]
        knots, _ = forecast(weights, SMALL, Window(*window), torch.zeros(5, *SMALL.states))
        answer = knots.numpy().transpose(1, 0, 2, 3)
        for n, k in np.ndindex(5, len(STEPS)):
            label = examples.labels[n, :, k].astype(np.float64)
            ridge = examples.points[n, :, k, EXPERTS.index("ridge")]
            for name, end, guess in (
                ("error", None, answer[n, :, k, MEDIAN]), ("cold", COLD_UNTIL, answer[n, :, k, MEDIAN]),
                ("expert", None, ridge),
            ):  # fmt: skip
                rows = slice(SCORED_FROM, end)
                persistence = np.nansum(np.abs(label[rows]))
                if persistence > 1e-3:
                    ratio = np.nansum(np.abs(label - guess)[rows]) / persistence
                    ratios[name].append(min(max(ratio, 0.02), 10))
            for t in np.flatnonzero(~np.isnan(label)):
                error = label[t] - answer[n, t, k]
                total += np.mean([max(q * e, (q - 1) * e) for q, e in zip(KNOTS, error, strict=True)])
                count += 1
    scores = validate(weights, SMALL, lots, 64, CPU)
    for name, wanted in ratios.items():
        assert getattr(scores, name) == pytest.approx(math.exp(np.mean(np.log(wanted))), rel=1e-4), name
    assert scores.pinball == pytest.approx(total / count, rel=1e-4)


# The file


CARD = Card(
    seed=3, steps=90, planned=100, rows=1000, series=50, ingredients={"trend": 0.25}, history=[],
    validation={"error": 0.7, "cold": 0.8, "pinball": 0.1, "expert": 0.75}, date="2026-11-21",
)  # fmt: skip
COMPLETE = {*Card._fields, "inputs_version", "shape", "knots", "licence"}


def weights_of(shape: Shape = SMALL) -> Singles:
    """Weights of a network."""
    return np.random.default_rng(0).normal(size=shape.size).astype(np.float32)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A base network in a file."""
    write_base(tmp_path / "base.safetensors", weights_of(), SMALL, CARD)
    return tmp_path / "base.safetensors"


def rewritten(path: Path, arrays: dict[str, Singles], metadata: dict[str, str] | None) -> None:
    """Write a file as one that is no base network might be."""
    path.write_bytes(safetensors.numpy.save(arrays, metadata))


def test_a_base_network_comes_back_from_its_file(base: Path) -> None:
    """Weights bit for bit, the card in full, and nothing else beside the file."""
    assert read_base(base, SMALL).tobytes() == weights_of().tobytes()
    card = read_card(base)
    assert card.keys() == COMPLETE
    assert {name: card[name] for name in Card._fields} == CARD._asdict()
    assert (card["licence"], card["shape"], card["knots"]) == ("Apache-2.0", SMALL.layout()["shape"], list(KNOTS))
    assert list(base.parent.iterdir()) == [base]


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (SMALL._replace(cell="lstm"), "cell is gru there and lstm here"),
        (SMALL._replace(hidden_size=16), "hidden_size is 8 there and 16 here"),
        (SMALL._replace(layers=2), "layers is 1 there and 2 here"),
        (SMALL._replace(kind="attention", context=4), "encoder is absent there and attention here; context is absent"),
        (SMALL._replace(inputs=9, experts=3), "inputs is 79 there and 9 here; experts is 14 there and 3 here"),
    ],
)
def test_another_layout_is_refused(base: Path, shape: Shape, words: str) -> None:
    """A file for another network is refused with what differs, and what to do."""
    with pytest.raises(ConfigError, match=r"model\.cell.*streamrnn pretrain.*model\.base") as refused:
        read_base(base, shape)
    assert words in str(refused.value)
    assert str(base) in str(refused.value)


@pytest.mark.parametrize(("name", "value"), [("INPUTS_VERSION", 2), ("KNOTS", (0.1, 0.5, 0.9, 0.95, 0.96, 0.97, 0.98))])
def test_another_version_is_refused(base: Path, name: str, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file whose inputs or quantiles mean something else is refused, though all sizes are equal."""
    monkeypatch.setattr(f"streamrnn.core.network.shapes.{name}", value)
    with pytest.raises(ConfigError, match=f"{name.lower()} is .* there and .* here"):
        read_base(base, SMALL)


def test_a_damaged_file_is_refused(base: Path) -> None:
    """A file that is cut off anywhere, or has a byte of its header changed, or is another kind of file, is refused."""
    whole = base.read_bytes()
    for cut in (0, 5, 200, len(whole) // 2, len(whole) - 1):
        base.write_bytes(whole[:cut])
        with pytest.raises(ConfigError, match="is damaged, or no base network"):
            read_base(base, SMALL)
    for damaged in (whole[:3] + b"\xff" + whole[4:], whole.replace(b"{", b"[", 1), b"weights,card\n1,2\n" * 100):
        base.write_bytes(damaged)
        with pytest.raises(ConfigError, match="is damaged, or no base network"):
            read_base(base, SMALL)


def test_other_contents_are_refused(base: Path) -> None:
    """A file without a card, with other tensors or with weights that are no finite numbers is refused."""
    card = {"card": orjson.dumps(read_card(base)).decode()}
    bad = weights_of()
    bad[7] = np.nan
    for arrays, metadata, words in (
        ({"weights": weights_of()}, None, "it has no card"),
        ({"weights": weights_of()}, {"card": "[1]"}, "it has no card"),
        ({"weights": weights_of()}, {"card": "{"}, "is damaged, or no base network"),
        ({"weights": weights_of()[1:]}, card, "does not hold"),
        ({"weights": weights_of().astype(np.float64)}, card, "does not hold"),
        ({"others": weights_of()}, card, "does not hold"),
        ({"weights": bad}, card, "not all of its weights are finite"),
    ):
        rewritten(base, arrays, metadata)
        with pytest.raises(ConfigError, match=words):
            read_base(base, SMALL)


def test_a_file_that_cannot_be_read_or_written_is_named(tmp_path: Path) -> None:
    """No such file, a folder, or no such folder: the message names it."""
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(ConfigError, match=f"{path}.*(cannot be read|damaged)"):
            read_base(path, SMALL)
    with pytest.raises(ConfigError, match="lost/base cannot be written: No such file or directory"):
        write_base(tmp_path / "lost" / "base", weights_of(), SMALL, CARD)


def test_a_card_is_read_without_torch(base: Path) -> None:
    """Who only looks at a base network need not load what trains one."""
    code = f"import sys, pathlib; from streamrnn.weights.card import read_card; read_card(pathlib.Path({str(base)!r}))"
    done = subprocess.run([sys.executable, "-c", f"{code}; sys.exit('torch' in sys.modules)"], check=False)
    assert done.returncode == 0


def test_what_is_shipped_can_be_used() -> None:
    """Each base network of the package is small, fits the name it has, and its card says all, and no one's own data."""
    shipped = sorted(SHIPPED.glob("*.safetensors"))
    if not shipped:
        pytest.skip("no base network is shipped yet")
    for path in shipped:
        card = read_card(path)
        shape = Shape(**card["shape"])
        variant = path.stem.split("-")[0] if path.stem.count("-") == 2 else "full"
        sizes = {"variant": variant, "cell": shape.cell, "hidden_size": shape.hidden_size, "layers": shape.layers}
        assert shape == shape_of(**sizes)
        assert base_path(base="default", **sizes) == path
        assert len(read_base(path, shape)) == shape.size
        assert path.stat().st_size <= 1_000_000
        assert card.keys() == COMPLETE
        assert card["history"] == []
        assert card["validation"].keys() == CARD.validation.keys()
        assert card["validation"]["error"] < card["validation"]["expert"]


# A user's own files


def csv(path: Path, rows: int, fields: int = 1, first: float = 0) -> Path:
    """A file of hourly rows whose values count up, each field from a thousand times its number."""
    lines = ["time," + ",".join(f"f{field}" for field in range(fields))]
    for row in range(rows):
        values = ",".join(str(first + 1000 * field + row) for field in range(fields))
        lines.append(f"{START + row * HOUR},{values}")
    path.write_text("\n".join(lines) + "\n")
    return path


def counting(rows: int, first: float = 0) -> History:
    """A history whose values tell their place."""
    return History(first + np.arange(float(rows)), START + np.arange(rows) * HOUR)


def test_all_series_of_a_file_are_read(tmp_path: Path) -> None:
    """Each column is a series with its own times; rows that backtest would not accept are left out."""
    path = csv(tmp_path / "own.csv", 400, fields=2)
    lines = path.read_text().splitlines()
    lines[11] = f"{START + 10 * HOUR},,1010"  # the first field is missing
    lines[21] = lines[20]  # the same time again
    path.write_text("\n".join(lines) + "\n")
    one, two = read_history([path])
    np.testing.assert_array_equal(two.values, 1000 + np.delete(np.arange(400.0), 20))
    np.testing.assert_array_equal(one.values, np.delete(np.arange(400.0), [10, 20]))
    np.testing.assert_array_equal(one.times, START + one.values.astype(np.int64) * HOUR)


def test_a_file_without_enough_rows_is_refused(tmp_path: Path) -> None:
    """A file that nothing can be learned from is named, and how many rows it takes."""
    good, short = csv(tmp_path / "good.csv", FEWEST_ROWS), csv(tmp_path / "short.csv", FEWEST_ROWS - 1)
    assert len(read_history([good])) == 1
    with pytest.raises(ConfigError, match=rf"--history: .*short\.csv.* {FEWEST_ROWS} rows"):
        read_history([good, short])
    with pytest.raises(InputError, match=r"absent\.csv"):
        read_history([tmp_path / "absent.csv"])


def test_history_has_its_share() -> None:
    """Of many series the stated share is windows of the user's own; the others are untouched, and so is the origin."""
    synthetic = draw(np.random.default_rng(0), 1500, 128)
    before = synthetic.values.copy()
    mix = mixed(np.random.default_rng(1), synthetic, [counting(400), counting(700, 5000)])
    own = np.array([told == ("history",) for told in mix.told])
    assert own.mean() == pytest.approx(SHARE, abs=4.5 * math.sqrt(SHARE * (1 - SHARE) / 1500))
    np.testing.assert_array_equal(synthetic.values, before)
    np.testing.assert_array_equal(mix.values[:, ~own], before[:, ~own])
    assert [told for told, mine in zip(mix.told, own, strict=True) if not mine] == [
        told for told, mine in zip(synthetic.told, own, strict=True) if not mine
    ]


def test_windows_of_history_are_pieces_of_it() -> None:
    """Each holds neighbouring rows with their times, from anywhere in the series, and none beyond its end."""
    synthetic, starts = draw(np.random.default_rng(0), 1000, 128), set()
    mix = mixed(np.random.default_rng(1), synthetic, [counting(130), counting(50, 5000)])
    for n, told in enumerate(mix.told):
        if told != ("history",):
            continue
        values, times = mix.values[mix.present[:, n], n], mix.times[mix.present[:, n], n]
        long = values[0] < 5000
        place = values - (0 if long else 5000)
        assert len(values) == (128 if long else 50)
        np.testing.assert_array_equal(place, place[0] + np.arange(len(values)))
        np.testing.assert_array_equal(times, START + place.astype(np.int64) * HOUR)
        assert place[-1] < (130 if long else 50)
        starts.add((long, int(place[0])))
    assert starts == {(True, 0), (True, 1), (True, 2), (False, 0)}


# The whole


def made(path: Path, **changes: object) -> Path:
    """Make a base network in a second or two."""
    given: dict[str, object] = {
        "variant": "full", "cell": "gru", "hidden_size": 8, "layers": 1, "steps": 24, "seed": 3, "device": "cpu",
        "history": [], "date": "2026-11-21", "sizes": TINY, "validation": ((4, 320),),
    }  # fmt: skip
    pipeline.make(path, **{**given, **changes})  # type: ignore[arg-type]
    return path


def test_a_base_network_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file fits the network asked for, its card says all; a line tells of each validation; same seed, same file."""
    path = made(tmp_path / "one")
    shape = Shape("gru", 8, 1)
    assert np.isfinite(read_base(path, shape)).all()
    card = read_card(path)
    assert card.keys() == COMPLETE
    assert (card["seed"], card["planned"], card["history"], card["date"]) == (3, 24, [], "2026-11-21")
    assert 0 < card["steps"] <= 24
    assert card["rows"] == card["steps"] * TINY.window * TINY.lanes
    assert card["series"] >= TINY.first * TINY.lot // max(TINY.lengths)
    assert 0 < card["ingredients"]["calendar"] < 1
    assert card["validation"].keys() == CARD.validation.keys()
    told = capsys.readouterr()
    assert told.out == ""
    assert [line.split(":")[0] for line in told.err.splitlines()] == ["pretrain", "step 24", "pretrain"]
    assert made(tmp_path / "two").read_bytes() == path.read_bytes()
    assert made(tmp_path / "three", seed=4).read_bytes() != path.read_bytes()


def test_the_best_weights_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a validation finds worse than before does not take the place of the better weights in the file."""

    def reports(*arguments: object, **keywords: object) -> list[Trained]:
        scores = [Scores(0.7, 0.8, pinball, 0.75) for pinball in (0.3, 0.1, 0.2)]
        return [
            Trained(step, step, 0.0, score, score, np.full(Shape("gru", 8, 1).size, step, np.float32))
            for step, score in enumerate(scores, 1)
        ]

    monkeypatch.setattr(pipeline, "train", reports)
    path = made(tmp_path / "base", steps=3)
    assert (read_base(path, Shape("gru", 8, 1)) == 2).all()
    assert read_card(path)["steps"] == 2
    assert read_card(path)["validation"]["pinball"] == 0.1


def test_no_series_is_trained_on_and_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the seed of a training, its series and those of the validation come of different seeds."""
    seeds: list[list[int]] = []

    def noted(generator: np.random.Generator, count: int, rows: int) -> Stories:
        seeds.append(list(generator.bit_generator.seed_seq.entropy))  # type: ignore[attr-defined]
        return draw(generator, 2, rows)

    monkeypatch.setattr(pipeline, "draw", noted)
    for seed in (0, 1, 2, 7):
        lot = pipeline.lots(seed, [], Counter(), TINY)
        for number in range(3):
            lot(number)
    training, seeds[:] = list(seeds), []
    for number in range(3):
        pipeline.scored_lot(number, 2, 128)
    assert len({tuple(seed) for seed in training}) == 12
    assert len({tuple(seed) for seed in seeds}) == 3
    # a seed is padded with zeros to four numbers
    both = [tuple(seed + [0] * (4 - len(seed))) for seed in training + seeds]
    assert len(set(both)) == 15
    assert {seed[0] for seed in training} & {seed[0] for seed in seeds} == set()


def test_history_is_mixed_in_and_named(tmp_path: Path) -> None:
    """A training with a file of the user's own sees it, and the card names the file and the share."""
    path = csv(tmp_path / "own.csv", 400)
    card = read_card(made(tmp_path / "base", history=[path]))
    assert card["history"] == ["own.csv"]
    assert card["ingredients"]["history"] == pytest.approx(SHARE, abs=0.25)
    assert made(tmp_path / "other").read_bytes() != (tmp_path / "base").read_bytes()


def test_an_output_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    """Nobody trains for an hour to find that the result cannot be written."""
    with pytest.raises(ConfigError, match=r"--output: .*base cannot be written: there is no folder .*lost"):
        made(tmp_path / "lost" / "base", steps=10**9)
    with pytest.raises(ConfigError, match=r"--output: .* cannot be written: it is a folder"):
        made(tmp_path, steps=10**9)


@pytest.mark.usefixtures("bare_environment")
def test_the_command_passes_on_what_it_was_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options and the configured model reach the making."""
    calls: list[tuple[object, dict[str, object]]] = []
    monkeypatch.setattr(pipeline, "make", lambda output, **given: calls.append((output, given)))
    (tmp_path / "c.yaml").write_text("model: {cell: lstm, hidden_size: 24, layers: 2}\n")
    output, own = tmp_path / "b", tmp_path / "o.csv"
    options = ["--steps", "5", "--seed", "9", "--device", "auto", "--history", str(own), "--date", "2026-01-02"]
    assert main(["pretrain", "--output", str(output), "-c", str(tmp_path / "c.yaml"), *options]) == 0
    assert main(["pretrain", "--output", str(output)]) == 0
    (first, given), (_, defaults) = calls
    assert first == output
    assert given == {
        "variant": "full", "cell": "lstm", "hidden_size": 24, "layers": 2, "steps": 5, "seed": 9, "device": "auto",
        "encoder": "recurrent", "context": 16, "decay": False,
        "history": [own], "date": "2026-01-02",
    }  # fmt: skip
    assert (defaults["cell"], defaults["steps"], defaults["history"]) == ("gru", command.STEPS, [])


@pytest.mark.usefixtures("bare_environment")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--steps", "0"], "must be at least 1"),
        (["--seed", "-1"], "must be at least 0"),
        (["--device", "tpu"], "invalid choice"),
        (["--date", "tomorrow"], "must be YYYY-MM-DD"),
    ],
)
def test_options_that_cannot_be_used(options: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and what is allowed."""
    with pytest.raises(SystemExit) as ended:
        main(["pretrain", "--output", "x", *options])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.usefixtures("bare_environment")
def test_a_history_that_cannot_be_used_ends_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 78 or 69 before anything is drawn, and no file is written."""
    output = tmp_path / "base"
    short = csv(tmp_path / "short.csv", 20)
    assert main(["pretrain", "--output", str(output), "--history", str(short)]) == ConfigError.exit_code
    assert "has no series of at least" in capsys.readouterr().err
    assert main(["pretrain", "--output", str(output), "--history", os.devnull + "x"]) == InputError.exit_code
    assert not output.exists()
