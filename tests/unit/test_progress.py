"""What a daemon says about itself while it starts, and then once a minute."""

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest

from streamrnn.commands.run import daemon
from streamrnn.core import jit
from streamrnn.observe import progress
from streamrnn.observe.events import EVENTS
from streamrnn.observe.progress import ProgressLogger
from streamrnn.records import QUALITY, StepReport, TopicPartition

HERE, OTHER = TopicPartition("sensors", 0), TopicPartition("sensors", 1)


class Site:
    """A logger with a clock, a reason and compiled loops of the test's own; its thread never logs."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.now, self.reason, self.loops = 0.0, "", None
        self._caplog = caplog
        self.logger = ProgressLogger(lambda: self.loops, clock=lambda: self.now)
        self.logger.reason = lambda: self.reason

    def pass_time(self, seconds: float) -> list[str]:
        """Log as the thread does for a while; return the names of the events."""
        end, events = self.now + seconds, []
        due = self.now + progress.START_SECONDS
        while due <= end:
            self.now = due
            events += self.events()
            due += self.logger.log()
            events += self.events()
        self.now = end
        return events

    def events(self) -> list[str]:
        """Return the names of the events logged since the last call; every one has its documented details."""
        names = []
        for record in self._caplog.records:
            known = EVENTS[record.message]
            assert set(known.details) <= vars(record).keys(), record.message
            names.append(record.message)
        self._caplog.clear()
        return names

    def last(self) -> dict[str, object]:
        """Log the next line; return its details."""
        self.now += progress.STATUS_SECONDS
        self.logger.log()
        record = self._caplog.records[-1]
        return {name: vars(record)[name] for name in EVENTS[record.message].details}


@pytest.fixture
def site(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Yield a logger that only the test calls."""
    monkeypatch.setattr(ProgressLogger, "_run", lambda _: None)
    caplog.set_level(logging.INFO, "streamrnn")
    site = Site(caplog)
    with closing(site.logger):
        yield site


def report(partition: TopicPartition = HERE, **changes: object) -> StepReport:
    """Return the report on a feed that made forecasts."""
    return StepReport(partition, **{"records": 10, "forecasts": 10, "series": 3, **changes})  # type: ignore[arg-type]


def test_a_start_is_never_silent(site: Site) -> None:
    """While loops compile, state is restored or the first records are forecast there is a line every few seconds."""
    site.loops = (3, 200)
    assert site.pass_time(600) == ["compiling"] * 240
    site.loops, site.reason = None, "not restored yet: sensors/0"
    assert site.pass_time(300) == ["not_forecasting"] * 120
    site.reason = ""
    site.logger.stepped(report())
    assert site.pass_time(300) == ["not_forecasting"] * 120
    site.logger.committed(HERE, 0.1, 0)
    assert site.events() == ["first_forecasts"]
    site.loops = (38, 200)  # one that is rarely needed, and compiles in the loop
    assert site.pass_time(300) == ["status"] * 5


@pytest.mark.parametrize("reason", ["", "input topics that do not exist: sensors", "no partition is assigned"])
def test_waiting_for_others_becomes_quiet(site: Site, reason: str) -> None:
    """What is up to others is named every few seconds for half a minute, and then once a minute, in `status`."""
    site.reason = reason
    names = site.pass_time(600)
    assert names[:12] == ["not_forecasting"] * 12
    assert set(names[14:]) == {"status"}
    assert 8 <= len(names[14:]) <= 10
    assert site.last()["not_ready"] == reason


def test_refused_records_are_not_said_to_wait_for_a_commit(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """Where every record so far is a dead letter, usable ones are waited for, and that becomes quiet, too."""
    site.logger.stepped(report(forecasts=0, dead_letters=Counter(missing_time=10)))
    site.logger.committed(HERE, 0.1, 0)
    site.now = 5.0
    site.logger.log()
    assert [vars(record)["reason"] for record in caplog.records] == ["usable records"]
    site.events()
    assert site.pass_time(600).count("not_forecasting") <= 12


def test_commits_without_forecasts_are_not_the_first(site: Site) -> None:
    """Dead letters alone, or another partition's commit, are no forecasts."""
    site.logger.stepped(report(forecasts=0, dead_letters=Counter(late=10)))
    site.logger.committed(HERE, 0.1, 0)
    site.logger.stepped(report(OTHER))
    site.logger.committed(HERE, 0.1, 0)
    assert site.events() == []
    site.logger.committed(OTHER, 0.1, 0)
    site.logger.committed(OTHER, 0.1, 0)
    assert site.events() == ["first_forecasts"]


def test_the_status_counts_one_minute(site: Site) -> None:
    """Counts are those since the line before, of all partitions; series and lag are those of the present."""
    scores = np.zeros((len(QUALITY), 2))
    scores[QUALITY.index("error")], scores[QUALITY.index("persistence_error")] = 3.0, 4.0
    site.logger.stepped(report(dead_letters=Counter(late=2, invalid_time=1), scores=scores))
    site.logger.stepped(report(OTHER, records=20, series=5))
    site.logger.committed(HERE, 0.1, 0)
    site.logger.lag(HERE, 7)
    site.logger.lag(OTHER, 8)
    common = {"lag": 15, "series": 8, "not_ready": ""}
    first = {"records": 30, "records_per_second": 0.5, "skill": 0.25, "dead_letters": 3}
    assert site.last() == {**common, **first}
    site.logger.released(OTHER)
    nothing = {"records": 0, "records_per_second": 0.0, "skill": None, "dead_letters": 0}
    assert site.last() == {**nothing, "lag": 7, "series": 3, "not_ready": ""}


@pytest.mark.parametrize(("cores", "about"), [({0}, 300), ({0, 1}, 156)])
def test_the_loops_announced_are_those_of_this_process(
    cores: set[int], about: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On several cores a second process compiles the others, which this one only loads."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: cores)
    monkeypatch.setattr(jit, "compiling", lambda: 7)
    assert daemon._compiling("full") == (7, about)
    monkeypatch.setattr(jit, "compiling", lambda: None)
    assert daemon._compiling("full") is None
