"""`streamrnn state`: show, verify, export, import, migrate and reset."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import orjson
import pytest
from support.applications import Application, configured, make_application, yes
from support.inputs import T, mixed

from streamrnn import app
from streamrnn.commands.state import show, stored, transfer
from streamrnn.errors import ConfigError, InputError, LogError, OutputError, StateError, StreamrnnError
from streamrnn.log import Committed
from streamrnn.records import Output, TopicPartition
from streamrnn.runtime.manifest import initial_manifest
from streamrnn.runtime.snapshot import CHUNK_BYTES, read_meta
from streamrnn.runtime.snapshot.archive import read_archive
from streamrnn.settings import Settings

pytestmark = pytest.mark.usefixtures("bare_environment")

FIRST, SECOND = TopicPartition("sensors", 0), TopicPartition("sensors", 1)
LATER = T + 1_000_000


@pytest.fixture(params=[pytest.param("memory", marks=pytest.mark.long), "sqlite"])
def application(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Application:
    """Return a log with two input partitions."""
    made = make_application(request.param, tmp_path, monkeypatch, partitions=2)
    made.produce([*mixed(150, seed=1), *mixed(150, seed=2, partition=1)])
    return made


def everything(application: Application, settings: Settings) -> dict[str, object]:
    """Return an application's offsets, state and outputs."""
    with closing(application.open(settings)) as log:
        return {
            "committed": [log.committed(each) for each in (FIRST, SECOND)],
            "state": [log.read_state(stored.state_partition(settings, each)) for each in (FIRST, SECOND)],
            "outputs": [application.world.read(f"sensors.{name}") for name in ("forecasts", "dead-letters")],
        }


def spoil(
    application: Application, settings: Settings, pieces: dict[bytes, bytes | None], committed: Committed | None = None
) -> None:
    """Write pieces into the state of the first partition, and optionally move its offset."""
    with closing(application.open(settings)) as log:
        before = committed or log.committed(FIRST)
        assert before is not None
        log.subscribe(["sensors"])
        log.poll(0, 1)
        with closing(log.transaction(FIRST)) as transaction:
            transaction.send(
                [Output(*stored.state_partition(settings, FIRST), key, value, 0) for key, value in pieces.items()]
            )
            transaction.commit(*before)


def test_show(application: Application, capsys: pytest.CaptureFixture[str]) -> None:
    """Offsets, counts, sizes and layout of each partition are the committed ones."""
    settings = configured()
    assert show.show_state(settings, [], as_json=True) == 0
    assert [each["committed"] for each in orjson.loads(capsys.readouterr().out)] == [None, None]
    application.run(settings, clean=False)
    assert show.show_state(settings, ["sensors/1"], as_json=True) == 0
    (shown,) = orjson.loads(capsys.readouterr().out)
    pieces = everything(application, settings)["state"][1]  # type: ignore[index]
    assert (shown["partition"], shown["committed"], shown["following"], shown["began"]) == ("sensors/1", 150, 150, 0)
    assert 0 < shown["snapshot"] < 150
    assert (shown["pieces"], shown["bytes"]) == (len(pieces), sum(map(len, pieces.values())))
    assert (shown["layout"]["hidden_size"], shown["layout"]["horizons"]) == (4, [1, 3])
    models = [orjson.loads(r.value or b"") for r in application.world.read("sensors.forecasts") if r.partition == 1]
    assert shown["model"] in {model["model"] for model in models}
    assert show.show_state(settings, [], as_json=False) == 0
    text = capsys.readouterr().out
    assert text.startswith("sensors/0   committed at offset 150, commit ")
    assert f"state saved at offset {shown['snapshot']}, {150 - shown['snapshot']} offsets to replay" in text
    assert "hidden_size 4" in text
    assert f"weights {shown['model']}, output hash {shown['chain']}" in text


def test_reading_changes_nothing(application: Application, tmp_path: Path) -> None:
    """With a running daemon, show, verify and export write nothing and take over no partition."""
    settings = configured()
    with application.running(settings) as worker:
        before = everything(application, settings)
        show.show_state(settings, [], as_json=False)
        show.verify_state(settings, [], replay=True)
        transfer.export_state(settings, [], tmp_path / "state")
        assert everything(application, settings) == before
        application.produce(mixed(50, seed=3, start=LATER))
        worker.stop()
        worker.run()
    with closing(application.open(settings)) as log:
        assert log.bounds(FIRST)[1] == 200
    assert show.verify_state(settings, [], replay=True) == 0


