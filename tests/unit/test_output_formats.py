"""Forecasts for Kafka Connect and in Avro: the same content as in JSON, read back from any of them."""

import io
import json
import struct
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pytest
from support.applications import Application, configured, make_application
from support.connect import converted
from support.inputs import mixed

from streamrnn import app
from streamrnn.columns.output_hash import extend_by_text, extend_hash
from streamrnn.commands.backtest import backtest
from streamrnn.commands.replay.audit import audit
from streamrnn.commands.replay.compare import compare_configurations
from streamrnn.commands.state.show import verify_state
from streamrnn.core.alerts.joint import JointScores
from streamrnn.core.alerts.thresholds import ThresholdForecasts
from streamrnn.core.config import Threshold
from streamrnn.core.ensemble.direction import Directions
from streamrnn.core.forecaster import Forecasts
from streamrnn.errors import ConfigError, LogError
from streamrnn.records import NO_OUTPUTS, Output, OutputTopics, TopicPartition
from streamrnn.settings import Settings, load
from streamrnn.wire import OutputEncoder
from streamrnn.wire.alerts import WaveRecords
from streamrnn.wire.reading import read_forecast
from streamrnn.wire.schemas import DIRECTION, FORECAST, OutputFormat, avro_schema, members_without

pytestmark = pytest.mark.usefixtures("bare_environment")

T = 1_700_000_000_000
AVRO = ["output.format=avro", "schema_registry.url=http://registry:8081"]


OPTIONS = ("directions", "thresholds", "joint")
CASES = pytest.mark.parametrize(
    OPTIONS, [(False, False, False), (True, False, False), (False, True, False), (False, False, True), (True,) * 3]
)
"""Whether the forecasts have these members."""


def forecasts(*, directions: bool, thresholds: bool = False, joint: bool = False) -> Forecasts:
    """Return the forecasts of a wave of two rows, two horizons and three levels."""
    chance = np.random.default_rng(7)
    quantiles = np.sort(chance.normal(0, 1e3, (2, 2, 3)), 2)
    made = Directions(chance.random((2, 2, 3)), *(chance.random((2, 2)) for _ in range(3))) if directions else None
    no, targets = np.zeros(2, bool), np.array([[T + 1, T + 2], [-5, 2**40]])
    asked = None
    if thresholds:
        levels = Threshold("a", above=90.0), Threshold("*", below=-1.5)
        applies, crossings = np.array([[False, True], [True, True]]), np.array([[-1, 1], [0, -1]])
        asked = ThresholdForecasts(applies, chance.random((2, 2, 2)), crossings, levels)
    together = JointScores(chance.random(2), chance.random(2), np.array([0, 7])) if joint else None
    scores = chance.random(2), chance.random((2, 2))
    return Forecasts(targets, quantiles, *scores, no, no, "3f9c", made, asked, joint=together)


def encoded(format: OutputFormat, *, directions: bool = False, **more: bool) -> list[Output]:  # noqa: A002
    """Return the records of a wave in a format."""
    encoder = OutputEncoder(
        partition=TopicPartition("sensors", 2), topics=OutputTopics("f", "d", "s"), horizons=[1, 12],
        quantiles=[0.1, 0.5, 0.95], format=format, schema_id=lambda: 42,
    )  # fmt: skip
    columns = np.array([0, 1]), np.array([71.3, -7.0]), np.array([T, -5]), np.array([81231, 2**40])
    wave = WaveRecords(['pump-7/"é"', "p/a"], *columns)
    made = encoder.publish(wave, forecasts(directions=directions, **more))
    for text in made.texts:  # of members that are inserted later it has none
        assert extend_by_text(NO_OUTPUTS, text) == extend_hash(NO_OUTPUTS, made.outputs)
    return made.outputs


