"""Measure the forecaster without one of its parts, or with another model, on the same streams.

    make ablate [ARGS='--data DIR --only base,head --write FILE']
    make ablate ARGS='--models --data DIR'
    make ablate ARGS='-c config/lean.yaml --only nothing,learning,base,seasons'

Streams are CSV files as `streamrnn backtest` reads them; by default those of the demo. A row of the table has the part
that was removed or the model, and then: MAE of the median / MAE of persistence over all origins
after the first tenth of a stream, mean pinball loss / that of persistence with the quantiles of its last 500 errors,
the first of these over the origins of rows 30 to 299 (geometric means over series, streams and horizons), processor
time of the whole task per series and observation, and state per series. Each stream has its own task.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import streamrnn.commands.demo.streams
from streamrnn import app
from streamrnn.evaluation.figures import mean_measures, table_measures
from streamrnn.evaluation.tally import Tally
from streamrnn.log.files import read_csv
from streamrnn.records import TopicPartition
from streamrnn.settings import Settings, load

BURN_IN, COLD = 0.1, (30, 300)
NOTHING = -1e9
"""Log of an aggregation weight of zero."""


class Part(NamedTuple):
    """A part to remove: by the configuration, or in the forecaster before each record."""

    name: str
    overrides: Sequence[str] = ()
    remove: Callable[[Any], None] = lambda forecaster: None


def _silence(forecaster: Any, members: slice) -> None:
    """Give these experts of the ensemble no weight and no influence on the regrets of the others."""
    bank = forecaster._bank
    bank._young[members] = bank._mature[members] = NOTHING
    bank.ledger.regret[..., members] = 0.0


def _no_networks(forecaster: Any) -> None:
    _silence(forecaster, slice(len(forecaster._bank._chosen), -1))


def _no_experts(forecaster: Any) -> None:
    _silence(forecaster, slice(1, len(forecaster._bank._chosen)))
    _no_analogs(forecaster)


def _no_combination(forecaster: Any) -> None:
    _silence(forecaster, slice(-2, -1))


def _no_analogs(forecaster: Any) -> None:
    _silence(forecaster, slice(-1, None))


def _no_calibration(forecaster: Any) -> None:
    forecaster._bank.ledger.offset[:] = 0.0


def _no_youth(forecaster: Any) -> None:
    forecaster._bank._young[:] = forecaster._bank._mature


def _no_feedback(forecaster: Any) -> None:
    forecaster._bank.parts.feedback.weights[:] = 0.0


def _no_lattice(forecaster: Any) -> None:
    forecaster._bank.parts.lattice.recurring[:] = 0.0


def _no_widths(forecaster: Any) -> None:
    forecaster._bank.parts.widths.weights[:] = 0.0


def _no_outliers(forecaster: Any) -> None:
    forecaster._bank.parts.outliers.regret[..., 0] = -NOTHING


PARTS = (
    Part("nothing"),
    Part("networks", ("learning.enabled=false",), _no_networks),
    Part("base", ("model.base=none",)),
    Part("learning", ("learning.enabled=false",)),
    Part("head", ("learning.head=false",)),
    Part("whole", ("learning.whole=false",)),
    Part("experts-in-mixture", (), _no_experts),
    Part("combination", (), _no_combination),
    Part("seasons", ("forecast.seasons=none",)),
    Part("prior-of-youth", (), _no_youth),
    Part("calibration", (), _no_calibration),
    Part("feedback", (), _no_feedback),
    Part("lattice", (), _no_lattice),
    Part("outliers", (), _no_outliers),
    Part("widths", (), _no_widths),
    Part("analogs", (), _no_analogs),
)


ALONE = ("model.base=none",)
MODELS = (
    Part("gru-with-base"),
    Part("gru", ALONE),
    Part("lstm", (*ALONE, "model.cell=lstm")),
    Part("rnn_tanh", (*ALONE, "model.cell=rnn_tanh")),
    Part("rnn_relu", (*ALONE, "model.cell=rnn_relu")),
    Part("gru-two-layers", (*ALONE, "model.layers=2")),
    Part("gru-bidirectional", (*ALONE, "model.encoder=bidirectional")),
    Part("gru-attention", (*ALONE, "model.encoder=attention")),
    Part("gru-decay", (*ALONE, "model.decay=true")),
    Part("gru-joint-with-base", ("model.joint=true",)),
)


class Row(NamedTuple):
    """A row of the table."""

    error: float
    pinball: float
    cold: float
    coverage: float
    """Coverage of the outermost interval."""
    microseconds: float
    row_bytes: int


def measure(part: Part, paths: Sequence[Path], config: Path | None, extra: Sequence[str], rows: int | None) -> Row:
    """Run all streams without a part, their first `rows` records each."""
    settings = load(config, ["input.topics=ablate", "device=cpu", *extra, *part.overrides])
    late, cold = [], []
    seconds, observations, row_bytes = 0.0, 0, 0
    for path in paths:
        records = list(islice(read_csv(path, 0), rows))
        task = app.task(settings, TopicPartition(path.stem, 0))
        forecaster = task._forecaster
        tallies = tally(settings, int(len(records) * BURN_IN)), tally(settings, COLD[0])
        for record in records:
            part.remove(forecaster)
            begun = time.process_time()
            outputs, _ = task.feed([record])
            seconds += time.process_time() - begun
            observations += len(outputs)
            for output in outputs:
                if output.topic == settings.output.forecasts.format(topic=path.stem):
                    tallies[0].add(output.value or b"")
                    if record.offset < COLD[1]:
                        tallies[1].add(output.value or b"")
        late.append(mean_measures(map(table_measures, tallies[0].sums())))
        cold.append(mean_measures(map(table_measures, tallies[1].sums())))
        row_bytes = forecaster.row_bytes
    error, _, pinball, covered = mean_measures(np.concatenate(late)).tolist()
    early_error = float(mean_measures(np.concatenate(cold))[0])
    return Row(error, pinball, early_error, covered, seconds / observations * 1e6, row_bytes)


def tally(settings: Settings, first: int) -> Tally:
    """Return a tally of these settings' forecasts, scored from the record at offset `first` on."""
    forecast = settings.forecast
    return Tally(horizons=forecast.horizons, quantiles=forecast.quantiles, seasons=forecast.seasons, first=first)


