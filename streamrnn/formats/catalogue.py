"""The formats by name (`input.format`), and their construction. Their modules are imported when they are needed."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from streamrnn.errors import ConfigError
from streamrnn.formats import Format

if TYPE_CHECKING:
    from streamrnn.formats.schemas import SchemaSource

FORMATS: Mapping[str, str] = {
    "json": "json.Json",
    "csv": "csv.Csv",
    "influx": "metrics.influx.InfluxFormat",
    "telegraf": "metrics.telegraf.TelegrafFormat",
    "prometheus": "metrics.prometheus.PrometheusFormat",
    "otlp": "metrics.otlp.OtlpFormat",
    "senml": "metrics.senml.SenmlFormat",
    "sparkplug": "metrics.sparkplug.SparkplugFormat",
    "json_schema": "schemas.json_schema.JsonSchema",
    "avro": "schemas.avro.Avro",
    "protobuf": "schemas.protobuf.Protobuf",
    "connect": "envelopes.Connect",
    "debezium": "envelopes.Debezium",
    "cloudevents": "envelopes.CloudEvents",
}
"""Class of each format, in this package."""
ENVELOPES = frozenset({"debezium", "cloudevents"})
"""Formats that carry values of another one, `payload`."""


class FormatOptions(NamedTuple):
    """Options of formats with schemas, of envelopes and of CSV."""

    schemas: "SchemaSource | None" = None
    """Source of the schemas that values name."""
    schema: Path | None = None
    """File with the schema of values that name none."""
    message: str | None = None
    """Name of the Protobuf message in it."""
    payload: str = "json"
    """Format of the values that an envelope carries."""
    csv: Mapping[str, Any] = {}
    """Arguments of `Csv`."""


def make_format(name: str, options: FormatOptions = FormatOptions()) -> Format:  # noqa: B008 -- immutable
    """Return a new format.

    Raises:
        ConfigError: there is no such format, a library that it needs is not installed, or its schema cannot be used.
    """
    if name not in FORMATS:
        raise ConfigError(f"input.format = {name!r}: is not a format; allowed are {', '.join(FORMATS)}")
    module, _, kind = FORMATS[name].rpartition(".")
    make = getattr(import_module(f"streamrnn.formats.{module}"), kind)
    return make(**_arguments(name, options))  # type: ignore[no-any-return]  # each is a Format


def make_key_format(name: str, options: FormatOptions) -> Format | None:
    """Return the format of keys with a schema registry's frame; None without a registry, or for another format."""
    if options.schemas is None:
        return None
    value = options.payload if name in ENVELOPES else name
    return make_format(value, options) if value in {"avro", "protobuf", "json_schema"} else None


def _arguments(name: str, options: FormatOptions) -> dict[str, Any]:
    if name == "csv":
        return dict(options.csv)
    if name in {"avro", "protobuf"}:
        known = {"schemas": options.schemas, "schema": options.schema}
        message = {"message": options.message} if name == "protobuf" else {}
        return {key: value for key, value in {**known, **message}.items() if value is not None}
    if name in ENVELOPES and options.payload != "json":
        return {"inner": make_format(options.payload, options)}
    return {}
