"""A broker with authentication and access control lists, in plain text and over TLS."""

import json
import shlex
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ACLResourcePatternType, ResourcePattern, ResourceType
from support.broker import PASSWORDS, Broker, missing
from support.certificates import certificate
from support.kafka_probe import Offsets
from support.kafka_workers import kafka_worker, make_topic, observations, run_until, settings_of
from support.log_backends import KAFKA_CLIENTS, KafkaWorld, gather, join

from streamrnn.errors import LogError
from streamrnn.log import Committed, Topic
from streamrnn.records import Output, Record, TopicPartition

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]
PERMISSIONS = {
    ResourceType.TOPIC: ["DESCRIBE", "READ", "WRITE", "DESCRIBE_CONFIGS"],
    ResourceType.GROUP: ["DESCRIBE", "READ"],
    ResourceType.TRANSACTIONAL_ID: ["DESCRIBE", "WRITE"],
}
"""The permissions that a daemon needs if its topics exist."""


@pytest.fixture(scope="module")
def secured() -> Iterator[Broker]:
    """Yield a secured broker for this module's tests."""
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    with Broker(secured=True) as started:
        yield started


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the broker's certificate."""
    return certificate(tmp_path_factory.mktemp("tls"), "broker")


@pytest.fixture(scope="module")
def encrypted(authority: Path) -> Iterator[Broker]:
    """Yield a secured broker with TLS."""
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    with Broker(secured=True, certificate=authority) as started:
        yield started


@pytest.fixture(params=KAFKA_CLIENTS)
def guarded(request: pytest.FixtureRequest, secured: Broker) -> KafkaWorld:
    """Return the secured broker, accessed through one of the clients."""
    return KafkaWorld(secured.guarded, request.param)


def open_as(world: KafkaWorld, name: str, user: str, password: str | None = None, **options: Any) -> Any:
    """Open a log as one of the users."""
    secret = PASSWORDS[user] if password is None else password
    credentials = {"sasl_mechanism": "PLAIN", "sasl_username": user, "sasl_password": secret}
    return world.open(name, **{"security_protocol": "SASL_PLAINTEXT", **credentials, **options})


def allow(broker: Broker, user: str, prefix: str, permissions: dict[ResourceType, list[str]]) -> None:
    """Grant a user permissions for all resources with a prefix."""
    acls = [
        ACL(
            principal=f"User:{user}", host="*", operation=ACLOperation[name], permission_type=ACLPermissionType.ALLOW,
            resource_pattern=ResourcePattern(kind, prefix, ACLResourcePatternType.PREFIXED),
        )
        for kind, names in permissions.items()
        for name in names
    ]  # fmt: skip
    with closing(KafkaAdminClient(bootstrap_servers=broker.bootstrap)) as admin:
        admin.create_acls(acls)


def run_kafka_topics(broker: Broker, command: Sequence[str]) -> None:
    """Create a topic as `kafka-topics.sh` would with these arguments."""
    given = dict(zip(command[::2], command[1::2], strict=False))
    configs = dict(each.split("=", 1) for flag, each in pairwise(command) if flag == "--config")
    with closing(KafkaAdminClient(bootstrap_servers=broker.bootstrap)) as admin:
        admin.create_topics({given["--topic"]: {"num_partitions": int(given["--partitions"]), "configs": configs}})
        admin.wait_for_topics([given["--topic"]])


def test_a_user_without_permission_is_shown_how_to_create_a_topic(
    secured: Broker, guarded: KafkaWorld, stack: ExitStack, name: str
) -> None:
    """The error contains the complete command, and a topic created by it is accepted."""
    allow(secured, "daemon", name, PERMISSIONS)
    log = stack.enter_context(closing(open_as(guarded, name, "daemon")))
    for topic in (Topic(f"{name}.state", 2, compacted=True), Topic(f"{name}.out", 3)):
        with pytest.raises(LogError, match="this user has no permission to create it") as refused:
            log.create([topic])
        words = shlex.split(str(refused.value).partition("kafka-topics.sh ")[2])
        assert words[:3] == ["--bootstrap-server", secured.guarded, "--create"]
        run_kafka_topics(secured, [*words[:2], *words[3:]])
        log.create([topic])
        assert log.partitions(topic.name) == topic.partitions


def require_permissions_suffice(broker: Broker, world: KafkaWorld, name: str, stack: ExitStack, **options: Any) -> None:
    """Read a record, commit an output, state and offset, and read the state, with only PERMISSIONS."""
    allow(broker, "daemon", name, PERMISSIONS)
    unsecured = KafkaWorld(broker.bootstrap)
    with closing(unsecured.open(name)) as log:
        log.create([Topic(name, 1), Topic(f"{name}.out", 1), Topic(f"{name}.state", 1, compacted=True)])
    unsecured.produce(name, [Record(name, 0, -1, 5, b"key", b"value")])
    log = stack.enter_context(closing(open_as(world, name, "daemon", **options)))
    (partition,) = join(log, name)
    (found,) = gather(log, 1)
    assert found.value == b"value"
    with closing(log.transaction(partition)) as transaction:
        transaction.send([Output(f"{name}.out", 0, b"key", b"output", 7), Output(f"{name}.state", 0, b"part", b"x", 7)])
        transaction.commit(1, "{}")
    assert log.committed(partition) == Committed(1, "{}")
    assert log.read_state(TopicPartition(f"{name}.state", 0)) == {b"part": b"x"}
    assert not log.others()
    assert [each.value for each in unsecured.read(f"{name}.out")] == [b"output"]


