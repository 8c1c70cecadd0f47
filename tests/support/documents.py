"""The code blocks of README.md and docs/**, and a reader who runs a document's blocks in order in one folder.

Shell blocks run in bash. Two commands do not end by themselves or need Docker, and are run by the reader: `streamrnn
run` becomes a daemon in the background, and `docker compose` is checked against the Compose file, whose daemon is run
here. `support/stand_ins.py` replaces python3, pip, uv, make, curl, openssl and `streamrnn pretrain`; see its docstring.
The commands of streamrnn, the daemon and Python blocks run in processes forked from a fork server.

Python blocks run in one process per document, in one namespace. Replaced in them are the address of the broker and the
endless iteration of a consumer, which waits here up to 30 seconds for its first record, and one for each further one.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import yaml
from kafka import KafkaConsumer
from kafka import TopicPartition as KafkaPartition
from support.broker import _die_with_parent, free_ports
from support.fork_server import ForkedProcess, ForkServer
from support.kafka_probe import create_topics
from support.process import until

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
STAND_INS = Path(__file__).with_name("stand_ins.py")
PAGE, METRICS, BROKER = "127.0.0.1:8080", "localhost:9108", "localhost:9092"
"""Addresses in documents."""
OTHER_PROGRAMS = {
    "bridge.yaml": "Redpanda Connect",
    "collector.yaml": "the OpenTelemetry Collector",
    "configuration.yaml": "Home Assistant",
    "prometheus.yml": "Prometheus",
    "values.yaml": "Helm: tests/acceptance/test_kubernetes.py renders it",
}
"""Programs whose configuration a block of YAML is that begins with such a name."""
PYTHON = r"""
import contextlib, io, json, sys, traceback
import warnings
warnings.simplefilter("ignore")
names = {"__name__": "__main__"}
for line in sys.stdin:
    block = json.loads(line)
    if "KafkaConsumer" in block["text"]:
        import kafka
        from kafka.consumer.group import KafkaConsumer
        class Ending(KafkaConsumer):
            def __iter__(self):
                patience = 30000  # a group has to form first
                while batches := self.poll(patience, max_records=1):
                    yield from (record for records in batches.values() for record in records)
                    patience = 1000
        kafka.KafkaConsumer = Ending
    error, output = "", io.StringIO()
    with contextlib.redirect_stdout(output):
        try:
            exec(compile(block["text"], block["name"], "exec"), names)
        except BaseException:
            error = traceback.format_exc()
    print(json.dumps({"output": output.getvalue(), "error": error}), flush=True)
