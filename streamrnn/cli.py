"""The command line: `streamrnn COMMAND`, such as `run`, `sniff` and `check`; docs/reference/commands.md lists them.

Exit codes: 0 done; 2 usage; 66 an input file cannot be used; 69 broker unavailable; 70 internal error; 73 an output
cannot be written; 78 configuration or state does not fit; 130 interrupted; 141 the reader of standard output has gone.

A command imports what it needs when it runs: `run` handles signals before anything that takes long to load, and `check`
starts without the numerical libraries.
"""

import argparse
import errno
import io
import json
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from streamrnn.commands.parser import Parser, add_completion_command, count, port
from streamrnn.core.garbage import collector_paused
from streamrnn.errors import ConfigError, OutputError, StreamrnnError
from streamrnn.runtime.signals import StopSignals
from streamrnn.version import BUILD

INTERRUPTED = 130
BROKEN_PIPE = 141
"""Exit code that a shell reports for programs ended by SIGPIPE, such as `streamrnn check | head -1`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code. `argv` None: the arguments of the process.

    Raises:
        SystemExit: after --help and --version (0), and for invalid arguments (2).
    """
    given = sys.argv[1:] if argv is None else list(argv)
    _open_standard_streams()
    try:
        with StopSignals() if given[:1] == ["run"] else nullcontext() as signals:
            return _run_command(given, signals)
    except _OutputFailed as failed:
        return _report_output(failed.error)
    finally:
        _flush_errors()


def _run_command(given: Sequence[str], signals: StopSignals | None) -> int:
    """Run one command; return the exit code. Raises _OutputFailed if standard output cannot be written."""
    try:
        try:
            with collector_paused():
                parser = _parser()
            arguments = parser.parse_args(given, argparse.Namespace(signals=signals))
            _require_working_folder()
            code: int = arguments.command(arguments)
        finally:
            sys.stdout.flush()
    except StreamrnnError as error:
        for line in str(error).splitlines():
            _print_error(line)
        code = error.exit_code
    except KeyboardInterrupt:
        code = INTERRUPTED
    except _OutputFailed:
        raise
    except Exception as error:  # noqa: BLE001 -- reported with its exit code
        with suppress(OSError):
            traceback.print_exc()
        _print_error(f"internal error: {type(error).__name__}: {error}")
        code = StreamrnnError.exit_code
    return code


def _require_working_folder() -> None:
    """Raise ConfigError if the working folder was deleted: numerical libraries end the process there, with code 2."""
    try:
        Path.cwd()
    except OSError as error:
        raise ConfigError(
            f"the working folder was deleted or cannot be read ({error}): change to another one"
        ) from None


