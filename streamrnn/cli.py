"""The command line: `streamrnn run | demo | backtest | check | state | replay | pretrain`.

Exit codes: 0 done; 2 usage; 66 an input file cannot be read; 69 broker unavailable; 70 internal error; 73 an output
cannot be written; 78 configuration or state does not fit; 130 interrupted.

A command imports what it needs when it runs, so that `check` starts without the numerical libraries.
"""

import argparse
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from streamrnn.commands.check import add_check_command
from streamrnn.commands.pretrain import command as pretrain
from streamrnn.commands.replay import command as replay
from streamrnn.commands.run import add_run_command
from streamrnn.commands.state import command as state
from streamrnn.errors import StreamrnnError
from streamrnn.settings import load
from streamrnn.version import VERSION

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code. `argv` None: the arguments of the process.

    Raises:
        SystemExit: after --help and --version (0), and for invalid arguments (2).
    """
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.command(arguments)
    except StreamrnnError as error:
        for line in str(error).splitlines():
            _print_error(line)
        code = error.exit_code
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:  # noqa: BLE001 -- reported with its exit code
        traceback.print_exc()
        _print_error(f"internal error: {type(error).__name__}: {error}")
        code = StreamrnnError.exit_code
    return code


class _Parser(argparse.ArgumentParser):
    """A parser that accepts no abbreviated options: a new option must not break a script."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords, allow_abbrev=False)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="streamrnn",
        description="Streaming time-series forecasts from recurrent networks that learn online, exactly once.",
    )
    parser.add_argument("--version", action="version", version=f"streamrnn {VERSION}")
    configured = _Parser(add_help=False)
    configured.add_argument("-c", "--config", type=Path, metavar="FILE", help="YAML; see config/streamrnn.yaml")
    configured.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="override a key; may be repeated",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)
    add_run_command(commands, configured)
    _add_demo(commands)
    _add_backtest(commands, configured)
    add_check_command(commands, configured)
    state.add_to(commands, configured)
    replay.add_to(commands, configured)
    pretrain.add_to(commands).set_defaults(command=pretrain.run)
    return parser


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser("demo", help="the daemon on an embedded log and bundled streams")
    demo.add_argument("--serve", action="store_true", help="then go on at a slow pace, until SIGINT or SIGTERM")
    demo.add_argument("--output", type=Path, default=Path("demo-output"), metavar="FOLDER", help="default: %(default)s")
    demo.add_argument("--metrics-port", type=_port, metavar="PORT", help="0: any free port")
    demo.add_argument("--rows", type=_count, metavar="N", help="only the last N rows of each stream")
    demo.set_defaults(command=_demo)


def _demo(arguments: argparse.Namespace) -> int:
    from streamrnn.commands.demo import demo  # noqa: PLC0415 -- see the module docstring

    return demo(
        serve=arguments.serve, output=arguments.output, metrics_port=arguments.metrics_port, rows=arguments.rows
    )


def _add_backtest(commands: Any, configured: argparse.ArgumentParser) -> None:
    backtest = commands.add_parser("backtest", parents=[configured], help="the same forecasts from files")
    files: dict[str, Any] = {"action": "extend", "nargs": "+", "type": Path, "metavar": "FILE"}
    backtest.add_argument("--input", dest="inputs", required=True, help="may be repeated", **files)
    backtest.add_argument("--output", type=Path, required=True, metavar="OUT.jsonl")
    backtest.add_argument("--jobs", type=_count, default=1, metavar="N", help="files at a time; default: %(default)s")
    backtest.add_argument("--report", type=Path, metavar="FILE.html", help="also a page to look at, in one file")
    backtest.set_defaults(command=_backtest)


def _backtest(arguments: argparse.Namespace) -> int:
    settings = load(arguments.config, arguments.overrides, topics_required=False)
    from streamrnn.commands.backtest import backtest  # noqa: PLC0415 -- see the module docstring

    return backtest(settings, arguments.inputs, arguments.output, jobs=arguments.jobs, report=arguments.report)


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError("must be from 0 to 65535")
    return port


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return count


def _print_error(line: str) -> None:
    sys.stderr.write(f"streamrnn: {line}\n")


if __name__ == "__main__":
    sys.exit(main())
