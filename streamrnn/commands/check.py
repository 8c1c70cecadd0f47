"""`streamrnn check`: validate the configuration, and with `--connect` also the log.

The numerical libraries are not loaded, except to try a time zone, a calendar, river's experts and drift detectors.
"""

import argparse
import sys
from contextlib import closing, suppress
from typing import Any

from streamrnn import app
from streamrnn.commands.describe import describe_limits, describe_mapping, describe_sample, describe_series
from streamrnn.commands.sniff.profile import count_of
from streamrnn.errors import LogError
from streamrnn.log import Log
from streamrnn.log.kafka_common import choose_client
from streamrnn.log.memory import MemoryLog, MemoryStore
from streamrnn.page.process import require_nicegui
from streamrnn.records import TopicPartition
from streamrnn.settings import Settings, load, to_yaml
from streamrnn.settings.units import format_duration
from streamrnn.weights import base_path
from streamrnn.whole_learning import REMEDY, torch_is_missing

_MAX_LISTED = 5
"""Number of horizons up to which each is listed."""


def add_check_command(commands: Any, configured: argparse.ArgumentParser) -> None:
    """Add the command to the subparsers; `configured` has the options of every command with a configuration."""
    check = commands.add_parser("check", parents=[configured], help="validate the configuration")
    check.add_argument("--connect", action="store_true", help="also try the log and its latest records")
    check.add_argument("--print", dest="show", action="store_true", help="print the effective configuration")
    check.set_defaults(command=_check)


def _check(arguments: argparse.Namespace) -> int:
    settings = load(arguments.config, arguments.overrides)
    client = choose_client(settings.kafka.client) if settings.log == "kafka" else ""
    if settings.page.enabled:
        require_nicegui()
    lines = [to_yaml(settings).rstrip()] if arguments.show else ["ok", *_summary(settings, client)]
    if settings.experts or settings.learning.drift != "none":
        app.try_river(settings)
    if settings.output.format == "avro":
        app.try_avro(settings)
    app.try_calendar(settings)
    lines += describe_log(settings) if arguments.connect else []
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def describe_log(settings: Settings) -> list[str]:
    """Connect to the log without writing to it; return lines about its topics.

    Raises:
        LogError: it is unavailable, or it denies access.
    """
    missing = settings.log == "sqlite" and not settings.sqlite.path.exists()
    hint = " does not exist yet, the daemon or a producer will create it" if missing else ""
    with closing(MemoryLog(store=MemoryStore(), app=settings.app) if missing else app.open_log(settings)) as log:
        lines = [f"connected  {settings.log_address}{hint}"]
        for topic in settings.input.topics:
            count = log.partitions(topic)
            lines.append(f"input      {topic}: {_partitions(count, 'the daemon will wait for it')}")
            for partition in range(count):
                log.bounds(TopicPartition(topic, partition))  # fails without the right to read it
            names = app.output_topics(settings, topic)
            lines += _shared_lines(log, TopicPartition(topic, 0), names.forecasts) if count else []
            lines += describe_sample(settings, log, topic) if count else []
            for name in names.names:
                existing = log.partitions(name)
                line = f"output     {name}: {_partitions(existing, 'the daemon will create it')}"
                if 0 < existing < count:
                    line += f", the daemon will add {count - existing}"
                lines.append(line)
                if existing and (warning := log.limit_warning(name)):
                    lines.append(f"warning    {warning}")
    return lines


def _shared_lines(log: Log, partition: TopicPartition, forecasts: str) -> list[str]:
    from streamrnn.runtime.topics import sharing_apps  # noqa: PLC0415 -- numpy

    with suppress(LogError):  # this user may not list the groups
        return [
            f"warning    app {other} forecasts {partition.topic} into {forecasts} as well, so that readers get the "
            "forecasts of both: set output.forecasts to a name with {app}"
            for other in sharing_apps(log, partition, forecasts)
        ]
    return []


def _partitions(count: int, otherwise: str) -> str:
    return count_of(count, "partition") if count else f"does not exist yet, {otherwise}"


def _summary(settings: Settings, client: str) -> list[str]:
    kafka, model, forecast, output = settings.kafka, settings.model, settings.forecast, settings.output
    logs = {
        "kafka": f"kafka at {kafka.bootstrap_servers} ({kafka.security_protocol}), by {client}",
        "sqlite": f"sqlite in {settings.sqlite.path}",
    }
    templates = [text for name, text in settings.output_templates.items() if name != "state"]
    names = [
        f"{topic} -> " + ", ".join(text.format(topic=topic, app=settings.app) for text in templates)
        for topic in settings.input.topics
    ]
    quantiles = ", ".join(map(str, forecast.quantiles))
    learning = "on" if settings.learning.enabled else "off"
    without_torch = torch_is_missing(settings)
    base = base_path(model.base, model.config) or "none: the network starts from random weights"
    return [
        f"app        {settings.app}",
        f"log        {logs[settings.log]}",
        f"topics     {'; '.join(names)}",
        *describe_mapping(settings),
        *describe_series(settings),
        f"forecasts  {_horizons(settings)} steps ahead, quantiles {quantiles}, as {output.format}",
        *describe_limits(settings),
        f"model      {model.variant} {model.cell}, {model.layers} x {model.hidden_size}, learning {learning}",
        f"base       {base}",
        f"page       {_page_address(settings)}",
        *([f"warning    torch is not installed, so that whole networks do not learn: {REMEDY}"] * without_torch),
    ]


def _horizons(settings: Settings) -> str:
    """Return the horizons as text, with the duration of the last one if the length of a step is known."""
    steps, step = settings.forecast.horizons, settings.input.window.every or settings.forecast.step
    every = len(steps) > _MAX_LISTED and steps == tuple(range(1, len(steps) + 1))
    text = f"1 to {steps[-1]}" if every else ", ".join(map(str, steps))
    return text if step is None else f"{text} (the last is {format_duration(step * steps[-1])})"


def _page_address(settings: Settings) -> str:
    """Return the address of the live page, and whether it requires a token."""
    page = settings.page
    if not page.enabled:
        return "none (page.enabled)"
    host = f"[{page.host}]" if ":" in page.host else page.host
    address = f"http://{host}:{page.port}/" if page.port else f"at any free port of {host}"
    return f"{address}, {'with a token' if page.token else 'without a token'}"
