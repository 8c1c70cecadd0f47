"""Recursive least squares, robust: direct forecasts for every horizon from one gain per row.

The gain of a row is kept until the labels of all its horizons have come, and applied then: exact, and one covariance
serves all horizons. An error counts at most as a multiple of its own running size, so that a spike teaches little. The
covariance is updated as P - v v', which stays symmetric in single precision (P - k (P x)' does not).
"""

import math

from streamrnn.core.jit import Floats, Shorts, Singles, compiled
from streamrnn.core.series.scaling import code, decoded
from streamrnn.core.series.state import PRIOR_COVARIANCE, REGRESSIONS, TERMS, Series

FORGET = (0.9995, 0.9998)
"""Per row, of either regression."""
ERROR_CLIP = (1.5, 1.0)
"""Times the running |error|."""
RESIDUAL_RATE = 0.005
FIRST_ROW = 30
"""Row from which on there is anything to learn from: before, the scale is not known."""
TERM_CLIP = 10.0
FORECAST_CLIP = 15.0
LARGEST = 1e5
"""Times the prior: a covariance beyond it has lost its footing."""
EXCITED = 0.1
"""Nothing is forgotten by a row that carries less news than this share of what forgetting takes away."""


@compiled
def times(covariance: Singles, terms: Singles, product: Singles) -> float:
    """Fill `product` (D,) with P x from the packed triangle; x' P x."""
    at = 0
    product[:] = 0.0
    for i in range(len(terms)):
        x, total = terms[i], product[i]
        for j in range(i):
            total += covariance[at + j] * terms[j]
            product[j] += covariance[at + j] * x
        product[i] = total + covariance[at + i] * x
        at += i + 1
    total = 0.0
    for i in range(len(terms)):
        total += terms[i] * product[i]
    return total


@compiled
def shrink(covariance: Singles, product: Singles, spread: float, forget: float) -> None:
    """P becomes (P - v v') / `forget`, v = P x / sqrt(`spread`)."""
    root, grow = 1.0 / math.sqrt(spread), 1.0 / forget
    at = 0
    for i in range(len(product)):
        v = product[i] * root
        for j in range(i + 1):
            covariance[at + j] = (covariance[at + j] - v * (product[j] * root)) * grow
        at += i + 1


@compiled
def restart(covariance: Singles, prior: float, width: int) -> None:
    """Back to the prior, of `width` terms; the weights stay."""
    covariance[:] = 0.0
    at = -1
    for i in range(width):
        at += i + 1
        covariance[at] = prior


@compiled
def absorb(covariance: Singles, terms: Singles, product: Singles, prior: float, forget: float) -> float:
    """Take regressors `terms` (D,) into the covariance; `product` (D,) becomes their gain, this is its size."""
    width = len(terms)
    news = times(covariance, terms, product)
    if not 0.0 <= news < LARGEST * prior * width:
        restart(covariance, prior, width)
        news = times(covariance, terms, product)
    spread = forget + news
    shrink(covariance, product, spread, forget if news >= EXCITED * width * (1 - forget) else 1.0)
    largest = 0.0
    for d in range(width):
        product[d] /= spread
        largest = max(largest, abs(product[d]))
    return largest


@compiled
def regress(series: Series, row: int, terms: Singles, product: Singles) -> None:
    """Take the regressors (D,) of the latest row in: their gain is kept for its labels."""
    count, kept = series.seen[row], series.terms.shape[1]
    place = (count - 1) % kept
    for d in range(TERMS):
        series.terms[row, place, d] = code(terms[d], TERM_CLIP)
    for r in range(REGRESSIONS):
        series.gain_unit[row, r, place] = 0.0
        if count <= FIRST_ROW:
            continue
        largest = absorb(series.covariance[row, r], terms, product, PRIOR_COVARIANCE[r], FORGET[r])
        series.gain_unit[row, r, place] = largest
        if largest > 0:
            for d in range(TERMS):
                series.gain[row, r, place, d] = code(product[d], largest)


@compiled
def teach(
    weights: Singles, running: float, terms: Shorts, gain: Shorts, unit: float, truth: float, most: float
) -> float:
    """Learn a label, `truth` in units, of coded `terms` and their coded `gain` (D,); the new running |error|."""
    said = 0.0
    for d in range(len(weights)):
        said += weights[d] * decoded(terms[d], TERM_CLIP)
    error, limit = truth - said, most * running
    moved = (1 - RESIDUAL_RATE) * running + RESIDUAL_RATE * min(abs(error), 3 * limit)
    error = min(max(error, -limit), limit)
    for d in range(len(weights)):
        weights[d] += decoded(gain[d], unit) * error
    return max(moved, 1e-6)


@compiled
def learn(series: Series, row: int, r: int, k: int, origin: int, truth: float) -> None:
    """Learn the label of horizon k, `truth` in units, that belongs to the row numbered `origin`."""
    place = origin % series.terms.shape[1]
    unit = series.gain_unit[row, r, place]
    if unit > 0:
        series.residual[row, r, k] = teach(
            series.weights[row, r, k], float(series.residual[row, r, k]), series.terms[row, place],
            series.gain[row, r, place], unit, truth, ERROR_CLIP[r],
        )  # fmt: skip


@compiled
def predict(series: Series, row: int, terms: Singles, forecasts: Floats) -> None:
    """Fill `forecasts` (R, K), in units relative to the latest value."""
    young = series.seen[row] <= FIRST_ROW
    for r in range(REGRESSIONS):
        for k in range(forecasts.shape[1]):
            total = 0.0
            if not young:
                for d in range(TERMS):
                    total += series.weights[row, r, k, d] * terms[d]
            forecasts[r, k] = min(max(total, -FORECAST_CLIP), FORECAST_CLIP)
