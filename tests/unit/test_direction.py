"""Direction forecasts: implied probabilities, the softmax layer above them, and its online learning."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.streams import HOUR, START, run, seasonal, small

from streamrnn.core.ensemble.direction import (
    CLASSES,
    FIRST_SQUARES,
    LEARNING_RATE,
    MIN_PROBABILITY,
    TERMS,
    DirectionClassifier,
    fill_implied,
    fill_probabilities,
    learn_direction,
    probability_below,
)
from streamrnn.core.forecaster import CoreForecaster
from streamrnn.records import OutputTopics, TopicPartition
from streamrnn.wire import OutputEncoder

LEVELS = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
HORIZONS = (1, 3)


def test_between_quantiles_a_probability_is_that_of_numpy() -> None:
    """Linear between the quantiles; equal quantiles make a step."""
    quantiles = np.array([-2.0, -0.5, 0.1, 0.1, 3.0])
    for change in np.linspace(-2.0, 2.99, 100):
        expected = np.interp(change, quantiles, LEVELS)
        assert probability_below(change, quantiles, LEVELS) == pytest.approx(expected, abs=1e-12) or change == 0.1
    assert probability_below(0.1, quantiles, LEVELS) == 0.75


@pytest.mark.parametrize("levels", [LEVELS, np.array([0.1, 0.5, 0.9]), np.array([0.5])], ids=["5", "3", "1"])
def test_outside_the_quantiles_probabilities_decay(levels: NDArray[np.float64]) -> None:
    """The distribution function meets the outermost levels, stays within 0 to 1, and is monotone."""
    quantiles = np.linspace(-1.0, 1.0, len(levels)) if len(levels) > 1 else np.zeros(1)
    found = [probability_below(change, quantiles, levels) for change in np.linspace(-50, 50, 4001)]
    assert (np.diff(found) >= 0).all()
    assert 0 <= found[0] < 1e-6
    assert 1 - 1e-6 < found[-1] <= 1
    assert probability_below(quantiles[0] - 1e-9, quantiles, levels) == pytest.approx(levels[0], abs=1e-6)
    assert probability_below(quantiles[-1] + 1e-9, quantiles, levels) == pytest.approx(levels[-1], abs=1e-6)


def test_an_exponential_tail_is_continued() -> None:
    """The tail of an exponential distribution follows from two of its quantiles."""
    quantiles = -np.log(1 - np.array([0.5, 0.9, 0.95]))
    assert 1 - probability_below(5.0, quantiles, np.array([0.5, 0.9, 0.95])) == pytest.approx(math.exp(-5.0), rel=1e-9)


def test_implied_probabilities_sum_to_one() -> None:
    """Also where all quantiles have the same sign."""
    scratch = np.empty(CLASSES)
    for middle in (-9.0, -0.4, 0.0, 0.7, 9.0):
        fill_implied(LEVELS + middle, LEVELS, 0.5, scratch)
        assert scratch.sum() == pytest.approx(1.0)
        assert (scratch > 0).all()
        assert scratch.argmax() == (0 if middle < -1 else 2 if middle > 0.5 else scratch.argmax())


@pytest.mark.parametrize("labels", range(CLASSES))
def test_the_layer_is_that_of_torch(labels: int) -> None:
    """Softmax and a learning step are those of torch: cross-entropy, and Adagrad at its first step."""
    rng = np.random.default_rng(labels)
    classifier = DirectionClassifier(flat=0.5, horizons=HORIZONS, levels=LEVELS)
    classifier.add(1)
    state = classifier._state
    state.terms[0, 1] = rng.normal(size=TERMS - 1)
    state.weights[0, 1] = rng.normal(size=(CLASSES, TERMS))
    weights = torch.tensor(state.weights[0, 1].astype(np.float64), requires_grad=True)
    terms = torch.tensor(np.append(state.terms[0, 1], 1.0), dtype=torch.float64)
    logits, scratch = weights @ terms, np.empty(CLASSES)
    fill_probabilities(state.weights[0, 1], state.terms[0, 1], scratch)
    expected = MIN_PROBABILITY + (1 - CLASSES * MIN_PROBABILITY) * torch.softmax(logits, 0).detach().numpy()
    assert scratch == pytest.approx(expected, abs=1e-6)
    torch.nn.functional.cross_entropy(logits[None], torch.tensor([labels])).backward()
    optimizer = torch.optim.Adagrad([weights], lr=LEARNING_RATE, initial_accumulator_value=FIRST_SQUARES, eps=0)
    optimizer.step()
    learn_direction(state, 0, 1, 1, labels, scratch)
    assert state.weights[0, 1] == pytest.approx(weights.detach().numpy(), abs=2e-3)  # the probabilities have a floor
    assert state.counts[0, 1].tolist() == [2.0 if c == labels else 1.0 for c in range(CLASSES)]


def forecasts_of(
    forecaster: CoreForecaster, values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the probabilities (T, H, CLASSES) and bands (T, H) of one series."""
    row, found = forecaster.add(["s"]), []
    for t, value in enumerate(values):
        forecasts, _ = forecaster.step(row, np.array([value]), np.array([START + t * HOUR]))
        assert forecasts.directions is not None
        found.append(forecasts.directions)
        if forecaster.until_due <= 0:
            forecaster.learn()
    return np.stack([each.probabilities[0] for each in found]), np.stack([each.band[0] for each in found])


