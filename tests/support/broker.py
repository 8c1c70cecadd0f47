"""A throw-away Apache Kafka broker: one node, controller and broker in one, on free loopback ports.

    with Broker() as broker:
        KafkaLog(bootstrap_servers=broker.bootstrap, ...)
        broker.kill(); broker.start()      # on the same data and ports; also pause and resume

Needs Java 17 or later, and Maven once, to fetch Kafka's jars.
"""

import base64
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from types import TracebackType

from kafka import KafkaAdminClient

VERSION = "4.1.0"
READY_WITHIN = 90.0  # seconds
PASSWORDS = {"daemon": "daemon-secret", "stranger": "stranger-secret"}
"""Of the users of a secured broker."""
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>streamrnn</groupId><artifactId>broker-for-tests</artifactId><version>1</version>
<dependencies>
  <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version></dependency>
  <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
</dependencies></project>"""


def missing() -> str | None:
    """What must be installed before a broker can run; None: nothing."""
    absent = [tool for tool in ("java", "mvn") if shutil.which(tool) is None]
    return (
        f"install Java 17 and Maven ({' and '.join(absent)} not found), or set KAFKA_BOOTSTRAP_SERVERS"
        if absent
        else None
    )


def jars() -> Path:
    """The folder of Kafka's jars; Maven fills it on the first call."""
    cache = Path(tempfile.gettempdir()) / f"streamrnn-kafka-{VERSION}-{os.getuid()}"
    if not cache.exists():
        with tempfile.TemporaryDirectory(prefix="streamrnn-kafka-", ignore_cleanup_errors=True) as name:
            build = Path(name) / "build"
            build.mkdir()
            (build / "pom.xml").write_text(POM)
            command = ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime"]
            subprocess.run([*command, f"-DoutputDirectory={build}/jars"], cwd=build, check=True)
            with suppress(OSError):  # another process was faster
                build.rename(cache)
    return cache / "jars"


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on; all held at once, so that none comes twice."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _die_with_parent() -> None:
    """Have the kernel kill this process when the one that started it is gone, however it went."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Broker:
    """One node; started on entry, killed and its data removed on exit. It asks nobody who they are, unless `secured`.

    A secured one also listens at `guarded`, where users say a name and a password, PASSWORDS, and keeps access lists.
    """

    def __init__(self, *, secured: bool = False) -> None:
        self._secured = secured
        (guarded,) = free_ports(1)
        self.guarded = f"127.0.0.1:{guarded}"
        self.port, self._controller, self.hidden, self.advertised = free_ports(4)
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.relayed = f"127.0.0.1:{self.advertised}"
        """Who asks at `hidden` is sent here, where a relay to `hidden` may listen."""
        self._directory = Path(tempfile.mkdtemp(prefix="streamrnn-broker-"))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Broker":
        try:
            properties = self._directory / "server.properties"
            properties.write_text("".join(f"{key}={value}\n" for key, value in self._settings().items()))
            cluster = base64.urlsafe_b64encode(b"\1" + uuid.uuid4().bytes[1:]).decode().rstrip("=")
            tool = self._java("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties))
            subprocess.run(tool, check=True, capture_output=True)
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start the node, on its data if it ran before, and wait until it answers."""
        command = self._java("kafka.Kafka", str(self._directory / "server.properties"))
        with (self._directory / "output").open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=_die_with_parent,  # noqa: PLW1509  # it takes no lock: one system call
            )
        self._wait()

    def stop(self) -> None:
        """Kill the node and remove its data."""
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def kill(self) -> None:
        """End the node at once, as a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def shut_down(self) -> None:
        """End the node by SIGTERM, as an operator does."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(READY_WITHIN)
        self._process = None

    def pause(self) -> None:
        """Freeze the node: its sockets stay open, and nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        threads = Path(f"/proc/{self._process.pid}/task")
        while not all("\nState:\tT" in (each / "status").read_text() for each in threads.iterdir()):
            time.sleep(0.001)  # one after another stops, and any of them may still answer

    def resume(self) -> None:
        """Let a frozen node go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _wait(self) -> None:
        deadline = time.monotonic() + READY_WITHIN
        assert self._process is not None
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                output = (self._directory / "output").read_text(errors="replace")
                raise RuntimeError(f"the broker did not start:\n{output[-4000:]}")
            time.sleep(0.05)
        with closing(KafkaAdminClient(bootstrap_servers=self.bootstrap)) as admin:
            while not admin.describe_cluster()["brokers"]:
                time.sleep(0.05)

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def _settings(self) -> dict[str, object]:
        settings = self._open_settings()
        if self._secured:
            users = " ".join(f'user_{name}="{password}"' for name, password in PASSWORDS.items())
            settings["listeners"] = f"{settings['listeners']},GUARDED://{self.guarded}"
            settings["advertised.listeners"] = f"{settings['advertised.listeners']},GUARDED://{self.guarded}"
            settings["listener.security.protocol.map"] = (
                f"{settings['listener.security.protocol.map']},GUARDED:SASL_PLAINTEXT"
            )
            settings |= {
                "sasl.enabled.mechanisms": "PLAIN",
                "listener.name.guarded.plain.sasl.jaas.config":
                    f"org.apache.kafka.common.security.plain.PlainLoginModule required {users};",
                "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                "super.users": "User:ANONYMOUS",
            }  # fmt: skip
        return settings

    def _open_settings(self) -> dict[str, object]:
        return {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller}",
            "listeners": f"PLAINTEXT://{self.bootstrap},RELAYED://127.0.0.1:{self.hidden},"
            f"CONTROLLER://127.0.0.1:{self._controller}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap},RELAYED://{self.relayed}",
            "inter.broker.listener.name": "PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,RELAYED:PLAINTEXT",
            "log.dirs": self._directory / "data",
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 4,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1000,
            # a node that was killed registers again only when its old session is over
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 500,
            "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
        }

    def _java(self, main: str, *arguments: str) -> list[str]:
        quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
        return ["java", "-Xmx512m", "-XX:+UseSerialGC", quiet, "-cp", f"{jars()}/*", main, *arguments]
