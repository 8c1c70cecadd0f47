"""Whether a series falls, stays or rises: what the quantiles imply, the layer above them, and what is learned."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.fakes import record
from support.streams import HOUR, START, run, seasonal, small

from streamrnn.core.ensemble.direction import (
    CLASSES,
    FIRST_SQUARES,
    LEARNING_RATE,
    LEAST,
    TERMS,
    DirectionClassifier,
    below,
    imply,
    learn,
    respond,
)
from streamrnn.core.forecaster import Forecaster
from streamrnn.wire import OutputEncoder, OutputTopics, Row

LEVELS = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
HORIZONS = (1, 3)


def test_between_quantiles_a_probability_is_that_of_numpy() -> None:
    """Straight lines between the quantiles, each of which has its own level; equal ones are a step."""
    said = np.array([-2.0, -0.5, 0.1, 0.1, 3.0])
    for change in np.linspace(-2.0, 2.99, 100):
        assert below(change, said, LEVELS) == pytest.approx(np.interp(change, said, LEVELS), abs=1e-12) or change == 0.1
    assert below(0.1, said, LEVELS) == 0.75


@pytest.mark.parametrize("levels", [LEVELS, np.array([0.1, 0.5, 0.9]), np.array([0.5])], ids=["5", "3", "1"])
def test_beyond_the_quantiles_it_falls_off(levels: NDArray[np.float64]) -> None:
    """It meets the outermost levels, never leaves 0 to 1, and never goes back."""
    said = np.linspace(-1.0, 1.0, len(levels)) if len(levels) > 1 else np.zeros(1)
    found = [below(change, said, levels) for change in np.linspace(-50, 50, 4001)]
    assert (np.diff(found) >= 0).all()
    assert 0 <= found[0] < 1e-6
    assert 1 - 1e-6 < found[-1] <= 1
    assert below(said[0] - 1e-9, said, levels) == pytest.approx(levels[0], abs=1e-6)
    assert below(said[-1] + 1e-9, said, levels) == pytest.approx(levels[-1], abs=1e-6)


def test_an_exponential_tail_is_continued() -> None:
    """The tail of an exponential distribution is found from two of its quantiles."""
    said = -np.log(1 - np.array([0.5, 0.9, 0.95]))
    assert 1 - below(5.0, said, np.array([0.5, 0.9, 0.95])) == pytest.approx(math.exp(-5.0), rel=1e-9)


def test_what_is_implied_adds_up() -> None:
    """Also where all quantiles lie on one side."""
    room = np.empty(CLASSES)
    for middle in (-9.0, -0.4, 0.0, 0.7, 9.0):
        imply(LEVELS + middle, LEVELS, 0.5, room)
        assert room.sum() == pytest.approx(1.0)
        assert (room > 0).all()
        assert room.argmax() == (0 if middle < -1 else 2 if middle > 0.5 else room.argmax())


@pytest.mark.parametrize("came", range(CLASSES))
def test_the_layer_is_that_of_torch(came: int) -> None:
    """Softmax and a learning step are those of torch: cross-entropy, and Adagrad at its first step."""
    rng = np.random.default_rng(came)
    compass = DirectionClassifier(flat=0.5, horizons=HORIZONS, levels=LEVELS)
    compass.add()
    kept = compass._kept
    kept.terms[0, 1] = rng.normal(size=TERMS - 1)
    kept.weights[0, 1] = rng.normal(size=(CLASSES, TERMS))
    weights = torch.tensor(kept.weights[0, 1].astype(np.float64), requires_grad=True)
    terms = torch.tensor(np.append(kept.terms[0, 1], 1.0), dtype=torch.float64)
    logits, room = weights @ terms, np.empty(CLASSES)
    respond(kept.weights[0, 1], kept.terms[0, 1], room)
    expected = LEAST + (1 - CLASSES * LEAST) * torch.softmax(logits, 0).detach().numpy()
    assert room == pytest.approx(expected, abs=1e-6)
    torch.nn.functional.cross_entropy(logits[None], torch.tensor([came])).backward()
    optimizer = torch.optim.Adagrad([weights], lr=LEARNING_RATE, initial_accumulator_value=FIRST_SQUARES, eps=0)
    optimizer.step()
    learn(kept, 0, 1, 1, came, room)
    assert kept.weights[0, 1] == pytest.approx(weights.detach().numpy(), abs=2e-3)  # the probabilities have a floor
    assert kept.counts[0, 1].tolist() == [2.0 if c == came else 1.0 for c in range(CLASSES)]


def said_of(forecaster: Forecaster, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of one series: probabilities (T, H, CLASSES) and bands (T, H)."""
    row, found = np.array([forecaster.add("s")]), []
    for t, value in enumerate(values):
        forecasts, _ = forecaster.step(row, np.array([value]), np.array([START + t * HOUR]))
        assert forecasts.directions is not None
        found.append(forecasts.directions)
        if forecaster.due(0):
            forecaster.learn()
    return np.stack([each.probabilities[0] for each in found]), np.stack([each.band[0] for each in found])


def outcome(values: NDArray[np.float64], bands: NDArray[np.float64], h: int, horizon: int) -> NDArray[np.int64]:
    """(T - horizon,): 0 down, 1 flat, 2 up, as a reader of the records finds it."""
    change = values[horizon:] - values[:-horizon]
    band = bands[:-horizon, h]
    return 1 + (change > band).astype(int) - (change < -band).astype(int)


def log_loss(probabilities: NDArray[np.float64], came: NDArray[np.int64]) -> float:
    """Mean, nats."""
    return float(-np.log(probabilities[np.arange(len(came)), came]).mean())


