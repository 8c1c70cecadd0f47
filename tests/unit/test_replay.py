"""`streamrnn replay`: audits of the published outputs, and comparisons of two configurations."""

import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import orjson
import pytest
from support.applications import Application, configured, make_application, yes
from support.inputs import T, mixed
from support.log_backends import MemoryWorld

from streamrnn import app
from streamrnn.commands.replay.audit import audit
from streamrnn.commands.replay.compare import compare_configurations
from streamrnn.commands.replay.position import Position, parse_position
from streamrnn.commands.state.transfer import reset_state
from streamrnn.errors import ConfigError, StateError
from streamrnn.evaluation.figures import Floats, measures_by_key
from streamrnn.evaluation.tally import Tally
from streamrnn.log.memory import MemoryLog
from streamrnn.mapping.decoder import RecordDecoder
from streamrnn.records import Decoded, Record, TopicPartition

pytestmark = pytest.mark.usefixtures("bare_environment")

FIRST = TopicPartition("sensors", 0)
FORECASTS, DEAD = TopicPartition("sensors.forecasts", 0), TopicPartition("sensors.dead-letters", 0)
LATER = T + 1_000_000


@pytest.fixture(params=[pytest.param("memory", marks=pytest.mark.long), "sqlite"])
def application(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Application:
    """Return a log with two input partitions, committed by a run that ended uncleanly."""
    made = make_application(request.param, tmp_path, monkeypatch, partitions=2)
    made.produce([*mixed(150, seed=1), *mixed(150, seed=2, partition=1)])
    made.run(configured(), clean=False)
    return made


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Record]:
    """Return the published forecasts of a log with one partition; changes to the list change the log."""
    made = make_application("memory", tmp_path, monkeypatch)
    made.produce(mixed(150, seed=1))
    made.run(configured(), clean=False)
    assert isinstance(made.world, MemoryWorld)
    return made.world.store.partition(FORECASTS).records


def counts(text: str) -> list[tuple[int, ...]]:
    """Return the equal, different, missing and surplus outputs of each line of an audit."""
    lines = [line.rpartition(": ")[2] for line in text.splitlines()]
    return [tuple(int(part.split()[0].replace(",", "")) for part in line.split(", ")) for line in lines]


def test_an_audit_of_a_daemon_finds_no_difference(application: Application, capsys: pytest.CaptureFixture[str]) -> None:
    """All published forecasts and dead letters are equal, and the audit changes nothing."""
    topics = ("sensors.forecasts", "sensors.dead-letters", "sensors")
    before = [application.world.read(topic) for topic in topics]
    assert audit(configured(), [], None, None) == 0
    expected = [
        (len([r for r in found if r.partition == number]), 0, 0, 0) for number in range(2) for found in before[:2]
    ]
    assert counts(capsys.readouterr().out) == expected
    assert min(min(each[:1]) for each in expected) > 3
    assert [application.world.read(topic) for topic in topics] == before


def test_an_audit_beside_a_running_daemon(application: Application) -> None:
    """The daemon keeps its partitions and continues."""
    with application.running(configured()) as worker:
        assert audit(configured(), [], None, None) == 0
        application.produce(mixed(50, seed=3, start=LATER))
        worker.stop()
        worker.run()
    assert audit(configured(), ["sensors/0"], None, None) == 0


