"""Robust recursive least squares (Haykin 2002, "Adaptive filter theory"): direct forecasts of every horizon.

The gain of a step depends only on its regressors, not on labels. It is stored, and applied when the labels of the
horizons arrive, which is exact; one covariance therefore serves all horizons. Errors are clipped at a multiple of their
running mean. The covariance is updated as P - v v', which stays symmetric in single precision, unlike P - k (P x)'.
"""

import math

from streamrnn.core.jit import Floats, Shorts, Singles, compiled
from streamrnn.core.series.scaling import decode16, encode16
from streamrnn.core.series.state import PRIOR_COVARIANCE, REGRESSIONS, TERMS, FullState

FORGET = (0.9995, 0.9998)  # forgetting factors of the two regressions, per step
ERROR_CLIP = (1.5, 1.0)  # largest |error| that updates the weights of each, multiples of the running |error|
RESIDUAL_RATE = 0.005  # rate of the running |error|, per label
FIRST_STEP = 30  # first step that is learned from: earlier scales are unreliable
TERM_CLIP = 10.0  # largest |regressor|, units
FORECAST_CLIP = 15.0  # largest |forecast|, units
MAX_COVARIANCE = 1e5  # multiple of the prior from which on a covariance has diverged and is reset
EXCITED = 0.1  # forgetting is suspended at a step with less information than this share of what it would discard


@compiled
def quadratic_form(covariance: Singles, terms: Singles, product: Singles) -> float:
    """Fill `product` (D,) with P x from the packed lower triangle, and return x' P x."""
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
def downdate(covariance: Singles, product: Singles, spread: float, forget: float) -> None:
    """Replace P by (P - v v') / `forget`, with v = P x / sqrt(`spread`)."""
    root, grow = 1.0 / math.sqrt(spread), 1.0 / forget
    at = 0
    for i in range(len(product)):
        v = product[i] * root
        for j in range(i + 1):
            covariance[at + j] = (covariance[at + j] - v * (product[j] * root)) * grow
        at += i + 1


@compiled
def reset_covariance(covariance: Singles, prior: float, width: int) -> None:
    """Reset the covariance of `width` terms to `prior` times the identity."""
    covariance[:] = 0.0
    at = -1
    for i in range(width):
        at += i + 1
        covariance[at] = prior


@compiled
def update_covariance(covariance: Singles, terms: Singles, product: Singles, prior: float, forget: float) -> float:
    """Update the covariance by regressors `terms` (D,); fill `product` (D,) with the gain, return the largest |gain|.

    A covariance that has diverged is reset first.
    """
    width = len(terms)
    information = quadratic_form(covariance, terms, product)
    if not 0.0 <= information < MAX_COVARIANCE * prior * width:
        reset_covariance(covariance, prior, width)
        information = quadratic_form(covariance, terms, product)
    spread = forget + information
    downdate(covariance, product, spread, forget if information >= EXCITED * width * (1 - forget) else 1.0)
    largest = 0.0
    for d in range(width):
        product[d] /= spread
        largest = max(largest, abs(product[d]))
    return largest


@compiled
def update_regressions(series: FullState, row: int, terms: Singles, product: Singles) -> None:
    """Update the covariances by the regressors (D,) of the latest step; store regressors and gains until its labels."""
    count, size = series.seen[row], series.terms.shape[1]
    at = (count - 1) % size
    for d in range(TERMS):
        series.terms[row, at, d] = encode16(terms[d], TERM_CLIP)
    for r in range(REGRESSIONS):
        series.gain_unit[row, r, at] = 0.0
        if count <= FIRST_STEP:
            continue
        largest = update_covariance(series.covariance[row, r], terms, product, PRIOR_COVARIANCE[r], FORGET[r])
        series.gain_unit[row, r, at] = largest
        if largest > 0:
            for d in range(TERMS):
                series.gain[row, r, at, d] = encode16(product[d], largest)


@compiled
def update_weights(
    weights: Singles, running: float, terms: Shorts, gain: Shorts, unit: float, truth: float, most: float
) -> float:
    """Update `weights` (D,) by a label `truth`, units, and return the new running |error|.

    The error is clipped at `most` times the `running` |error|. `terms` and `gain` (D,) are 16-bit codes with the units
    TERM_CLIP and `unit`.
    """
    forecast = 0.0
    for d in range(len(weights)):
        forecast += weights[d] * decode16(terms[d], TERM_CLIP)
    error, limit = truth - forecast, most * running
    moved = (1 - RESIDUAL_RATE) * running + RESIDUAL_RATE * min(abs(error), 3 * limit)
    error = min(max(error, -limit), limit)
    for d in range(len(weights)):
        weights[d] += decode16(gain[d], unit) * error
    return max(moved, 1e-6)


@compiled
def learn_regression(series: FullState, row: int, r: int, k: int, origin: int, truth: float) -> None:
    """Update regression r by the label `truth`, units, of horizon k and step `origin`."""
    at = origin % series.terms.shape[1]
    unit = series.gain_unit[row, r, at]
    if unit > 0:
        series.residual[row, r, k] = update_weights(
            series.weights[row, r, k], float(series.residual[row, r, k]), series.terms[row, at],
            series.gain[row, r, at], unit, truth, ERROR_CLIP[r],
        )  # fmt: skip


@compiled
def predict_regressions(series: FullState, row: int, terms: Singles, forecasts: Floats) -> None:
    """Fill `forecasts` (R, K): changes from the latest value, units."""
    young = series.seen[row] <= FIRST_STEP
    for r in range(REGRESSIONS):
        for k in range(forecasts.shape[1]):
            total = 0.0
            if not young:
                for d in range(TERMS):
                    total += series.weights[row, r, k, d] * terms[d]
            forecasts[r, k] = min(max(total, -FORECAST_CLIP), FORECAST_CLIP)
