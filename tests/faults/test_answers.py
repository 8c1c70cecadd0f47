"""Answers of a broker to the requests of readers: errors of every kind, also of a broker of years to come."""

import pytest
from support.answers import Answered
from support.broker import Broker
from support.daemons import FleetFactory
from support.proxy import FETCH, METADATA, Proxy
from support.table import Row

pytestmark = [pytest.mark.kafka, pytest.mark.faults]

UNKNOWN = 9999
"""A code that no client knows."""
CODES = {
    FETCH: (-1, 3, 5, 6, 7, 9, 29, 56, 70, 71, 74, 75, 87, 100, 103, UNKNOWN),
    METADATA: (-1, 3, 5, 7, 17, 29, UNKNOWN),
}
"""Error codes after which the daemon goes on by itself."""


@pytest.mark.parametrize("api", CODES, ids={FETCH: "Fetch", METADATA: "Metadata"}.get)
def test_a_reader_is_answered_with_an_error(
    relayed: tuple[Broker, Proxy], fleet: FleetFactory, row: Row, api: int
) -> None:
    """Whatever the code, the daemon goes on, and no record is left out or read twice."""
    broker, proxy = relayed
    given = ["kafka.request_timeout=3s", "kafka.transaction_timeout=6s"]
    with fleet(broker, bootstrap=broker.relayed, overrides=given, partitions=1) as one:
        one.start()
        one.progress()
        for code in CODES[api]:
            rule = proxy.rule = Answered(proxy, api, code, done=False)
            one.wait(lambda rule=rule: rule.given, f"the code {code}")
            one.progress(12, patience=60.0)
        row.survive(one.finish(), len(CODES[api]))
