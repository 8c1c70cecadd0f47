"""What commands say to a person: progress on standard error, tables on standard output."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from streamrnn.evaluation.scoring import Score

WIDEST = 1000
"""Characters in a line of a table; a narrower terminal breaks the line, and neither a name nor a number is cut."""

Advance = Callable[[str, int], None]
"""Called with what is being worked on, and with how many more records, or whatever is counted, are done."""


class _Rate(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:,.0f} {self._unit}/s")


@contextmanager
def progress(total: int, unit: str = "records") -> Iterator[Advance]:
    """Show a bar of `total` units on standard error meanwhile, if that is a terminal."""
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
    """Write one line to standard error: where a command stands."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def score_table(first: str, horizons: Sequence[int], rows: Sequence[tuple[str, Sequence[Score], float]]) -> None:
    """Write a table of scores to standard output, at three horizons at most.

    A row is a name, its scores by horizon, and records per second; `first` is the heading above the names.
    """
    places = sorted({0, len(horizons) // 2, len(horizons) - 1})
    steps = " / ".join(str(horizons[place]) for place in places)
    measures = ("MAE : persistence", "MAE : seasonal naive", "pinball : persistence", "covered")
    shown = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    shown.add_column(first, no_wrap=True, vertical="bottom")
    for measure in measures:
        shown.add_column(f"{measure}\nstep {steps}", justify="right", no_wrap=True)
    shown.add_column("records/s", justify="right", vertical="bottom")
    for name, scores, rate in rows:
        cells = ["  ".join(_ratio(scores[place][1 + column]) for place in places) for column, _ in enumerate(measures)]
        shown.add_row(Text(name), *cells, f"{rate:,.0f}")
    console = Console()
    console.width = max(console.width, console.measure(shown, options=console.options.update(width=WIDEST)).maximum)
    console.print(shown)


def _ratio(value: float | None) -> str:
    return "    -" if value is None else f"{value:.3f}"