@CASES
def test_connect_is_json_in_an_envelope(*, directions: bool, thresholds: bool, joint: bool) -> None:
    """The payload is the record in JSON, byte for byte; Connect's converter takes it with its schema, and all of it."""
    for plain, output in zip(
        encoded("json", directions=directions, thresholds=thresholds, joint=joint),
        encoded("connect", directions=directions, thresholds=thresholds, joint=joint),
        strict=True,
    ):
        value = output.value or b""
        assert output == plain._replace(value=value)
        assert value.endswith(b',"payload":' + (plain.value or b"") + b"}")
        document = json.loads(value)
        assert document.keys() == {"schema", "payload"}
        struct_ = converted(document["schema"], document["payload"])
        assert struct_.keys() == document["payload"].keys()
        assert struct_["time"] == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=document["payload"]["time"])
        assert struct_["quantiles"] == document["payload"]["quantiles"]
        assert ("direction" in struct_) == directions
        assert ("crossings" in struct_) == thresholds


@CASES
def test_avro_has_the_content_of_json(*, directions: bool, thresholds: bool, joint: bool) -> None:
    """The value is a registry's frame and a record of the registered schema, with every number as in JSON."""
    schema = fastavro.parse_schema(avro_schema(thresholds=thresholds, joint=joint))
    for plain, output in zip(
        encoded("json", directions=directions, thresholds=thresholds, joint=joint),
        encoded("avro", directions=directions, thresholds=thresholds, joint=joint),
        strict=True,
    ):
        value, document = output.value or b"", json.loads(plain.value or b"")
        assert output == plain._replace(value=value)
        assert value[:5] == struct.pack(">bI", 0, 42)
        found: Any = fastavro.schemaless_reader(io.BytesIO(value[5:]), schema, None)
        assert found["time"] == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=document["time"])
        assert found["quantiles"] == document["quantiles"]
        assert (found["direction"] is not None) == directions
        assert found["source"] == document["source"]
        assert found.get("thresholds") == document.get("thresholds")
        assert found.get("joint_anomaly") == document.get("joint_anomaly")


@CASES
@pytest.mark.parametrize("format", ["json", "connect", "avro"])
def test_forecasts_are_read_back_from_every_format(
    format: OutputFormat,  # noqa: A002
    *,
    directions: bool,
    thresholds: bool,
    joint: bool,
) -> None:
    """Whatever the format, a reader gets the JSON document."""
    members = {"directions": directions, "thresholds": thresholds, "joint": joint}
    wanted = [json.loads(each.value or b"") for each in encoded("json", **members)]
    assert [read_forecast(each.value or b"") for each in encoded(format, **members)] == wanted
    assert set(wanted[0]) == {each.name for each in FORECAST} - members_without(**members)
    assert not directions or tuple(wanted[0]["direction"]) == DIRECTION
    assert not joint or tuple(wanted[0]["joint_anomaly"]) == ("score", "share", "fields")


@pytest.mark.parametrize("value", [b"", b"\0", b"\0\0\0\0\1", b"\0\0\0\0\1" + b"\xff" * 40, b"[1]", b"7", b"{"])
def test_what_is_no_forecast_is_refused(value: bytes) -> None:
    """A record of another program is a ValueError, whatever it is."""
    with pytest.raises(ValueError):  # noqa: PT011
        read_forecast(value)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str, dict[str, Any]]]]:
    """Replace the client of the schema registry; yield the address, subject and schema of each registration."""
    calls: list[tuple[str, str, dict[str, Any]]] = []

    class Registry:
        def __init__(self, *, url: str, **_: object) -> None:
            self.url = url

        def register(self, subject: str, schema: Any) -> int:
            calls.append((self.url, subject, json.loads(schema.text)))
            return 7

    monkeypatch.setattr("streamrnn.formats.schemas.registry.SchemaRegistry", Registry)
    for cached in (app._register, app._registry):
        cached.cache_clear()
    yield calls
    app._registry.cache_clear()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Application:
    """Return a log in memory with an input."""
    made = make_application("memory", tmp_path, monkeypatch)
    made.produce(mixed(150, seed=1))
    return made


