"""`streamrnn state`: what it shows, finds wrong, moves and deletes, and when it refuses."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import orjson
import pytest
from support.applications import Application, configured, make_application, yes
from support.inputs import T, mixed

from streamrnn import app
from streamrnn.commands.state import archive, show, stored, transfer
from streamrnn.errors import ConfigError, LogError, StateError, StreamrnnError
from streamrnn.log import Committed
from streamrnn.records import Output, TopicPartition
from streamrnn.runtime.manifest import initial_manifest
from streamrnn.runtime.snapshot import CHUNK_BYTES, read_meta
from streamrnn.settings import Settings

pytestmark = pytest.mark.usefixtures("bare_environment")

FIRST, SECOND = TopicPartition("sensors", 0), TopicPartition("sensors", 1)
LATER = T + 1_000_000


@pytest.fixture(params=["memory", "sqlite"])
def keep(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Application:
    """A log with two partitions of input."""
    made = make_application(request.param, tmp_path, monkeypatch, partitions=2)
    made.produce([*mixed(150, seed=1), *mixed(150, seed=2, partition=1)])
    return made


def everything(keep: Application, settings: Settings) -> dict[str, object]:
    """All that the log holds for an application: offsets, state and outputs."""
    with closing(keep.open(settings)) as log:
        return {
            "committed": [log.committed(each) for each in (FIRST, SECOND)],
            "state": [log.read_state(stored.state_of(settings, each)) for each in (FIRST, SECOND)],
            "outputs": [keep.world.read(f"sensors.{name}") for name in ("forecasts", "dead-letters")],
        }


def spoil(
    keep: Application, settings: Settings, pieces: dict[bytes, bytes | None], committed: Committed | None = None
) -> None:
    """Write pieces into the state of the first partition, and move its offset, as nobody should."""
    with closing(keep.open(settings)) as log:
        before = committed or log.committed(FIRST)
        assert before is not None
        log.subscribe(["sensors"])
        log.poll(0, 1)
        with closing(log.transaction(FIRST)) as transaction:
            transaction.send(
                [Output(*stored.state_of(settings, FIRST), key, value, 0) for key, value in pieces.items()]
            )
            transaction.commit(*before)


def test_show(keep: Application, capsys: pytest.CaptureFixture[str]) -> None:
    """Offsets, counts, sizes and layout of each partition are those that were committed."""
    settings = configured()
    assert show.show(settings, [], as_json=True) == 0
    assert [each["committed"] for each in orjson.loads(capsys.readouterr().out)] == [None, None]
    keep.run(settings, clean=False)
    assert show.show(settings, ["sensors/1"], as_json=True) == 0
    (shown,) = orjson.loads(capsys.readouterr().out)
    pieces = everything(keep, settings)["state"][1]  # type: ignore[index]
    assert (shown["partition"], shown["committed"], shown["following"], shown["began"]) == ("sensors/1", 150, 150, 0)
    assert 0 < shown["snapshot"] < 150
    assert (shown["pieces"], shown["bytes"]) == (len(pieces), sum(map(len, pieces.values())))
    assert (shown["layout"]["hidden_size"], shown["layout"]["horizons"]) == (4, [1, 3])
    models = [orjson.loads(r.value or b"") for r in keep.world.read("sensors.forecasts") if r.partition == 1]
    assert shown["model"] in {model["model"] for model in models}
    assert show.show(settings, [], as_json=False) == 0
    text = capsys.readouterr().out
    assert text.startswith("sensors/0   committed at offset 150, commit ")
    assert f"state of offset {shown['snapshot']}, {150 - shown['snapshot']} offsets to be replayed" in text
    assert "hidden_size 4" in text
    assert f"weights {shown['model']}, chain {shown['chain']}" in text


def test_looking_changes_nothing(keep: Application, tmp_path: Path) -> None:
    """Beside a running daemon show, verify and export neither write nor take anything from it."""
    settings = configured()
    with keep.running(settings) as worker:
        before = everything(keep, settings)
        show.show(settings, [], as_json=False)
        show.verify(settings, [], replay=True)
        transfer.export_state(settings, [], tmp_path / "state")
        assert everything(keep, settings) == before
        keep.produce(mixed(50, seed=3, start=LATER))
        worker.stop()
        worker.run()
    with closing(keep.open(settings)) as log:
        assert log.bounds(FIRST)[1] == 200
    assert show.verify(settings, [], replay=True) == 0


def test_state_and_offset_are_of_one_commit(keep: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a daemon commits between the reading of the offset and that of the state, both are read once more."""
    settings = configured()
    keep.run(settings, clean=False)
    old = everything(keep, settings)
    keep.run(settings)  # saves its state anew
    with closing(keep.open(settings)) as log:
        answers = [old["committed"][0], *[log.committed(FIRST)] * 9]  # type: ignore[index]
        monkeypatch.setattr(log, "committed", lambda _: answers.pop(0))
        found = stored.look(log, settings, FIRST)
    assert found.committed == everything(keep, settings)["committed"][0]  # type: ignore[index]


