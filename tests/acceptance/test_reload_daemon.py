"""SIGHUP: the daemon reads its file again, takes it over as a whole or not at all, and says which."""

import json
import os
import pty
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from support.daemons import LEAN
from support.fork_server import ForkServer
from support.kafka_probe import create_topics
from support.process import Daemon, own_environment, until

from streamrnn import cli
from streamrnn.log import Topic
from streamrnn.log.sqlite import SqliteLog
from streamrnn.records import Record, TopicPartition
from streamrnn.settings import load

pytestmark = pytest.mark.timeout(240)
START, MINUTE = 1_700_000_000_000, 60_000
PARTITIONS = 2


class Configured:
    """A daemon over SQLite with a configuration file that changes; `options` of `run`."""

    def __init__(self, folder: Path, fork_server: ForkServer, *options: str) -> None:
        self.file, self._sent = folder / "own.yaml", 0
        lean = load(None, [*LEAN, "input.topics=sensors"])
        self._base = {
            "log": "sqlite", "device": "cpu", "sqlite": {"path": str(folder / "log.db")},
            "input": {"topics": ["sensors"], "key": "series", "time": "time"},
            "model": lean.model.model_dump(mode="json", exclude_defaults=True),
            "learning": lean.learning.model_dump(mode="json", exclude_defaults=True),
            "commit": {"interval": "50ms"}, "output": {"state": "{topic}.state"},
        }  # fmt: skip
        self.write()
        self.log = SqliteLog(path=folder / "log.db", app="feeder")
        self.log.create([Topic("sensors", PARTITIONS), Topic("other", 1)])
        self.daemon = Daemon(folder, [], fork_server=fork_server, config=self.file, options=options)

    def close(self) -> None:
        """End the daemon, however it is."""
        self.daemon.kill()
        self.log.close()

    def write(self, **sections: Mapping[str, object] | str | int) -> None:
        """Write the file: the first one with these sections changed."""
        self.file.write_text(self.text(**sections))

    def text(self, **sections: Mapping[str, object] | str | int) -> str:
        """Return the first file with these sections changed."""
        changed = {
            name: {**self._base.get(name, {}), **each} if isinstance(each, Mapping) else each  # type: ignore[dict-item]
            for name, each in sections.items()
        }
        return yaml.safe_dump({**self._base, **changed})

    def reload(self, result: str) -> str:
        """Send SIGHUP; wait until the daemon has reloaded with this result, and return what it logged."""
        before = self.count(result)
        self.daemon.process.send_signal(signal.SIGHUP)
        return self.reloaded(result, before)

    def reloaded(self, result: str, before: int = 0) -> str:
        """Wait until the daemon has reloaded with this result once more than `before`; return what it logged."""
        try:
            until(lambda: self.daemon.alive() and self.count(result) == before + 1, result, 30)
        except AssertionError as error:
            error.add_note(self.daemon.stderr[-3000:])
            raise
        good = result in ("applied", "unchanged")
        event = self.daemon.events("reloaded" if good else "reload_refused")[-1]
        return str(event["changed"] if good else event["error"])

    def count(self, result: str) -> int:
        """Return the number of reloads with this result, as the metrics have it."""
        lines = self.daemon.get("/metrics")[1].splitlines()
        return int(float(next(line.split()[-1] for line in lines if f'_reloads_total{{result="{result}"}}' in line)))

    def forecast(self, count: int = 20) -> list[dict[str, object]]:
        """Feed records; return the last forecasts once all are committed."""
        times = range(self._sent, self._sent + count)
        self._sent += count
        records = [
            Record("sensors", n % PARTITIONS, 0, START + n * MINUTE, None,
                   b'{"series": "pump", "time": %d, "load": %d}' % (START + n * MINUTE, n % 7))
            for n in times
        ]  # fmt: skip
        self.log.append("sensors", records)
        until(lambda: self.daemon.alive() and self._published() == self._sent, "forecasts", 60)
        return [
            json.loads(record.value or b"")
            for number in range(PARTITIONS)
            for record in self._read(number)[-count // PARTITIONS :]
        ]

    def _read(self, number: int) -> list[Record]:
        place = TopicPartition("sensors.forecasts", number)
        return list(self.log.read(place, 0, self.log.bounds(place)[1])) if self.log.partitions(place.topic) else []

    def _published(self) -> int:
        return sum(len(self._read(number)) for number in range(PARTITIONS))


@pytest.fixture
def own(tmp_path: Path, fork_server: ForkServer, bare_environment: None) -> Iterator[Configured]:
    """Yield a daemon that is ready."""
    with closing(Configured(tmp_path, fork_server)) as made:
        made.daemon.ready()
        yield made


ABOVE = {"thresholds": [{"field": "load", "above": 5}]}


def test_changes_take_effect_or_are_refused_with_words(own: Configured, capsys: pytest.CaptureFixture[str]) -> None:
    """Each result in turn; what is invalid or needs a restart changes nothing, and the daemon forecasts on."""
    assert all("crossings" not in each for each in own.forecast())
    own.write(forecast=ABOVE, logging={"level": "debug"})
    assert "forecast.thresholds: [] -> [{'field': 'load', 'above': 5.0" in own.reload("applied")
    changed = own.daemon.events("settings_changed")
    until(lambda: len(own.daemon.events("settings_changed")) == PARTITIONS, f"every partition: {changed}", 30)
    assert all("crossings" in each for each in own.forecast())
    assert own.daemon.events("committed")  # logged at debug
    assert own.reload("unchanged") == "[]"
    own.write(forecast={"quantiles": [0.9, 0.5]}, commit={"interval": 7})
    refused = own.reload("invalid")
    assert cli.main(["check", "-c", str(own.file)]) == 78
    assert [f"streamrnn: {line}" for line in refused.splitlines()] == capsys.readouterr().err.splitlines()
    own.write(forecast=ABOVE, model={"hidden_size": 32}, app="two", metrics={"port": 9}, input={"max_ahead": "1d"})
    refused = own.reload("refused")
    assert "model.hidden_size: 24 -> 32 cannot change while the daemon runs; the learned state" in refused
    assert "app: streamrnn -> two" in refused
    assert "metrics.port: 9108 -> 9" not in refused  # given by --set, which comes first
    assert refused.endswith("the other changes (2) would take effect without these")
    assert all("crossings" in each for each in own.forecast())
    own.write()
    own.reload("applied")
    until(lambda: len(own.daemon.events("settings_changed")) == 2 * PARTITIONS, "every partition", 30)
    assert all("crossings" not in each for each in own.forecast())
    assert own.daemon.stop()[0] == 0
    assert "Traceback" not in own.daemon.stderr


def test_a_changed_file_is_read_again(tmp_path: Path, fork_server: ForkServer, bare_environment: None) -> None:
    """A folder that a link puts in the place of another, as a ConfigMap's, and a file that is written in two parts."""

    def put(version: str, text: str) -> None:
        (tmp_path / version).mkdir()
        (tmp_path / version / "own.yaml").write_text(text)
        (tmp_path / "..data_tmp").symlink_to(version)
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")

    put("..1", "")
    (tmp_path / "own.yaml").symlink_to("..data/own.yaml")
    with closing(Configured(tmp_path, fork_server, "--reload-on-change")) as own:
        own.daemon.ready()
        assert all("crossings" not in each for each in own.forecast())
        put("..2", own.text(forecast=ABOVE))
        assert "forecast.thresholds: [] -> " in own.reloaded("applied")
        until(lambda: len(own.daemon.events("settings_changed")) == PARTITIONS, "every partition", 30)
        assert all("crossings" in each for each in own.forecast())
        whole = own.text(forecast={"quantiles": [0.1, 0.5, 0.9]})
        own.file.write_text(whole[: whole.index("0.5")])
        assert "own.yaml" in own.reloaded("invalid")
        assert all("crossings" in each for each in own.forecast())
        own.file.write_text(whole)
        assert "forecast.quantiles: " in own.reloaded("applied", 1)
        own.file.unlink()
        assert "does not exist" in own.reloaded("invalid", 1)
        assert own.daemon.stop()[0] == 0
        assert "Traceback" not in own.daemon.stderr


def test_a_new_topic_is_read(own: Configured) -> None:
    """The daemon leaves the group and joins it again; nothing of the topic before is repeated."""
    own.forecast()
    own.write(input={"topics": ["sensors", "other"]})
    own.reload("applied")
    until(lambda: len(own.daemon.events("subscribed")) == 2, "the second subscription", 30)
    own.log.append(
        "other", [Record("other", 0, 0, START, b"pump", b'{"series": "pump", "time": %d, "load": 1}' % START)]
    )
    place = TopicPartition("other.forecasts", 0)
    until(lambda: own.daemon.alive() and own.log.bounds(place)[1] == 1, "a forecast of the new topic", 30)
    own.forecast()


def resources(pid: int) -> tuple[int, int, int]:
    """Return the resident KiB, the threads and the open files of a process."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status["VmRSS"].split()[0]), int(status["Threads"]), len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.mark.parametrize("times", [12, pytest.param(100, marks=pytest.mark.long)])
def test_reloads_leave_nothing_behind(own: Configured, times: int) -> None:
    """Neither memory nor threads nor open files grow with the number of reloads."""
    sizes = []
    for number in range(times):
        own.write(forecast=ABOVE if number % 2 else {}, anomaly={"min_deviation": number + 1})
        own.reload("applied")
        own.forecast(4)
        until(lambda n=number: len(own.daemon.events("settings_changed")) == PARTITIONS * (n + 1), "the change", 30)
        sizes.append(resources(own.daemon.process.pid))
    settled = sizes[times // 4]
    memory, threads, files = sizes[-1]
    assert memory <= 1.02 * settled[0], sizes
    assert (threads, files) <= (settled[1] + 1, settled[2] + 1), sizes  # a reload may be ending


def test_a_closed_terminal_stops_it(tmp_path: Path, bare_environment: None) -> None:
    """SIGHUP reloads on a terminal, too, unless that has been closed."""
    path = tmp_path / "log.db"
    with closing(SqliteLog(path=path, app="creator")) as log:
        log.create([Topic("sensors", 1)])
    given = ["log=sqlite", f"sqlite.path={path}", "input.topics=sensors", "metrics.port=0", *LEAN]
    command = [sys.executable, "-m", "streamrnn.cli", "run", *(part for each in given for part in ("--set", each))]
    pid, terminal = pty.fork()
    if not pid:
        os.execve(command[0], command, own_environment())
    try:
        seen = ""

        def shown(word: str) -> bool:
            nonlocal seen
            seen += os.read(terminal, 65536).decode(errors="replace")
            return word in seen

        until(lambda: shown("restored in"), "the start")
        os.kill(pid, signal.SIGHUP)
        until(lambda: shown("reloaded"), "the reload")
        os.close(terminal)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        with closing(SqliteLog(path=path, app="streamrnn")) as log:  # it has left the file
            log.subscribe(["sensors"])
            assert log.poll(1.0, 1).assigned
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise


@pytest.mark.kafka
def test_the_parent_of_several_workers_passes_it_on(
    broker: str, name: str, tmp_path: Path, fork_server: ForkServer, bare_environment: None
) -> None:
    """Each worker reloads; what only the parent knows to be different is refused for all of them."""
    create_topics(broker, name, partitions=2)
    file = tmp_path / "own.yaml"
    base = {"app": name, "input": {"topics": [name]}, "kafka": {"bootstrap_servers": broker}, "workers": 2}
    file.write_text(yaml.safe_dump(base))
    with Daemon(tmp_path, ["device=cpu", *LEAN], fork_server=fork_server, config=file) as daemon:
        until(lambda: daemon.alive() and len(daemon.events("task_restored")) >= 2, "both workers")
        file.write_text(yaml.safe_dump({**base, "logging": {"level": "debug"}}))
        daemon.process.send_signal(signal.SIGHUP)
        until(lambda: daemon.alive() and len(daemon.events("reloaded")) == 3, "parent and workers", 30)
        file.write_text(yaml.safe_dump({**base, "workers": 1}))
        daemon.process.send_signal(signal.SIGHUP)
        until(lambda: daemon.alive() and len(daemon.events("reload_refused")) == 1, "the refusal", 30)
        assert "workers: 2 -> 1" in daemon.events("reload_refused")[0]["error"]
        assert daemon.stop()[0] == 0
        assert len(daemon.events("reloaded")) == 3
