"""Schemas from a registry over real HTTP, and from a folder."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.certificates import authority_of, certificate
from support.schema_registry import RegistryStandIn

from streamrnn.errors import ConfigError, LogError, RecordError
from streamrnn.formats.schemas import Schema
from streamrnn.formats.schemas.folder import SchemaFolder, read_schema
from streamrnn.formats.schemas.registry import SchemaRegistry

SENSOR = {"type": "record", "name": "Sensor", "fields": [{"name": "v", "type": "double"}]}


@pytest.fixture
def registry() -> Iterator[RegistryStandIn]:
    """Yield a registry with one schema, 42."""
    with RegistryStandIn() as started:
        started.add(42, SENSOR)
        yield started


def refused(find: object, schema_id: object) -> RecordError:
    """Return the error for a schema that is not there."""
    with pytest.raises(RecordError) as caught:
        find(schema_id)  # type: ignore[operator]
    assert caught.value.reason == "unknown_schema"
    return caught.value


def test_a_schema_is_asked_for_once(registry: RegistryStandIn) -> None:
    """A schema is fetched when it is needed, and remembered."""
    client = SchemaRegistry(url=f"{registry.url}/")
    first = client.find(42)
    assert (first.kind, '"Sensor"' in first.text) == ("AVRO", True)
    assert client.find(42) is first
    assert registry.requests == ["/schemas/ids/42"]


def test_an_unknown_schema_is_not_asked_for_again_for_a_while(registry: RegistryStandIn) -> None:
    """A schema that the registry does not have is an error of the record, and found once it is registered."""
    client = SchemaRegistry(url=registry.url, unknown_for=0.2)
    assert "has no schema 7" in str(refused(client.find, 7))
    refused(client.find, 7)
    assert registry.requests == ["/schemas/ids/7"]
    registry.add(7, SENSOR)
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            assert client.find(7).kind == "AVRO"
            break
        except RecordError:
            time.sleep(0.02)
    assert registry.requests == ["/schemas/ids/7"] * 2


def test_schemas_that_a_schema_uses_come_with_it(registry: RegistryStandIn) -> None:
    """References are fetched by subject and version, each once, however many schemas use them."""
    point = {"name": "Point", "subject": "a/b point", "version": 1}
    registry.add(1, {"type": "fixed", "name": "Point", "size": 8}, subject="a%2Fb%20point")
    registry.add(2, SENSOR, subject="middle", references=[point])
    registry.add(3, SENSOR, references=[point, {"name": "Middle", "subject": "middle", "version": 1}])
    found = SchemaRegistry(url=registry.url).find(3)
    assert [name for name, _ in found.references] == ["Point", "Middle"]
    assert found.references[1][1].references[0][1] is found.references[0][1]
    assert len(registry.requests) == 3


def test_references_end(registry: RegistryStandIn) -> None:
    """A schema that uses itself, or one that does not exist, does not keep the client busy."""
    registry.add(5, SENSOR, subject="self", references=[{"name": "Self", "subject": "self", "version": 1}])
    assert SchemaRegistry(url=registry.url).find(5).references[0][0] == "Self"
    registry.add(6, SENSOR, references=[{"name": "Gone", "subject": "gone", "version": 1}])
    assert "version 1 of gone" in str(refused(SchemaRegistry(url=registry.url).find, 6))
    for number in range(1000, 1200):
        uses = [{"name": "Next", "subject": f"topic-{number + 1}-value", "version": 1}]
        registry.add(number, SENSOR, references=uses)
    assert "more than 100" in str(refused(SchemaRegistry(url=registry.url).find, 1000))


@pytest.mark.parametrize(
    "failure", [500, 503, 429, 403, 400, "hang", "drip", "endless", "cut", "moved", "<html>", "[]", '{"schema": 1}']
)
def test_a_failing_registry_is_waited_for(registry: RegistryStandIn, failure: int | str) -> None:
    """Whatever a registry does wrong is an error of the log, which is tried again, and never one of the record."""
    client = SchemaRegistry(url=registry.url, timeout=0.3)
    registry.failure = failure
    start = time.monotonic()
    with pytest.raises(LogError, match="schema registry http://localhost"):
        client.find(42)
    assert time.monotonic() - start < 5
    registry.failure = 0
    assert client.find(42).kind == "AVRO"


def test_redirects_are_not_followed(registry: RegistryStandIn) -> None:
    """Credentials go to the configured address only."""
    with RegistryStandIn() as other:
        other.add(42, SENSOR)
        registry.failure, registry.elsewhere = "moved", other.url
        with pytest.raises(LogError, match="HTTP 302"):
            SchemaRegistry(url=registry.url, username="me", password="secret").find(42)
        assert other.requests == []


def test_answers_are_bounded(registry: RegistryStandIn) -> None:
    """An answer of more than 4 MiB is not read to its end."""
    registry.add(1, "x" * 5 * 1024 * 1024)
    with pytest.raises(LogError, match="more than 4,194,304 bytes"):
        SchemaRegistry(url=registry.url).find(1)


def test_no_registry_at_all() -> None:
    """A registry that is down, or whose name is unknown, is waited for."""
    with RegistryStandIn() as gone:
        url = gone.url
    for address in (url, "http://no-such-host.invalid:8081"):
        with pytest.raises(LogError, match="is unavailable"):
            SchemaRegistry(url=address, timeout=2).find(1)


def test_a_known_schema_outlives_an_outage(registry: RegistryStandIn) -> None:
    """What was fetched needs no registry any more."""
    client = SchemaRegistry(url=registry.url)
    client.find(42)
    registry.failure = 500
    assert client.find(42).kind == "AVRO"


def test_basic_authentication() -> None:
    """Name and password are sent, from the address too; without them the log is unavailable, and neither is shown."""
    with RegistryStandIn(user="me:se:cret") as registry:
        registry.add(1, SENSOR)
        assert SchemaRegistry(url=registry.url, username="me", password="se:cret").find(1).kind == "AVRO"
        inside = registry.url.replace("://", "://me:se:cret@")
        assert SchemaRegistry(url=inside).find(1).kind == "AVRO"
        for client in (SchemaRegistry(url=registry.url), SchemaRegistry(url=inside, password="hidden")):
            with pytest.raises(LogError, match="refuses the credentials") as caught:
                client.find(1)
            assert "cret" not in str(caught.value)
            assert "hidden" not in str(caught.value)


def test_tls_with_a_ca_file(tmp_path: Path) -> None:
    """A certificate is checked with the configured file, and a registry without a trusted one is not used."""
    pem = certificate(tmp_path, "registry")
    with RegistryStandIn(certificate=pem) as registry:
        registry.add(1, SENSOR)
        assert SchemaRegistry(url=registry.url, ca_file=authority_of(pem)).find(1).kind == "AVRO"
        with pytest.raises(LogError, match="certificate verify failed"):
            SchemaRegistry(url=registry.url).find(1)


@pytest.mark.parametrize("url", ["registry:8081", "file:///etc/passwd", "http://", ""])
def test_addresses_that_are_none(url: str) -> None:
    """An address without scheme or host is refused."""
    with pytest.raises(ConfigError, match=r"^schema_registry\.url"):
        SchemaRegistry(url=url)


def test_an_unusable_ca_file(tmp_path: Path) -> None:
    """A file of certificates that is absent, or holds none, is refused."""
    (tmp_path / "empty.pem").write_text("no certificate")
    for name in ("absent.pem", "empty.pem"):
        with pytest.raises(ConfigError, match=r"^schema_registry\.ssl_cafile"):
            SchemaRegistry(url="https://localhost", ca_file=tmp_path / name)


def test_registration(registry: RegistryStandIn) -> None:
    """A schema is registered under a subject, and keeps its number; what is incompatible is a configuration error."""
    client = SchemaRegistry(url=registry.url)
    number = client.register("forecasts-value", Schema("mine", "AVRO", '"string"'))
    assert client.register("forecasts-value", Schema("mine", "AVRO", '"string"')) == number
    assert client.find(number).text == '"string"'
    with pytest.raises(ConfigError, match="does not accept the schema"):
        client.register("forecasts-value", Schema("mine", "AVRO", "incompatible"))
    registry.failure = 503
    with pytest.raises(LogError, match="HTTP 503"):
        client.register("forecasts-value", Schema("mine", "AVRO", '"string"'))


def test_a_folder_of_schemas(tmp_path: Path) -> None:
    """The number at the end of a file's name is the schema's, and files that come later are found."""
    (tmp_path / "schema-42.avsc").write_text('"string"')
    (tmp_path / "7.proto").write_text('syntax = "proto3";')
    (tmp_path / "notes.txt").write_text("no schema")
    folder = SchemaFolder(folder=tmp_path)
    assert (folder.find(42).kind, folder.find(7).kind) == ("AVRO", "PROTOBUF")
    assert "such as schema-8.avsc" in str(refused(folder.find, 8))
    refused(folder.find, "0f4b2c0e-0000-0000-0000-000000000000")
    (tmp_path / "sensor_8.avsc").write_text('"int"')
    assert folder.find(8).text == '"int"'
    assert len(list(folder.listed())) == 3


def test_a_folder_that_goes_away(tmp_path: Path) -> None:
    """What becomes wrong with a folder while records come is waited for, and is no fault of a record."""
    inner = tmp_path / "schemas"
    inner.mkdir()
    (inner / "1.avsc").write_text('"string"')
    folder = SchemaFolder(folder=inner)
    inner.rename(tmp_path / "away")
    for look in (lambda: folder.find(1), lambda: folder.find(2), folder.listed):
        with pytest.raises(LogError, match="cannot be read"):
            look()
    (tmp_path / "away").rename(inner)
    assert folder.find(1).text == '"string"'


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    """A folder that is absent, and two files of one number, are refused."""
    with pytest.raises(ConfigError, match="absent cannot be read"):
        SchemaFolder(folder=tmp_path / "absent")
    (tmp_path / "schema-1.avsc").write_text('"string"')
    (tmp_path / "other-1.avsc").write_text('"int"')
    with pytest.raises(ConfigError, match="are both schema 1"):
        SchemaFolder(folder=tmp_path)


def test_imports_of_a_proto_file_stay_in_its_folder(tmp_path: Path) -> None:
    """A `.proto` file's imports are read from its folder, and nothing outside of it is."""
    (tmp_path / "outside.proto").write_text('syntax = "proto3";')
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "a.proto").write_text('import "b.proto";\nimport public "../outside.proto";')
    (inner / "b.proto").write_text('import "a.proto";')
    found = read_schema(inner / "a.proto")
    assert [name for name, _ in found.references] == ["b.proto"]