def test_state_and_offset_are_of_one_commit(application: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a daemon commits between the reads of the offset and of the state, both are read again."""
    settings = configured()
    application.run(settings, clean=False)
    old = everything(application, settings)
    application.run(settings)  # saves its state again
    with closing(application.open(settings)) as log:
        answers = [old["committed"][0], *[log.committed(FIRST)] * 9]  # type: ignore[index]
        monkeypatch.setattr(log, "committed", lambda _: answers.pop(0))
        found = stored.read_stored(log, settings, FIRST)
    assert found.committed == everything(application, settings)["committed"][0]  # type: ignore[index]


def test_verify_accepts_valid_state(application: Application, capsys: pytest.CaptureFixture[str]) -> None:
    """No state, and the state after a clean and an unclean end, are valid."""
    settings = configured()
    assert show.verify_state(settings, [], replay=True) == 0
    application.run(settings, clean=False)
    assert show.verify_state(settings, [], replay=True) == 0
    assert "the replay gives the published outputs" in capsys.readouterr().out
    application.run(settings)
    assert show.verify_state(settings, ["sensors/0"], replay=False) == 0
    assert capsys.readouterr().out == "sensors/0: ok, committed at offset 150, state saved at offset 150\n"


@pytest.mark.parametrize("key", [b"meta", b"series/0/0", b"shared/0"])
@pytest.mark.parametrize("damage", [lambda _: None, lambda piece: piece[:-1] + bytes([piece[-1] ^ 1])])
def test_verify_finds_a_damaged_piece(
    application: Application, key: bytes, damage: Callable[[bytes], bytes | None], capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing or changed piece is named with its partition; the other partition is still verified."""
    settings = configured()
    application.run(settings)
    piece = everything(application, settings)["state"][0][key]  # type: ignore[index]
    spoil(application, settings, {key: damage(piece)})
    message = rf"^sensors/0, committed at offset 150.*'{key.decode()}'.*by streamrnn state reset, which deletes"
    with pytest.raises(StateError, match=message):
        show.verify_state(settings, [], replay=False)
    assert capsys.readouterr().out.startswith("sensors/1: ok")


def test_verify_distinguishes_causes(application: Application) -> None:
    """Another configuration, an older piece, a moved offset and another program's offset have messages of their own."""
    settings = configured()
    application.run(settings, clean=False)
    old = everything(application, settings)
    with pytest.raises(StateError, match="hidden_size was 4 when the state was saved and is 5 now"):
        show.verify_state(configured("model.hidden_size=5"), [], replay=False)
    with pytest.raises(StateError, match="gives other outputs than the ones published"):
        show.verify_state(configured("input.fields=a"), [], replay=True)
    assert show.verify_state(configured("input.fields=a"), [], replay=False) == 0
    application.run(settings)
    new = everything(application, settings)
    spoil(application, settings, {b"series/1/0": old["state"][0][b"series/1/0"]})  # type: ignore[index]
    with pytest.raises(StateError, match="belong to different snapshots"):
        show.verify_state(settings, [], replay=False)
    spoil(application, settings, new["state"][0], old["committed"][0])  # type: ignore[index]
    with pytest.raises(StateError, match="another program has written"):
        show.verify_state(settings, [], replay=False)
    spoil(application, settings, {}, Committed(150, "mine"))
    with pytest.raises(StateError, match="was not committed by streamrnn"):
        show.verify_state(settings, [], replay=False)


@pytest.mark.parametrize("clean", [True, False])
def test_imported_state_continues_with_the_same_forecasts(
    application: Application, clean: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under another name and in another kind of log, the next forecasts are those of the original application."""
    settings, more = configured(), [*mixed(80, seed=3, start=LATER), *mixed(80, seed=4, partition=1, start=LATER)]
    application.run(settings, clean=clean)
    had = application.world.read("sensors.forecasts")
    assert transfer.export_state(settings, [], tmp_path / "state") == 0
    application.produce(more)
    application.run(settings)
    stayed = application.world.read("sensors.forecasts")

    kind = "memory" if (tmp_path / "log.db").exists() else "sqlite"
    (tmp_path / "other").mkdir()
    other = make_application(kind, tmp_path / "other", monkeypatch, partitions=2)
    other.produce([*mixed(150, seed=1), *mixed(150, seed=2, partition=1)])
    moved = configured(name="two")
    assert transfer.import_state(moved, [], tmp_path / "state") == 0
    other.produce(more)
    assert show.verify_state(moved, [], replay=True) == 0
    other.run(moved)
    new = [
        [r._replace(offset=0) for r in stayed if r.partition == number][
            len([r for r in had if r.partition == number]) :
        ]
        for number in range(2)
    ]
    found = [r._replace(offset=0) for r in other.world.read("sensors.forecasts")]
    assert len(found) > 100
    assert found == new[0] + new[1]


def test_import_refuses_where_state_exists(application: Application, tmp_path: Path) -> None:
    """Nothing is overwritten; after a reset the import succeeds."""
    settings = configured()
    application.run(settings)
    transfer.export_state(settings, [], tmp_path / "state")
    before = everything(application, settings)
    with pytest.raises(StateError, match=r"sensors/0 of one already has state .*state reset"):
        transfer.import_state(settings, [], tmp_path / "state")
    assert everything(application, settings) == before
    transfer.reset_state(settings, ["sensors/0"], "earliest", yes)
    with pytest.raises(StateError, match=r"sensors/1 of one already has state"):
        transfer.import_state(settings, [], tmp_path / "state")
    assert everything(application, settings)["state"][0] == {}  # type: ignore[index]
    transfer.reset_state(settings, [], "earliest", yes)
    transfer.import_state(settings, [], tmp_path / "state")
    assert everything(application, settings) == before


def test_import_is_atomic(application: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If one partition does not fit its input, no partition is written; the others can be selected."""
    settings = configured()
    application.run(settings)
    transfer.export_state(settings, [], tmp_path / "state")
    (tmp_path / "other").mkdir()
    other = make_application("sqlite", tmp_path / "other", monkeypatch, partitions=2)
    other.produce([*mixed(150, seed=1), *mixed(149, seed=2, partition=1)])
    with pytest.raises(StateError, match="sensors/1 ends at offset 149, but 150 was committed"):
        transfer.import_state(settings, [], tmp_path / "state")
    with closing(other.open(settings)) as log:
        assert log.committed(FIRST) is None
    with pytest.raises(StateError, match="hidden_size was 4"):
        transfer.import_state(configured("model.hidden_size=5"), ["sensors/0"], tmp_path / "state")
    assert transfer.import_state(settings, ["sensors/0"], tmp_path / "state") == 0
    assert show.verify_state(settings, [], replay=True) == 0


@pytest.mark.parametrize("place", [0, 20, 30, 400, -1])
def test_a_damaged_file_is_refused(application: Application, place: int, tmp_path: Path) -> None:
    """A flipped bit anywhere, or a missing end, is detected before anything is read."""
    settings, path = configured(), tmp_path / "state"
    application.run(settings)
    transfer.export_state(settings, [], path)
    content = path.read_bytes()
    assert len(list(read_archive(path))) == 2
    for damaged in (content[:place] + bytes([content[place] ^ 1]) + content[place + 1 or len(content) :], content[:-1]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"damaged or incomplete|is not a file of"):
            list(read_archive(path))


def test_a_file_appears_only_when_it_is_complete(application: Application, tmp_path: Path) -> None:
    """A failed export leaves the old file and no partial one."""
    (tmp_path / "state").write_text("old")
    with pytest.raises(StateError, match="one has no state yet"):
        transfer.export_state(configured(), [], tmp_path / "state")
    assert (tmp_path / "state").read_text() == "old"
    assert [each.name for each in tmp_path.iterdir() if "state" in each.name] == ["state"]


@pytest.mark.parametrize("to", ["earliest", "latest", "committed"])
def test_reset_deletes_the_state(
    application: Application, to: transfer.Start, capsys: pytest.CaptureFixture[str]
) -> None:
    """No piece is left, the offset is as requested, and the next outputs are those of a new task started there."""
    settings = configured()
    application.run(settings)
    application.produce(mixed(60, seed=3, start=LATER))
    offset = {"earliest": 0, "latest": 210, "committed": 150}[to]
    assert transfer.reset_state(settings, ["sensors/0"], to, yes) == 0
    assert "sensors/0: committed at offset 150, " in capsys.readouterr().out
    left = everything(application, settings)
    with closing(application.open(settings)) as log:
        topic_id = log.topic_id("sensors")
    assert left["committed"][0] == Committed(offset, initial_manifest(offset, topic_id).text())  # type: ignore[index]
    assert left["state"][0] == {}  # type: ignore[index]
    assert left["committed"][1].offset == 150  # type: ignore[index]
    assert left["state"][1] != {}  # type: ignore[index]
    assert show.verify_state(settings, [], replay=True) == 0
    had = len([r for r in application.world.read("sensors.forecasts") if r.partition == 0])
    application.run(settings)
    application.produce(mixed(60, seed=5, start=2 * LATER - T))
    application.run(settings)
    published = [r.value for r in application.world.read("sensors.forecasts") if r.partition == 0][had:]
    with closing(application.open(settings)) as log:
        outputs, _ = app.task(settings, FIRST).feed(list(log.read(FIRST, offset, 270)))
    assert published == [output.value for output in outputs if output.topic == "sensors.forecasts"]
    assert show.verify_state(settings, [], replay=True) == 0


def test_another_layout_may_follow_a_reset(application: Application) -> None:
    """After a reset a run under another layout succeeds, also after its first run ends uncleanly."""
    settings, other = configured(), configured("model.hidden_size=5")
    application.run(settings)
    with pytest.raises(StateError, match="state reset"):
        application.run(other)
    transfer.reset_state(other, [], "earliest", yes)
    application.run(other, clean=False)
    application.run(other)
    assert show.verify_state(other, [], replay=True) == 0


WIDER = ("forecast.horizons=1,3,5", "forecast.quantiles=0.1,0.3,0.5,0.9")


def layouts(application: Application, settings: Settings) -> list[list[int]]:
    """Return the horizons in the layout of each partition's state."""
    with closing(application.open(settings)) as log:
        states = [log.read_state(stored.state_partition(settings, each)) for each in (FIRST, SECOND)]
    return [read_meta(state)["layout"]["horizons"] for state in states]


def test_state_is_migrated_to_other_horizons_and_quantiles(
    application: Application, caplog: pytest.LogCaptureFixture
) -> None:
    """The state is migrated at the next start and saved with its first commit, however that run ends."""
    settings, wider = configured("forecast.quantiles=0.1,0.5,0.9"), configured(*WIDER)
    application.run(settings)
    application.produce([*mixed(60, seed=3, start=LATER), *mixed(60, seed=4, start=LATER, partition=1)])
    application.run(wider, clean=False)
    (told, _) = [record for record in caplog.records if record.message == "state_carried_over"]
    assert "horizons was [1, 3] and is [1, 3, 5]" in vars(told)["what"]
    assert layouts(application, wider) == [[1, 3, 5], [1, 3, 5]]
    assert show.verify_state(wider, [], replay=True) == 0
    caplog.clear()
    application.produce(mixed(60, seed=5, start=2 * LATER - T))
    application.run(wider)
    assert "state_carried_over" not in caplog.messages
    published = [orjson.loads(each.value) for each in application.world.read("sensors.forecasts") if each.value]
    assert sorted({len(each["horizon"]) for each in published}) == [2, 3]
    assert show.verify_state(wider, [], replay=True) == 0
    application.run(settings)
    assert layouts(application, settings) == [[1, 3], [1, 3]]
    assert show.verify_state(settings, [], replay=True) == 0


def test_a_replay_requires_the_old_configuration(application: Application) -> None:
    """After an unclean end the error requires one run under the old configuration, which suffices."""
    settings, wider = configured(), configured(*WIDER)
    application.run(settings)
    application.produce(mixed(60, seed=3, start=LATER))
    application.run(settings, clean=False)
    with pytest.raises(StateError, match=r"run once and end it with SIGTERM"):
        application.run(wider)
    with pytest.raises(StateError, match=r"run once and end it with SIGTERM"):
        show.verify_state(wider, [], replay=False)
    application.run(settings)
    application.run(wider)
    assert show.verify_state(wider, [], replay=True) == 0


def test_migrate_does_what_the_next_start_would(
    application: Application, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """It lists the changes, asks, and writes; the daemon then has nothing to migrate."""
    settings, wider = configured(), configured(*WIDER)
    application.run(settings)
    before = everything(application, settings)
    assert transfer.migrate_state(wider, [], lambda: False) == 2
    assert everything(application, settings) == before
    printed = capsys.readouterr().out
    assert "sensors/0: horizons was [1, 3] and is [1, 3, 5]; quantiles was" in printed
    assert "Nothing was changed" in printed
    assert transfer.migrate_state(wider, ["sensors/1"], yes) == 0
    assert transfer.migrate_state(wider, [], yes) == 0
    printed = capsys.readouterr().out
    assert "sensors/1: nothing to migrate" in printed
    assert "sensors/0: migrated at offset 150" in printed
    after = everything(application, settings)
    assert [each.offset for each in after["committed"]] == [each.offset for each in before["committed"]]  # type: ignore[attr-defined]
    assert show.verify_state(wider, [], replay=True) == 0
    caplog.clear()
    application.run(wider)
    assert not [record for record in caplog.records if record.message == "state_carried_over"]
    with pytest.raises(StateError, match="does not fit"):
        transfer.migrate_state(configured("model.hidden_size=5"), [], yes)


def test_reset_mends_what_is_damaged(application: Application) -> None:
    """Damaged pieces, another program's offsets and state without an offset do not prevent a reset."""
    settings = configured()
    application.run(settings)
    spoil(application, settings, {b"meta": b"x", b"foreign": b"y" * CHUNK_BYTES}, Committed(999, "mine"))
    with pytest.raises(StateError, match="has offsets 0 to 150"):
        transfer.reset_state(settings, [], "committed", yes)
    assert transfer.reset_state(settings, [], "latest", yes) == 0
    assert show.verify_state(settings, [], replay=True) == 0
    spoil(application, settings, {b"meta": b"x"})
    with pytest.raises(StateError, match="sensors/0 was reset to offset 150, but one"):
        show.verify_state(settings, [], replay=False)


def test_nothing_is_reset_unless_confirmed(application: Application, capsys: pytest.CaptureFixture[str]) -> None:
    """The changes are listed first; without confirmation nothing is changed and the exit code is 2."""
    settings = configured()
    application.run(settings)
    before = everything(application, settings)
    assert transfer.reset_state(settings, [], "earliest", lambda: False) == 2
    assert "sensors/1: committed at offset 150" in capsys.readouterr().out
    assert everything(application, settings) == before


def test_a_running_daemon_is_left_alone(application: Application, tmp_path: Path) -> None:
    """Reset and import are refused while the group has another member, which is not disturbed."""
    settings = configured()
    with application.running(settings) as worker:
        transfer.export_state(settings, [], tmp_path / "state")
        before = everything(application, settings)
        with pytest.raises(LogError, match="one is running: its group has members"):
            transfer.reset_state(settings, [], "earliest", yes)
        with pytest.raises(LogError, match="one is running"):
            transfer.import_state(settings, [], tmp_path / "state")
        assert everything(application, settings) == before
        worker.stop()
        worker.run()
    assert transfer.reset_state(settings, [], "earliest", yes) == 0


def test_a_daemon_that_starts_meanwhile_keeps_its_partitions(application: Application) -> None:
    """If another member joins before the confirmation, nothing is reset."""
    settings = configured()
    application.run(settings)
    before = everything(application, settings)
    with closing(application.open(settings)) as member:

        def late() -> bool:
            member.subscribe(["sensors"])
            member.poll(0, 1)
            return True

        with pytest.raises(StreamrnnError, match="another process has joined"):
            transfer.reset_state(settings, [], "earliest", late)
        assert everything(application, settings) == before


def test_partitions_are_named(application: Application) -> None:
    """The error for an unknown partition lists the existing ones."""
    for name in ("sensors/2", "sensors", "other/0"):
        with pytest.raises(ConfigError, match="allowed are sensors/0 to sensors/1"):
            show.show_state(configured(), [name], as_json=False)
    with pytest.raises(LogError, match="the input topic absent does not exist"):
        show.show_state(configured("input.topics=absent"), [], as_json=False)


def test_file_errors_have_their_own_exit_codes(application: Application, tmp_path: Path) -> None:
    """A file that cannot be written is an output error (73), one that cannot be read an input error (66)."""
    application.run(configured())
    with pytest.raises(OutputError, match=r"absent/state cannot be written: No such file") as caught:
        transfer.export_state(configured(), [], tmp_path / "absent" / "state")
    assert caught.value.exit_code == 73
    with pytest.raises(InputError, match=r"absent cannot be read: No such file") as unread:
        transfer.import_state(configured(name="two"), [], tmp_path / "absent")
    assert unread.value.exit_code == 66
