"""The compiler: its versions that are known to keep the bits, and its flags, which change none."""

import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest
from support.golden import run

KNOWN_GOOD = {"0.68.1"}
"""Versions of numba with which every law and the golden digests have passed."""
CONFIGURATION, STREAM = "lean", "nyc_taxi"
PROGRAM = f"""
import numba
import streamrnn.core.handle  # it stores arrays without references, which only this flag makes possible
njit, flags = numba.njit, ("forceinline", "_nrt")
def without_flags(*function, **options):
    return njit(*function, **{{name: value for name, value in options.items() if name not in flags}})
numba.njit = without_flags
from support.golden import run
print(run({CONFIGURATION!r}, {STREAM!r})["digest"])
"""


def test_the_compilers_version_is_known_to_be_good() -> None:
    """A new version of numba is listed once all laws have passed with it: kernels use parts that it may change."""
    assert numba.__version__ in KNOWN_GOOD, f"run make test with numba {numba.__version__}, and list it if all passes"


@pytest.mark.long
@pytest.mark.timeout(900)
def test_flags_change_no_bit(tmp_path: Path) -> None:
    """Kernels that are not inlined and count references have the same outputs."""
    path = os.pathsep.join(part for part in sys.path if part)
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "kernels"), "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == run(CONFIGURATION, STREAM)["digest"]