"""
"""Runs the blocks that come as lines of JSON on its standard input."""


STREAMRNN = "import sys; from support.stand_ins import streamrnn; sys.exit(streamrnn(*sys.argv[1:]))"


class Block(NamedTuple):
    """A fenced block of a document."""

    place: str
    """`document:line` of its opening fence."""
    language: str
    text: str


def blocks(document: Path) -> list[Block]:
    """Return the fenced blocks of a document; a fence may be indented as part of a list."""
    text = document.read_text(encoding="utf-8")
    found = []
    for match in re.finditer(r"^( *)```(\w*)\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL):
        line = text.count("\n", 0, match.start()) + 1
        indent, language, inner = match.groups()
        inner = re.sub(f"^{indent}", "", inner, flags=re.MULTILINE)
        found.append(Block(f"{name(document)}:{line}", language, inner))
    return found


def name(document: Path) -> str:
    """Return the path of a document in the repository."""
    return str(document.relative_to(ROOT))


def commands(text: str) -> list[str]:
    """Return the commands of a shell block; a line that ends in a backslash continues on the next one."""
    return [line for line in re.sub(r"\\\n\s*", "", text).splitlines() if line]


def check_build(block: Block, words: list[str]) -> None:
    """Check the words after `docker build`: a tag, values of the Dockerfile's arguments, and this folder."""
    *options, folder = words
    known = dict.fromkeys(re.findall(r"^ARG (\w+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    given = [value.partition("=")[0] for option, value in option_pairs(options) if option == "--build-arg"]
    assert (folder, set(given) - known.keys()) == (".", set()), block.place
    assert {option for option, _ in option_pairs(options)} <= {"-t", "--build-arg"}, block.place


def option_pairs(words: list[str]) -> list[tuple[str, str]]:
    """Return options with their values."""
    return list(zip(words[::2], words[1::2], strict=True))


class Reader:
    """Runs the blocks of one document in `folder`; `broker` is the address of a real broker, empty for none.

    Without a broker every configuration uses the embedded log.
    """

    def __init__(self, folder: Path, broker: str, fork_server: ForkServer) -> None:
        self.folder, self.broker, self._fork_server = folder, broker, fork_server
        self.metrics, self.page = free_ports(2)
        (folder / "secrets").mkdir()
        self._programs = folder / "programs"
        self._programs.mkdir()
        commands = {
            each: [sys.executable, str(STAND_INS), each] for each in ("python3", "pip", "uv", "make", "curl", "openssl")
        }
        for program, command in {**commands, "streamrnn": [*fork_server.command, "-c", STREAMRNN]}.items():
            path = self._programs / program
            path.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
            path.chmod(0o755)
        self.topics: list[str] = []
        """Created on the broker."""
        self._daemon: ForkedProcess | None = None
        self._python: subprocess.Popen[str] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The environment of everything that runs here."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("STREAMRNN_")}
        log = {"KAFKA__BOOTSTRAP_SERVERS": self.broker} if self.broker else {"LOG": "sqlite"}
        own = {**log, "METRICS__PORT": self.metrics, "PAGE__PORT": self.page, "SECRETS_DIR": self.folder / "secrets"}
        return {
            **inherited,
            "PATH": f"{self._programs}:{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
            **{f"STREAMRNN_{key}": str(value) for key, value in own.items()},
        }

    @property
    def running(self) -> bool:
        """Whether a daemon runs."""
        return self._daemon is not None

    def close(self) -> None:
        """End what runs; a daemon must end cleanly."""
        if self._python is not None:
            self._python.kill()
            self._python.communicate()
        self.stop_daemon()

    def shell(self, block: Block) -> None:
        """Run a shell block."""
        ordinary: list[str] = []
        for command in [*commands(block.text), ""]:
            if command and not command.startswith(("streamrnn run", "docker")):
                ordinary.append(command)
                continue
            if ordinary:
                self._bash(block, "\n".join(ordinary))
            ordinary = []
            if command.startswith("streamrnn run"):
                self.start_daemon(*shlex.split(command)[1:])
            elif command.startswith("docker build"):
                check_build(block, shlex.split(command)[2:])
            elif command:
                self._compose(block, shlex.split(command))

    def _bash(self, block: Block, script: str) -> None:
        here = script.replace("/run/secrets", str(self.folder / "secrets"))
        here = here.replace(PAGE, f"127.0.0.1:{self.page}").replace(METRICS, f"localhost:{self.metrics}")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", here],
            cwd=self.folder, env={**self.environment, "HOME": str(self.folder)}, capture_output=True, text=True,
            check=False, timeout=400,
        )  # fmt: skip
        assert done.returncode == 0, f"{block.place}: exit code {done.returncode}\n{script}\n{done.stdout}{done.stderr}"

    def python(self, block: Block) -> str:
        """Run a Python block after the earlier ones of the document, and return what it printed."""
        if self._python is None:
            self._python = subprocess.Popen(
                [*self._fork_server.command, "-c", PYTHON], cwd=self.folder, env=self.environment, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=_die_with_parent,  # noqa: PLW1509
            )  # fmt: skip
        assert self._python.stdin is not None
        assert self._python.stdout is not None
        text = block.text.replace(f'"{BROKER}"', f'"{self.broker}"')
        self._python.stdin.write(json.dumps({"text": text, "name": block.place}) + "\n")
        self._python.stdin.flush()
        answer = json.loads(self._python.stdout.readline())
        assert not answer["error"], f"{block.place}\n{answer['error']}"
        return str(answer["output"])

    def start_daemon(self, *arguments: str) -> None:
        """Start `streamrnn` with these arguments and wait until it serves; one that runs already is stopped first."""
        self.stop_daemon()
        self._daemon = self._fork_server.start(
            arguments, self.folder / "daemon.log", folder=self.folder, environment=self.environment
        )
        until(lambda: self._answers(f"http://127.0.0.1:{self.metrics}/healthz"), "the daemon's HTTP server")
        if "page.enabled=true" in arguments:
            until(lambda: self._answers(f"http://127.0.0.1:{self.page}/openapi.json"), "the page")

    def stop_daemon(self) -> None:
        """Stop the daemon, if it runs, by SIGTERM: it ends with exit code 0."""
        if self._daemon is None:
            return
        daemon, self._daemon = self._daemon, None
        daemon.send_signal(signal.SIGTERM)
        try:
            code = daemon.wait(30)
        finally:
            daemon.kill()
        assert code == 0, (self.folder / "daemon.log").read_text()

    def _answers(self, address: str) -> bool:
        log = (self.folder / "daemon.log").read_text()
        assert self._daemon is not None
        assert self._daemon.poll() is None, f"the daemon has ended with {self._daemon.returncode}:\n{log}"
        try:
            urllib.request.urlopen(address).close()
        except urllib.error.HTTPError as error:  # 401: the page wants a token
            with error:
                return error.code == 401
        except OSError:
            return False
        return True

    def wait_for_forecasts(self, topic: str) -> None:
        """Wait until a topic of the broker has records."""
        with closing(KafkaConsumer(bootstrap_servers=self.broker, metadata_max_age_ms=500)) as consumer:

            def written() -> bool:
                partitions = [KafkaPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
                return bool(partitions) and sum(consumer.end_offsets(partitions).values()) > 0

            until(written, f"records in {topic}", 300.0)

    def _compose(self, block: Block, words: list[str]) -> None:
        """Check a `docker compose` command against the Compose file, and do here what it would do there."""
        assert words[:3] == ["docker", "compose", "-f"], block.place
        services = yaml.safe_load((ROOT / words[3]).read_text())["services"]
        action, *rest = words[4:]
        if action == "up":
            assert rest == ["--build", "--detach"], block.place
            daemon = services["streamrnn"]
            mounted = next(volume for volume in daemon["volumes"] if ":/etc/streamrnn/" in volume).split(":")
            arguments = [word.replace(mounted[1], str(ROOT / "deploy" / mounted[0])) for word in daemon["command"]]
            self.start_daemon(*arguments)
        elif action == "exec":
            service, program, *options = rest
            assert service in services, block.place
            assert program.endswith("kafka-topics.sh"), block.place
            given = dict(pairwise(options))
            assert f"//{given['--bootstrap-server']}" in services[service]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
            self.create_topic(given["--topic"], int(given["--partitions"]))
        else:
            assert (action, rest) == ("down", []), block.place
            self.stop_daemon()

    def create_topic(self, topic: str, partitions: int) -> None:
        """Create a topic of the broker."""
        create_topics(self.broker, topic, partitions=partitions)
        self.topics.append(topic)
