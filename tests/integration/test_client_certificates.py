"""Clients that authenticate by a certificate, without a password, on a real broker."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.broker import Broker, missing
from support.certificates import authority_of, certificate
from support.kafka_workers import make_topic
from support.log_backends import KAFKA_CLIENTS, KafkaWorld, gather, join

from streamrnn.errors import LogError
from streamrnn.records import Record

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]
PASSWORD = "of the key"


def long(*values: str) -> list[Any]:
    """Return parameters of long tests."""
    return [pytest.param(each, marks=pytest.mark.long) for each in values]


class Site(NamedTuple):
    """A broker that requires certificates, and files."""

    broker: Broker
    folder: Path
    authority: Path
    """The broker's certificate."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Yield a broker that trusts the certificates `daemon` and `locked`, whose key is encrypted, and their issues."""
    if (reason := missing()) is not None:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("tls")
    known = [certificate(folder, "daemon"), certificate(folder, "locked", password=PASSWORD)]
    certificate(folder, "expired", issuer=known[0], days=-1)
    certificate(folder, "stranger")
    clients, own = folder / "clients.crt", certificate(folder, "broker")
    clients.write_bytes(b"".join(authority_of(each).read_bytes() for each in known))
    broker = Broker(secured=True, certificate=own, clients=clients)
    broker.settings["super.users"] = "User:ANONYMOUS;User:CN=daemon;User:CN=locked"
    with broker:
        yield Site(broker, folder, authority_of(own))


def open_with(site: Site, client: str, name: str, **options: Any) -> Any:
    """Open a log as an application of this name."""
    given = {"security_protocol": "SSL", "ssl_cafile": str(site.authority), "request_timeout": 3.0}
    return KafkaWorld(site.broker.guarded, client).open(name, **given, **options)


@pytest.mark.parametrize("client", KAFKA_CLIENTS)
@pytest.mark.parametrize("used", ["daemon", *long("locked", "in two files")])
def test_a_certificate_is_enough(site: Site, client: str, name: str, used: str, stack: ExitStack) -> None:
    """A daemon reads and commits, whether the key is in the file of the certificate or in another, or encrypted."""
    files = {
        "daemon": {"ssl_certfile": site.folder / "daemon.pem"},
        "locked": {"ssl_certfile": site.folder / "locked.pem", "ssl_keyfile_password": PASSWORD},
        "in two files": {"ssl_certfile": site.folder / "daemon.crt", "ssl_keyfile": site.folder / "daemon.pem"},
    }[used]
    make_topic(site.broker.bootstrap, name)
    KafkaWorld(site.broker.bootstrap).produce(name, [Record(name, 0, -1, 5, b"key", b"value")])
    given = {key: str(value) for key, value in files.items()}
    log = stack.enter_context(closing(open_with(site, client, name, **given)))
    (partition,) = join(log, name)
    (found,) = gather(log, 1)
    assert found.value == b"value"
    with closing(log.transaction(partition)) as transaction:
        transaction.commit(1, "{}")
    assert log.committed(partition).offset == 1


@pytest.mark.parametrize("client", KAFKA_CLIENTS)
@pytest.mark.parametrize("used", ["expired", *long("stranger", "")])
def test_a_refused_certificate_names_its_keys(site: Site, client: str, name: str, used: str) -> None:
    """The error names what to check where the brokers' certificate was accepted, but not the client's."""
    given = {"ssl_certfile": str(site.folder / f"{used}.pem")} if used else {}
    with pytest.raises(LogError, match=r"certificate.*kafka\.ssl_certfile names one, and that it has not expired"):
        open_with(site, client, name, **given)
