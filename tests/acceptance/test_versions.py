"""Upgrades while records arrive, and downgrades: the versions take over from each other, or refuse with words."""

import copy
import re
import subprocess
import tarfile
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path

import orjson
import pytest
from support.applications import configured, make_application
from support.daemons import Fleet
from support.fakes import INPUT
from support.fork_server import ForkServer
from support.inputs import mixed
from support.log_backends import MemoryWorld

from streamrnn.errors import StateError
from streamrnn.log.memory import MemoryStore, latest_values
from streamrnn.records import Record, TopicPartition
from streamrnn.runtime.snapshot import META, pieces, read_meta

ROOT = Path(__file__).parents[2]


def git(*arguments: str) -> bytes:
    """Return what git prints about this repository; skip the test where there is none."""
    try:
        return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no history: {error}")


@pytest.fixture(scope="session")
def version_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the package as it was before its loop, its log or its records changed last."""
    changed = git("log", "-1", "--format=%H", "--", "streamrnn/runtime", "streamrnn/log", "streamrnn/wire")
    folder = tmp_path_factory.mktemp("before")
    archive = git("archive", "--format=tar", f"{changed.decode().strip()}~1", "streamrnn")
    with tarfile.open(fileobj=BytesIO(archive)) as file:
        file.extractall(folder, filter="data")
    return folder


@pytest.mark.kafka
@pytest.mark.faults
@pytest.mark.timeout(900)
def test_a_rolling_upgrade_and_a_way_back(
    broker: str, name: str, tmp_path: Path, fork_server: ForkServer, version_before: Path
) -> None:
    """Two instances of the version before are replaced one after the other, under load, and one of them once more.

    Their names stay, as those of a StatefulSet's pods, so that each gets its own partition back.
    """
    with Fleet(broker, name, tmp_path, fork_server=fork_server, client="confluent", partitions=2) as one:
        names = {number: f"kafka.instance=pod-{number}" for number in range(2)}
        daemons = {number: one.start("", instance, package=version_before) for number, instance in names.items()}
        one.progress(patience=300)
        for number, package in ((0, None), (1, None), (0, version_before), (0, None)):
            one.progress(60, patience=300)
            one.stop_one(daemons[number])
            daemons[number] = one.start("", names[number], package=package)
            one.wait(lambda n=number: one.owns_partition(daemons[n]), "its partition", 300)
        one.progress(60)
        verdict = one.finish()
    verdict.require()


PLACE = TopicPartition("one.state", 0)


def newer_piece(store: MemoryStore) -> None:
    """Save the description of the state in a later schema."""
    meta = bytearray(latest_values(store.partition(PLACE).records)[META])
    meta[:4] = (pieces.SCHEMA + 1).to_bytes(4, "little")
    store.append(PLACE.topic, [Record(*PLACE, 0, 0, META, bytes(meta))])


def newer_layout(store: MemoryStore) -> None:
    """Save the state with a layout of a later version."""
    meta = read_meta(latest_values(store.partition(PLACE).records))
    meta["layout"]["version"] += 1
    store.append(PLACE.topic, [Record(*PLACE, 0, 0, META, pieces.frame(orjson.dumps(meta), 1)[0])])


def newer_manifest(store: MemoryStore, **entries: object) -> None:
    """Commit a manifest of a later version."""
    committed = store.committed["one", INPUT]
    metadata = orjson.dumps(orjson.loads(committed.metadata) | entries).decode()
    store.committed["one", INPUT] = committed._replace(metadata=metadata)


@pytest.mark.parametrize(
    ("upgrade", "words"),
    [
        (newer_piece, "has schema 2, and this program reads 1: use the version that wrote it"),
        (newer_layout, "a newer version of streamrnn has saved the state"),
        (partial(newer_manifest, schema=3), "was committed with schema 3, and this program reads 1 and 2: use the"),
        (partial(newer_manifest, salt=1), "was committed by a newer version of streamrnn (its manifest has the entry"),
    ],
)
def test_state_of_a_later_version_is_refused(
    upgrade: Callable[[MemoryStore], None], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says what to do, and nothing is written."""
    application = make_application("memory", tmp_path, monkeypatch)
    assert isinstance(application.world, MemoryWorld)
    store = application.world.store
    application.produce(mixed(40, seed=1))
    application.run(configured())
    upgrade(store)
    application.produce(mixed(20, seed=2))
    before = contents(store)
    with pytest.raises(StateError, match=re.escape(words)) as caught:
        application.run(configured())
    assert caught.value.exit_code == 78
    assert contents(store) == before


def contents(store: MemoryStore) -> object:
    """Return all records and committed offsets."""
    topics = ("sensors.forecasts", "sensors.dead-letters", PLACE.topic)
    return copy.deepcopy(([store.read(topic) for topic in topics], store.committed))
