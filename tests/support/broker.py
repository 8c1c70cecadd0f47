"""A temporary Apache Kafka broker: one node, both controller and broker, on free loopback ports.

    with Broker() as broker:
        KafkaLog(Connection(bootstrap_servers=broker.bootstrap, ...))
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
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from types import TracebackType

from kafka.errors import KafkaError
from support.kafka_probe import admin

from streamrnn.errors import LogError

VERSION = "4.1.0"
READY_WITHIN = 90.0  # seconds
PASSWORDS = {"daemon": "daemon-secret", "stranger": "stranger-secret"}
"""The passwords of a secured broker's users."""
KAFKA_JARS = (f"org.apache.kafka:kafka_2.13:{VERSION}", "org.slf4j:slf4j-simple:1.7.36")


def missing() -> str | None:
    """Return what must be installed before a broker can run; None if everything is."""
    absent = [tool for tool in ("java", "mvn") if shutil.which(tool) is None]
    return (
        f"install Java 17 and Maven ({' and '.join(absent)} not found), or set KAFKA_BOOTSTRAP_SERVERS"
        if absent
        else None
    )


def jars(name: str = "kafka", artifacts: Sequence[str] = KAFKA_JARS) -> Path:
    """Return the folder of the jars of these artifacts, `group:name:version`, which Maven fills on the first call."""
    cache = Path(tempfile.gettempdir()) / f"streamrnn-{name}-{VERSION}-{os.getuid()}"
    if not cache.exists():
        with tempfile.TemporaryDirectory(prefix=f"streamrnn-{name}-", ignore_cleanup_errors=True) as folder:
            build = Path(folder) / "build"
            build.mkdir()
            (build / "pom.xml").write_text(_pom(artifacts))
            command = ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime"]
            subprocess.run([*command, f"-DoutputDirectory={build}/jars"], cwd=build, check=True)
            with suppress(OSError):  # another process was faster
                build.rename(cache)
    return cache / "jars"


def archive_classes() -> None:
    """Store Kafka's classes as Java has loaded them, unless they are: nodes then start in half of the time."""
    if not _archive("kafka.Kafka").exists():
        with _Recorded() as broker:
            broker.shut_down()  # Java writes the archive when it ends


def _archive(main: str) -> Path:
    return jars().parent / f"{main}.jsa"


def _pom(artifacts: Sequence[str]) -> str:
    names = [artifact.split(":") for artifact in artifacts]
    dependencies = "".join(
        f"<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>"
        for group, name, version in names
    )
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>streamrnn</groupId><artifactId>jars-for-tests</artifactId><version>1</version>"
        f"<dependencies>{dependencies}</dependencies></project>"
    )


def free_ports(count: int) -> list[int]:
    """Return unused ports of the loopback interface; all are bound at once, so that they differ."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _die_with_parent() -> None:
    """Make the kernel kill this process when its parent process ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


PROTOCOLS = "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,RELAYED:PLAINTEXT"
PORTS = 5  # of one node


def new_name() -> str:
    """Return a new cluster id in Kafka's format."""
    return base64.urlsafe_b64encode(b"\1" + uuid.uuid4().bytes[1:]).decode().rstrip("=")


