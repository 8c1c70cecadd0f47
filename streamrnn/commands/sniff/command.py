"""`streamrnn sniff`: propose a configuration for a topic, a file or standard input."""

import argparse
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from streamrnn.commands.sniff.sample import RecordSample, read_path, read_stream, read_topic
from streamrnn.errors import LogError

if TYPE_CHECKING:
    from streamrnn.settings import Settings

DEFAULT_RECORDS = 1000
MAX_RECORDS = 1_000_000


def add_sniff_command(commands: Any, configured: argparse.ArgumentParser) -> None:
    """Add the command to the subparsers; `configured` has the options of every command with a configuration."""
    sniff = commands.add_parser("sniff", parents=[configured], help="propose a configuration for a topic or a file")
    add_source_arguments(sniff, nargs=None)
    sniff.add_argument("--json", action="store_true", help="as one JSON object, for programs")
    sniff.set_defaults(command=_sniff)


def add_source_arguments(parser: argparse.ArgumentParser, *, nargs: str | None) -> None:
    """Add the arguments that name a sample."""
    parser.add_argument(
        "source",
        nargs=nargs,
        metavar="TOPIC|FILE",
        help="a topic of the configured log, a file, or - for standard input",
    )
    parser.add_argument(
        "--records", type=_count, default=DEFAULT_RECORDS, metavar="N", help="records to look at; default: %(default)s"
    )


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_RECORDS:
        raise argparse.ArgumentTypeError(f"{text}: must be a whole number from 1 to {MAX_RECORDS}")
    return int(text)


def _sniff(arguments: argparse.Namespace) -> int:
    from streamrnn.commands.sniff.proposal import propose, to_document  # noqa: PLC0415 -- numpy

    if arguments.json:
        sample, given = read_sample(arguments)
        text = (
            orjson.dumps(to_document(propose(sample.records, given), sample), option=orjson.OPT_INDENT_2).decode()
            + "\n"
        )
    else:
        text = proposed_yaml(arguments)
    sys.stdout.write(text)
    return 0


def proposed_yaml(arguments: argparse.Namespace) -> str:
    """Return the proposal for the source that the arguments name, as YAML.

    Raises:
        ConfigError: the configuration given is invalid.
        InputError: the file cannot be read.
        LogError: the log is unavailable, or it has no such topic.
    """
    from streamrnn.commands.sniff.proposal import propose  # noqa: PLC0415 -- numpy
    from streamrnn.commands.sniff.render import to_commented_yaml  # noqa: PLC0415
    from streamrnn.settings import connection_of  # noqa: PLC0415

    sample, given = read_sample(arguments)
    return to_commented_yaml(propose(sample.records, given), sample, connection=connection_of(given))


def read_sample(arguments: argparse.Namespace) -> tuple[RecordSample, "Settings"]:
    """Return the sample that the arguments name, and the configured settings."""
    from streamrnn import app  # noqa: PLC0415 -- numpy
    from streamrnn.settings import load  # noqa: PLC0415

    settings = load(arguments.config, arguments.overrides, topics_required=False)
    source, count = arguments.source, arguments.records
    if source == "-":
        return read_stream(count), settings
    path = Path(source)
    if path.exists() or "/" in source:  # a topic's name has no slash
        return read_path(path, count), settings
    try:
        log = app.open_log(settings)
    except LogError as error:
        raise LogError(f"there is no file {source}, and as a topic: {error}") from error
    with closing(log):
        return read_topic(log, source, count, where=settings.log_address), settings