def test_the_permissions_suffice(secured: Broker, guarded: KafkaWorld, stack: ExitStack, name: str) -> None:
    """PERMISSIONS are all that a daemon needs."""
    require_permissions_suffice(secured, guarded, name, stack)


@pytest.mark.parametrize("client", KAFKA_CLIENTS)
def test_tls(encrypted: Broker, authority: Path, stack: ExitStack, name: str, client: str) -> None:
    """A daemon works over TLS with the broker's certificate as its authority."""
    options = {"security_protocol": "SASL_SSL", "ssl_cafile": str(authority)}
    require_permissions_suffice(encrypted, KafkaWorld(encrypted.guarded, client), name, stack, **options)


@pytest.mark.parametrize("client", KAFKA_CLIENTS)
def test_an_untrusted_certificate_is_rejected(encrypted: Broker, tmp_path: Path, name: str, client: str) -> None:
    """The error names the configuration keys to check."""
    options = {"security_protocol": "SASL_SSL", "ssl_cafile": str(certificate(tmp_path, "other"))}
    with pytest.raises(LogError, match=r"certificate.*kafka\.ssl_"):
        open_as(KafkaWorld(encrypted.guarded, client), name, "daemon", request_timeout=3.0, **options)


@pytest.mark.parametrize(
    ("user", "password"), [("daemon", "wrong"), pytest.param("nobody", "x", marks=pytest.mark.long)]
)
def test_a_wrong_password_names_its_keys(guarded: KafkaWorld, name: str, user: str, password: str) -> None:
    """A rejected login raises an error that names the configuration keys to check."""
    with pytest.raises(LogError, match=r"kafka\.sasl_username and kafka\.sasl_password"):
        open_as(guarded, name, user, password, request_timeout=2.0)


def test_a_missing_permission_is_named(guarded: KafkaWorld, stack: ExitStack, secured: Broker, name: str) -> None:
    """Describing a topic without permission raises an error that points to the access control lists."""
    with closing(KafkaWorld(secured.bootstrap).open(name)) as log:
        log.create([Topic(name, 1)])
    log = stack.enter_context(closing(open_as(guarded, name, "stranger")))
    with pytest.raises(LogError, match="lacks a permission: check the brokers' access control lists"):
        log.partitions(name)


@pytest.mark.parametrize(
    ("kind", "resource", "operation"),
    [
        (ResourceType.TOPIC, "{}.forecasts", "WRITE"),
        pytest.param(ResourceType.TOPIC, "{}", "READ", marks=pytest.mark.long),
        pytest.param(ResourceType.GROUP, "{}", "READ", marks=pytest.mark.long),
        pytest.param(ResourceType.TRANSACTIONAL_ID, "{}.{}.0", "WRITE", marks=pytest.mark.long),
    ],
    ids=["forecasts", "input", "group", "transactions"],
)
@pytest.mark.parametrize("client", ["confluent", pytest.param("kafka-python", marks=pytest.mark.long)])
def test_a_permission_is_taken_away_for_a_while(
    secured: Broker, client: str, name: str, kind: ResourceType, resource: str, operation: str, stack: ExitStack,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """The loop waits, names the permission that it lacks, and then writes each forecast once."""
    everything = {each: ["ALL"] for each in (*PERMISSIONS, ResourceType.CLUSTER)}
    allow(secured, "daemon", name, everything)
    world = KafkaWorld(secured.bootstrap)
    credentials = ["sasl_mechanism=PLAIN", "sasl_username=daemon", f"sasl_password={PASSWORDS['daemon']}"]
    keys = [f"kafka.{each}" for each in ("security_protocol=SASL_PLAINTEXT", *credentials)]
    settings = settings_of(secured.guarded, client, name, *keys)
    make_topic(secured.bootstrap, name)
    brokers = stack.enter_context(closing(KafkaAdminClient(bootstrap_servers=secured.bootstrap)))
    pattern = ResourcePattern(kind, resource.format(name, name))
    denied = ACL("User:daemon", "*", ACLOperation[operation], ACLPermissionType.DENY, pattern)
    with closing(kafka_worker(settings)) as worker:
        world.produce(name, observations(0, 20))
        committed = stack.enter_context(closing(Offsets(secured.bootstrap, name)))
        source = TopicPartition(name, 0)
        run_until(worker, lambda: committed.committed(source) == 20, "offset 20")
        brokers.create_acls([denied])
        world.produce(name, observations(20, 40))
        run_until(worker, lambda: "lacks a permission" in told(caplog), "the refusal")
        brokers.delete_acls([denied])
        run_until(worker, lambda: committed.committed(source) == 40, "offset 40")
    made = [json.loads(each.value or b"")["source"]["offset"] for each in world.read(f"{name}.forecasts")]
    assert made == list(range(40))


def told(caplog: pytest.LogCaptureFixture) -> str:
    """Return the errors in the log."""
    return "".join(getattr(each, "error", "") for each in caplog.records)
