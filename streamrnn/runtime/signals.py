"""Signals of `streamrnn run`, handled from its start on; this module imports nothing that takes long to load."""

import faulthandler
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from streamrnn.runtime.time_limits import DUMP_SECONDS, deadline

logger = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
RELOAD_SIGNAL = signal.SIGHUP
DUMP_SIGNALS = (signal.SIGUSR1, signal.SIGUSR2)


class StopSignals:
    """Handles the signals of this process, from construction until `close`, in the main thread.

    The first of STOP_SIGNALS calls the function given to `calling`, in a thread, as a handler in Python would wait for
    a library that blocks the main thread. Without such a function the daemon is still starting and has nothing to lose:
    the process exits at once with 0. The second signal ends it at once with 128 plus its number, as shells do; the
    default action would not end process 1 of a container.

    RELOAD_SIGNAL calls the other function given to `calling`, as soon as there is one. It stops the process instead if
    the terminal from which the process was started has been closed, unless it was ignored from the start, as by nohup.
    DUMP_SIGNALS write the stacks of all threads to standard error.
    """

    def __init__(self) -> None:
        self._stop: Callable[[], None] | None = None
        self._reload: Callable[[], object] | None = None
        self._signalled = self._reload_due = False
        self._on_terminal = signal.getsignal(RELOAD_SIGNAL) != signal.SIG_IGN and _has_terminal()
        self._reloading = threading.Thread()
        self._lock = threading.Lock()
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._dump: Callable[[int], object] = int
        handled = (*STOP_SIGNALS, RELOAD_SIGNAL, *DUMP_SIGNALS)
        self._before = {each: signal.signal(each, _leave_to_the_thread) for each in handled}
        for each in DUMP_SIGNALS:
            faulthandler.register(each, file=2, chain=True)
        self._thread = threading.Thread(target=self._watch, name="signals", daemon=True)
        self._thread.start()

    def __enter__(self) -> "StopSignals":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Restore the previous handlers, but ignore signals that would end a process that has stopped cleanly."""
        for each in DUMP_SIGNALS:
            faulthandler.unregister(each)
        for each, handler in self._before.items():
            ends = handler == signal.SIG_DFL and each not in STOP_SIGNALS
            signal.signal(each, signal.SIG_IGN if ends else handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._write)  # ends the thread
        self._thread.join()
        reloading = self._reloading
        if reloading.is_alive():  # a library must not be loading when the process ends
            reloading.join()
        os.close(self._read)

    @contextmanager
    def calling(
        self, stop: Callable[[], None], reload: Callable[[], object], dump: Callable[[int], object] = int
    ) -> Iterator[None]:
        """Call `stop` at the first signal to stop, and `reload` at each one to reload, while the block runs.

        `dump` is called with the number of each of DUMP_SIGNALS, after the stacks of this process were written.
        """
        with self._lock:
            self._stop, self._reload, self._dump = stop, reload, dump
        if self._reload_due:  # the settings may have been read before
            self.reload()
        yield

    def reload(self) -> None:
        """Reload as at RELOAD_SIGNAL, in another thread, so that a stop need not wait; repeat if called meanwhile."""
        with self._lock:
            self._reload_due = True
            if self._reload is None or self._signalled or self._reloading.is_alive():
                return
            self._reloading = threading.Thread(target=self._reload_while_due, name="reload", daemon=True)
            self._reloading.start()

    def _watch(self) -> None:
        while numbers := os.read(self._read, 64):
            for number in numbers:
                if number in self._before:
                    self._handle(number)

    def _handle(self, number: int) -> None:
        if number in DUMP_SIGNALS:
            self._dump(number)
            return
        if number == RELOAD_SIGNAL and not (self._on_terminal and not _has_terminal()):
            self.reload()
            return
        with self._lock:
            stop = self._stop
        if self._signalled:
            os._exit(128 + number)
        self._signalled = True
        if stop is None:
            exit_stopped()
        else:
            stop()

    def _reload_while_due(self) -> None:
        while True:
            with self._lock:
                reload, due, self._reload_due = self._reload, self._reload_due, False
                if not due or reload is None:
                    self._reloading = threading.Thread()  # the next signal starts another one
                    return
            reload()


def _has_terminal() -> bool:
    """Return whether this process has a controlling terminal, which it loses when that is closed."""
    with suppress(OSError):
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
        return True
    return False


def exit_stopped() -> None:
    """End the process at once with 0; it has nothing to commit."""
    deadline(DUMP_SECONDS, "stop", lambda *_: os._exit(0)).start()  # if nobody reads standard error
    logger.info("stopped")
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.flush()
    os._exit(0)


def _leave_to_the_thread(_number: int, _frame: FrameType | None) -> Any:
    """Do nothing: the interpreter has written the number of the signal for the thread."""
