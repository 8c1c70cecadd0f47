"""`streamrnn state resume`, and the other commands where the group's offsets have expired."""

import sqlite3
from contextlib import closing
from pathlib import Path

import orjson
import pytest
from support.applications import Application, configured, make_application, yes
from support.inputs import T, mixed
from support.log_backends import MemoryWorld

from streamrnn.commands.state import show, transfer
from streamrnn.errors import StateError
from streamrnn.log import Committed
from streamrnn.log.sqlite import SqliteLog
from streamrnn.records import TopicPartition
from streamrnn.runtime.manifest import Resume

pytestmark = pytest.mark.usefixtures("bare_environment")

LATER = T + 1_000_000


@pytest.fixture(params=[pytest.param("memory", marks=pytest.mark.long), "sqlite"])
def application(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Application:
    """Return an application that has stopped cleanly after 150 records."""
    made = make_application(request.param, tmp_path, monkeypatch)
    made.produce(mixed(150, seed=1))
    made.run(configured())
    return made


def expire_offsets(application: Application) -> None:
    """Delete the committed offsets, as Kafka does with those of a group that had no members for a week."""
    if isinstance(application.world, MemoryWorld):
        application.world.store.committed.clear()
        return
    with sqlite3.connect(application.world._path) as tables:
        tables.execute("DELETE FROM offsets")
    tables.close()


def forecasts(application: Application) -> list[dict[str, object]]:
    """Return the published forecasts without the model, as documents."""
    return [orjson.loads(each.value or b"") for each in application.world.read("sensors.forecasts")]


def offsets(application: Application) -> list[int]:
    """Return the offsets that forecasts were made from."""
    return [each["source"]["offset"] for each in forecasts(application)]  # type: ignore[index]


def undisturbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """Return the forecasts of an application that loses nothing."""
    with monkeypatch.context() as patch:
        other = make_application("memory", tmp_path / "other", patch)
        other.produce([*mixed(150, seed=1), *mixed(60, seed=2, start=LATER)])
        other.run(configured())
        return forecasts(other)


def test_expired_offsets_lose_nothing(
    application: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """show, verify and export read the state alone; resumed where it was saved, the forecasts are those of no loss."""
    settings = configured()
    expire_offsets(application)
    with pytest.raises(StateError, match=r"no committed offset .*streamrnn state resume --from earliest"):
        application.run(settings)
    assert show.show_state(settings, [], as_json=False) == 0
    assert (
        "nothing is committed (the group's offsets have expired?); state saved at offset 150" in capsys.readouterr().out
    )
    assert show.verify_state(settings, [], replay=False) == 0
    assert "sensors/0: ok, state saved at offset 150, but no committed offset" in capsys.readouterr().out
    assert transfer.export_state(settings, [], tmp_path / "copy") == 0
    application.produce(mixed(60, seed=2, start=LATER))
    assert transfer.resume_state(settings, [], "saved", yes) == 0
    printed = capsys.readouterr().out
    assert (
        "nothing committed, the input has offsets 0 to 210 -> continues from offset 150 with the state saved at"
        in printed
    )
    application.run(settings)
    assert forecasts(application) == undisturbed(tmp_path, monkeypatch)
    assert show.verify_state(settings, [], replay=True) == 0
    two = configured(name="two")
    transfer.import_state(two, [], tmp_path / "copy")
    assert show.verify_state(two, [], replay=False) == 0


@pytest.mark.parametrize(("start", "first"), [("earliest", 0), ("latest", 180)])
def test_where_it_continues(application: Application, start: Resume, first: int) -> None:
    """Without a committed offset: at the first record there, or at the next one to be written; with all its series."""
    settings = configured()
    before = len(offsets(application))
    expire_offsets(application)
    application.produce(mixed(30, seed=2, start=LATER))
    assert transfer.resume_state(settings, [], start, yes) == 0
    application.produce(mixed(30, seed=3, start=2 * LATER - T))
    application.run(settings)
    later = offsets(application)[before:]
    assert later
    assert min(later) >= max(first, 150)  # records that were forecast before are too old
    assert min(later) < first + 155


def test_it_continues_behind_the_committed_offset(application: Application) -> None:
    """With a committed offset that is still there, `earliest` is the first record that was not committed."""
    settings = configured()
    application.produce(mixed(60, seed=2, start=LATER))
    before = len(offsets(application))
    assert transfer.resume_state(settings, [], "earliest", yes) == 0
    application.run(settings)
    assert min(offsets(application)[before:]) >= 150
    assert len({(str(each["source"]), each["series"]) for each in forecasts(application)}) == len(
        forecasts(application)
    )


def test_retention_has_passed_the_state(application: Application, capsys: pytest.CaptureFixture[str]) -> None:
    """After an unclean stop a replay is not possible: the state as it was saved continues behind the gap."""
    settings = configured()
    application.produce(mixed(60, seed=2, start=LATER))
    application.run(settings, clean=False)
    application.produce(mixed(60, seed=3, start=2 * LATER - T))
    truncate(application, 215)
    with pytest.raises(StateError, match=r"sensors/0 begins at offset 215, .*streamrnn state resume --from earliest"):
        application.run(settings)
    before = len(offsets(application))
    assert transfer.resume_state(settings, [], "earliest", yes) == 0
    assert "continues from offset 215 with the state saved at offset 150" in capsys.readouterr().out
    application.run(settings)
    assert min(offsets(application)[before:]) >= 215
    assert show.verify_state(settings, [], replay=True) == 0


def truncate(application: Application, offset: int) -> None:
    """Delete the records before an offset, as retention does."""
    if isinstance(application.world, MemoryWorld):
        application.world.store.truncate(TopicPartition("sensors", 0), offset)
        return
    with closing(SqliteLog(path=application.world._path, app="retention")) as log:
        log.truncate(TopicPartition("sensors", 0), offset)


def set_offset(application: Application, offset: int) -> None:
    """Commit an offset as Kafka's tools do, without the metadata of streamrnn."""
    if isinstance(application.world, MemoryWorld):
        application.world.store.committed = {key: Committed(offset, "") for key in application.world.store.committed}
        return
    with sqlite3.connect(application.world._path) as tables:
        tables.execute("UPDATE offsets SET committed = ?, metadata = ''", (offset,))
    tables.close()


def test_an_operator_sets_the_offsets(
    application: Application, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Offsets set by other programs are refused with the command that keeps the state; it can be shown and copied."""
    settings = configured()
    before = len(offsets(application))
    application.produce(mixed(60, seed=2, start=LATER))
    set_offset(application, 180)
    with pytest.raises(StateError, match=r"offset 180 .* not committed by streamrnn.*state resume --from committed"):
        application.run(settings)
    assert show.show_state(settings, [], as_json=False) == 0
    assert "another program has committed offset 180; state saved at offset 150" in capsys.readouterr().out
    assert transfer.export_state(settings, [], tmp_path / "copy") == 0
    assert transfer.resume_state(settings, [], "committed", yes) == 0
    assert "continues from offset 180 with the state saved at offset 150" in capsys.readouterr().out
    application.run(settings)
    assert min(offsets(application)[before:]) >= 180
    assert show.verify_state(settings, [], replay=True) == 0


def test_an_operator_sets_an_offset_that_does_not_exist(application: Application) -> None:
    """Where there is no such record, the other positions remain."""
    settings = configured()
    before = len(offsets(application))
    application.produce(mixed(60, seed=2, start=LATER))
    set_offset(application, 5000)
    with pytest.raises(StateError, match=r"the committed offset is 5000 for sensors/0, which has offsets 0 to 210"):
        transfer.resume_state(settings, [], "committed", yes)
    assert transfer.resume_state(settings, [], "saved", yes) == 0
    application.run(settings)
    assert offsets(application)[before] >= 150


def test_nothing_without_confirmation(application: Application, capsys: pytest.CaptureFixture[str]) -> None:
    """The changes are listed first; without confirmation nothing is changed and the exit code is 2."""
    settings = configured()
    expire_offsets(application)
    assert transfer.resume_state(settings, [], "latest", lambda: False) == 2
    assert "continues from offset 150" in capsys.readouterr().out
    with pytest.raises(StateError, match="no committed offset"):
        application.run(settings)


def test_there_must_be_a_state(application: Application) -> None:
    """An application without state has nothing to resume."""
    with pytest.raises(StateError, match=r"sensors/0 has no saved state in other\..*: there is nothing to resume from"):
        transfer.resume_state(configured(name="other"), [], "earliest", yes)