def table(rows: dict[str, Row], subject: str) -> str:
    """Return the table as Markdown; `subject` is the heading of the names."""
    head = f"| {subject} | relMAE | pinball | relMAE, rows 30-299 | covered | µs per observation | bytes per series |"
    lines = [head, "|-|-|-|-|-|-|-|"]
    for name, row in rows.items():
        numbers = " | ".join(f"{number:.4f}" for number in row[:4])
        lines.append(f"| {name} | {numbers} | {row.microseconds:.0f} | {row.row_bytes:,} |")
    return "\n".join(lines)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of CSV files; default: the demo's streams")
    parser.add_argument("-c", "--config", type=Path, metavar="FILE", help="YAML; default: the defaults")
    parser.add_argument("--models", action="store_true", help="compare models instead of removing parts")
    parser.add_argument("--only", help="parts or models, comma-separated")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="configuration of all rows")
    parser.add_argument("--write", type=Path, help="Markdown file to write the table to")
    parser.add_argument("--rows", type=int, help="rows to read of each file; default: all")
    arguments = parser.parse_args()
    folder = arguments.data or Path(streamrnn.commands.demo.streams.__file__).parent / "data"
    paths = sorted(folder.glob("*.csv"))
    parts, subject = (MODELS, "model") if arguments.models else (PARTS, "without")
    wanted = arguments.only.split(",") if arguments.only else [part.name for part in parts]
    rows: dict[str, Row] = {}
    for part in parts:
        if part.name in wanted:
            rows[part.name] = measure(part, paths, arguments.config, arguments.set, arguments.rows)
            print(table({part.name: rows[part.name]}, subject).splitlines()[-1], flush=True)  # noqa: T201
    if arguments.write:
        arguments.write.write_text(table(rows, subject) + "\n")


if __name__ == "__main__":
    main()
