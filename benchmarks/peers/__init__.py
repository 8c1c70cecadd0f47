"""Other libraries that forecast the same input, in an environment of their own.

Their programs import nothing of streamrnn. Each reads the topic in a group, and answers each record with a forecast as
large as the daemon's, committed together with the offsets at the same interval.
"""

import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

PEERS: dict[str, str] = {
    "quix-holt-winters": "quix_streams.py",
    "river-holt-winters": "loop.py",
    "river-snarimax": "loop.py",
    "torch-cell": "loop.py",
    "deep-river": "loop.py",
}
"""Program of each peer."""
REQUIREMENTS = (
    "quixstreams==3.28.1", "kafka-python==3.0.12", "lz4", "orjson", "river>=0.25,<0.26", "deep-river==0.3.4",
    "pytest",
)  # fmt: skip
"""deep-river brings torch, needs this River, and imports pytest without requiring it."""


def environment(folder: Path, requirements: Sequence[str] = REQUIREMENTS) -> Path:
    """Return the interpreter of a virtual environment with the peers; create it if absent."""
    python = folder.resolve() / "bin" / "python"
    if not (folder / "installed").exists():
        sys.stderr.write(f"installing {', '.join(requirements)} into {folder}\n")
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *requirements], check=True)
        (folder / "installed").touch()
    return python


def command(python: Path, peer: str, bootstrap: str, topic: str, name: str, state: Path, interval: float) -> list[str]:
    """Return the command that runs a peer; its group and output topic are `name`."""
    program = Path(__file__).with_name(PEERS[peer])
    return [str(python), str(program), peer, bootstrap, topic, name, str(state), str(interval)]
