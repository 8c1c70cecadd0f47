"""Draw the pictures of the documentation of models, two of them from measurements.

    PYTHONPATH=tests:. python -m benchmarks.pictures

Writes gradients.svg, recall.svg, cells.svg and windows.svg, and prints the figures of the page. The measured ones take
about three minutes on one core: four cells, each learning a recall task with two seeds.
"""

# ruff: noqa: RUF001 - multiplication and minus signs

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch
from support.recall import SERIES, WINDOW, Learning, learn, reach

DOCS = Path(__file__).parents[1] / "docs" / "images"
POINTS, DISTANCE, BLOCK = 360, 100, 20
"""Of the measured pictures: optimizer steps; rows back; optimizer steps that a point is the mean of."""
COLOURS = {"rnn_tanh": "#d55e00", "rnn_relu": "#cc79a7", "lstm": "#0072b2", "gru": "#009e73"}
"""Colours that the colour-blind can distinguish."""
INK, PALE = "#222222", "#e8eef4"

mpl.rcParams.update({"svg.hashsalt": "streamrnn", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9})


def save(figure: Figure, path: Path) -> None:
    """Write a figure, always with the same bytes."""
    figure.savefig(path, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})


def gradients(learned: dict[str, Sequence[Learning]], folder: Path) -> None:
    """Draw the gradient by distance, before and after learning; geometric mean of the seeds."""
    figure = Figure(figsize=(8.0, 3.4), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for each, title in zip(axes, ("first weights", "after learning the recall"), strict=True):
        for cell, runs in learned.items():
            weights = [run.first if title.startswith("first") else run.last for run in runs]
            pairs = zip(runs, weights, strict=True)
            norms = np.array([reach(flat, run.shape, run.windows, DISTANCE) for run, flat in pairs])
            curve = np.exp(np.log(np.maximum(norms, 1e-30)).mean(0))
            each.semilogy(curve, color=COLOURS[cell], label=cell, lw=1.8)
            print(title, cell, *(f"{k} rows: {curve[k]:.1e}" for k in (1, 10, 50, 100)))  # noqa: T201
        each.set_title(title, loc="left", fontsize=10)
        each.set_xlabel("rows back")
        tidy(each)
    axes[0].set_ylim(1e-14, 1e2)
    axes[0].set_ylabel("norm of the gradient with respect to the state")
    axes[1].legend(frameon=False)
    save(figure, folder / "gradients.svg")


def recall(learned: dict[str, Sequence[Learning]], folder: Path) -> None:
    """Draw the error at the answers by observations so far."""
    figure = Figure(figsize=(8.0, 3.2), layout="constrained")
    axes = figure.subplots()
    points = len(next(iter(learned.values()))[0].error)
    seen = np.arange(BLOCK, points + 1, BLOCK) * WINDOW * SERIES / 1e6
    for cell, runs in learned.items():
        for n, run in enumerate(runs):
            error = run.error.reshape(-1, BLOCK).mean(1)
            axes.plot(seen, error, color=COLOURS[cell], lw=1.4, label=None if n else cell)
            print(cell, "seed", n, f"error {run.error[-BLOCK:].mean():.3f} right {run.right[-BLOCK:].mean():.3f}")  # noqa: T201
    axes.axhline(1.0, color=INK, lw=0.8, ls=":")
    axes.set_xlabel("observations, millions")
    axes.set_ylabel("error at the answers")
    axes.set_ylim(0, 1.25)
    axes.margins(x=0)
    axes.legend(frameon=False, loc="lower left")
    tidy(axes)
    save(figure, folder / "recall.svg")


def tidy(axes: Axes) -> None:
    """Draw a light grid and no frame."""
    axes.grid(alpha=0.25, lw=0.5)
    axes.spines[["top", "right"]].set_visible(False)


def blank(axes: Axes, width: float, height: float, title: str) -> None:
    """Clear the axes and set their title."""
    axes.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    axes.set_axis_off()
    axes.set_title(title, loc="left", fontsize=10)


def box(axes: Axes, x: float, y: float, text: str, *, width: float = 0.9, colour: str = PALE) -> None:
    """Draw a box with its text around (x, y)."""
    corner = (x - width / 2, y - 0.28)
    axes.add_patch(FancyBboxPatch(corner, width, 0.56, boxstyle="round,pad=0.02", fc=colour, ec=INK, lw=0.9))
    axes.text(x, y, text, ha="center", va="center", fontsize=8)


def gate(axes: Axes, x: float, y: float, text: str) -> None:
    """Draw the circle of a multiplication or an addition."""
    axes.add_patch(Circle((x, y), 0.2, fc="white", ec=INK, lw=0.9))
    axes.text(x, y, text, ha="center", va="center", fontsize=9)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = INK, ls: str = "-") -> None:
    """Draw an arrow."""
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=9, color=colour, lw=1.1, ls=ls, shrinkA=0, shrinkB=0
        )
    )


