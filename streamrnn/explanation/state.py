"""Why the forecasts of a series are what they are, read from its state without changing it.

Members, seasons and intervals are computed from the arrays that a snapshot would save, so that they are those of the
latest forecast.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.banks.full import MIXED, FullBank
from streamrnn.core.banks.lean.ledger import EDGE, SMALLEST
from streamrnn.core.banks.protocol import PRIOR_NETWORK, PRIOR_POINT, YOUNG_NETWORK
from streamrnn.core.ensemble.aggregation import SHARE, YOUTH
from streamrnn.core.ensemble.conformal import WIDTH_SHARE
from streamrnn.core.ensemble.ledger import WARM, further_priors
from streamrnn.core.experts.classical import UNKNOWN
from streamrnn.core.experts.drift import LASTING
from streamrnn.core.experts.safe_pickle import loaded
from streamrnn.core.forecaster import CoreForecaster
from streamrnn.core.series.calendar import round_cadence
from streamrnn.core.series.lean_state import LEAN_EXPERTS
from streamrnn.core.series.plan import Plan, make_plan
from streamrnn.core.series.state import EXPERTS
from streamrnn.explanation.answer import Explanation, IntervalCause, MemberWeight, SeasonFound

Row = Mapping[str, NDArray[Any]]
"""The state of one series, by the names of a snapshot, without the axis of the series."""

VOLATILE = 1.5
"""Least ratio of the latest changes to the usual ones that is named as a cause."""
CORRECTED = 1.05
"""Least ratio of a calibrated interval to that of the mixture for which the calibration is named as a cause."""
TINY_SPAN = 1e-9
"""Smallest divisor: a forecast of a single level has no width."""
LATEST_CHANGES = 24
"""Latest changes that are compared with the usual ones."""


def explain_series(forecaster: CoreForecaster, row: int) -> Explanation:
    """Return the explanation of the series in a row, which has at least one observation."""
    state = {name: array[0] for name, array in forecaster.copy_rows(np.array([row])).items()}
    layout: Mapping[str, Any] = forecaster.layout
    plan = make_plan(layout["horizons"], layout["quantiles"])
    seen, cadence = int(state["series_seen"]), round_cadence(float(state["series_cadence"]))
    slots = plan.slots[plan.published] + (seen - 1) % plan.horizons[plan.published]
    if layout["variant"] == "lean":
        weights = _lean_weights(state, layout, plan)
    else:
        weights = _full_weights(state, layout, plan, slots)
    members = [MemberWeight(name, [round(float(w), 4) for w in each]) for name, each in weights.items()]
    members.sort(key=lambda member: -sum(member.weight))
    units = state["series_unit"][slots]
    published, mixed = _widths(state, layout, plan, slots)
    drift = _drifting_for(forecaster, state, row, seen)
    return Explanation(
        series=forecaster.names[row],
        observations=seen,
        first_time=int(state["series_first"]),
        time=int(state["series_time"]),
        step_seconds=cadence / 1000,
        horizon=list(layout["horizons"]),
        members=members,
        seasons=_seasons(state, layout, plan),
        typical_change=[float(unit) for unit in units],
        width=[float(width) for width in published * units],
        causes=_causes(state, plan, seen, float(np.mean(published / np.maximum(mixed, 1e-9))), drift),
        drifting_for=drift,
    )


def _prior(
    layout: Mapping[str, Any], points: int, labels: NDArray[np.int64], *, persistence: float,
    further: Sequence[float] = (),
) -> NDArray[np.float64]:  # fmt: skip
    """Return the prior of the members (H, M), `points` (X) of them, after `labels` (H,), see `fill_prior`.

    `persistence` is the share of the first one, `further` are those behind the networks.
    """
    trained, networks = layout["base"] is not None, layout["networks"]
    young, mature = (
        np.log(
            [persistence]
            + [PRIOR_POINT] * (points - 1)
            + [share if trained else PRIOR_POINT] * networks
            + list(further)
        )
        for share in (YOUNG_NETWORK, PRIOR_NETWORK)
    )
    prior = np.exp(mature + np.exp(-labels[:, None] / YOUTH) * (young - mature))
    return np.asarray(prior / prior.sum(1, keepdims=True))


def _normalized(weights: NDArray[np.float64], prior: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights (..., M) that sum to 1, with SHARE of the prior."""
    return np.asarray((1 - SHARE) * weights / weights.sum(-1, keepdims=True) + SHARE * prior)


