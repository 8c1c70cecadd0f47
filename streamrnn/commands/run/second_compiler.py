"""Compilation by two processes if no compiled loops are cached: numba compiles in one thread.

The daemon compiles the loop over a wave's update and the one that scans records, which are half of the work. This
module, run as a program, compiles almost all other loops and exits. It reads the settings as a line of JSON from
standard input, and also exits when standard input ends, as it does with the daemon. The daemon later compiles any loop
that is still missing.
"""

import os
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from streamrnn import app
from streamrnn.core.garbage import collector_paused
from streamrnn.core.jit import Floats, Integers, Singles, compiling
from streamrnn.runtime.processes import ChildProcess, stop_with_parent
from streamrnn.runtime.warm_up import load_kernels, load_scanner
from streamrnn.settings import Settings

if TYPE_CHECKING:
    from streamrnn.core.ensemble.publish import PublishedForecasts
    from streamrnn.core.handle import Handle
    from streamrnn.core.series.wave import WaveUpdate
    from streamrnn.runtime.task import Task

PROGRAM = (sys.executable, "-m", "streamrnn.commands.run.second_compiler")
TIME = 60_000
"""Event time of the only observation, milliseconds since the epoch."""


def compile_in_two(settings: Settings) -> None:
    """Compile the loops that the cache lacks for these settings in two processes, if there are two cores.

    Raises as `app.forecaster` does.
    """
    forecaster = app.forecaster(settings)
    if compiling() is None or len(os.sched_getaffinity(0)) == 1:
        return
    second = ChildProcess(PROGRAM, first_input=settings.model_dump_json().encode() + b"\n")
    with suppress(OSError):  # such as no memory
        second.start(time.monotonic())
    rows = forecaster.add(["warm-up"])
    bank = forecaster._bank  # noqa: SLF001 -- a part of a forecaster's step, which nothing else calls by itself
    with collector_paused():
        bank.advance(rows, np.zeros(1), np.array([TIME]))
        load_scanner(app.warm_up_task(settings))
    if second.process is not None:
        second.process.wait()
    second.close_input()


def load_others(task: "Task") -> None:
    """Load the loops of `load_kernels`, except for those that `compile_in_two` compiles itself.

    The update is replaced by one that returns zeros, except for the number of observations; the forecasts, which would
    not be finite, are zeros, too. Records are decoded and not scanned.
    """
    scanner = task._admission._scanner  # noqa: SLF001 -- as above
    if scanner is not None:
        scanner.usable = False
    bank: Any = task.forecaster._bank  # noqa: SLF001 -- as above
    publish, seen = bank._publish, 0  # noqa: SLF001

    def update(_: Integers, __: Floats, ___: Integers, wave: "Handle[WaveUpdate]") -> None:
        nonlocal seen
        clear(*wave.content.features, *wave.content[1:])
        wave.content.seen.fill(seen)
        seen += 1

    def publish_zeros(rows: Integers, networks: Singles, points: Floats, published: "PublishedForecasts") -> None:
        publish(rows, networks, points, published)
        clear(*published)

    def clear(*arrays: Any) -> None:
        for array in arrays:
            array.fill(0)

    bank._update, bank._publish = update, publish_zeros  # noqa: SLF001
    load_kernels(task)


def _compile_others() -> None:
    settings = Settings.model_validate_json(sys.stdin.buffer.readline())
    stop_with_parent()
    load_others(app.warm_up_task(settings))


if __name__ == "__main__":
    _compile_others()
