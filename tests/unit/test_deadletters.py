"""`streamrnn deadletters`: counts, samples, and retries of which each writes a record once."""

import json
import re
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.letters import RETRY, bad_record, letter_of, make_topics, retried, with_moved_timestamp, write_letters
from support.log_backends import MemoryWorld, SqliteWorld

from streamrnn import app, cli
from streamrnn.commands.deadletters.retry import retry_letters
from streamrnn.errors import LogError
from streamrnn.log import Topic
from streamrnn.log.memory import MemoryTransaction
from streamrnn.log.sqlite.log import SqliteTransaction
from streamrnn.records import Record, TopicPartition
from streamrnn.settings import load

pytestmark = pytest.mark.usefixtures("bare_environment")

Worlds = MemoryWorld | SqliteWorld
GIVEN = ["app=one", "input.topics=sensors"]


@pytest.fixture(params=[pytest.param("memory", marks=pytest.mark.long), "sqlite"])
def world(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Worlds:
    """Return a log with an input topic of two partitions and its dead letters, which `app.open_log` opens."""
    made = MemoryWorld() if request.param == "memory" else SqliteWorld(tmp_path / "log.db")
    monkeypatch.setattr(app, "open_log", lambda settings: made.open(settings.app))
    make_topics(made)
    return made


def run(*arguments: str) -> int:
    """Run the command and return the exit code."""
    return cli.main(["deadletters", *(part for each in GIVEN for part in ("--set", each)), *arguments])


def reported(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """Run the command with --json, and return what it printed."""
    capsys.readouterr()
    assert run("--json", *arguments) == 0
    return json.loads(capsys.readouterr().out)


def several(count: int = 450) -> list[Record]:
    """Return dead letters of two reasons in two partitions."""
    return [
        letter_of(bad_record(number, number % 2), "late" if number % 3 == 0 else "invalid_time")
        for number in range(count)
    ]


def test_counts_are_complete(world: Worlds, capsys: pytest.CaptureFixture[str]) -> None:
    """Every dead letter is counted by reason and partition, with the first and the last time of its record."""
    write_letters(world, several())
    world.produce("sensors.dead-letters", [Record("", 0, -1, 5, None, b"of another program")])
    found = reported(capsys, "--samples", "2")
    assert {reason: each["letters"] for reason, each in found["reasons"].items()} == {"invalid_time": 300, "late": 150}
    late = found["reasons"]["late"]
    assert late["partitions"] == {"sensors.dead-letters/0": 75, "sensors.dead-letters/1": 75}
    assert (late["first"], late["last"]) == (1_700_000_000_000, 1_700_000_000_447)
    assert (late["not_retried"], late["cut"], found["others"]) == (150, 0, {"sensors.dead-letters/0": 1})
    assert len(late["samples"]) == 2
    assert late["samples"][0] == {
        "partition": "sensors.dead-letters/0", "offset": 0, "input": "sensors/0", "input_offset": 0,
        "timestamp": 1_700_000_000_000, "retries": 0, "message": "the time is wrong", "key": "key-0",
        "value": '{"series": "pump-0", "time": "yesterday"}',
    }  # fmt: skip


def test_counts_of_a_selection(world: Worlds, capsys: pytest.CaptureFixture[str]) -> None:
    """--reason, --since and --partition narrow what is counted."""
    write_letters(world, several())
    assert reported(capsys, "--reason", "late")["reasons"].keys() == {"late"}
    found = reported(capsys, "--since", "2023-11-14T22:13:20.440", "--partition", "sensors/1", "--samples", "0")
    assert found["reasons"] == {
        "invalid_time": {
            "letters": 3, "not_retried": 3, "cut": 0, "partitions": {"sensors.dead-letters/1": 3},
            "first": 1_700_000_000_443, "last": 1_700_000_000_449, "samples": [],
        },
        "late": {
            "letters": 2, "not_retried": 2, "cut": 0, "partitions": {"sensors.dead-letters/1": 2},
            "first": 1_700_000_000_441, "last": 1_700_000_000_447, "samples": [],
        },
    }  # fmt: skip


def test_the_report_for_people(world: Worlds, capsys: pytest.CaptureFixture[str]) -> None:
    """Keys and values are shortened, and have no character that a terminal would act on."""
    odd = bad_record(7, key=b"\x1b[2J\xff", value=b"v" * 5000, timestamp=-(2**62))
    write_letters(world, [letter_of(odd, words="it is\nso")])
    assert run() == 0
    text = capsys.readouterr().out
    assert "sensors.dead-letters: 1 dead letter in 2 partitions, 1 not retried" in text
    assert re.search(r"^invalid_time +1 dead letter, 1 not retried \(", text, re.MULTILINE)
    assert "sensors.dead-letters/0 offset 0, from sensors/0 offset 7" in text
    assert "\x1b" not in text
    assert r"\x1b[2J\xff" in text
    assert r"it is\nso" in text
    assert f"{'v' * 299}…" in text


def test_a_misspelt_reason_is_named(world: Worlds, capsys: pytest.CaptureFixture[str]) -> None:
    """Instead of a count of none alone, the report lists the reasons that there are."""
    write_letters(world, several(10))
    assert run("--reason", "invalid_tim") == 0
    text = capsys.readouterr().out
    assert "none has the reason invalid_tim; there are invalid_time, late\n" in text
    assert run("--reason", "late", "--since", "2030-01-01") == 0
    assert "none has" not in capsys.readouterr().out


def test_a_retry_writes_the_record_with_its_provenance(world: Worlds) -> None:
    """Key, value, headers, timestamp and partition are those of the record; new headers say where it comes from."""
    record = bad_record(81, 1, timestamp=1_600_000_000_000)
    moved = with_moved_timestamp(letter_of(record), 5)
    write_letters(world, [letter_of(bad_record(80, 1)), moved])
    assert run("--retry") == 0
    first, second = world.read("sensors")
    assert (second.partition, second.timestamp, second.key, second.value) == (
        1, record.timestamp, record.key, record.value,
    )  # fmt: skip
    assert second.headers == (
        ("h", b"\x00"),
        (f"{RETRY}count", b"1"),
        (f"{RETRY}topic", b"sensors.dead-letters"),
        (f"{RETRY}partition", b"1"),
        (f"{RETRY}offset", b"1"),
        (f"{RETRY}first.offset", b"81"),
    )
    assert dict(first.headers)[f"{RETRY}first.offset"] == b"80"


def test_repeated_runs_retry_each_letter_once(world: Worlds, capsys: pytest.CaptureFixture[str]) -> None:
    """A second run retries only what came since; the report counts what is left."""
    write_letters(world, several(450))
    assert run("--retry", "--reason", "late") == 0
    assert len(retried(world)) == 150
    assert {name: each["not_retried"] for name, each in reported(capsys)["reasons"].items()} == {
        "invalid_time": 300, "late": 0,
    }  # fmt: skip
    write_letters(world, several(30))
    assert run("--retry") == 0
    assert retried(world) == [(partition, offset) for partition in (0, 1) for offset in range(240)]
    capsys.readouterr()
    assert run("--retry") == run("--retry", "--reason", "late") == 0
    assert capsys.readouterr().out == "nothing to retry\n" * 2
    assert len(retried(world)) == 480
    assert reported(capsys)["reasons"]["late"]["not_retried"] == 0


class _KilledError(BaseException):
    """Stands for a kill of the process."""


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("reason", [[], ["--reason", "invalid_time"]])
def test_an_interrupted_retry_is_continued(
    world: Worlds, monkeypatch: pytest.MonkeyPatch, reason: list[str], *, written: bool
) -> None:
    """A run that dies before or after any of its commits is continued by the next one: each letter once."""
    write_letters(world, several(1000))
    kind: type[Any] = MemoryTransaction if isinstance(world, MemoryWorld) else SqliteTransaction
    commit, runs = kind.commit, 0
    for dies_at in (2, 1, 3, 1, 2):
        calls = iter(range(1, 100))

        def dying(self: Any, offset: int, metadata: str, calls: Any = calls, dies_at: int = dies_at) -> None:
            dies = next(calls) == dies_at
            if written or not dies:
                commit(self, offset, metadata)
            if dies:
                raise _KilledError

        monkeypatch.setattr(kind, "commit", dying)
        try:
            run("--retry", *reason)
        except _KilledError:
            runs += 1
    monkeypatch.setattr(kind, "commit", commit)
    assert runs >= 3
    assert run("--retry", *reason) == 0
    wanted = [(number % 2, number // 2) for number in range(1000) if not reason or number % 3]
    assert retried(world) == sorted(wanted)


def test_what_cannot_be_retried_is_named(world: Worlds, capsys: pytest.CaptureFixture[str]) -> None:
    """Cut letters, and those of another topic or a partition that is gone, are named and not written."""
    write_letters(
        world,
        [
            letter_of(bad_record(0, value=b"v" * 600_000), "too_large"),
            letter_of(bad_record(1, headers=tuple((f"{n}", b"x" * 100) for n in range(3000)))),
            letter_of(bad_record(2, topic="sensors"), words="(the value is cut here to its first words)"),
            letter_of(bad_record(3))._replace(headers=letter_of(bad_record(3, topic="other")).headers),
            letter_of(bad_record(4))._replace(headers=letter_of(bad_record(4, 9)).headers),
        ],
    )
    assert run("--retry") == 0
    assert retried(world) == [(0, 2)]
    assert capsys.readouterr().out.splitlines() == [
        "invalid_time: 1 record written to the input again",
        "not retried: sensors.dead-letters/0 offset 0 (from sensors/0 offset 0, too_large): a part of it was cut",
        "not retried: sensors.dead-letters/0 offset 1 (from sensors/0 offset 1, invalid_time): a part of it was cut",
        "not retried: sensors.dead-letters/0 offset 3 (from other/0 offset 3, invalid_time): it came from another "
        "topic than sensors",
        "not retried: sensors.dead-letters/0 offset 4 (from sensors/9 offset 4, invalid_time): sensors has no such "
        "partition now",
    ]


def fail_again(world: Worlds, reason: str = "invalid_time") -> None:
    """Turn the last record of the input into a dead letter, as the daemon does."""
    write_letters(world, [letter_of(world.read("sensors")[-1], reason)])


def test_a_record_that_fails_again_is_retried_three_times(world: Worlds, capsys: pytest.CaptureFixture[str]) -> None:
    """The header counts the retries; from the fourth on only --force retries it, each letter once."""
    write_letters(world, [letter_of(bad_record(5))])
    for count in (1, 2, 3):
        assert run("--retry") == 0
        headers = dict(world.read("sensors")[-1].headers)
        assert (headers[f"{RETRY}count"], headers[f"{RETRY}first.offset"]) == (b"%d" % count, b"5")
        assert [name for name, _ in world.read("sensors")[-1].headers].count(f"{RETRY}count") == 1
        fail_again(world)
    capsys.readouterr()
    for _ in range(2):
        assert run("--retry") == 0
    assert len(world.read("sensors")) == 3
    assert "it has failed 3 times again; --force retries it" in capsys.readouterr().out
    for _ in range(2):
        assert run("--retry", "--force") == 0
    assert [dict(each.headers)[f"{RETRY}count"] for each in world.read("sensors")] == [b"1", b"2", b"3", b"4"]


def test_the_group_shows_how_far_it_is(world: Worlds) -> None:
    """The group `<app>.deadletters` has a committed offset in the dead letters, as its lag in any tool."""
    write_letters(world, several(100))
    assert run("--retry") == 0
    with closing(world.open("one.deadletters")) as log:
        found = [log.committed(TopicPartition("sensors.dead-letters", n)) for n in (0, 1)]
    assert [each and each.offset for each in found] == [50, 50]


def test_a_topic_created_again_is_retried_from_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Positions belong to one topic, by its id, not to a later one of the same name."""
    world = MemoryWorld()
    monkeypatch.setattr(app, "open_log", lambda settings: world.open(settings.app))
    make_topics(world)
    write_letters(world, several(10))
    assert run("--retry") == 0
    world.store.delete("sensors.dead-letters")
    make_topics(world)
    write_letters(world, several(10))
    assert run("--retry") == 0
    assert len(retried(world)) == 20


def test_two_runs_at_once_are_refused(world: Worlds) -> None:
    """A retry needs the group for itself."""
    write_letters(world, several(10))
    with closing(world.open("one.deadletters")) as other:
        other.subscribe(["sensors.dead-letters"])
        with pytest.raises(LogError, match=r"one\.deadletters has members"):
            retry_letters(load(None, GIVEN), [])
    assert retried(world) == []


def test_without_dead_letters(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Before the daemon's first start there is no topic, which the message says."""
    world = MemoryWorld()
    monkeypatch.setattr(app, "open_log", lambda settings: world.open(settings.app))
    assert run() == 69
    assert "input topic sensors does not exist" in capsys.readouterr().err
    with closing(world.open("creator")) as log:
        log.create([Topic("sensors", 1)])
    assert run() == 69
    assert "there are no dead letters: the topic sensors.dead-letters does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--retry", "--since", "2026-01-01"], "--since has no effect with --retry"),
        (["--force"], "--force has no effect without --retry"),
        (["--samples", "-1"], "must be a whole number"),
        (["--since", "yesterday"], "must be a time in ISO 8601"),
    ],
)
def test_contradictory_options(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is that of usage."""
    with pytest.raises(SystemExit) as ended:
        run(*arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_an_unknown_partition_is_refused(world: Worlds, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the partitions that there are."""
    write_letters(world, several(2))
    assert run("--partition", "sensors/7") == 78
    assert "sensors/0 to sensors/1" in capsys.readouterr().err


def test_positions_of_another_program_are_refused(world: Worlds, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is retried where it is unknown what has been."""
    write_letters(world, several(2))
    assert run("--retry") == 0
    world.produce("one.deadletters.retried", [Record("", 0, -1, 5, b"sensors.dead-letters", b"[1]")])
    assert run("--retry") == 78
    assert "another program has written to it" in capsys.readouterr().err
