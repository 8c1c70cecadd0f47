"""Compile the kernels of both variants, side by side, before the tests start: daemons then find them in the cache."""

import subprocess
import sys

VARIANTS = ([], ["model.variant=lean", "model.hidden_size=24"])
PROGRAM = """
import sys
from streamrnn import app
from streamrnn.settings import load
app.warm_up(load(None, sys.argv[1:]))
"""

if __name__ == "__main__":
    command = [sys.executable, "-c", PROGRAM, "input.topics=sensors"]
    running = [subprocess.Popen([*command, *overrides]) for overrides in VARIANTS]
    sys.exit(max(process.wait() for process in running))
