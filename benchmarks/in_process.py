"""The task alone, in this process and without a log."""

from collections.abc import Sequence

from streamrnn.commands.capacity.measure import Measured, measure_rounds, new_task
from streamrnn.settings import load


def core(overrides: Sequence[str], series: int, warm: int, measured: int) -> Measured:
    """Measure a task on rounds of all series."""
    return measure_rounds(new_task(load(None, ["input.topics=bench", *overrides])), series, warm, measured)