def outcome(values: NDArray[np.float64], bands: NDArray[np.float64], h: int, horizon: int) -> NDArray[np.int64]:
    """Return the outcomes (T - horizon,), 0 down, 1 flat, 2 up, as computed from the records."""
    change = values[horizon:] - values[:-horizon]
    band = bands[:-horizon, h]
    return 1 + (change > band).astype(int) - (change < -band).astype(int)


def log_loss(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Return the mean log loss, nats."""
    return float(-np.log(probabilities[np.arange(len(labels)), labels]).mean())


def streams() -> dict[str, NDArray[np.float64]]:
    """Return a series of random steps, and one whose steps follow from the previous step."""
    rng = np.random.default_rng(5)
    steps = rng.choice([-1.0, 0.0, 1.0], p=[0.15, 0.6, 0.25], size=4000)
    turning = np.where(np.arange(4000) % 2, 1.0, -1.0) * rng.choice([0.0, 1.0], p=[0.3, 0.7], size=4000)
    return {"chance": np.cumsum(steps), "turning": np.cumsum(turning)}


def test_random_directions_are_forecast_by_their_frequencies() -> None:
    """The log loss is within 0.01 of the entropy, and the calibration error below 0.03."""
    values = streams()["chance"]
    probabilities, bands = forecasts_of(small(horizons=HORIZONS, direction=True, enabled=False), values)
    labels = outcome(values, bands, 0, 1)[400:]
    entropy = log_loss(np.tile([0.15, 0.6, 0.25], (len(labels), 1)), labels)
    assert log_loss(probabilities[400:-1, 0], labels) < entropy + 0.01
    for c in range(CLASSES):
        assert probabilities[400:-1, 0, c].mean() == pytest.approx((labels == c).mean(), abs=0.03)


def test_predictable_directions_are_forecast() -> None:
    """Where up follows only down or flat, the log loss is well below that of the frequencies."""
    values = streams()["turning"]
    forecaster = small(horizons=HORIZONS, direction=True, enabled=False)
    probabilities, bands = forecasts_of(forecaster, values)
    labels = outcome(values, bands, 0, 1)[400:]
    base = np.bincount(labels, minlength=CLASSES) / len(labels)
    assert log_loss(probabilities[400:-1, 0], labels) < 0.75 * log_loss(np.tile(base, (len(labels), 1)), labels)
    latest = forecaster.forecast(np.array([0])).directions
    assert latest is not None
    assert latest.log_loss[0, 0] < 0.75 * latest.base_log_loss[0, 0]


def test_published_losses_match_the_records() -> None:
    """The running losses are near the exponential mean computed from the published probabilities."""
    values = streams()["chance"]
    forecaster = small(horizons=HORIZONS, direction=True, enabled=False)
    probabilities, bands = forecasts_of(forecaster, values)
    latest = forecaster.forecast(np.array([0])).directions
    assert latest is not None
    for h, horizon in enumerate(HORIZONS):
        labels = outcome(values, bands, h, horizon)
        recent = 0.995 ** np.arange(len(labels))[::-1]
        losses = -np.log(probabilities[: len(labels), h][np.arange(len(labels)), labels])
        assert latest.log_loss[0, h] == pytest.approx(np.average(losses, weights=recent), abs=0.01)


def test_quantiles_are_the_same_with_directions_and_without() -> None:
    """Directions do not change quantiles; the latest ones can be read again."""
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
    """They are reset, and all other state is retained; horizons may change at the same time."""
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
        assert "reset: " in second.describe_migration(first.layout)
        second.load(first.save_shared(), [first.save_rows(0, 3)], first.names, first.layout)
        found = run(second, values[150:], first=150)[-1]
        indexes = [second.layout["horizons"].index(h) for h in (1, 3, 6)]  # type: ignore[attr-defined]
        assert np.array_equal(found.quantiles[:, indexes], expected.quantiles)
        second.add(["another"])


def test_the_record_has_directions_if_configured() -> None:
    """One list by horizon for each probability, the band and both losses."""
    forecaster = small(horizons=HORIZONS, direction=True, enabled=False)
    row = forecaster.add(["s"])
    for t in range(60):
        forecasts, _ = forecaster.step(row, np.array([float(t % 3)]), np.array([START + t * HOUR]))
    topics, quantiles = OutputTopics("f", "d", "s"), (0.05, 0.1, 0.5, 0.9, 0.95)
    partition = TopicPartition("sensors", 0)
    encode = OutputEncoder(partition=partition, topics=topics, horizons=HORIZONS, quantiles=quantiles)
    given = ["s"], np.array([0]), np.array([2.0]), np.array([START]), np.array([0])
    (output,) = encode.forecasts(*given, forecasts)
    published = json.loads(output.value or b"")["direction"]
    assert list(published) == ["down", "flat", "up", "band", "log_loss", "base_log_loss"]
    assert all(len(each) == len(HORIZONS) for each in published.values())
    assert [
        sum(each) for each in zip(published["down"], published["flat"], published["up"], strict=True)
    ] == pytest.approx([1.0, 1.0])
    (output,) = encode.forecasts(*given, forecasts._replace(directions=None))
    assert "direction" not in json.loads(output.value or b"")
