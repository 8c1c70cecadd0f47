"""State and logs of earlier versions are usable: the files in tests/data were written by version 0.1.0.

A daemon read the records of `support.saved` up to SNAPSHOT and was ended by SIGTERM; another one read on to COMMITTED
and was killed. `state export` then wrote the state; a third daemon's outputs up to END are stored.
"""

import gzip
import json
from pathlib import Path

import pytest
from support.applications import make_application
from support.log_backends import MemoryWorld, SqliteWorld
from support.saved import APP, COMMITTED, DATA, END, OVERRIDES, saved_input

from streamrnn.commands.state.show import verify_state
from streamrnn.commands.state.transfer import import_state
from streamrnn.core.fingerprint import numeric_fingerprint
from streamrnn.settings import Settings, load

pytestmark = pytest.mark.usefixtures("bare_environment")

TOPICS = ("sensors.forecasts", "sensors.dead-letters")
FINGERPRINT = json.loads((Path(__file__).parents[1] / "laws" / "golden.json").read_text())["fingerprint"]
"""The fingerprint under which the files were written."""


def unpacked(name: str, path: Path) -> Path:
    """Decompress a file of tests/data to a path."""
    path.write_bytes(gzip.decompress((DATA / f"{name}.gz").read_bytes()))
    return path


def settings(kind: str) -> Settings:
    """Return the settings under which the files were written."""
    return load(None, [f"app={APP}", "input.topics=sensors", "device=cpu", *OVERRIDES[kind]])


def outputs(world: MemoryWorld | SqliteWorld, sizes: dict[str, int]) -> list[list[object]]:
    """Return the outputs after the first `sizes` of each topic, in the form of the stored ones."""
    return [
        [
            topic,
            record.timestamp,
            record.key and record.key.decode(),
            record.value and record.value.decode(),
            [[name, (value or b"").decode()] for name, value in record.headers],
        ]
        for topic in TOPICS
        for record in world.read(topic)[sizes[topic] :]
    ]


def require_stored(found: list[list[object]], kind: str) -> None:
    """Require the stored outputs; on another numeric fingerprint only their number and close medians."""
    stored = json.loads(gzip.decompress((DATA / f"{kind}.outputs.json.gz").read_bytes()))
    assert len(found) == len(stored) == END - COMMITTED
    if numeric_fingerprint("cpu") == FINGERPRINT:
        assert found == stored
        return
    for one, other in zip(found, stored, strict=True):
        assert one[:3] == other[:3]
        if one[0] == TOPICS[0]:
            medians = [json.loads(str(each[3]))["quantiles"]["0.5"] for each in (one, other)]
            assert medians[0] == pytest.approx(medians[1], rel=0.02)


@pytest.mark.parametrize("kind", OVERRIDES)
def test_an_exported_state_continues_with_the_same_bytes(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A state file is imported and verified by replay, and the next outputs are those of the earlier version."""
    keep = make_application("memory", tmp_path, monkeypatch)
    keep.produce(saved_input(0, COMMITTED))
    assert import_state(settings(kind), [], unpacked(f"{kind}.state", tmp_path / "state")) == 0
    assert verify_state(settings(kind), [], replay=numeric_fingerprint("cpu") == FINGERPRINT) == 0
    keep.produce(saved_input(COMMITTED, END))
    keep.run(settings(kind))
    require_stored(outputs(keep.world, dict.fromkeys(TOPICS, 0)), kind)


def test_a_sqlite_log_continues_with_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log of a killed daemon is verified by replay, and the next outputs are those of the earlier version."""
    unpacked("lean.db", tmp_path / "log.db")
    keep = make_application("sqlite", tmp_path, monkeypatch)
    sizes = {topic: len(keep.world.read(topic)) for topic in TOPICS}
    assert sum(sizes.values()) == COMMITTED
    assert verify_state(settings("lean"), [], replay=numeric_fingerprint("cpu") == FINGERPRINT) == 0
    keep.produce(saved_input(COMMITTED, END))
    keep.run(settings("lean"))
    require_stored(outputs(keep.world, sizes), "lean")
