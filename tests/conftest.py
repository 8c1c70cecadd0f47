"""Fixtures for all tests."""

import os
import signal
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

with warnings.catch_warnings():
    # on import, kafka-python 3.0.12 reads its schemas with functions that Python 3.11 deprecates
    warnings.filterwarnings("ignore", "(read|open)_text is deprecated", DeprecationWarning)
    from support.broker import Broker, missing

if TYPE_CHECKING:
    from support.fork_server import ForkServer

from support.table import pytest_runtest_logreport, pytest_terminal_summary  # noqa: F401  # hooks

# limits of time have tests of their own; that of each example fails where the machine has other work
hypothesis.settings.register_profile("without deadline", deadline=None)
hypothesis.settings.load_profile("without deadline")

# what runs the tests may ignore it, as nohup does, and the daemons under test would inherit that
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _require_java() -> None:
    """Skip the test if no broker can be started; with CI set, fail it."""
    reason = missing()
    if reason is not None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no Kafka broker: {reason}")


@pytest.fixture(scope="session")
def java() -> None:
    """Require what a test needs to start brokers."""
    _require_java()


@pytest.fixture(scope="session")
def broker() -> Iterator[str]:
    """Yield the address of the broker that all tests share: KAFKA_BOOTSTRAP_SERVERS, or one started here."""
    given = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if given:
        yield given
        return
    _require_java()
    with Broker() as started:
        yield started.bootstrap


@pytest.fixture
def own_broker(java: None) -> Iterator[Broker]:
    """Yield a broker that no other test uses; the test may kill, pause and restart it."""
    with Broker() as started:
        yield started


@pytest.fixture(scope="session")
def fork_server() -> Iterator["ForkServer"]:
    """Yield a process to fork daemons and commands from."""
    from support.daemons import WARM  # the numerical libraries
    from support.fork_server import ForkServer

    with ForkServer(WARM) as made:
        yield made


@pytest.fixture
def name() -> str:
    """Return a name for topics and applications that no other test uses."""
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the environment variables and secrets of this machine."""
    for name in list(os.environ):
        if name.startswith("STREAMRNN_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("STREAMRNN_SECRETS_DIR", str(tmp_path))
