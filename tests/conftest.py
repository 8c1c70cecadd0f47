"""Fixtures for all tests."""

import os
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

with warnings.catch_warnings():
    # kafka-python 3.0.12 reads its schemas, while it is imported, through functions that Python 3.11 deprecates
    warnings.filterwarnings("ignore", "(read|open)_text is deprecated", DeprecationWarning)
    from support.broker import Broker, missing

from support.table import pytest_runtest_logreport, pytest_terminal_summary  # noqa: F401  # hooks


def _require_java() -> None:
    """Skip a test where no broker can be started; fail it where CI is set."""
    reason = missing()
    if reason is not None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no Kafka broker: {reason}")


@pytest.fixture
def java() -> None:
    """What a test needs that starts brokers of its own."""
    _require_java()


@pytest.fixture(scope="session")
def broker() -> Iterator[str]:
    """Yield the address of a real broker, shared by all tests: KAFKA_BOOTSTRAP_SERVERS, or one started here."""
    given = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if given:
        yield given
        return
    _require_java()
    with Broker() as started:
        yield started.bootstrap


@pytest.fixture
def own_broker(java: None) -> Iterator[Broker]:
    """Yield a broker of the test's own, which it may kill, pause and start again."""
    with Broker() as started:
        yield started


@pytest.fixture
def name() -> str:
    """Return a name for topics and applications that no other test uses."""
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees variables or secrets of the machine it runs on."""
    for name in list(os.environ):
        if name.startswith("STREAMRNN_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("STREAMRNN_SECRETS_DIR", str(tmp_path))
