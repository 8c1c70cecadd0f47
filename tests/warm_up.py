"""Make, side by side, what many tests would each wait for: the kernels of both variants, and Kafka's classes."""

import subprocess
import sys

from support.broker import archive_classes, missing

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
    if missing() is None:
        archive_classes()
    sys.exit(max(process.wait() for process in running))
