"""The command line of `streamrnn deadletters`."""

import argparse
from functools import partial
from typing import Any

from streamrnn.commands.state.command import add_partition_option
from streamrnn.settings import load
from streamrnn.timestamps import parse_iso


def add_deadletters_command(commands: Any, configured: argparse.ArgumentParser) -> None:
    """Add the command; `configured` has the options of every command with a configuration."""
    summary = "count the dead letters by reason, show examples, and retry them after a fix"
    parser = commands.add_parser("deadletters", parents=[configured], help=summary)
    add_partition_option(parser)
    parser.add_argument("--reason", metavar="REASON", help="only dead letters with this reason")
    parser.add_argument("--since", type=_time, metavar="TIME", help="count only records from this time on (ISO 8601)")
    parser.add_argument(
        "--samples", type=_number, default=1, metavar="N",
        help="examples of each reason, with the contents of the records; default: %(default)s",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    parser.add_argument(
        "--retry", action="store_true",
        help="write the records to the input again, each once, where they are forecast or become dead letters again",
    )  # fmt: skip
    parser.add_argument(
        "--force", action="store_true", help="with --retry: also those that failed again after three retries"
    )
    parser.set_defaults(command=partial(run_deadletters, parser))


def run_deadletters(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    """Report on dead letters or retry them; return the exit code.

    Raises:
        StreamrnnError: the command failed.
        SystemExit: two options contradict each other (2).
    """
    if arguments.retry and arguments.since is not None:
        parser.error("--since has no effect with --retry, which retries each dead letter once; use --reason")
    if arguments.force and not arguments.retry:
        parser.error("--force has no effect without --retry")
    settings = load(arguments.config, arguments.overrides)
    partitions, reason = arguments.partitions, arguments.reason
    if arguments.retry:
        from streamrnn.commands.deadletters.retry import retry_letters  # noqa: PLC0415 -- numpy and the log

        return retry_letters(settings, partitions, reason, force=arguments.force, as_json=arguments.json)
    from streamrnn.commands.deadletters.report import Selection, report_letters  # noqa: PLC0415

    selection = Selection(partitions, reason, arguments.since)
    return report_letters(settings, selection, samples=arguments.samples, as_json=arguments.json)


def _time(text: str) -> int:
    try:
        return parse_iso(text)
    except ValueError:
        raise argparse.ArgumentTypeError("must be a time in ISO 8601") from None


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError("must be a whole number")
    return int(text)
