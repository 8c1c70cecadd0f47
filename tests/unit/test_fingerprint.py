"""The numeric fingerprint tells one machine's arithmetic from another's."""

import json
import os
import subprocess
import sys

import torch

from streamrnn.core.fingerprint import numerics

TELL = (
    "import json, torch; from streamrnn.core.forecaster import Forecaster; "
    "print(json.dumps(Forecaster(horizons=(1,), quantiles=(0.5,), hidden_size=4, device='cpu').numerics))"
)


def told(**variables: str) -> dict[str, str]:
    """The fingerprint of a forecaster in a process of its own."""
    said = subprocess.run(
        [sys.executable, "-c", TELL], capture_output=True, check=True, env={**os.environ, **variables}, timeout=100
    )
    document: dict[str, str] = json.loads(said.stdout)
    return document


def test_the_same_machine_has_the_same_one() -> None:
    """Processes of one machine and one set of versions agree; the versions are in it."""
    first = told()
    assert first == told()
    assert first["torch"].split()[0] == torch.__version__
    assert set(first) == set(numerics("cpu"))


def test_torch_computes_in_one_thread() -> None:
    """More would change the order of sums: the modules that use it see to it."""
    tell = "import streamrnn.core.learning.bptt, torch; print(torch.get_num_threads())"
    said = subprocess.run([sys.executable, "-c", tell], capture_output=True, check=True, timeout=100)
    assert said.stdout.strip() == b"1"


def test_another_instruction_set_has_another_one() -> None:
    """What torch is told to compute with is part of it: its sums come out otherwise."""
    plain = told(ATEN_CPU_CAPABILITY="default")
    assert plain != told()
    assert "default" in plain["torch"]