@pytest.mark.parametrize("format", ["connect", "avro"])
def test_state_and_replay_work_with_every_format(
    format: str,  # noqa: A002
    site: Application,
    registered: list[Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The hash covers what is written: state is verified, outputs are audited, and two configurations compared."""
    settings = configured(*(AVRO if format == "avro" else ["output.format=connect"]))
    site.run(settings, clean=False)
    first = site.world.read("sensors.forecasts")[0].value or b""
    assert first.startswith(b"\0\0\0\0\7" if format == "avro" else b'{"schema":{"type":"struct"')
    assert verify_state(settings, [], replay=True) == 0
    assert "the replay gives the published outputs" in capsys.readouterr().out
    assert audit(settings, [], None, None) == 0
    audited = capsys.readouterr().out
    assert "0 different, 0 missing, 0 surplus" in audited
    assert "sensors.forecasts: 0 equal" not in audited
    assert compare_configurations(settings, settings, ("a", "b"), [], None, None) == 0
    with pytest.raises(Exception, match="gives other outputs than the ones published"):
        verify_state(configured(), [], replay=True)


def test_the_schema_is_registered_once(site: Application, registered: list[Any]) -> None:
    """Under the name of the forecasts' topic, as Confluent's serializers do, once in a process."""
    site.run(configured(*AVRO))
    site.produce(mixed(10, seed=2, start=T + 10**9))
    site.run(configured(*AVRO))
    assert registered == [("http://registry:8081", "sensors.forecasts-value", avro_schema())]


def test_a_registry_that_is_unavailable_is_waited_for(
    site: Application, registered: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its error is one of the log, after which the partition is opened again; nothing is lost."""
    failures = [LogError("the registry is down")] * 2
    register = app._register

    def failing(registry: Any, subject: str, **options: Any) -> int:
        if failures:
            raise failures.pop()
        return register(registry, subject, **options)

    monkeypatch.setattr(app, "_register", failing)
    monkeypatch.setattr("streamrnn.runtime.time_limits.FIRST_RETRY", 0.0)
    settings = configured(*AVRO)
    site.run(settings)
    with closing(site.open(configured())) as log:
        committed = log.committed(TopicPartition("sensors", 0))
    assert committed is not None
    assert committed.offset == 150
    assert failures == []


def test_a_backtest_writes_json(tmp_path: Path) -> None:
    """The file has JSON whatever the format of the topic, and needs no registry."""
    rows = "\n".join(f"{T + 1000 * n},{n}" for n in range(20))
    (tmp_path / "in.csv").write_text(f"time,load\n{rows}\n")
    settings = configured(*AVRO, "input.key=", "input.time=")
    assert backtest(settings, [tmp_path / "in.csv"], tmp_path / "out.jsonl") == 0
    lines = (tmp_path / "out.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["series"] for line in lines] == ["in/load"] * 20


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (["output.format=xml"], "allowed are 'json', 'connect' or 'avro'"),
        (["output.format=avro"], "schema_registry.url: is missing: output.format is avro"),
        (["schema_registry.url=r:8081"], "must be an address that begins with https:// (or http://)"),
        (["schema_registry.url=http://u:p@r:8081"], "without user and password"),
    ],
)
def test_settings_that_contradict_each_other(overrides: list[str], problem: str) -> None:
    """Each is refused with the key and what is allowed."""
    with pytest.raises(ConfigError) as raised:
        load(None, ["input.topics=sensors", *overrides])
    assert problem in str(raised.value)


def test_avro_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the extra."""
    monkeypatch.setitem(sys.modules, "fastavro", None)
    settings: Settings = configured(*AVRO)
    with pytest.raises(ConfigError, match=r"output\.format = avro: needs fastavro.*streamrnn\[avro\]"):
        app.try_avro(settings)
