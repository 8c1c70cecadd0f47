"""What Kafka Connect's JsonConverter makes of a schema and a payload, by its documented rules."""

from datetime import UTC, datetime, timedelta
from typing import Any

TIMESTAMP = "org.apache.kafka.connect.data.Timestamp"


def converted(schema: dict[str, Any], value: Any) -> Any:
    """Return a payload converted by its schema; an error where the converter raises DataException."""
    if value is None:
        assert schema["optional"], "null for a value that is not optional"
        return None
    kind, name = schema["type"], schema.get("name")
    if kind == "struct":
        assert isinstance(value, dict)
        # the converter looks for the fields of the schema only
        return {field["field"]: converted(field, value.get(field["field"])) for field in schema["fields"]}
    if kind == "map":
        assert schema["keys"]["type"] == "string", "an object is a map of text keys only"
        return {str(key): converted(schema["values"], each) for key, each in value.items()}
    if kind == "array":
        assert isinstance(value, list)
        return [converted(schema["items"], each) for each in value]
    if kind in ("int32", "int64"):
        assert type(value) is int
        assert -(2 ** (31 if kind == "int32" else 63)) <= value < 2 ** (31 if kind == "int32" else 63)
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=value) if name == TIMESTAMP else value
    if kind == "double":
        assert type(value) in (int, float)
        return float(value)
    assert kind == "string"
    assert type(value) is str
    return value
