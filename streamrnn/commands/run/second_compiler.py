"""The process beside a daemon that starts without cached loops: it compiles half of them, and ends.

It reads the settings as a line of JSON from standard input, whose end, with that of the daemon, ends this process, too.
"""

import sys

from streamrnn import app
from streamrnn.runtime.processes import stop_with_parent
from streamrnn.runtime.warm_up import load_others
from streamrnn.settings import Settings


def compile_others() -> None:
    """Compile what the daemon does not, for its settings."""
    settings = Settings.model_validate_json(sys.stdin.buffer.readline())
    stop_with_parent()
    load_others(app.warm_up_task(settings))


if __name__ == "__main__":
    compile_others()
