"""Pictures of forecasts beside the observed values."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TRUTH, NEAR, FAR, ANOMALY = "#222222", "#0072b2", "#d55e00", "#cc0022"
"""Colours that differ in print and with colour blindness."""
PANEL_INCHES = (13.0, 2.6)
DOTS_PER_INCH = 130


class DueForecasts(NamedTuple):
    """Forecasts of one horizon at the N rows for which they were made; NaN where there is none."""

    horizon: int
    """Steps."""
    median: Floats
    low: Floats
    high: Floats
    """Bounds of the outermost interval."""


class Panel(NamedTuple):
    """One series over N rows."""

    title: str
    interval: float
    """Nominal coverage of the outermost interval."""
    times: NDArray[np.datetime64]
    values: Floats
    anomalies: NDArray[np.bool_]
    """Rows outside the 99% interval forecast for them one step before."""
    near: DueForecasts
    far: DueForecasts
    """`near` has the forecasts of the shortest horizon, `far` those of the longest."""


def make_panel(title: str, records: Iterable[bytes], rows: int) -> Panel:
    """Return the last `rows` rows of one series, from its forecast records (JSON) in order.

    Raises:
        ValueError: there are no records.
    """
    documents = [orjson.loads(record) for record in records]
    if not documents:
        raise ValueError(f"no forecast records to draw {title} from")
    levels = sorted(documents[0]["quantiles"], key=float)
    outer, last = levels[0], len(documents[0]["horizon"]) - 1

    def due(k: int) -> DueForecasts:
        horizon = documents[0]["horizon"][k]
        made = [[d["quantiles"][level][k] for level in ("0.5", outer, levels[-1])] for d in documents]
        shifted = np.concatenate([np.full((horizon, 3), np.nan), np.array(made, np.float64)])[: len(documents)]
        return DueForecasts(horizon, *shifted[-rows:].T)

    return Panel(
        title=title,
        interval=float(levels[-1]) - float(outer),
        times=np.array([d["time"] for d in documents[-rows:]], "datetime64[ms]"),
        values=np.array([d["value"] for d in documents[-rows:]], np.float64),
        anomalies=np.array([d["anomaly_score"] >= 1 for d in documents[-rows:]], np.bool_),
        near=due(0),
        far=due(last),
    )


def draw_panels(title: str, panels: Sequence[Panel], path: Path) -> None:
    """Draw panels one below the other into a PNG file.

    Raises:
        OSError: the file cannot be written.
    """
    width, height = PANEL_INCHES
    figure = Figure(figsize=(width, height * len(panels) + 0.9), layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for each, panel in zip(axes, panels, strict=True):
        _draw_panel(each, panel)
    figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=len(labels), frameon=False, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", dpi=DOTS_PER_INCH)


def _draw_panel(axes: Axes, panel: Panel) -> None:
    times, percent = panel.times, f"{100 * panel.interval:.0f}%"
    lines = ((panel.far, FAR, 0.16), (panel.near, NEAR, 0.30))
    for due, color, alpha in lines:
        label = f"{percent} interval, {_steps(due.horizon)}"
        axes.fill_between(times, due.low, due.high, color=color, alpha=alpha, lw=0, label=label)
    for due, color, _ in lines:
        axes.plot(times, due.median, color=color, lw=1.0, label=f"median, {_steps(due.horizon)}")
    axes.plot(times, panel.values, color=TRUTH, lw=0.8, label="observed")
    anomalies = panel.anomalies
    axes.plot(times[anomalies], panel.values[anomalies], "o", color=ANOMALY, ms=4, mfc="none", label="anomaly")
    first, last = (datetime.fromtimestamp(t / 1e3, UTC) for t in times[[0, -1]].astype(np.int64).tolist())
    axes.set_title(f"{panel.title}    {first:%d %b %Y} to {last:%d %b %Y}", loc="left", fontsize=10)
    axes.margins(x=0)
    axes.set_ylim(*_limits(panel))
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.grid(alpha=0.25, lw=0.5)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _limits(panel: Panel) -> tuple[float, float]:
    """Return the bounds of the axis: all values, and the intervals without their rarest peaks."""
    bounds = np.concatenate([panel.far.low, panel.far.high, panel.near.low, panel.near.high])
    bounds = bounds[np.isfinite(bounds)]
    edges = np.quantile(bounds, (0.01, 0.99)) if len(bounds) else panel.values
    low, high = min(panel.values.min(), edges.min()), max(panel.values.max(), edges.max())
    margin = 0.05 * (high - low) or 1.0
    return float(low - margin), float(high + margin)


def _steps(horizon: int) -> str:
    return f"{horizon} step{'s' if horizon > 1 else ''} ahead"
