"""The past of a series as CSV."""

import csv
import io
import re
from collections.abc import Iterable, Sequence

import numpy as np

from streamrnn.page.data.history import SeriesHistory
from streamrnn.timestamps import format_iso


def recent_csv(history: SeriesHistory, slot: int) -> str:
    """Return the stored observations of a series, with the forecasts made for them; then its latest forecasts.

    Columns: time (ISO 8601, UTC), value, anomaly_score, and `<steps>_ahead_<level>` for each horizon and level.
    """
    past, present = history.past(slot, history.history), history.present(slot)
    levels = [f"{level:g}" for level in history.levels]
    head = ["time", "value", "anomaly_score"]
    head += [f"{steps}_ahead_{level}" for steps in history.horizons for level in levels]
    forecasts = past.forecasts.reshape(len(past.times), -1)
    rows: list[Sequence[object]] = [
        [format_iso(time), *_numbers([value, anomaly, *forecast])]
        for time, value, anomaly, forecast in zip(
            past.times.tolist(), past.values.tolist(), past.anomaly.tolist(), forecasts.tolist(), strict=True
        )
    ]
    for k, time in enumerate(present.target_times.tolist()):
        if time > present.time:  # the step is known
            future = np.full(present.quantiles.shape, np.nan)
            future[k] = present.quantiles[k]
            rows.append([format_iso(time), "", "", *_numbers(future.ravel().tolist())])
    return _written(head, rows)


def session_csv(history: SeriesHistory, slot: int) -> str:
    """Return the whole session of a series: for each stretch its first time, and lowest, highest and last value."""
    found = history.session.stretches(slot, int(history.count[slot]))
    columns = [column.tolist() for column in found[1:]]
    rows = (
        [format_iso(time), *_numbers(numbers)] for time, *numbers in zip(found.times.tolist(), *columns, strict=True)
    )
    return _written(["time", "lowest", "highest", "last", "anomaly_score"], rows)


def file_name(series: str, kind: str) -> str:
    """Return a file name that every system accepts."""
    return f"{re.sub('[^A-Za-z0-9._-]+', '_', series)[:100].strip('._') or 'series'}-{kind}.csv"


def _numbers(numbers: Iterable[float]) -> list[object]:
    """Return numbers, empty for NaN."""
    return ["" if number != number else number for number in numbers]


def _written(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue()
