"""`streamrnn replay`: the command line of it, free of the numerical libraries until it runs."""

import argparse
from pathlib import Path
from typing import Any

from streamrnn.commands.replay.position import Place, place
from streamrnn.settings import load


def add_to(commands: Any, configured: argparse.ArgumentParser) -> None:
    """Add the command to the subparsers; `configured` has the options of every command with a configuration."""
    words = "compute a range of the log once more: audit what was published, or try another configuration"
    parser = commands.add_parser("replay", parents=[configured], help=words)
    at = "OFFSET|TIME"
    parser.add_argument("--from", dest="start", type=_place, metavar=at, help="default: where the task began")
    parser.add_argument("--to", dest="end", type=_place, metavar=at, help="default: the committed offset")
    parser.add_argument(
        "--partition",
        dest="partitions",
        action="append",
        default=[],
        metavar="TOPIC/N",
        help="may be repeated; default: all",
    )
    parser.add_argument("--with", dest="other", type=Path, metavar="OTHER.yaml", help="score it beside the present one")
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Audit, or compare two configurations; return the exit code.

    Raises:
        StreamrnnError: as the actions do; it holds the exit code.
    """
    settings = load(arguments.config, arguments.overrides)
    if arguments.other is None:
        from streamrnn.commands.replay.audit import audit  # noqa: PLC0415 -- see the docstring of cli

        return audit(settings, arguments.partitions, arguments.start, arguments.end)
    other = load(arguments.other, topics_required=False)
    from streamrnn.commands.replay.compare import beside  # noqa: PLC0415

    files = [Path("defaults") if each is None else each for each in (arguments.config, arguments.other)]
    first, second = (each.name for each in files) if files[0].name != files[1].name else map(str, files)
    return beside(settings, other, (first, second), arguments.partitions, arguments.start, arguments.end)


def _place(text: str) -> Place:
    try:
        return place(text)
    except ValueError:
        raise argparse.ArgumentTypeError("must be an offset, or a time in ISO-8601") from None
