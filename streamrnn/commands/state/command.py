"""`streamrnn state`: the command line of it, free of the numerical libraries until it runs."""

import argparse
import sys
from pathlib import Path
from typing import Any

from streamrnn.settings import load


def add_to(commands: Any, configured: argparse.ArgumentParser) -> None:
    """Add the command to the subparsers; `configured` has the options of every command with a configuration."""
    state = commands.add_parser("state", help="look at, check, move or reset the committed state")
    actions = state.add_subparsers(required=True, metavar="ACTION", dest="action")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--partition",
        dest="partitions",
        action="append",
        default=[],
        metavar="TOPIC/N",
        help="may be repeated; default: all",
    )

    def add(name: str, words: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = actions.add_parser(name, parents=[configured, common], help=words)
        parser.set_defaults(command=run)
        return parser

    add("show", "offsets, sizes and layout").add_argument("--json", action="store_true", help="for programs")
    add("verify", "whether the daemon could go on from it").add_argument(
        "--replay", action="store_true", help="also replay up to the committed offset, and compare"
    )
    add("export", "write it into one file").add_argument("file", type=Path, metavar="FILE")
    add("import", "take it over from a file, where there is none yet").add_argument("file", type=Path, metavar="FILE")
    migrate = add("migrate", "write it anew for a changed configuration, as the next start would")
    migrate.add_argument("--yes", action="store_true", help="do not ask")
    reset = add("reset", "delete it, and start anew at a place of your choice")
    reset.add_argument("--to", choices=("earliest", "latest", "committed"), required=True, help="where to start anew")
    reset.add_argument("--yes", action="store_true", help="do not ask")


def run(arguments: argparse.Namespace) -> int:
    """Do one of the actions; return its exit code.

    Raises:
        StreamrnnError: as the actions do; it holds the exit code.
    """
    settings = load(arguments.config, arguments.overrides)
    from streamrnn.commands.state import show, transfer  # noqa: PLC0415 -- numpy and the log

    partitions = arguments.partitions
    if arguments.action == "show":
        return show.show(settings, partitions, as_json=arguments.json)
    if arguments.action == "verify":
        return show.verify(settings, partitions, replay=arguments.replay)
    if arguments.action == "export":
        return transfer.export_state(settings, partitions, arguments.file)
    if arguments.action == "import":
        return transfer.import_state(settings, partitions, arguments.file)
    if arguments.action == "migrate":
        return transfer.migrate(settings, partitions, lambda: arguments.yes or _confirmed())
    return transfer.reset(settings, partitions, arguments.to, lambda: arguments.yes or _confirmed())


def _confirmed() -> bool:
    """Ask at the terminal; where there is none, the answer is no."""
    if not sys.stdin.isatty():
        sys.stderr.write("streamrnn: no terminal to ask at; say --yes\n")
        return False
    return input("Type yes to go on: ").strip() == "yes"
