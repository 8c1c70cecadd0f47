"""Output of commands for people: progress on standard error, tables on standard output."""

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from streamrnn.evaluation.figures import MEASURES, Floats
from streamrnn.evaluation.tally import selected_horizons

MAX_WIDTH = 1000
"""Characters in a line of a table; a narrower terminal wraps the line, so that no name or number is cut."""

MAX_KEYS = 20
"""Largest number of keys of a file or partition for which each has a row in a table."""

_LONG = 100_000.0

Advance = Callable[[str, int], None]
"""Called with the name of the current item and the number of units just finished."""


class _Rate(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:,.0f} {self._unit}/s")


@contextmanager
def progress(total: int, unit: str = "records") -> Iterator[Advance]:
    """Show a progress bar of `total` units on standard error while the block runs, if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _name, _count: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,}/{task.total:,}"),
        _Rate(unit),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("", total=total)
        yield lambda name, count: bars.update(bar, description=name, advance=count)


def say(line: str) -> None:
    """Write one line to standard error."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def score_table(horizons: Sequence[int], rows: Sequence[tuple[str, Floats, float]]) -> None:
    """Write a table of scores to standard output, at three horizons at most.

    A row is the name of a stream, its measures (K, 4) and records per second.
    """
    selected = selected_horizons(horizons)
    steps = " / ".join(str(horizons[k]) for k in selected)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("stream", no_wrap=True, vertical="bottom")
    for measure in MEASURES:
        table.add_column(f"{measure}\nstep {steps}", justify="right", no_wrap=True)
    table.add_column("records/s", justify="right", vertical="bottom")
    for name, measures, rate in rows:
        cells = ["  ".join(map(_cell, column)) for column in measures[selected].T.tolist()]
        table.add_row(Text(name), *cells, f"{rate:,.0f}")
    console = Console()
    console.width = max(console.width, console.measure(table, options=console.options.update(width=MAX_WIDTH)).maximum)
    console.print(table)


def _cell(value: float) -> str:
    """Return a number in at most ten characters."""
    if math.isnan(value):
        return "    -"
    return f"{value:.3f}" if abs(value) < _LONG else f"{value:.3g}"
