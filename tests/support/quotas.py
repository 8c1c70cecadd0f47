"""Quotas of a broker, as `kafka-configs.sh --alter --entity-type clients` sets them."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from kafka.protocol.admin import AlterClientQuotasRequest
from support.kafka_probe import admin


@contextmanager
def limited(bootstrap: str, client: str, quota: str, value: float) -> Iterator[None]:
    """Limit a client id meanwhile: `quota` is `producer_byte_rate`, `consumer_byte_rate` or `request_percentage`."""
    _alter(bootstrap, client, quota, value)
    try:
        yield
    finally:
        _alter(bootstrap, client, quota, None)


def _alter(bootstrap: str, client: str, quota: str, value: float | None) -> None:
    kind = AlterClientQuotasRequest.EntryData
    entry = kind(
        entity=[kind.EntityData(entity_type="client-id", entity_name=client)],
        ops=[kind.OpData(key=quota, value=value or 0.0, remove=value is None)],
    )
    request = AlterClientQuotasRequest(entries=[entry], validate_only=False)
    with closing(admin(bootstrap)) as brokers:
        answer = brokers._manager.run(brokers._send_request_to_controller, request)
    assert [each.error_code for each in answer.entries] == [0]