def cells(folder: Path) -> None:
    """Draw the step of each kind of cell."""
    figure = Figure(figsize=(9.0, 2.9), layout="constrained")
    plain, lstm, gru = figure.subplots(1, 3)
    blank(plain, 5, 4, "rnn_tanh, rnn_relu")
    box(plain, 2.5, 2.0, "tanh or max(0, ·)", width=2.5)
    arrow(plain, (0.3, 2.0), (1.2, 2.0))
    arrow(plain, (3.8, 2.0), (4.8, 2.0))
    arrow(plain, (2.5, 0.5), (2.5, 1.68))
    ends(plain, 2.0, "h")
    blank(lstm, 5, 4, "lstm")
    arrow(lstm, (0.1, 3.2), (0.7, 3.2), COLOURS["lstm"])
    gate(lstm, 0.9, 3.2, "×")
    arrow(lstm, (1.1, 3.2), (2.0, 3.2), COLOURS["lstm"])
    gate(lstm, 2.2, 3.2, "+")
    arrow(lstm, (2.4, 3.2), (4.8, 3.2), COLOURS["lstm"])
    lstm.text(0.0, 3.55, "memory c", fontsize=8)
    for x, name in ((0.9, "forget"), (2.2, "in × new"), (3.9, "out × tanh c")):
        box(lstm, x, 1.9, name, width=1.9 if x > 3 else 1.2)
    arrow(lstm, (0.9, 2.2), (0.9, 3.0))
    arrow(lstm, (2.2, 2.2), (2.2, 3.0))
    arrow(lstm, (3.9, 3.2), (3.9, 2.2))
    arrow(lstm, (3.9, 1.6), (4.7, 1.05))
    ends(lstm, 0.9, "h")
    blank(gru, 5, 4, "gru")
    arrow(gru, (0.1, 3.2), (0.9, 3.2), COLOURS["gru"])
    gate(gru, 1.1, 3.2, "×")
    arrow(gru, (1.3, 3.2), (3.2, 3.2), COLOURS["gru"])
    gate(gru, 3.4, 3.2, "+")
    arrow(gru, (3.6, 3.2), (4.9, 3.2), COLOURS["gru"])
    for x, name in ((1.1, "update z"), (3.4, "(1 − z) × new")):
        box(gru, x, 1.9, name, width=1.5 if x < 2 else 2.3)
        arrow(gru, (x, 2.2), (x, 3.0))
    box(gru, 3.4, 0.95, "reset × h", width=1.6)
    arrow(gru, (3.4, 1.25), (3.4, 1.6))
    gru.text(0.0, 3.55, "h before", fontsize=8)
    gru.text(4.0, 3.55, "h after", fontsize=8)
    gru.text(1.0, 0.15, "every gate reads the inputs x and h before", fontsize=8)
    save(figure, folder / "cells.svg")


def ends(axes: Axes, y: float, name: str) -> None:
    """What comes in and goes out of the plain cell and the LSTM."""
    axes.text(0.0, y + 0.2, f"{name} before", fontsize=8)
    axes.text(4.0, y + 0.2 if y > 1 else y - 0.25, f"{name} after", fontsize=8)
    axes.text(1.0, 0.15, "every box reads the inputs x and h before", fontsize=8)


def windows(folder: Path) -> None:
    """Where a gradient goes back to, and what an encoder looks back upon."""
    figure = Figure(figsize=(9.0, 4.2), layout="constrained")
    upper, lower = figure.subplots(2, 1)
    blank(upper, 16, 3.4, "truncated backpropagation: the state goes on, the gradient ends where the window begins")
    blank(lower, 16, 3.4, "what the head reads at the origin: the state, and what an encoder makes of the last rows")
    for axes in (upper, lower):
        for n in range(12):
            axes.add_patch(Circle((1 + n, 1.6), 0.25, fc=PALE, ec=INK, lw=0.9))
            axes.text(1 + n, 1.6, "h", ha="center", va="center", fontsize=8)
            if n < 11:
                arrow(axes, (1.25 + n, 1.6), (1.75 + n, 1.6))
    for n in range(5, 11):
        arrow(upper, (1.75 + n, 2.15), (1.25 + n, 2.15), COLOURS["rnn_tanh"])
    upper.plot([5.5, 5.5], [0.9, 2.7], color=INK, lw=0.9, ls=":")
    upper.text(8.6, 2.5, "gradient", ha="center", fontsize=8, color=COLOURS["rnn_tanh"])
    upper.text(5.5, 0.5, "held as it was: no gradient beyond", ha="center", fontsize=8)
    upper.text(12.6, 1.5, "loss of the\nlabels so far", fontsize=8)
    for n in range(8, 11):
        arrow(lower, (1.75 + n, 0.75), (1.25 + n, 0.75), COLOURS["lstm"])
    lower.text(7.0, 0.65, "read backwards", ha="center", fontsize=8, color=COLOURS["lstm"])
    for n in range(8, 11):
        lower.add_patch(
            FancyArrowPatch(
                (12, 1.9),
                (1 + n, 1.9),
                arrowstyle="-|>",
                mutation_scale=8,
                color=COLOURS["gru"],
                ls="--",
                connectionstyle=f"arc3,rad={0.25 + 0.05 * (11 - n)}",
            )
        )
    lower.text(7.0, 2.5, "attention", ha="center", fontsize=8, color=COLOURS["gru"])
    lower.plot([12.5, 12.5], [0.4, 2.9], color=INK, lw=1.2)
    lower.text(12.7, 1.5, "the origin:\nnothing is read\nbeyond it", fontsize=8)
    lower.plot([8.5, 12.45], [0.25, 0.25], color=INK, lw=0.9)
    lower.text(10.4, -0.14, "context", ha="center", fontsize=8)
    save(figure, folder / "windows.svg")


def main() -> None:
    """Draw all pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=POINTS, help=f"optimizer steps, a multiple of {BLOCK}")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="default: 0 1")
    parser.add_argument("--output", type=Path, default=DOCS, metavar="FOLDER", help="default: %(default)s")
    given = parser.parse_args()
    cells(given.output)
    windows(given.output)
    learned = {cell: [learn(cell, given.points, seed=seed) for seed in given.seeds] for cell in COLOURS}
    gradients(learned, given.output)
    recall(learned, given.output)


if __name__ == "__main__":
    main()
