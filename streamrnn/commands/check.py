"""`streamrnn check`: validate the configuration, and with `--connect` also the log.

The numerical libraries are not loaded, except to try river's experts and drift detectors.
"""

import argparse
import sys
from contextlib import closing
from typing import Any

from streamrnn.errors import LogError
from streamrnn.log.kafka_common import chosen
from streamrnn.page.process import require_nicegui
from streamrnn.records import TopicPartition
from streamrnn.settings import Settings, load, to_yaml
from streamrnn.weights import base_path


def add_check_command(commands: Any, configured: argparse.ArgumentParser) -> None:
    """Add the command to the subparsers; `configured` has the options of every command with a configuration."""
    check = commands.add_parser("check", parents=[configured], help="validate the configuration")
    check.add_argument("--connect", action="store_true", help="also try the log: broker, topics, rights")
    check.add_argument("--print", dest="show", action="store_true", help="print the effective configuration")
    check.set_defaults(command=_check)


def _check(arguments: argparse.Namespace) -> int:
    settings = load(arguments.config, arguments.overrides)
    client = chosen(settings.kafka.client) if settings.log == "kafka" else ""
    if settings.page.enabled:
        require_nicegui()
    lines = [to_yaml(settings).rstrip()] if arguments.show else ["ok", *_summary(settings, client)]
    if settings.experts or settings.learning.drift != "none":
        from streamrnn import app  # noqa: PLC0415 -- numpy

        app.try_river(settings)
    lines += describe_log(settings) if arguments.connect else []
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def describe_log(settings: Settings) -> list[str]:
    """Connect to the log without writing to it; return lines about its topics.

    Raises:
        LogError: it is unavailable, it denies access, or an existing topic has a wrong number of partitions.
    """
    from streamrnn import app  # noqa: PLC0415 -- numpy

    with closing(app.open_log(settings)) as log:
        lines = [f"connected  {settings.kafka.bootstrap_servers if settings.log == 'kafka' else settings.sqlite.path}"]
        for topic in settings.input.topics:
            count = log.partitions(topic)
            lines.append(f"input      {topic}: {_partitions(count, 'the daemon will wait for it')}")
            for partition in range(count):
                log.bounds(TopicPartition(topic, partition))  # fails without the right to read it
            for name in app.output_topics(settings, topic):
                existing = log.partitions(name)
                if count and existing not in {0, count}:
                    raise LogError(
                        f"topic {name} has {existing} partitions, but its input topic {topic} has {count}: both must "
                        "have the same number; delete the topic or choose another name (output)"
                    )
                lines.append(f"output     {name}: {_partitions(existing, 'the daemon will create it')}")
    return lines


def _partitions(count: int, otherwise: str) -> str:
    return f"{count} partitions" if count else f"does not exist yet, {otherwise}"


def _summary(settings: Settings, client: str) -> list[str]:
    kafka, model, forecast, output = settings.kafka, settings.model, settings.forecast, settings.output
    logs = {
        "kafka": f"kafka at {kafka.bootstrap_servers} ({kafka.security_protocol}), by {client}",
        "sqlite": f"sqlite in {settings.sqlite.path}",
    }
    names = [
        f"{topic} -> "
        + ", ".join(t.format(topic=topic, app=settings.app) for t in (output.forecasts, output.dead_letters))
        for topic in settings.input.topics
    ]
    horizons, quantiles = (", ".join(map(str, numbers)) for numbers in (forecast.horizons, forecast.quantiles))
    learning = "on" if settings.learning.enabled else "off"
    base = base_path(base=model.base, **model.network) or "none: the network starts from random weights"
    return [
        f"app        {settings.app}",
        f"log        {logs[settings.log]}",
        f"topics     {'; '.join(names)}",
        f"forecasts  {horizons} steps ahead, quantiles {quantiles}",
        f"model      {model.variant} {model.cell}, {model.layers} x {model.hidden_size}, learning {learning}",
        f"base       {base}",
        f"page       {_page_address(settings)}",
    ]


def _page_address(settings: Settings) -> str:
    """Return the address of the live page, and who can see it."""
    page = settings.page
    if not page.enabled:
        return "none (page.enabled)"
    host = f"[{page.host}]" if ":" in page.host else page.host
    address = f"http://{host}:{page.port}/" if page.port else f"at any free port of {host}"
    return f"{address}, {'with a token' if page.token else 'without a token'}"
