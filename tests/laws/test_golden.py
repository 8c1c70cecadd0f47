"""Forecasts and dead letters of fixed streams do not change from version to version.

tests/laws/golden.json has the digests of the outputs, the numeric fingerprint for which they are valid, and a sample of
the medians for other fingerprints. `make golden` writes it again, where outputs are meant to change.
"""

import json

import numpy as np
import pytest
from support.golden import CONFIGURATIONS, GOLDEN, STREAMS, run

from streamrnn.core.fingerprint import numeric_fingerprint

STORED = json.loads(GOLDEN.read_text())
TOLERANCE = 0.02
"""Of the medians' standard deviation, on another fingerprint: versions and instruction sets round differently."""


def test_every_run_is_stored() -> None:
    """The file has each configuration on each stream, with forecasts and dead letters."""
    assert STORED["runs"].keys() == {f"{name}/{stream}" for name in CONFIGURATIONS for stream in STREAMS}
    for stored in STORED["runs"].values():
        assert stored["forecasts"] >= 200
        assert stored["dead_letters"] > 20
        assert len(stored["medians"]) > 50


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_outputs_are_those_of_earlier_versions(name: str, stream: str) -> None:
    """All bytes are equal on the fingerprint of the file, and the medians are close on any other."""
    stored, found = STORED["runs"][f"{name}/{stream}"], run(name, stream)
    np.testing.assert_allclose(
        found["medians"], stored["medians"], rtol=0, atol=TOLERANCE * float(np.std(stored["medians"]))
    )
    if numeric_fingerprint("cpu") == STORED["fingerprint"]:
        assert found == stored
    else:
        assert (found["forecasts"], found["dead_letters"]) == (stored["forecasts"], stored["dead_letters"])
