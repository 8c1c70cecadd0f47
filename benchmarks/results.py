"""The results of `make bench`: as a table, as JSON and as a picture; and a comparison of two of them.

    make bench-compare [ARGS='NEW.json --with OLD.json --tolerance 0.15']

compares the ratios of a new run with those of an earlier one, and fails if one is worse by more than the tolerance.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

LATEST = Path("build/bench")
STORED = Path(__file__).with_name("results") / "bench.json"
TOLERANCE = 0.15
"""Share by which a ratio may be worse: about twice the spread between runs of the same code on two cores."""


class Result(NamedTuple):
    """One figure of one cell; several measurements have several results."""

    cell: str
    what: str
    value: float
    better: str = ""
    """"higher" or "lower" for a ratio that is compared between runs."""


def medians(results: Sequence[Result]) -> dict[tuple[str, str], Result]:
    """Return one result for each cell and figure, ratios first, otherwise in the order of measurement."""
    found: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        found.setdefault((result.cell, result.what), []).append(result)
    ordered = sorted(found.items(), key=lambda pair: not pair[1][0].better)
    return {key: each[0]._replace(value=statistics.median(r.value for r in each)) for key, each in ordered}


def table(results: Sequence[Result]) -> str:
    """Return a table in Markdown, ratios first."""
    lines = ["| cell | what | |", "|---|---|---|"]
    for (cell, what), result in medians(results).items():
        value = f"{result.value:.2f}" if result.value < 10 else f"{result.value:,.0f}"
        lines.append(f"| {cell} | {what} | {value} |")
    return "\n".join(lines) + "\n"


def save(folder: Path, about: Mapping[str, str], results: Sequence[Result]) -> None:
    """Write bench.json and bench.svg."""
    folder.mkdir(parents=True, exist_ok=True)
    found = [result._asdict() for result in medians(results).values()]
    (folder / "bench.json").write_text(json.dumps({**about, "results": found}, indent=1, ensure_ascii=False) + "\n")
    draw(folder / "bench.svg", results)


def draw(path: Path, results: Sequence[Result]) -> None:
    """Draw the rates of each cell and its pass-through, and the ratios."""
    from matplotlib.figure import Figure

    found = medians(results)
    cells = [cell for cell, what in found if what == "ratio to the pass-through"]
    peers = [cell for cell, what in found if what == "records/s" and cell not in cells]
    figure = Figure(figsize=(9, 1 + 0.45 * (len(cells) + len(peers))), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    rows = range(len(cells) + len(peers))
    left.barh(rows, [found[cell, "records/s"].value for cell in cells + peers], 0.4, label="measured")
    bare = [found[cell, "pass-through, records/s"].value for cell in cells]
    left.barh([row + 0.4 for row in rows[: len(cells)]], bare, 0.4, label="pass-through", color="lightgrey")
    left.set_yticks(rows, cells + peers)
    left.set_xlabel("records/s")
    left.legend()
    right.barh(rows[: len(cells)], [found[cell, "ratio to the pass-through"].value for cell in cells], 0.4)
    right.set_yticks([])
    right.set_xlabel("ratio to the pass-through")
    for axes in (left, right):
        axes.set_ylim(len(rows) - 0.4, -0.6)
    figure.savefig(path)


def read(path: Path) -> dict[tuple[str, str], Result]:
    """Return the results of a file. Raises SystemExit if it does not exist."""
    if not path.exists():
        remedy = "make bench ARGS=--write" if path == STORED else "make bench"
        raise SystemExit(f"bench-compare: {path} does not exist; write it by {remedy}")
    entries: list[dict[str, Any]] = json.loads(path.read_text())["results"]
    return {(each["cell"], each["what"]): Result(**each) for each in entries}


def compare(
    new: Mapping[tuple[str, str], Result], old: Mapping[tuple[str, str], Result], tolerance: float
) -> tuple[list[str], list[str]]:
    """Return a line for each ratio of both runs, and those of them that are worse by more than the tolerance."""
    lines, worse = [], []
    for key, before in old.items():
        after = new.get(key)
        if not before.better or after is None:
            continue
        change = after.value / before.value - 1
        loss = -change if before.better == "higher" else change
        lines.append(f"{key[0]}, {key[1]}: {before.value:.3f} -> {after.value:.3f} ({change:+.0%})")
        if loss > tolerance:
            worse.append(lines[-1])
    return lines, worse


def main(argv: Sequence[str]) -> int:
    """Print the comparison; the exit code is 1 if a ratio is worse, 2 if there is nothing to compare."""
    parser = argparse.ArgumentParser(prog="make bench-compare", allow_abbrev=False)
    parser.add_argument("new", type=Path, nargs="?", default=LATEST / "bench.json", help="default: %(default)s")
    parser.add_argument("--with", dest="old", type=Path, default=STORED, help="default: %(default)s")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="share (default: %(default)s)")
    given = parser.parse_args(argv)
    lines, worse = compare(read(given.new), read(given.old), given.tolerance)
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    if not lines:
        sys.stderr.write(f"bench-compare: {given.new} and {given.old} have no ratio in common\n")
        return 2
    if worse:
        listed = "".join(f"  {line}\n" for line in worse)
        sys.stderr.write(f"bench-compare: worse than in {given.old} by more than {given.tolerance:.0%}:\n{listed}")
        return 1
    sys.stdout.write(f"{len(lines)} ratios, none worse by more than {given.tolerance:.0%}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
