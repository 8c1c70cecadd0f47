"""The formulas of docs/how-to/sizing.md; the Helm chart has those of memory, which a test compares with these."""

import math
from typing import NamedTuple

PROCESS_MIB = 1024
"""Memory of a process with few series and torch: 0.76 to 0.85 GB, under full load up to 1.04 GB."""
PAGE_MIB = 256
"""Memory of the page's process, in addition to page.memory."""
SPARE_MIB = 512
"""Reserve in the memory limit for a batch of input."""
STATE_FACTOR = 1.3
"""Resident memory per byte of a series' state."""
BUSY = 0.7
"""Share of a core that the loop may use; the rest is a reserve to catch up after a restart or a rebalance."""
LOG_MICROSECONDS = {"confluent": 27.0, "kafka-python": 72.0, "sqlite": 27.0}
"""Processor time per record that reading and writing add to the forecasts, on the machine of benchmarks/RESULTS.md."""
FORECAST_BYTES = 465
"""Bytes of a forecast with three horizons and five quantiles, before compression."""
FIELD_BYTES = 9
"""Bytes of each further number in a forecast."""
DIVISIBLE = 12
"""Divisor of the number of partitions, which then divide evenly among 1, 2, 3, 4, 6 and 12 processes."""


class Memory(NamedTuple):
    """Mebibytes of each of several equal machines or pods."""

    usual: int
    most: int
    """Need while another machine is down, and with a large batch of input."""


def memory(series: int, state_bytes: float, *, machines: int, workers: int, page_mib: int = 0) -> Memory:
    """Return the memory that each machine needs, in MiB.

    Args:
        series: Series of the application.
        state_bytes: Bytes of state per series.
        machines: Machines that share the series.
        workers: Processes on each of them.
        page_mib: `page.memory` in MiB; 0: there is no page.
    """
    total = series * state_bytes * STATE_FACTOR / 2**20
    base = PROCESS_MIB * workers + (PAGE_MIB + page_mib if page_mib else 0)
    most = math.ceil(total / max(1, machines - 1))
    return Memory(base + math.ceil(total / machines), base + most + SPARE_MIB)


def workers_for(rate: float, microseconds: float) -> int:
    """Return the number of processes that forecast `rate` records a second at this processor time per record."""
    return max(1, math.ceil(rate * microseconds / 1e6 / BUSY))


def partitions_for(workers: int, series: int) -> int:
    """Return a number of partitions that suffices for twice as many processes, and is at most the number of series."""
    wanted = DIVISIBLE * math.ceil(2 * workers / DIVISIBLE)
    return max(workers, min(wanted, series))


def forecast_bytes(horizons: int, quantiles: int) -> float:
    """Return the bytes of a forecast as JSON: a number per horizon and quantile, and two per horizon."""
    return FORECAST_BYTES + FIELD_BYTES * (horizons * (quantiles + 2) - 3 * 7)
