"""The command line of `streamrnn replay`."""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from streamrnn.commands.replay.position import Position, parse_position
from streamrnn.commands.state.command import add_partition_option
from streamrnn.settings import load


def add_replay_command(commands: Any, configured: argparse.ArgumentParser) -> None:
    """Add the command; `configured` has the options of every command with a configuration."""
    summary = "compute a range of the log again: audit published outputs, or try another configuration"
    parser = commands.add_parser("replay", parents=[configured], help=summary)
    metavar = "OFFSET|TIME"
    parser.add_argument("--from", dest="start", type=_position, metavar=metavar, help="default: where the task started")
    parser.add_argument("--to", dest="end", type=_position, metavar=metavar, help="default: the committed offset")
    add_partition_option(parser)
    parser.add_argument("--with", dest="other", type=Path, metavar="OTHER.yaml", help="compare with this configuration")
    parser.set_defaults(command=partial(run_replay, parser))


def run_replay(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    """Audit, or compare two configurations; return the exit code.

    Raises:
        StreamrnnError: the command failed.
        SystemExit: the range is empty (2).
    """
    start, end = arguments.start, arguments.end
    if start is not None and end is not None and None not in (start.offset, end.offset) and start.offset >= end.offset:
        parser.error(f"--from {start.offset} is not before --to {end.offset}")
    from streamrnn.runtime.warm_up import announce_compilation  # noqa: PLC0415 -- numpy

    settings = load(arguments.config, arguments.overrides)
    announce_compilation()
    if arguments.other is None:
        from streamrnn.commands.replay.audit import audit  # noqa: PLC0415 -- numpy and the log

        return audit(settings, arguments.partitions, start, end)
    other = load(arguments.other, topics_required=False)
    from streamrnn.commands.replay.compare import compare_configurations  # noqa: PLC0415

    files = [Path("defaults") if each is None else each for each in (arguments.config, arguments.other)]
    first, second = (each.name for each in files) if files[0].name != files[1].name else map(str, files)
    return compare_configurations(settings, other, (first, second), arguments.partitions, start, end)


def _position(text: str) -> Position:
    try:
        return parse_position(text)
    except ValueError:
        raise argparse.ArgumentTypeError("must be an offset, or a time in ISO 8601") from None
