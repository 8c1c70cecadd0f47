"""Time limits: a process that exceeds one exits with its stacks, and work in time is not affected."""

import subprocess
import sys
import threading

from streamrnn.runtime.time_limits import time_limit

HANGS = """
import threading
from streamrnn.runtime.time_limits import time_limit

def stuck():
    threading.Event().wait()

with time_limit(0.2, "commit of sensors/3"):
    stuck()
"""


def test_a_process_that_hangs_exits() -> None:
    """Exit code 70, with the log line and the stack on standard error."""
    ended = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 70
    assert "in stuck" in ended.stderr
    assert "hung" in ended.stderr


def test_a_process_that_hangs_exits_even_if_nobody_reads_its_output() -> None:
    """A full pipe at standard error, which blocks the log line, does not prevent the exit."""
    fill = (
        "import os; os.set_blocking(2, False)\ntry:\n    while os.write(2, b'x' * 4096): pass\nexcept OSError: pass\n"
    )
    program = f"{fill}os.set_blocking(2, True)\n{HANGS}"
    with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE) as process:
        assert process.wait(60) == 70


def test_work_in_time_continues() -> None:
    """The timer ends with the block, however the block ends."""
    ended = threading.Event()
    for fail in (False, True):
        try:
            with time_limit(0.05, "commit", lambda *_: ended.set()):
                if fail:
                    raise KeyError
        except KeyError:
            pass
    assert not ended.wait(0.3)
    with time_limit(0.05, "commit", lambda *_: ended.set()):
        assert ended.wait(10)
