"""Pictures of forecasts beside what came: the only file that needs matplotlib, the `report` extra."""

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
"""Colours that differ in print and for the colour-blind, too."""
PANEL_INCHES = (13.0, 2.6)
DOTS_PER_INCH = 130


class Forecasts(NamedTuple):
    """The forecasts of one horizon, each (N,), at the rows that they were made for; NaN where there is none."""

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
    """Share of truths that the outermost interval is made for."""
    times: NDArray[np.datetime64]
    values: Floats
    anomalies: NDArray[np.bool_]
    """Rows outside the 99% interval forecast for them one step before."""
    near: Forecasts
    far: Forecasts
    """The shortest and the longest horizon."""


def panel(title: str, records: Iterable[bytes], rows: int) -> Panel:
    """The last `rows` rows of one series, from its forecast records (JSON) in their order.

    Raises:
        ValueError: there are no records.
    """
    documents = [orjson.loads(record) for record in records]
    if not documents:
        raise ValueError(f"no forecast records to draw {title} from")
    levels = sorted(documents[0]["quantiles"], key=float)
    outer, last = levels[0], len(documents[0]["horizon"]) - 1

    def forecasts(place: int) -> Forecasts:
        horizon = documents[0]["horizon"][place]
        made = [[d["quantiles"][level][place] for level in ("0.5", outer, levels[-1])] for d in documents]
        due = np.concatenate([np.full((horizon, 3), np.nan), np.array(made, np.float64)])[: len(documents)]
        return Forecasts(horizon, *due[-rows:].T)

    return Panel(
        title=title,
        interval=float(levels[-1]) - float(outer),
        times=np.array([d["time"] for d in documents[-rows:]], "datetime64[ms]"),
        values=np.array([d["value"] for d in documents[-rows:]], np.float64),
        anomalies=np.array([d["anomaly_score"] >= 1 for d in documents[-rows:]], np.bool_),
        near=forecasts(0),
        far=forecasts(last),
    )


def draw(title: str, panels: Sequence[Panel], path: Path) -> None:
    """Draw panels one below the other into a PNG file.

    Raises:
        OSError: the file cannot be written.
    """
    width, height = PANEL_INCHES
    figure = Figure(figsize=(width, height * len(panels) + 0.9), layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for each, shown in zip(axes, panels, strict=True):
        _draw(each, shown)
    figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=len(labels), frameon=False, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", dpi=DOTS_PER_INCH)


def _draw(axes: Axes, shown: Panel) -> None:
    times, near, far = shown.times, shown.near, shown.far
    percent = f"{100 * shown.interval:.0f}%"
    axes.fill_between(
        times, far.low, far.high, color=FAR, alpha=0.16, lw=0, label=f"{percent} band, {_steps(far.horizon)}"
    )
    axes.fill_between(
        times, near.low, near.high, color=NEAR, alpha=0.30, lw=0, label=f"{percent} band, {_steps(near.horizon)}"
    )
    axes.plot(times, far.median, color=FAR, lw=1.0, label=f"median, {_steps(far.horizon)}")
    axes.plot(times, near.median, color=NEAR, lw=1.0, label=f"median, {_steps(near.horizon)}")
    axes.plot(times, shown.values, color=TRUTH, lw=0.8, label="truth")
    axes.plot(
        times[shown.anomalies], shown.values[shown.anomalies], "o", color=ANOMALY, ms=4, mfc="none", label="anomaly"
    )
    first, last = (datetime.fromtimestamp(t / 1e3, UTC) for t in times[[0, -1]].astype(np.int64).tolist())
    axes.set_title(f"{shown.title}    {first:%d %b %Y} to {last:%d %b %Y}", loc="left", fontsize=10)
    axes.margins(x=0)
    axes.set_ylim(*_limits(shown))
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.grid(alpha=0.25, lw=0.5)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _limits(shown: Panel) -> tuple[float, float]:
    """Bounds of the axis: all truths, and the bands but for their rarest peaks."""
    bands = np.concatenate([shown.far.low, shown.far.high, shown.near.low, shown.near.high])
    bands = bands[np.isfinite(bands)]
    edges = np.quantile(bands, (0.01, 0.99)) if len(bands) else shown.values
    low, high = min(shown.values.min(), edges.min()), max(shown.values.max(), edges.max())
    margin = 0.05 * (high - low) or 1.0
    return float(low - margin), float(high + margin)


def _steps(horizon: int) -> str:
    return f"{horizon} step{'s' if horizon > 1 else ''} ahead"
