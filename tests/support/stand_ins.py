"""Stand-ins for programs in the documents' shell blocks: `python stand_ins.py PROGRAM ARGUMENT...`.

python3    `-m venv FOLDER` makes an environment that has these stand-ins; everything else is run
pip        checks that the requirements are valid and the extras exist; installs nothing
uv         `pip install` as pip's; `--torch-backend` is one that there is
make       prints what the target would do (--dry-run), in the repository
curl       requests the address, with the headers given, until there is what it names; of server-sent events only the
           first is read
openssl    `rand -hex N`
streamrnn  runs the command; `pretrain` trains a tiny number of steps on tiny data, `bench` and `plan` measure briefly
"""

import os
import secrets
import shutil
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from functools import partial
from http import HTTPStatus
from itertools import pairwise
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


def python3(*arguments: str) -> int:
    """Make a virtual environment without programs of its own, or run Python."""
    if arguments[:2] != ("-m", "venv"):
        return subprocess.run([sys.executable, *arguments], check=False).returncode
    script = Path(arguments[2]) / "bin/activate"
    script.parent.mkdir(parents=True)
    script.touch()
    return 0


def pip(command: str, *arguments: str) -> int:
    """Check the arguments of `pip install`."""
    if command != "install":
        return 2
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for text in arguments:
        requirement = Requirement(text.replace(".", "streamrnn", 1) if text.startswith(".") else text)
        if requirement.name != "streamrnn" or not requirement.extras <= known.keys():
            sys.stderr.write(f"no such package or extra: {text}\n")
            return 1
    return 0


def uv(program: str, *arguments: str) -> int:
    """Check the arguments of `uv pip install`."""
    command, *rest = arguments
    if rest[:1] == ["--torch-backend"]:
        backend, *rest = rest[1:]
        if backend not in ("cpu", "auto"):
            return 2
    return pip(command, *rest) if program == "pip" else 2


def make(*arguments: str) -> int:
    """Print what a target would do."""
    path = os.environ["PATH"].partition(":")[2]  # without the stand-ins: this one would call itself for ever
    program = shutil.which("make", path=path)
    assert program is not None
    return subprocess.run([program, "--dry-run", *arguments], cwd=ROOT, check=False).returncode


def curl(*arguments: str) -> int:
    """Request an address."""
    address = arguments[-1]
    request = urllib.request.Request(address if "://" in address else f"http://{address}")
    for option, value in pairwise(arguments):
        if option == "--header":
            request.add_header(*value.split(": ", 1))
    for left in reversed(range(100)):
        try:
            answer = urllib.request.urlopen(request, timeout=60)
            break
        except urllib.error.HTTPError as error:
            with error:
                if error.code != HTTPStatus.NOT_FOUND or not left:
                    raise
            time.sleep(0.1)  # a page shows a series a moment after its first forecast
    with answer:
        live = answer.headers["Content-Type"].startswith("text/event-stream")
        sys.stdout.write((answer.readline() if live else answer.read()).decode())
    return 0


def openssl(command: str, option: str, count: str) -> int:
    """Print random bytes."""
    if (command, option) != ("rand", "-hex"):
        return 2
    sys.stdout.write(f"{secrets.token_hex(int(count))}\n")
    return 0


def streamrnn(*arguments: str) -> int:
    """Run a command of streamrnn."""
    from streamrnn.cli import main

    if arguments[0] == "pretrain":
        from support.pretraining import TINY

        from streamrnn.commands.pretrain import pipeline

        pipeline.make_base_network = partial(pipeline.make_base_network, sizes=TINY._replace(validation=((4, 320),)))
        arguments = (*arguments, "--steps", "3")
    if arguments[0] == "bench":
        arguments = (*arguments, "--series", "20", "--seconds", "0.1")
    if arguments[0] == "plan":
        arguments = (*arguments, "--seconds", "0.1")
    return main(arguments)


if __name__ == "__main__":
    programs = (python3, pip, uv, make, curl, openssl, streamrnn)
    sys.exit({program.__name__: program for program in programs}[sys.argv[1]](*sys.argv[2:]))