def _full_weights(
    state: Row, layout: Mapping[str, Any], plan: Plan, slots: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """Return the weights (H,) of the members of the full variant in forecasts at `slots` (H,), see `mix_members`."""
    regret, variance, bound = (
        state[f"ledger_{name}"][plan.published].astype(np.float64) for name in ("regret", "variance", "bound")
    )
    networks = int(layout["networks"])
    further = further_priors(networks)
    points = regret.shape[2] - networks - len(further)
    horizons = plan.horizons[plan.published]
    labels = int(state["series_seen"]) - 1 - horizons
    persistence = FullBank.prior_persistence
    prior = _prior(layout, points, labels, persistence=persistence, further=further)[:, None]
    rate = np.minimum(0.5 / bound, np.sqrt(2.0 / variance)) / np.sqrt(horizons)[:, None, None]
    exponents = rate * regret
    weights = _normalized(np.exp(exponents - exponents.max(2, keepdims=True)) * rate * prior, prior)
    experts = state["series_points"][slots][:, [EXPERTS.index(name) for name in MIXED]]
    weights[:, :, 1 : 1 + len(MIXED)] *= (experts != UNKNOWN)[:, None]  # those without a forecast have no weight
    weights[:, :, -1] *= state["analogs_quantiles"][slots] != UNKNOWN
    weights /= weights.sum(2, keepdims=True)
    extra = points - 1 - len(MIXED)
    river = [f"expert_{number + 1}" for number in range(extra)]
    if layout.get("joint") and river:
        river[-1] = "cross_series"
    behind = ["combination", "analogs"][-len(further) :]
    names = ["persistence", *MIXED, *river, *_network_names(networks), *behind]
    return dict(zip(names, weights.mean(1).T, strict=True))


def _lean_weights(state: Row, layout: Mapping[str, Any], plan: Plan) -> dict[str, NDArray[np.float64]]:
    """Return the weights (H,) of the members of the lean variant, see `fill_lean_weights`."""
    loss = np.maximum(state["series_loss"][plan.published].astype(np.float64), SMALLEST)
    prior = _prior(layout, 1, np.full(len(loss), int(state["series_seen"]) - 1), persistence=PRIOR_POINT)
    weights = _normalized(prior * (loss.min(1, keepdims=True) / loss) ** EDGE, prior)
    return dict(zip(["persistence", *_network_names(int(layout["networks"]))], weights.T, strict=True))


def _network_names(count: int) -> list[str]:
    return ["network"] if count == 1 else [f"network_{number + 1}" for number in range(count)]


def _widths(
    state: Row, layout: Mapping[str, Any], plan: Plan, slots: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the widths (H,) of the outermost interval as published and before the calibration, in units."""
    if layout["variant"] == "lean":
        final, offset = state["series_latest"][plan.published], state["series_offset"][plan.published]
        width = (final[:, -1] - final[:, 0]).astype(np.float64)
        moved, running = (offset[:, -1] - offset[:, 0]).astype(np.float64), state["series_wrong"][plan.published]
        span = max(plan.normal[-1] - plan.normal[0], TINY_SPAN)
        # what offset_unit and apply_offsets do, solved for the width before
        before = (width - moved * (1 - WIDTH_SHARE) * running) / np.maximum(1 + moved * WIDTH_SHARE / span, TINY_SPAN)
        return width, before
    final, mixed = (state[f"ledger_{name}"][slots].astype(np.float64) for name in ("final", "mixed"))
    return final[:, -1] - final[:, 0], mixed[:, -1] - mixed[:, 0]


def _seasons(state: Row, layout: Mapping[str, Any], plan: Plan) -> list[SeasonFound]:
    lean = layout["variant"] == "lean"
    names, errors = (LEAN_EXPERTS if lean else EXPERTS), state["series_error"][plan.published]
    own = 0.0 if lean else float(state["series_own"])
    found = []
    for index, kind in enumerate(("short", "long")):
        period = float(state["series_period"][index])
        if period <= 0:
            continue
        origin: Literal["configured", "calendar", "detected"]
        origin = "configured" if layout["seasons"] is not None else "detected" if period == own else "calendar"
        columns = [column for column, name in enumerate(names) if name.endswith(f"_{kind}")]
        gains = 1 - errors[:, columns] / np.maximum(errors[:, -1:], 1e-9)
        found.append(SeasonFound(period / 1000, origin, round(float(gains.mean(0).max()), 4)))
    return found


def _missing_rows(state: Row, plan: Plan, seen: int) -> int:
    """Return the number of missing rows before the latest one, at most the longest horizon less one."""
    k, missing = int(plan.horizons.argmax()), 0
    horizon, first = int(plan.horizons[k]), int(plan.slots[k])
    while missing < min(horizon, seen) - 1 and state["series_unit"][first + (seen - 2 - missing) % horizon] == 0:
        missing += 1
    return missing


def _causes(state: Row, plan: Plan, seen: int, calibration: float, drift: int | None) -> list[IntervalCause]:
    found = []
    if seen < WARM:
        found.append(IntervalCause("young", seen))
    usual, ring = float(state["series_scale"][0]), state["series_ring"]
    count = min(seen, len(ring), LATEST_CHANGES + 1)
    values = ring[np.arange(seen - count, seen) % len(ring)].astype(np.float64)
    if count > 2 and usual > 0 and (ratio := float(np.abs(np.diff(values)).mean()) / usual) >= VOLATILE:
        found.append(IntervalCause("volatile", round(ratio, 2)))
    if calibration >= CORRECTED:
        found.append(IntervalCause("calibration", round(calibration, 3)))
    if missing := _missing_rows(state, plan, seen):
        found.append(IntervalCause("gap", missing))
    if drift is not None:
        found.append(IntervalCause("drift", drift))
    return found


def _drifting_for(forecaster: CoreForecaster, state: Row, row: int, seen: int) -> int | None:
    """Return the observations since the latest alarm that makes the series drifting; None if it is not."""
    until = [int(state["shifts_until"])] if "shifts_until" in state else []
    pickled = forecaster.save_pickles(row, 1).get("drift")
    if pickled is not None:
        until += cast("list[list[int]]", loaded(np.asarray(pickled, np.uint8)))[0]  # see Drift.save
    latest = max(until, default=0)
    return seen - (latest - LASTING) if latest >= seen and latest > 0 else None