@pytest.mark.parametrize(("start", "end"), [(0, 150), (40, 70), (149, 150), (120, 999), (0, 1)])
def test_an_audit_compares_the_given_range(
    application: Application, start: int, end: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only the outputs of records in the range are compared; its end is exclusive."""
    assert audit(configured(), ["sensors/0"], Position(start), Position(end)) == 0
    sources = [
        orjson.loads(r.value or b"")["source"]["offset"]
        for r in application.world.read("sensors.forecasts")
        if r.partition == 0
    ]
    assert counts(capsys.readouterr().out)[0] == (len([s for s in sources if start <= s < end]), 0, 0, 0)


WAITING = ("input.grace=9s", "input.window=2s", "input.window.how=last", "input.duplicates=last")


@pytest.mark.parametrize("overrides", [WAITING[:1], WAITING])
def test_an_audit_where_observations_wait(
    overrides: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Forecasts are compared in the order of event time, in whole and in parts, and a change is found."""
    made = make_application("memory", tmp_path, monkeypatch)
    made.produce(mixed(300, seed=1))
    settings = configured(*overrides)
    made.run(settings, clean=False)
    published = len(made.world.read("sensors.forecasts"))
    ranges = [(None, None), (0, 90), (90, 210), (210, 300), (290, 300)]
    for start, end in ranges:
        assert audit(settings, [], *(None if each is None else Position(each) for each in (start, end))) == 0
    found = [each[0] for each in counts(capsys.readouterr().out)[::2]]
    assert found[0] == published == sum(found[1:4]) > 150
    assert isinstance(made.world, MemoryWorld)
    records = made.world.store.partition(FORECASTS).records
    removed = records.pop(40)
    with pytest.raises(StateError, match=rf"event time {removed.timestamp}"):
        audit(settings, [], None, None)
    equal, different, missing, surplus = counts(capsys.readouterr().out)[0]
    assert (equal + different, missing, surplus) == (published - 1, 1, 0)


def test_times_are_those_of_the_log(application: Application, capsys: pytest.CaptureFixture[str]) -> None:
    """A time selects the first record whose timestamp is not before it."""
    assert audit(configured(), ["sensors/1"], Position(None, T + 20), Position(None, T + 90)) == 0
    assert "offsets 20 to 90," in capsys.readouterr().out
    assert audit(configured(), ["sensors/1"], Position(None, T + 20), Position(None, T + 10_000)) == 0
    assert "offsets 20 to 150," in capsys.readouterr().out


def test_positions_are_offsets_or_times() -> None:
    """Whole numbers are offsets, everything else is an ISO 8601 time, in UTC by default."""
    assert parse_position("17") == Position(17)
    assert parse_position("2023-11-14T22:13:20Z") == parse_position("2023-11-14T22:13:20") == Position(None, T)
    assert parse_position("2023-11-15") == Position(None, T + 6_400_000)
    for text in ("-1", "1.5", "yesterday"):
        with pytest.raises(ValueError, match=text):
            parse_position(text)


def test_computing_begins_at_the_saved_state_where_it_can(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A range after the snapshot is computed from it; an earlier range is computed from the beginning."""
    log = application.open(configured())
    offsets: list[int] = []
    read = log.read

    def noting(partition: TopicPartition, start: int, end: int) -> object:
        if partition == FIRST:
            offsets.append(start)
        return read(partition, start, end)

    monkeypatch.setattr(log, "read", noting)
    monkeypatch.setattr(app, "open_log", lambda _: log)
    monkeypatch.setattr(log, "close", lambda: None)
    committed = log.committed(FIRST)
    assert committed is not None
    snapshot = orjson.loads(committed.metadata)["snapshot"]
    assert 0 < snapshot < 150
    assert audit(configured(), ["sensors/0"], Position(snapshot), None) == 0
    assert audit(configured(), ["sensors/0"], Position(snapshot - 1), None) == 0
    assert offsets == [snapshot, 0]
    monkeypatch.undo()
    log.close()


def _other_value(record: Record) -> Record:
    return record._replace(value=(record.value or b"").replace(b'"ok"', b'"OK"').replace(b'"warming"', b'"WARMING"'))


@pytest.mark.parametrize(
    ("change", "found", "words"),
    [
        (
            lambda r: r.__setitem__(9, _other_value(r[9])),
            (-1, 1, 0, 0),
            r"value differs from byte \d+ on: .*WARMING.*warm",
        ),
        (lambda r: r.__setitem__(9, r[9]._replace(timestamp=5)), (-1, 1, 0, 0), "its timestamp is 5, and 17000"),
        (lambda r: r.__setitem__(9, r[9]._replace(key=b"x")), (-1, 1, 0, 0), "its key differs from byte 0"),
        (lambda r: r.__setitem__(9, r[9]._replace(headers=(("h", b""),))), (-1, 1, 0, 0), "its headers is"),
        (lambda r: r.pop(), (-1, 0, 1, 0), "was not published"),
        (lambda r: r.pop(0), (-1, 0, 1, 0), "was not published|differs"),
    ],
)
def test_an_audit_finds_every_difference(
    records: list[Record], change: Callable[[list[Record]], object], found: tuple[int, ...], words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A changed byte, time, key or header, or a missing record, is counted; the first is described with offsets."""
    whole = len(records)
    change(records)
    with pytest.raises(StateError, match=rf"^sensors/0, sensors\.forecasts: input offset \d+.*({words})"):
        audit(configured(), [], None, None)
    first = counts(capsys.readouterr().out)[0]
    if "differs" not in words or found[1]:
        assert first == (whole + found[0], *found[1:])


def test_an_audit_finds_another_order_and_surplus_records(
    records: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two swapped records of one observation, and a record without an input."""
    index = next(i for i in range(len(records) - 1) if records[i].timestamp == records[i + 1].timestamp)
    one, other = records[index], records[index + 1]
    records[index], records[index + 1] = other._replace(offset=one.offset), one._replace(offset=other.offset)
    with pytest.raises(StateError, match="its key differs"):
        audit(configured(), [], None, None)
    records[index], records[index + 1] = one, other
    assert audit(configured(), [], None, None) == 0
    record = records[-1]
    monkeypatch.setattr(RecordDecoder, "decode_one", _all_but(record, RecordDecoder.decode_one))
    with pytest.raises(StateError, match="the replay has no such output"):
        audit(configured(), [], None, None)


def _all_but(record: Record, decode: Callable[[RecordDecoder, Record], Decoded]) -> object:
    """Return a decoder that drops the last field of the input of one forecast."""
    source = orjson.loads(record.value or b"")["source"]["offset"]

    def less(decoder: RecordDecoder, given: Record) -> Decoded:
        seen = decode(decoder, given)
        if given.offset != source:
            return seen
        (observation,) = seen.observations
        return seen._replace(observations=[observation._replace(fields=observation.fields[:-1])])

    return less


def test_an_audit_finds_another_configuration(application: Application) -> None:
    """An audit under a changed configuration finds differences in each partition."""
    with pytest.raises(StateError, match=r"sensors/0.*\n.*sensors/"):
        audit(configured("input.fields=a"), [], Position(0), None)


@pytest.mark.parametrize("to", ["earliest", "latest", "committed"])
def test_a_task_that_was_reset_is_audited_from_its_new_beginning(application: Application, to: str) -> None:
    """Outputs before the reset are not compared."""
    application.produce(mixed(60, seed=3, start=LATER))
    reset_state(configured(), [], to, yes)  # type: ignore[arg-type]
    application.produce(mixed(60, seed=5, start=2 * LATER - T))
    application.run(configured(), clean=False)
    assert audit(configured(), [], None, None) == 0
    if to != "earliest":
        with pytest.raises(ConfigError, match="--from 3: sensors/0 can be computed from offset"):
            audit(configured(), [], Position(3), None)


def test_an_audit_after_retention(application: Application) -> None:
    """If retention has deleted the first records, the error names the offset from which an audit is possible."""
    with closing(application.open(configured())) as log:
        committed = log.committed(FIRST)
        assert committed is not None
        snapshot = orjson.loads(committed.metadata)["snapshot"]
        truncate = application.world.store.truncate if isinstance(log, MemoryLog) else log.truncate  # type: ignore[attr-defined,union-attr]
        truncate(FIRST, 5)
    with pytest.raises(StateError, match=rf"its task began at 0: .* use --from {snapshot}"):
        audit(configured(), ["sensors/0"], None, None)
    assert audit(configured(), ["sensors/0"], Position(snapshot), None) == 0


def test_without_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a commit there is nothing to audit, but two configurations can be compared."""
    application = make_application("memory", tmp_path, monkeypatch)
    assert audit(configured(), [], None, None) == 0
    assert capsys.readouterr().out == "sensors/0: nothing is committed in this range\n"
    with pytest.raises(StateError, match="nothing to compare"):
        compare_configurations(configured(), configured(), ("a", "b"), [], None, None)
    application.produce(mixed(150, seed=1))
    assert compare_configurations(configured(), configured(), ("a", "b"), [], None, None) == 0


def test_both_sides_are_scored_alike(
    application: Application, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The scores are those of the published records, and equal configurations have equal scores."""
    tables: list[tuple[list[int], list[tuple[str, Floats, float]]]] = []
    monkeypatch.setattr("streamrnn.commands.console.score_table", lambda *arguments: tables.append(arguments))
    other = configured("forecast.horizons=2,3", "learning.enabled=false")
    assert compare_configurations(configured(), configured(), ("one", "two"), ["sensors/0"], Position(60), None) == 0
    assert compare_configurations(configured(), other, ("one", "two"), ["sensors/0"], Position(60), None) == 0
    tally = Tally(horizons=[1, 3], quantiles=configured().forecast.quantiles, first=60)
    for record in application.world.read("sensors.forecasts"):
        if record.partition == 0:
            tally.add(record.value or b"")
    expected = {key: measures.tolist() for key, measures in measures_by_key(tally.sums()).items()}

    def by_key(rows: list[tuple[str, Floats, float]], side: str) -> str:
        ours = [(name.split()[0], measures) for name, measures, _ in rows if name.endswith(side)]
        return repr({key: measures.tolist() for key, measures in ours if not key.startswith("sensors/")})

    (horizons, rows), (common, fewer) = tables
    assert (horizons, common) == ([1, 3], [3])
    for side in ("one", "two"):
        assert by_key(rows, side) == repr(expected)
    assert by_key(fewer, "one") == repr({key: measures[1:] for key, measures in expected.items()})
    assert [name for name, _, _ in rows][-2:] == [
        f"sensors/0, all {len(expected)} keys  {side}" for side in ("one", "two")
    ]
    with pytest.raises(ConfigError, match=r"has none of \[1, 3\]"):
        compare_configurations(configured(), configured("forecast.horizons=7"), ("one", "two"), [], None, None)


def test_a_comparison_counts_what_a_side_cannot_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A configuration that does not fit the records has no rows in the table; the reason is on standard error."""
    application = make_application("memory", tmp_path, monkeypatch)
    application.produce(mixed(150, seed=1))
    other = configured("input.key=device")
    assert compare_configurations(configured(), other, ("one", "two"), [], None, None) == 0
    captured = capsys.readouterr()
    found = re.search(r"^sensors/0: (\d+) records not usable under two, missing_key$", captured.err, re.MULTILINE)
    assert found
    assert int(found[1]) > 140
    assert " two " not in captured.out


def test_a_repeated_output_marks_a_reset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a task publishes the same output again after a reset, the second one is audited."""
    application = make_application("memory", tmp_path, monkeypatch)
    application.produce([Record("sensors", 0, 0, T, None, b"no JSON")])
    application.run(configured())
    reset_state(configured(), [], "earliest", yes)
    application.run(configured())
    assert len(application.world.read("sensors.dead-letters")) == 2
    assert audit(configured(), [], None, None) == 0
