"""Loading of the compiled loops before the first record, in a thread, and their compilation in two processes."""

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from numpy.typing import NDArray

from streamrnn.core.jit import Floats, Integers, Singles, compiling
from streamrnn.records import Record
from streamrnn.runtime.processes import ChildProcess

if TYPE_CHECKING:
    from streamrnn.core.ensemble.publish import PublishedForecasts
    from streamrnn.core.forecaster import CoreForecaster
    from streamrnn.core.handle import Handle
    from streamrnn.core.series.wave import WaveUpdate
    from streamrnn.runtime.task import Task

OBSERVATIONS = 8  # two learning points of the head, by default
LEARNING = {"every": OBSERVATIONS - 1, "most": OBSERVATIONS - 1}
"""Learning that records one row for the whole network, but does not complete a window, for which torch would load."""
SECOND = (sys.executable, "-m", "streamrnn.commands.run.second_compiler")
INTERVAL = 60_000  # milliseconds
WAIT_SECONDS = 0.2


def load_kernels(task: "Task") -> None:
    """Load all kernels, but not torch, by forecasting a short series with a task to be discarded.

    Its records are flat JSON with their own keys and timestamps.
    """
    half = OBSERVATIONS // 2
    for first in (0, half):  # the series is new in the first feed, and known to the scanner in the second
        task.feed([_record(number) for number in range(first, first + half)])
    rows = np.arange(1)  # of what is asked for between the records
    task.forecaster.forecast(rows)
    task.forecaster.bounds(rows)


def compile_in_two(forecaster: "CoreForecaster", settings: bytes) -> None:
    """Compile, where the cache lacks loops, the one over a wave's update with a new forecaster: half of the work.

    A second process compiles the others for the same `settings` (JSON) meanwhile, as numba compiles in one thread.
    Whatever it leaves undone is compiled later.
    """
    if compiling() is None or len(os.sched_getaffinity(0)) == 1:
        return
    second = ChildProcess(SECOND, first_input=settings + b"\n")
    with suppress(OSError):  # such as no memory
        second.start(time.monotonic())
    row = forecaster.add("warm-up")
    bank = forecaster._bank  # noqa: SLF001 -- a part of a forecaster's step, which nothing else calls by itself
    bank.advance(np.array([row]), np.zeros(1), np.array([INTERVAL]))
    if second.process is not None:
        second.process.wait()
    second.close_input()


def load_others(task: "Task") -> None:
    """Load the kernels that `load_kernels` does, but for the one that `compile_in_two` compiles itself.

    Its results are zeros but for the number of observations, and so are the forecasts, which would not be finite.
    """
    bank: Any = task.forecaster._bank  # noqa: SLF001 -- as above
    publish, seen = bank._publish, 0  # noqa: SLF001

    def update(_: Integers, __: Floats, ___: Integers, wave: "Handle[WaveUpdate]") -> None:
        nonlocal seen
        _clear(*wave.content.features, *wave.content[1:])
        wave.content.seen.fill(seen)
        seen += 1

    def publish_zeros(rows: Integers, networks: Singles, points: Floats, published: "PublishedForecasts") -> None:
        publish(rows, networks, points, published)
        _clear(*published)

    bank._update, bank._publish = update, publish_zeros  # noqa: SLF001
    load_kernels(task)


def _clear(*arrays: NDArray[Any]) -> None:
    for array in arrays:
        array.fill(0)


def _record(number: int) -> Record:
    value = orjson.dumps({"warm-up": float(number)})
    return Record("warm-up", 0, number, INTERVAL * (1 + number), b"warm-up", value)


def finish_in_thread(call: Callable[[], None], go_on: Callable[[], bool]) -> bool:
    """Make a call in a thread of its own, and raise what it raises; return False if `go_on` did before it ended.

    `go_on` is called several times a second meanwhile.
    """
    done: Future[None] = Future()

    def work() -> None:
        try:
            call()
            done.set_result(None)
        except BaseException as error:  # noqa: BLE001 -- raised below
            done.set_exception(error)

    Thread(target=work, name="warm-up", daemon=True).start()
    while not wait([done], WAIT_SECONDS).done:
        if not go_on():
            return False
    done.result()
    return True