def streams() -> dict[str, NDArray[np.float64]]:
    """Steps that nobody knows, and steps that follow from the one before."""
    rng = np.random.default_rng(5)
    steps = rng.choice([-1.0, 0.0, 1.0], p=[0.15, 0.6, 0.25], size=4000)
    turning = np.where(np.arange(4000) % 2, 1.0, -1.0) * rng.choice([0.0, 1.0], p=[0.3, 0.7], size=4000)
    return {"chance": np.cumsum(steps), "turning": np.cumsum(turning)}


def test_directions_that_nobody_knows_have_their_frequencies() -> None:
    """The log loss is within a hundredth of the best there can be, and the calibration error below 0.03."""
    values = streams()["chance"]
    probabilities, bands = said_of(small(horizons=HORIZONS, direction=True, enabled=False), values)
    came = outcome(values, bands, 0, 1)[400:]
    entropy = log_loss(np.tile([0.15, 0.6, 0.25], (len(came), 1)), came)
    assert log_loss(probabilities[400:-1, 0], came) < entropy + 0.01
    for c in range(CLASSES):
        assert probabilities[400:-1, 0, c].mean() == pytest.approx((came == c).mean(), abs=0.03)


def test_directions_that_follow_are_foretold() -> None:
    """Up comes only after down or nothing: there is much less to be surprised about than the frequencies say."""
    values = streams()["turning"]
    forecaster = small(horizons=HORIZONS, direction=True, enabled=False)
    probabilities, bands = said_of(forecaster, values)
    came = outcome(values, bands, 0, 1)[400:]
    base = np.bincount(came, minlength=CLASSES) / len(came)
    assert log_loss(probabilities[400:-1, 0], came) < 0.75 * log_loss(np.tile(base, (len(came), 1)), came)
    said = forecaster.forecast(np.array([0])).directions
    assert said is not None
    assert said.log_loss[0, 0] < 0.75 * said.base_log_loss[0, 0]


def test_the_losses_said_are_those_of_a_reader() -> None:
    """The running losses in the record are near the mean over the last few hundred labels."""
    values = streams()["chance"]
    forecaster = small(horizons=HORIZONS, direction=True, enabled=False)
    probabilities, bands = said_of(forecaster, values)
    said = forecaster.forecast(np.array([0])).directions
    assert said is not None
    for h, horizon in enumerate(HORIZONS):
        came = outcome(values, bands, h, horizon)
        recent = 0.995 ** np.arange(len(came))[::-1]
        losses = -np.log(probabilities[: len(came), h][np.arange(len(came)), came])
        assert said.log_loss[0, h] == pytest.approx(np.average(losses, weights=recent), abs=0.01)


def test_quantiles_are_the_same_with_directions_and_without() -> None:
    """They are read, and not changed; what was said last can be had again."""
    values = seasonal(150, 3)
    plain, pointing = small(), small(direction=True)
    expected, found = run(plain, values), run(pointing, values)
    for left, right in zip(expected, found, strict=True):
        assert left.quantiles.tobytes() == right.quantiles.tobytes()
    rows = np.arange(3)
    assert plain.forecast(rows).directions is None
    again = pointing.forecast(rows).directions
    assert again is not None
    assert again.probabilities.sum(2) == pytest.approx(1.0, abs=1e-9)
    assert pointing.row_bytes > plain.row_bytes


@pytest.mark.parametrize("variant", ["full", "lean"])
def test_directions_may_be_switched_on_and_off(variant: str) -> None:
    """They begin anew, while all else goes on; horizons may change with them."""
    values = seasonal(200, 3)
    options: dict[str, Any] = {"variant": variant, "enabled": False}
    for before, after in (
        ({}, {"direction": True}),
        ({"direction": True}, {}),
        ({"direction": True}, {"direction": True, "flat": 1.0}),
        ({"direction": True}, {"direction": True, "horizons": (1, 2, 3, 6)}),
    ):
        first, unbroken = small(**options, **before), small(**options)
        run(first, values[:150])
        expected = run(unbroken, values)[-1]
        second = small(**options, **after)
        assert "begins anew" in second.carries(first.layout)
        second.load(first.save_shared(), [first.save_rows(0, 3)], first.names, first.layout)
        found = run(second, values[150:], first=150)[-1]
        places = [second.layout["horizons"].index(h) for h in (1, 3, 6)]  # type: ignore[attr-defined]
        assert np.array_equal(found.quantiles[:, places], expected.quantiles)
        second.add("another")


def test_the_record_says_so_where_it_is_wanted() -> None:
    """One list by horizon of each probability, of the band and of both losses."""
    forecaster = small(horizons=HORIZONS, direction=True, enabled=False)
    row = np.array([forecaster.add("s")])
    for t in range(60):
        forecasts, _ = forecaster.step(row, np.array([float(t % 3)]), np.array([START + t * HOUR]))
    given = [Row("s", START, 2.0, record(0, b""))]
    topics, quantiles = OutputTopics("f", "d", "s"), (0.05, 0.1, 0.5, 0.9, 0.95)
    encode = OutputEncoder(topics=topics, horizons=HORIZONS, quantiles=quantiles)
    (output,) = encode.forecasts(given, forecasts)
    said = json.loads(output.value or b"")["direction"]
    assert list(said) == ["down", "flat", "up", "band", "log_loss", "base_log_loss"]
    assert all(len(each) == len(HORIZONS) for each in said.values())
    assert [sum(each) for each in zip(said["down"], said["flat"], said["up"], strict=True)] == pytest.approx([1.0, 1.0])
    (output,) = encode.forecasts(given, forecasts._replace(directions=None))
    assert "direction" not in json.loads(output.value or b"")