class Broker:
    """One node, started on entry; on exit it is killed and its data removed.

    Args:
        secured: Also listen at `guarded`, with authentication by PASSWORDS and access control lists.
        certificate: A PEM file with a key, to use TLS at `guarded`.
        clients: A PEM file of the clients' certificates, which authenticate them at `guarded` in place of PASSWORDS.
        number: The node's id.
        ports: Five ports to use; by default free ones.
        heap: Memory of the Java heap in MiB.
        data: Folder of the records; by default a temporary one.
    """

    java_options: Sequence[str] = ("-XX:TieredStopAtLevel=1",)
    """Without the optimizing compiler a node starts with half of the processor time."""

    def __init__(
        self,
        *,
        secured: bool = False,
        certificate: Path | None = None,
        clients: Path | None = None,
        number: int = 1,
        ports: Sequence[int] = (),
        heap: int = 512,
        data: Path | None = None,
    ) -> None:
        self.number = number
        self.port, controller, self.hidden, self.advertised, guarded = ports or free_ports(PORTS)
        self.bootstrap, self.guarded = f"127.0.0.1:{self.port}", f"127.0.0.1:{guarded}"
        self.relayed = f"127.0.0.1:{self.advertised}"
        """The address advertised to clients of `hidden`, where a relay to `hidden` may listen."""
        self.controller = f"127.0.0.1:{controller}"
        self._heap = heap
        self._directory = Path(tempfile.mkdtemp(prefix="streamrnn-broker-"))
        self._properties = self._directory / "server.properties"
        self._process: subprocess.Popen[bytes] | None = None
        self.settings: dict[str, object] = self._open_settings() | {"log.dirs": data or self._directory / "data"}
        """The server properties, read by `format`."""
        self.release = ""
        """Version whose metadata and features the node begins with; by default its own."""
        if secured:
            self._secure(certificate, clients)

    def __enter__(self) -> "Broker":
        try:
            self.format(new_name())
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def format(self, cluster: str) -> None:
        """Make the node an empty member of a cluster."""
        self._properties.write_text("".join(f"{key}={value}\n" for key, value in self.settings.items()))
        release = ["--release-version", self.release] if self.release else []
        tool = self._java("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self._properties), *release)
        subprocess.run(tool, check=True, capture_output=True)

    def start(self) -> None:
        """Start the node, on its previous data if any, and wait until it answers."""
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start the node without waiting."""
        with (self._directory / "output").open("ab") as output:
            self._process = subprocess.Popen(
                self._java("kafka.Kafka", str(self._properties)),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=_die_with_parent,  # noqa: PLW1509  # a single system call, without locks
            )

    def wait(self) -> None:
        """Wait until the node answers and is registered with its controller."""
        deadline = time.monotonic() + READY_WITHIN
        while not self._serves():
            if not self.alive or time.monotonic() > deadline:
                raise RuntimeError(f"the broker did not start:\n{self.output[-4000:]}")
            time.sleep(0.05)

    @property
    def voter(self) -> str:
        """The node's entry in the list of controllers."""
        return f"{self.number}@{self.controller}"

    @property
    def alive(self) -> bool:
        """Whether the node runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def output(self) -> str:
        """What the node has printed."""
        return (self._directory / "output").read_text(errors="replace")

    def stop(self) -> None:
        """Kill the node and remove its data."""
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def kill(self) -> None:
        """Kill the node, as a power failure does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def shut_down(self) -> None:
        """Stop the node by SIGTERM, as an operator does."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(READY_WITHIN)
        self._process = None

    def pause(self) -> None:
        """Freeze the node: its sockets stay open but it does not answer."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        threads = Path(f"/proc/{self._process.pid}/task")
        while not all("\nState:\tT" in (each / "status").read_text() for each in threads.iterdir()):
            time.sleep(0.001)  # threads stop one after another, and each may answer until then

    def resume(self) -> None:
        """Resume a frozen node."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _serves(self) -> bool:
        port = ("127.0.0.1", self.port)
        with suppress(OSError, KafkaError, LogError):
            with socket.create_connection(port, timeout=1), closing(admin(self.bootstrap)) as client:
                known = client.describe_cluster()["brokers"]
            return any(each["broker_id"] == self.number and not each.get("is_fenced") for each in known)
        return False

    def _secure(self, certificate: Path | None, clients: Path | None) -> None:
        users = " ".join(f'user_{name}="{password}"' for name, password in PASSWORDS.items())
        for key in ("listeners", "advertised.listeners"):
            self.settings[key] = f"{self.settings[key]},GUARDED://{self.guarded}"
        protocol = "SSL" if clients else "SASL_SSL" if certificate else "SASL_PLAINTEXT"
        self.settings["listener.security.protocol.map"] = f"{PROTOCOLS},GUARDED:{protocol}"
        self.settings |= {
            "sasl.enabled.mechanisms": "PLAIN,OAUTHBEARER",
            "listener.name.guarded.oauthbearer.sasl.jaas.config":
                "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required "
                'unsecuredLoginStringClaim_sub="broker";',
            "listener.name.guarded.plain.sasl.jaas.config":
                f"org.apache.kafka.common.security.plain.PlainLoginModule required {users};",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
        }  # fmt: skip
        if certificate is not None:
            self.settings |= {"ssl.keystore.type": "PEM", "ssl.keystore.location": certificate}
        if clients is not None:
            self.settings |= {
                "ssl.truststore.type": "PEM", "ssl.truststore.location": clients, "ssl.client.auth": "required",
            }  # fmt: skip

    def _open_settings(self) -> dict[str, object]:
        return {
            "process.roles": "broker,controller",
            "node.id": self.number,
            "controller.quorum.voters": self.voter,
            "listeners": f"PLAINTEXT://{self.bootstrap},RELAYED://127.0.0.1:{self.hidden},"
            f"CONTROLLER://{self.controller}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap},RELAYED://{self.relayed}",
            "inter.broker.listener.name": "PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": PROTOCOLS,
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 4,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1000,
            "group.consumer.min.session.timeout.ms": 1000,
            "group.consumer.session.timeout.ms": 6000,
            "group.consumer.min.heartbeat.interval.ms": 100,
            "group.consumer.heartbeat.interval.ms": 500,
            # a killed node can register again only after its old session has expired
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 500,
            "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
            "log.cleaner.backoff.ms": 500,
        }

    def _java(self, main: str, *arguments: str) -> list[str]:
        quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
        memory = [f"-Xmx{self._heap}m", "-XX:+UseSerialGC"]
        options = [*self.java_options, *memory, *self._classes(main), quiet]
        return ["java", *options, "-cp", f"{jars()}/*", main, *arguments]

    def _classes(self, main: str) -> list[str]:
        """Return the options that load the classes; without a usable archive Java reads them from the jars."""
        return [f"-XX:SharedArchiveFile={_archive(main)}", "-Xshare:auto"]


class _Recorded(Broker):
    """A broker whose classes are stored when it ends."""

    def _classes(self, main: str) -> list[str]:
        return [f"-XX:ArchiveClassesAtExit={_archive(main)}"]
