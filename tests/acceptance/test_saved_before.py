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
from streamrnn.settings import Settings, load

pytestmark = pytest.mark.usefixtures("bare_environment")

TOPICS = ("sensors.forecasts", "sensors.dead-letters")
CLOSE = {"a": 0.06, "b": 0.06}
"""Largest relative distance of the medians, by key. The files were written by version 1 of the arithmetic. Version 4
has another mixture and counts rows in event time: every twentieth observation of "b" is missing. Version 5 adds the
feedback of errors to the lean variant, and it begins without a label."""


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
    """Require the stored topics, times and keys in their order, the stored dead letters, and close medians."""
    stored = json.loads(gzip.decompress((DATA / f"{kind}.outputs.json.gz").read_bytes()))
    assert len(found) == len(stored) == END - COMMITTED
    for one, other in zip(found, stored, strict=True):
        assert one[:3] == other[:3]
        if one[0] != TOPICS[0]:
            assert one == other
            continue
        own, earlier = (json.loads(str(each[3])) for each in (one, other))
        assert own["target_time"] == earlier["target_time"]
        close = CLOSE[str(one[2])[0]]
        assert own["quantiles"]["0.5"] == pytest.approx(earlier["quantiles"]["0.5"], rel=close)


@pytest.mark.parametrize("kind", OVERRIDES)
def test_an_exported_state_continues(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state file is imported, and the next forecasts are those of the earlier version."""
    application = make_application("memory", tmp_path, monkeypatch)
    application.produce(saved_input(0, COMMITTED))
    assert import_state(settings(kind), [], unpacked(f"{kind}.state", tmp_path / "state")) == 0
    assert verify_state(settings(kind), [], replay=False) == 0
    application.produce(saved_input(COMMITTED, END))
    application.run(settings(kind))
    require_stored(outputs(application.world, dict.fromkeys(TOPICS, 0)), kind)


def test_a_sqlite_log_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log of a killed daemon is restored, and the next forecasts are those of the earlier version."""
    unpacked("lean.db", tmp_path / "log.db")
    application = make_application("sqlite", tmp_path, monkeypatch)
    sizes = {topic: len(application.world.read(topic)) for topic in TOPICS}
    assert sum(sizes.values()) == COMMITTED
    assert verify_state(settings("lean"), [], replay=False) == 0
    application.produce(saved_input(COMMITTED, END))
    application.run(settings("lean"))
    require_stored(outputs(application.world, sizes), "lean")
