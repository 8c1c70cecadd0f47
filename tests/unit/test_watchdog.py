"""What hangs is ended, with what it was doing; what is done in time is left alone."""

import subprocess
import sys
import threading

from streamrnn.runtime.watchdog import ending_after

HANGS = """
import threading
from streamrnn.runtime.watchdog import ending_after

def stuck():
    threading.Event().wait()

with ending_after(0.2, "commit of sensors/3"):
    stuck()
"""


def test_a_process_that_hangs_ends_and_tells_where() -> None:
    """Exit code 70, and the line that it hangs in on standard error."""
    ended = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 70
    assert "in stuck" in ended.stderr
    assert "hung" in ended.stderr


def test_what_is_done_in_time_goes_on() -> None:
    """Nothing comes after the block, however it ends."""
    ended = threading.Event()
    for fail in (False, True):
        try:
            with ending_after(0.05, "commit", ended.set):
                if fail:
                    raise KeyError
        except KeyError:
            pass
    assert not ended.wait(0.3)
    with ending_after(0.05, "commit", ended.set):
        assert ended.wait(10)
