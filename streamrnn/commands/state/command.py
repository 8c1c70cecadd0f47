"""The command line of `streamrnn state`."""

import argparse
import sys
from pathlib import Path
from typing import Any

from streamrnn.settings import load


def add_partition_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that selects input partitions."""
    parser.add_argument(
        "--partition", dest="partitions", action="append", default=[], metavar="TOPIC/N",
        help="may be repeated; default: all",
    )  # fmt: skip


def add_state_command(commands: Any, configured: argparse.ArgumentParser) -> None:
    """Add the command; `configured` has the options of every command with a configuration."""
    state = commands.add_parser("state", help="show, verify, move or reset the committed state")
    actions = state.add_subparsers(required=True, metavar="ACTION", dest="action")

    def add(name: str, summary: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = actions.add_parser(name, parents=[configured], help=summary)
        add_partition_option(parser)
        parser.set_defaults(command=run_state)
        return parser

    add("show", "print offsets, sizes and layout").add_argument(
        "--json", action="store_true", help="machine-readable output"
    )
    add("verify", "check whether the daemon could continue from the state").add_argument(
        "--replay", action="store_true", help="also replay up to the committed offset, and compare"
    )
    add("export", "write the state to a file").add_argument("file", type=Path, metavar="FILE")
    add("import", "read the state from a file, where there is none yet").add_argument("file", type=Path, metavar="FILE")
    migrate = add("migrate", "convert the state to a changed configuration, as the next start would")
    reset = add("reset", "delete the state, and start again at a given position")
    reset.add_argument("--to", choices=("earliest", "latest", "committed"), required=True, help="where to start")
    resume = add("resume", "continue with the state where it does not fit the committed offset or the input")
    resume.add_argument(
        "--from", dest="start", choices=("committed", "saved", "earliest", "latest"), required=True,
        help="the group's offset, where the state was saved, the first record that was not committed, or the next one",
    )  # fmt: skip
    for parser in (migrate, reset, resume):
        parser.add_argument("--yes", action="store_true", help="do not ask")


def run_state(arguments: argparse.Namespace) -> int:
    """Run an action and return the exit code.

    Raises:
        StreamrnnError: the action failed.
    """
    settings = load(arguments.config, arguments.overrides)
    from streamrnn.commands.state import show, transfer  # noqa: PLC0415 -- numpy and the log

    partitions = arguments.partitions
    if arguments.action == "show":
        return show.show_state(settings, partitions, as_json=arguments.json)
    if arguments.action == "verify":
        return show.verify_state(settings, partitions, replay=arguments.replay)
    if arguments.action == "export":
        return transfer.export_state(settings, partitions, arguments.file)
    if arguments.action == "import":
        return transfer.import_state(settings, partitions, arguments.file)
    if arguments.action == "migrate":
        return transfer.migrate_state(settings, partitions, lambda: arguments.yes or _confirmed())
    if arguments.action == "resume":
        return transfer.resume_state(settings, partitions, arguments.start, lambda: arguments.yes or _confirmed())
    return transfer.reset_state(settings, partitions, arguments.to, lambda: arguments.yes or _confirmed())


def _confirmed() -> bool:
    """Ask at the terminal; without one the answer is no."""
    if not sys.stdin.isatty():
        sys.stderr.write("streamrnn: cannot ask for confirmation without a terminal; use --yes\n")
        return False
    return input("Type yes to continue: ").strip() == "yes"