def test_verify_finds_nothing_in_what_is_sound(keep: Application, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing saved, a clean end and an unclean one are all sound."""
    settings = configured()
    assert show.verify(settings, [], replay=True) == 0
    keep.run(settings, clean=False)
    assert show.verify(settings, [], replay=True) == 0
    assert "the replay in between says the same" in capsys.readouterr().out
    keep.run(settings)
    assert show.verify(settings, ["sensors/0"], replay=False) == 0
    assert capsys.readouterr().out == "sensors/0: ok, committed at offset 150, state of offset 150\n"


@pytest.mark.parametrize("key", [b"meta", b"series/0/0", b"shared/0"])
@pytest.mark.parametrize("damage", [lambda _: None, lambda piece: piece[:-1] + bytes([piece[-1] ^ 1])])
def test_verify_finds_a_damaged_piece(
    keep: Application, key: bytes, damage: Callable[[bytes], bytes | None], capsys: pytest.CaptureFixture[str]
) -> None:
    """A piece that is missing or has another byte is named, with its partition; the other one is still found sound."""
    settings = configured()
    keep.run(settings)
    piece = everything(keep, settings)["state"][0][key]  # type: ignore[index]
    spoil(keep, settings, {key: damage(piece)})
    with pytest.raises(StateError, match=rf"^sensors/0, committed at offset 150.*'{key.decode()}'.*state reset$"):
        show.verify(settings, [], replay=False)
    assert capsys.readouterr().out.startswith("sensors/1: ok")


def test_verify_finds_what_does_not_fit(keep: Application) -> None:
    """Another configuration, an older page, a moved offset and a foreign one are told from each other."""
    settings = configured()
    keep.run(settings, clean=False)
    old = everything(keep, settings)
    with pytest.raises(StateError, match="hidden_size was 4 when the state was saved and is 5 now"):
        show.verify(configured("model.hidden_size=5"), [], replay=False)
    with pytest.raises(StateError, match="does not say what was said before"):
        show.verify(configured("input.fields=a"), [], replay=True)
    assert show.verify(configured("input.fields=a"), [], replay=False) == 0
    keep.run(settings)
    new = everything(keep, settings)
    spoil(keep, settings, {b"series/0/0": old["state"][0][b"series/0/0"]})  # type: ignore[index]
    with pytest.raises(StateError, match="belong to different snapshots"):
        show.verify(settings, [], replay=False)
    spoil(keep, settings, new["state"][0], old["committed"][0])  # type: ignore[index]
    with pytest.raises(StateError, match="something else has written to one of them"):
        show.verify(settings, [], replay=False)
    spoil(keep, settings, {}, Committed(150, "mine"))
    with pytest.raises(StateError, match="was not committed by this program"):
        show.verify(settings, [], replay=False)


@pytest.mark.parametrize("clean", [True, False])
def test_imported_state_goes_on_as_if_it_had_never_moved(
    keep: Application, clean: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under another name and in another kind of log the next forecasts are those that would have come anyway."""
    settings, more = configured(), [*mixed(80, seed=3, start=LATER), *mixed(80, seed=4, partition=1, start=LATER)]
    keep.run(settings, clean=clean)
    had = keep.world.read("sensors.forecasts")
    assert transfer.export_state(settings, [], tmp_path / "state") == 0
    keep.produce(more)
    keep.run(settings)
    stayed = keep.world.read("sensors.forecasts")

    kind = "memory" if (tmp_path / "log.db").exists() else "sqlite"
    (tmp_path / "other").mkdir()
    other = make_application(kind, tmp_path / "other", monkeypatch, partitions=2)
    other.produce([*mixed(150, seed=1), *mixed(150, seed=2, partition=1)])
    moved = configured(name="two")
    assert transfer.import_state(moved, [], tmp_path / "state") == 0
    other.produce(more)
    assert show.verify(moved, [], replay=True) == 0
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


def test_import_refuses_where_state_exists(keep: Application, tmp_path: Path) -> None:
    """Nothing is overwritten; after a reset it is not in the way any more."""
    settings = configured()
    keep.run(settings)
    transfer.export_state(settings, [], tmp_path / "state")
    before = everything(keep, settings)
    with pytest.raises(StateError, match=r"sensors/0 of one has state already .*state reset"):
        transfer.import_state(settings, [], tmp_path / "state")
    assert everything(keep, settings) == before
    transfer.reset(settings, ["sensors/0"], "earliest", yes)
    with pytest.raises(StateError, match=r"sensors/1 of one has state already"):
        transfer.import_state(settings, [], tmp_path / "state")
    assert everything(keep, settings)["state"][0] == {}  # type: ignore[index]
    transfer.reset(settings, [], "earliest", yes)
    transfer.import_state(settings, [], tmp_path / "state")
    assert everything(keep, settings) == before


def test_import_wants_all_or_nothing(keep: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one partition's input lacks the offsets, no partition is written; those that fit may be chosen."""
    settings = configured()
    keep.run(settings)
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
    assert show.verify(settings, [], replay=True) == 0


@pytest.mark.parametrize("place", [0, 20, 30, 400, -1])
def test_a_damaged_file_is_refused(keep: Application, place: int, tmp_path: Path) -> None:
    """One flipped bit anywhere, or an end that is missing, is noticed before anything is taken from the file."""
    settings, path = configured(), tmp_path / "state"
    keep.run(settings)
    transfer.export_state(settings, [], path)
    content = path.read_bytes()
    assert len(list(archive.read(path))) == 2
    for damaged in (content[:place] + bytes([content[place] ^ 1]) + content[place + 1 or len(content) :], content[:-1]):
        path.write_bytes(damaged)
        with pytest.raises(ConfigError, match=r"damaged or incomplete|does not begin so"):
            list(archive.read(path))


def test_a_file_appears_only_when_it_is_complete(keep: Application, tmp_path: Path) -> None:
    """An export that fails leaves what was there, and nothing half."""
    (tmp_path / "state").write_text("old")
    with pytest.raises(StateError, match="one has no state yet"):
        transfer.export_state(configured(), [], tmp_path / "state")
    assert (tmp_path / "state").read_text() == "old"
    assert [each.name for each in tmp_path.iterdir() if "state" in each.name] == ["state"]


@pytest.mark.parametrize("to", ["earliest", "latest", "committed"])
def test_reset_starts_anew(keep: Application, to: transfer.Place, capsys: pytest.CaptureFixture[str]) -> None:
    """No piece is left, the offset is where it was wanted, and the next run says what a new application says there."""
    settings = configured()
    keep.run(settings)
    keep.produce(mixed(60, seed=3, start=LATER))
    offset = {"earliest": 0, "latest": 210, "committed": 150}[to]
    assert transfer.reset(settings, ["sensors/0"], to, yes) == 0
    assert "sensors/0: committed at offset 150, " in capsys.readouterr().out
    left = everything(keep, settings)
    assert left["committed"][0] == Committed(offset, initial_manifest(offset).text())  # type: ignore[index]
    assert left["state"][0] == {}  # type: ignore[index]
    assert left["committed"][1].offset == 150  # type: ignore[index]
    assert left["state"][1] != {}  # type: ignore[index]
    assert show.verify(settings, [], replay=True) == 0
    had = len([r for r in keep.world.read("sensors.forecasts") if r.partition == 0])
    keep.run(settings)
    keep.produce(mixed(60, seed=5, start=2 * LATER - T))
    keep.run(settings)
    said = [r.value for r in keep.world.read("sensors.forecasts") if r.partition == 0][had:]
    with closing(keep.open(settings)) as log:
        outputs, _ = app.task(settings, FIRST).feed(list(log.read(FIRST, offset, 270)))
    assert said == [output.value for output in outputs if output.topic == "sensors.forecasts"]
    assert show.verify(settings, [], replay=True) == 0


def test_another_layout_may_follow_a_reset(keep: Application) -> None:
    """What was refused before is taken up afterwards, even though its first run ends uncleanly."""
    settings, other = configured(), configured("model.hidden_size=5")
    keep.run(settings)
    with pytest.raises(StateError, match="state reset"):
        keep.run(other)
    transfer.reset(other, [], "earliest", yes)
    keep.run(other, clean=False)
    keep.run(other)
    assert show.verify(other, [], replay=True) == 0


WIDER = ("forecast.horizons=1,3,5", "forecast.quantiles=0.1,0.3,0.5,0.9")


def layouts(keep: Application, settings: Settings) -> list[list[int]]:
    """The horizons that the state of each partition is for."""
    with closing(keep.open(settings)) as log:
        states = [log.read_state(stored.state_of(settings, each)) for each in (FIRST, SECOND)]
    return [read_meta(state)["layout"]["horizons"] for state in states]


def test_other_horizons_and_quantiles_are_gone_on_with(keep: Application, caplog: pytest.LogCaptureFixture) -> None:
    """What was learned is carried over at the next start and saved with its first commit, however that run ends."""
    settings, wider = configured("forecast.quantiles=0.1,0.5,0.9"), configured(*WIDER)
    keep.run(settings)
    keep.produce([*mixed(60, seed=3, start=LATER), *mixed(60, seed=4, start=LATER, partition=1)])
    keep.run(wider, clean=False)
    (told, _) = [record for record in caplog.records if record.message == "state_carried_over"]
    assert "horizons was [1, 3] and is [1, 3, 5]" in vars(told)["what"]
    assert layouts(keep, wider) == [[1, 3, 5], [1, 3, 5]]
    assert show.verify(wider, [], replay=True) == 0
    caplog.clear()
    keep.produce(mixed(60, seed=5, start=2 * LATER - T))
    keep.run(wider)
    assert "state_carried_over" not in caplog.messages
    said = [orjson.loads(each.value) for each in keep.world.read("sensors.forecasts") if each.value]
    assert sorted({len(each["horizon"]) for each in said}) == [2, 3]
    assert show.verify(wider, [], replay=True) == 0
    keep.run(settings)
    assert layouts(keep, settings) == [[1, 3], [1, 3]]
    assert show.verify(settings, [], replay=True) == 0


def test_nothing_is_carried_over_that_must_be_fed_again(keep: Application) -> None:
    """After a run that did not end cleanly the old configuration is asked for, and one run of it suffices."""
    settings, wider = configured(), configured(*WIDER)
    keep.run(settings)
    keep.produce(mixed(60, seed=3, start=LATER))
    keep.run(settings, clean=False)
    with pytest.raises(StateError, match=r"run once and end it with SIGTERM"):
        keep.run(wider)
    with pytest.raises(StateError, match=r"run once and end it with SIGTERM"):
        show.verify(wider, [], replay=False)
    keep.run(settings)
    keep.run(wider)
    assert show.verify(wider, [], replay=True) == 0


def test_migrate_does_what_the_next_start_would(
    keep: Application, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """It says what is kept, asks, and writes; the daemon then finds nothing to carry over."""
    settings, wider = configured(), configured(*WIDER)
    keep.run(settings)
    before = everything(keep, settings)
    assert transfer.migrate(wider, [], lambda: False) == 2
    assert everything(keep, settings) == before
    said = capsys.readouterr().out
    assert "sensors/0: horizons was [1, 3] and is [1, 3, 5]; quantiles was" in said
    assert "Nothing was changed" in said
    assert transfer.migrate(wider, ["sensors/1"], yes) == 0
    assert transfer.migrate(wider, [], yes) == 0
    said = capsys.readouterr().out
    assert "sensors/1: nothing is to be migrated" in said
    assert "sensors/0: migrated, as of offset 150" in said
    after = everything(keep, settings)
    assert [each.offset for each in after["committed"]] == [each.offset for each in before["committed"]]  # type: ignore[attr-defined]
    assert show.verify(wider, [], replay=True) == 0
    caplog.clear()
    keep.run(wider)
    assert not [record for record in caplog.records if record.message == "state_carried_over"]
    with pytest.raises(StateError, match="does not fit"):
        transfer.migrate(configured("model.hidden_size=5"), [], yes)


def test_reset_mends_what_is_damaged(keep: Application) -> None:
    """Damaged pieces, foreign offsets and state without an offset are no hindrance."""
    settings = configured()
    keep.run(settings)
    spoil(keep, settings, {b"meta": b"x", b"foreign": b"y" * CHUNK_BYTES}, Committed(999, "mine"))
    with pytest.raises(StateError, match="holds 0 to 150"):
        transfer.reset(settings, [], "committed", yes)
    assert transfer.reset(settings, [], "latest", yes) == 0
    assert show.verify(settings, [], replay=True) == 0
    spoil(keep, settings, {b"meta": b"x"})
    with pytest.raises(StateError, match="sensors/0 was reset to offset 150, but one"):
        show.verify(settings, [], replay=False)


def test_nothing_is_reset_unless_confirmed(keep: Application, capsys: pytest.CaptureFixture[str]) -> None:
    """What would happen is said first; without a yes nothing does, and the exit code is that of usage."""
    settings = configured()
    keep.run(settings)
    before = everything(keep, settings)
    assert transfer.reset(settings, [], "earliest", lambda: False) == 2
    assert "sensors/1: committed at offset 150" in capsys.readouterr().out
    assert everything(keep, settings) == before


def test_a_running_daemon_is_left_alone(keep: Application, tmp_path: Path) -> None:
    """Reset and import refuse while the group has another member, which goes on undisturbed."""
    settings = configured()
    with keep.running(settings) as worker:
        transfer.export_state(settings, [], tmp_path / "state")
        before = everything(keep, settings)
        with pytest.raises(LogError, match="one is running: its group has members"):
            transfer.reset(settings, [], "earliest", yes)
        with pytest.raises(LogError, match="one is running"):
            transfer.import_state(settings, [], tmp_path / "state")
        assert everything(keep, settings) == before
        worker.stop()
        worker.run()
    assert transfer.reset(settings, [], "earliest", yes) == 0


def test_a_daemon_that_starts_meanwhile_is_not_overrun(keep: Application) -> None:
    """Who joins while the question is open keeps its partitions: nothing is reset."""
    settings = configured()
    keep.run(settings)
    before = everything(keep, settings)
    with closing(keep.open(settings)) as member:

        def late() -> bool:
            member.subscribe(["sensors"])
            member.poll(0, 1)
            return True

        with pytest.raises(StreamrnnError, match="another one has joined"):
            transfer.reset(settings, [], "earliest", late)
        assert everything(keep, settings) == before


def test_partitions_are_named(keep: Application) -> None:
    """A partition that is not there is refused with those that are."""
    for name in ("sensors/2", "sensors", "other/0"):
        with pytest.raises(ConfigError, match="allowed are sensors/0 to sensors/1"):
            show.show(configured(), [name], as_json=False)
    with pytest.raises(LogError, match="the input topic absent does not exist"):
        show.show(configured("input.topics=absent"), [], as_json=False)
