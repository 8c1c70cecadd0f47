"""What changes between two configurations, when it takes effect, and what is recorded with the state."""

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import get_args

import pytest

from streamrnn.commands.run.reload import Reloader
from streamrnn.errors import ConfigError, LogError, StateError
from streamrnn.observe.catalogue import RELOAD_RESULTS
from streamrnn.runtime.snapshot.task_source import RecordedSettings, TaskSource
from streamrnn.settings import Settings, _known, load
from streamrnn.settings.changes import Effect, changes_between, effect_of, problems_of, task_values, with_task_values

pytestmark = pytest.mark.usefixtures("bare_environment")
PAGE = Path(__file__).parents[2] / "docs/how-to/change-settings.md"
WORDS: dict[str, Effect] = {
    "at once": "at once", "with the next": "commit", "after the": "reconnect", "at the next start": "restart",
    "never": "other app",
}  # fmt: skip
RICH = (
    "app=one", "input.topics=a", "input.key=tags.host,name", "input.time=ts", "input.window=6m", "input.grace=1m",
    'input.window.how={"load": "rate", "*": "mean"}', "input.fields=a,b*", "input.numbers.missing=-9999,x",
    "input.where=k.x == true", "input.max_ahead=1d", "series.ttl=30d", "input.start=latest", "input.max_record=32KiB",
    'forecast.thresholds=[{"field": "a", "above": 0}]', 'forecast.bounds={"a": "auto", "*": {"min": 0.1}}',
    "forecast.horizon=2h", 'forecast.events=[{"date": "2025-12-24", "name": "x", "like": "monday"}]',
    'anomaly.fields=[{"field": "a", "direction": "up"}]', "output.events={topic}.events", "output.state={topic}.s",
    "learning.head_rate=0.003", "forecast.seasons=1h,1d", "input.covariates=c", "input.planned=d", "output.every=2",
)  # fmt: skip


def settings(*overrides: str) -> Settings:
    """Return settings of a topic."""
    return load(None, ["input.topics=a", *overrides])


def rows() -> list[tuple[str, Effect]]:
    """Return each pattern of the page's table with what it says."""
    table = PAGE.read_text().split("| keys | take effect |\n|-|-|\n")[1].split("\n\n")[0]
    found = []
    for line in table.splitlines():
        keys, words = line.strip("| ").split(" | ")
        effect = next(effect for beginning, effect in WORDS.items() if words.startswith(beginning))
        found += [(pattern, effect) for pattern in re.findall("`([^`]+)`", keys)]
    return found


def test_the_page_says_when_each_key_takes_effect() -> None:
    """Of the patterns that match a key the longest counts."""
    documented = rows()
    assert {effect for _, effect in documented} == set(get_args(Effect))
    for key in _known():
        matching = [(len(pattern), effect) for pattern, effect in documented if fnmatchcase(key, pattern)]
        assert matching, f"{key} is missing in {PAGE.name}"
        assert max(matching)[1] == effect_of(key), key
    unused = [pattern for pattern, _ in documented if not any(fnmatchcase(key, pattern) for key in _known())]
    assert unused == []


def test_a_problem_names_the_key_both_values_and_what_to_do() -> None:
    """Secrets are masked; what can change is no problem."""
    one = settings("kafka.security_protocol=SASL_SSL", "kafka.sasl_mechanism=PLAIN", "kafka.sasl_username=u",
                   "kafka.sasl_password=before")  # fmt: skip
    other = settings("kafka.security_protocol=SASL_SSL", "kafka.sasl_mechanism=PLAIN", "kafka.sasl_username=u",
                     "kafka.sasl_password=after", "model.hidden_size=8", "input.time=ts", "app=two")  # fmt: skip
    changes = changes_between(one, other)
    assert [change.key for change in changes] == ["app", "kafka.sasl_password", "input.time.from", "model.hidden_size"]
    password, size = problems_of(changes)[1:]
    assert password == (
        "kafka.sasl_password: ********** -> ********** cannot change while the daemon runs; restart the daemon with it"
    )
    assert size.startswith("model.hidden_size: 64 -> 8 cannot change while the daemon runs; the learned state belongs")
    assert "under another app" in size


def test_recorded_values_give_the_same_tasks() -> None:
    """What forecasts depend on comes from the record, all else from the present settings."""
    one, other = settings(*RICH), settings("app=two", "input.topics=z", "kafka.client=confluent", "output.every=7")
    values = task_values(one)
    merged = with_task_values(other, values)
    assert task_values(merged) == values
    assert (merged.app, merged.input.topics, merged.kafka.client) == ("two", ("z",), "confluent")
    assert merged.input.start == "earliest"
    assert merged.output.state == "{app}.state"
    differing = {change.key for change in changes_between(one, merged)}
    assert differing == {
        "app", "input.topics", "input.start", "output.state", "kafka.client", "forecast.events",
    }  # fmt: skip  # the names of events are for readers
    assert task_values(settings()) == {}
    with pytest.raises(StateError, match="Extra inputs are not permitted; use the version that wrote"):
        with_task_values(other, {"forecast": {"later": 1}})


def test_a_record_is_equal_if_it_means_the_same() -> None:
    """Values that another version has written otherwise are compared by what they mean."""

    def source(present: Settings) -> TaskSource:
        return TaskSource(
            lambda _: pytest.fail("no task is needed"), values=task_values(present),
            recorded=lambda values: source(with_task_values(present, values)),
        )  # fmt: skip

    present = source(settings("forecast.quantiles=0.1,0.5,0.9"))
    same = RecordedSettings({"forecast": {"quantiles": "0.1, 0.5, 0.9"}, "output": {"every": 0}}, 7)
    assert present.equals(same)
    assert present.for_replay(same) is present
    assert present.record(same, 30) == (present.values, 7)
    changed = RecordedSettings({}, 7)
    assert not present.equals(changed)
    assert present.for_replay(changed).values == {}
    assert present.record(changed, 30) == (present.values, 30)
    assert present.record(None, 30) == (present.values, -1)
    unusable = RecordedSettings({"forecast": {"later": 1}}, 7)
    assert not present.equals(unusable)
    with pytest.raises(StateError):
        present.for_replay(unusable)
    assert TaskSource(lambda _: pytest.fail("no task is needed")).record(changed, 30) is None


@pytest.mark.parametrize(
    ("read", "check", "result"),
    [
        (settings("commit.interval=1s"), None, "applied"),
        (settings(), None, "unchanged"),
        (ConfigError("x: is wrong"), None, "invalid"),
        (settings("workers=2"), None, "refused"),
        (settings("output.every=2"), ConfigError("holidays is not installed"), "invalid"),
        (settings("output.every=2"), LogError("no answer"), "failed"),
        (settings("output.every=2"), ZeroDivisionError("defect"), "failed"),
    ],
)  # fmt: skip
def test_only_what_is_checked_is_applied(
    read: Settings | Exception, check: Exception | None, result: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The result is logged and counted; nothing is raised."""
    applied, counted = [], []

    def again() -> Settings:
        if isinstance(read, Exception):
            raise read
        return read

    def checked(_before: Settings, _after: Settings) -> None:
        if check is not None:
            raise check

    before = settings()
    reloader = Reloader(
        before, read=again, check=checked, apply=lambda new, _: applied.append(new), count=counted.append
    )
    assert reloader() == result
    assert counted == [result]
    assert result in RELOAD_RESULTS
    assert applied == ([read] if result == "applied" else [])
    assert reloader.settings == (read if result == "applied" else before)
    error = read if isinstance(read, Exception) else check
    assert error is None or any(str(error) in vars(record)["error"] for record in caplog.records)