class _OutputFailed(Exception):  # noqa: N818 -- no OSError, which argparse ignores and rich handles in its own way
    """Standard output cannot be written."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error)
        self.error = error


class _StandardOutput(io.FileIO):
    """Standard output without buffer, `missing` if it was closed from the start. Its errors are _OutputFailed."""

    def __init__(self, *, missing: bool) -> None:
        super().__init__(1, "w", closefd=False)
        self._missing = missing
        self.ended = False

    def write(self, data: Any, /) -> int:
        """Write bytes; nothing after a failure, as the interpreter tries again at its end."""
        try:
            if self._missing:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))  # noqa: TRY301
            return len(data) if self.ended else int(super().write(data))
        except OSError as error:
            self.ended, self._missing = True, False
            raise _OutputFailed(error) from error


def _open_standard_streams() -> None:
    """Open the standard streams that are closed, on nothing: else the next file opened would receive their output."""
    missing = []
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            missing.append(os.open(os.devnull, os.O_RDWR))  # takes the lowest free number
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stdout is sys.__stdout__:
        buffered = io.BufferedWriter(_StandardOutput(missing=1 in missing))
        encoding, errors = (sys.stdout.encoding, sys.stdout.errors) if sys.stdout is not None else ("utf-8", "strict")
        sys.stdout = io.TextIOWrapper(buffered, encoding, errors, line_buffering=buffered.isatty())


def _report_output(error: OSError) -> int:
    """Report that standard output cannot be written; return the exit code."""
    if isinstance(error, BrokenPipeError):  # its reader has seen enough
        return BROKEN_PIPE
    _print_error(f"standard output cannot be written: {error.strerror}")
    return OutputError.exit_code


def _flush_errors() -> None:
    """Write what is left of standard error, or discard it: it must not change the exit code."""
    try:
        sys.stderr.flush()
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stderr.fileno())
        os.close(null)


def _parser() -> argparse.ArgumentParser:
    from streamrnn.commands.capacity.command import add_bench_command, add_plan_command  # noqa: PLC0415
    from streamrnn.commands.check import add_check_command  # noqa: PLC0415 -- see the module docstring
    from streamrnn.commands.deadletters import command as deadletters  # noqa: PLC0415
    from streamrnn.commands.init import add_init_command  # noqa: PLC0415
    from streamrnn.commands.mcp_server.command import add_mcp_command  # noqa: PLC0415
    from streamrnn.commands.pretrain.command import add_pretrain_command  # noqa: PLC0415
    from streamrnn.commands.replay import command as replay  # noqa: PLC0415
    from streamrnn.commands.run import add_run_command  # noqa: PLC0415
    from streamrnn.commands.sniff.command import add_sniff_command  # noqa: PLC0415
    from streamrnn.commands.state import command as state  # noqa: PLC0415

    parser = Parser(
        prog="streamrnn",
        description="Streaming time-series forecasts from recurrent networks that learn online, exactly once.",
    )
    parser.add_argument("--version", action="version", version=f"streamrnn {BUILD}")
    configured = Parser(add_help=False)
    configured.add_argument("-c", "--config", type=Path, metavar="FILE", help="YAML; `streamrnn init` writes one")
    configured.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="override a key; may be repeated",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)
    add_run_command(commands, configured)
    _add_demo(commands)
    _add_backtest(commands, configured)
    add_sniff_command(commands, configured)
    add_init_command(commands, configured)
    add_check_command(commands, configured)
    state.add_state_command(commands, configured)
    replay.add_replay_command(commands, configured)
    deadletters.add_deadletters_command(commands, configured)
    add_mcp_command(commands)
    schema = commands.add_parser("schema", help="print the JSON Schema of the configuration file, for editors")
    schema.set_defaults(command=_schema)
    add_pretrain_command(commands)
    add_bench_command(commands, configured)
    add_plan_command(commands, configured)
    add_completion_command(commands, parser)
    return parser


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser("demo", help="the daemon on an embedded log and bundled streams")
    demo.add_argument("--serve", action="store_true", help="then continue at a slow pace, until SIGINT or SIGTERM")
    folder: dict[str, Any] = {"type": Path, "default": Path("demo-output"), "metavar": "FOLDER"}
    demo.add_argument("--output", help="folder of log, forecasts and picture; default: %(default)s", **folder)
    demo.add_argument("--metrics-port", type=port, metavar="PORT", help="port of metrics and health; 0: any free port")
    demo.add_argument("--rows", type=count, metavar="N", help="only the last N rows of each stream")
    demo.set_defaults(command=_demo)


def _demo(arguments: argparse.Namespace) -> int:
    # at once: the first imports after an installation take seconds
    sys.stderr.write(f"preparing the bundled streams in {arguments.output}\n")
    from streamrnn.commands.demo import demo  # noqa: PLC0415 -- see the module docstring

    return demo(
        serve=arguments.serve, output=arguments.output, metrics_port=arguments.metrics_port, rows=arguments.rows
    )


def _add_backtest(commands: Any, configured: argparse.ArgumentParser) -> None:
    backtest = commands.add_parser("backtest", parents=[configured], help="forecast files as the daemon would")
    files: dict[str, Any] = {"action": "extend", "nargs": "+", "type": Path, "metavar": "FILE", "required": True}
    backtest.add_argument("--input", dest="inputs", help="CSV, JSON lines or Parquet; may be repeated", **files)
    backtest.add_argument("--output", type=Path, required=True, metavar="OUT.jsonl", help="one forecast per line")
    backtest.add_argument("--jobs", type=count, default=1, metavar="N", help="files at once; default: %(default)s")
    backtest.add_argument("--sort", action="store_true", help="sort the records of each file by time")
    backtest.add_argument("--events", type=Path, metavar="FILE.jsonl", help="write events, too, as with output.events")
    backtest.add_argument("--report", type=Path, metavar="FILE.html", help="also write a report, in one file")
    backtest.set_defaults(command=_backtest)


def _backtest(arguments: argparse.Namespace) -> int:
    from streamrnn.settings import load  # noqa: PLC0415 -- see the module docstring

    settings = load(arguments.config, arguments.overrides, topics_required=False)
    from streamrnn.commands.backtest import backtest  # noqa: PLC0415 -- see the module docstring

    options = {name: getattr(arguments, name) for name in ("jobs", "events", "report", "sort")}
    return backtest(settings, arguments.inputs, arguments.output, **options)


def _schema(_arguments: argparse.Namespace) -> int:
    from streamrnn.settings.json_schema import configuration_schema  # noqa: PLC0415 -- see the module docstring

    sys.stdout.write(json.dumps(configuration_schema(), indent=2, ensure_ascii=False) + "\n")
    return 0


def _print_error(line: str) -> None:
    with suppress(OSError):  # such as a closed pipe
        sys.stderr.write(f"streamrnn: {line}\n")


if __name__ == "__main__":
    sys.exit(main())
