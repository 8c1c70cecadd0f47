"""The numeric fingerprint identifies a machine's arithmetic."""

import json
import os
import subprocess
import sys

import torch

from streamrnn.core.fingerprint import numeric_fingerprint

PRINT_FINGERPRINT = (
    "import json, torch; from streamrnn.core.forecaster import CoreForecaster; "
    "from streamrnn.core.config import ForecastConfig, LearningConfig, ModelConfig; "
    "configs = ForecastConfig(horizons=(1,), quantiles=(0.5,)), ModelConfig(hidden_size=4), LearningConfig(); "
    "print(json.dumps(CoreForecaster(*configs, device='cpu').numerics))"
)


def fingerprint(**variables: str) -> dict[str, str]:
    """Return the fingerprint of a forecaster in a new process."""
    done = subprocess.run(
        [sys.executable, "-c", PRINT_FINGERPRINT],
        capture_output=True,
        check=True,
        env={**os.environ, **variables},
        timeout=100,
    )
    document: dict[str, str] = json.loads(done.stdout)
    return document


def test_the_fingerprint_of_a_machine_is_constant() -> None:
    """Processes on one machine with the same versions agree; the fingerprint has the versions."""
    first = fingerprint()
    assert first == numeric_fingerprint("cpu")
    assert first["torch"].split()[0] == torch.__version__


def test_torch_computes_in_one_thread() -> None:
    """More threads would change the order of sums."""
    tell = "import streamrnn.core.learning.bptt, torch; print(torch.get_num_threads())"
    done = subprocess.run([sys.executable, "-c", tell], capture_output=True, check=True, timeout=100)
    assert done.stdout.strip() == b"1"


def test_another_instruction_set_has_another_fingerprint() -> None:
    """The instruction set that torch is limited to is part of it, because its sums differ."""
    plain = fingerprint(ATEN_CPU_CAPABILITY="default")
    assert plain != numeric_fingerprint("cpu")
    assert "default" in plain["torch"]
