"""The command line: `streamrnn run | demo | backtest | check | state | replay | pretrain`.

Exit codes: 0 done; 2 usage; 69 broker unavailable; 70 internal error; 78 configuration or state does not fit.

What a command needs is imported when it runs, so that `check` starts without the numerical libraries.
"""

import argparse
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from streamrnn.commands.pretrain import command as pretrain
from streamrnn.commands.replay import command as replay
from streamrnn.commands.state import command as state
from streamrnn.errors import StreamrnnError
from streamrnn.log.kafka_common import chosen
from streamrnn.page.process import require
from streamrnn.settings import Settings, describe, load
from streamrnn.version import VERSION
from streamrnn.weights import base_path

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code. `argv` None: the arguments of the process.

    Raises:
        SystemExit: after --help and --version (0) and for arguments that cannot be understood (2).
    """
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.command(arguments)
    except StreamrnnError as error:
        for line in str(error).splitlines():
            _say(line)
        code = error.exit_code
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:  # noqa: BLE001 -- the last line of defence: whatever it is, the exit code says so
        traceback.print_exc()
        _say(f"internal error: {type(error).__name__}: {error}")
        code = StreamrnnError.exit_code
    return code


class _Exact(argparse.ArgumentParser):
    """A parser that does not guess options from their beginnings: a script must not break when an option is added."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords, allow_abbrev=False)


def _parser() -> argparse.ArgumentParser:
    parser = _Exact(
        prog="streamrnn",
        description="Streaming time-series forecasts from recurrent networks that learn online, exactly once.",
    )
    parser.add_argument("--version", action="version", version=f"streamrnn {VERSION}")
    configured = _Exact(add_help=False)
    configured.add_argument("-c", "--config", type=Path, metavar="FILE", help="YAML; see config/streamrnn.yaml")
    configured.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="override a key; may be repeated",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Exact)

    run = commands.add_parser("run", parents=[configured], help="the daemon; SIGTERM ends it cleanly")
    run.add_argument("--with-parent", action="store_true", help="end when standard input does")
    run.add_argument("--channel", type=int, metavar="FD", help="a descriptor that leads to the page")
    run.set_defaults(command=_run)

    demo = commands.add_parser("demo", help="the daemon on an embedded log and bundled streams")
    demo.add_argument("--serve", action="store_true", help="then go on at a slow pace, until SIGINT or SIGTERM")
    demo.add_argument("--output", type=Path, default=Path("demo-output"), metavar="FOLDER", help="default: %(default)s")
    demo.add_argument("--metrics-port", type=_port, metavar="PORT", help="0: any free port")
    demo.add_argument("--rows", type=_count, metavar="N", help="only the last N rows of each stream")
    demo.set_defaults(command=_demo)

    backtest = commands.add_parser("backtest", parents=[configured], help="the same forecasts from files")
    files: dict[str, Any] = {"action": "extend", "nargs": "+", "type": Path, "metavar": "FILE"}
    backtest.add_argument("--input", dest="inputs", required=True, help="may be repeated", **files)
    backtest.add_argument("--output", type=Path, required=True, metavar="OUT.jsonl")
    backtest.add_argument("--jobs", type=_count, default=1, metavar="N", help="files at a time; default: %(default)s")
    backtest.add_argument("--report", type=Path, metavar="FILE.html", help="also a page to look at, in one file")
    backtest.set_defaults(command=_backtest)

    check = commands.add_parser("check", parents=[configured], help="validate the configuration")
    check.add_argument("--connect", action="store_true", help="also try the log: broker, topics, rights")
    check.add_argument("--print", dest="show", action="store_true", help="print the effective configuration")
    check.set_defaults(command=_check)

    state.add_to(commands, configured)
    replay.add_to(commands, configured)
    pretrain.add_to(commands).set_defaults(command=pretrain.run)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    settings = load(arguments.config, arguments.overrides)
    from streamrnn import app  # noqa: PLC0415 -- see the module docstring
    from streamrnn.commands import run  # noqa: PLC0415
    from streamrnn.runtime import processes  # noqa: PLC0415

    if settings.workers > 1:
        app.prepare(settings)
        given = ["--config", str(arguments.config)] if arguments.config else []
        given += [part for override in arguments.overrides for part in ("--set", override)]
        with run.paged(settings, settings.workers) as ends:
            return processes.run(
                given,
                count=settings.workers,
                port=settings.metrics.port,
                instance=settings.kafka.instance,
                channels=[end.fileno() for end in ends],
            )
    if arguments.with_parent:
        processes.end_with_parent()
    return run.run(settings, arguments.channel)


def _demo(arguments: argparse.Namespace) -> int:
    from streamrnn.commands.demo import demo  # noqa: PLC0415

    return demo(
        serve=arguments.serve, output=arguments.output, metrics_port=arguments.metrics_port, rows=arguments.rows
    )


def _backtest(arguments: argparse.Namespace) -> int:
    settings = load(arguments.config, arguments.overrides, topics_required=False)
    from streamrnn.commands.backtest import backtest  # noqa: PLC0415

    return backtest(settings, arguments.inputs, arguments.output, jobs=arguments.jobs, report=arguments.report)


def _check(arguments: argparse.Namespace) -> int:
    settings = load(arguments.config, arguments.overrides)
    client = chosen(settings.kafka.client) if settings.log == "kafka" else ""
    if settings.page.enabled:
        require()
    lines = [describe(settings).rstrip()] if arguments.show else ["ok", *_summary(settings, client)]
    if arguments.connect or settings.experts or settings.learning.drift != "none":
        from streamrnn import app  # noqa: PLC0415

        app.try_river(settings)
        lines += app.connect(settings) if arguments.connect else []
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _summary(settings: Settings, client: str) -> list[str]:
    kafka, model, forecast, output = settings.kafka, settings.model, settings.forecast, settings.output
    places = {
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
        f"log        {places[settings.log]}",
        f"topics     {'; '.join(names)}",
        f"forecasts  {horizons} steps ahead, quantiles {quantiles}",
        f"model      {model.variant} {model.cell}, {model.layers} x {model.hidden_size}, learning {learning}",
        f"base       {base}",
        f"page       {_page(settings)}",
    ]


def _page(settings: Settings) -> str:
    """Say where the live page will be, and who may see it."""
    page = settings.page
    if not page.enabled:
        return "none (page.enabled)"
    host = f"[{page.host}]" if ":" in page.host else page.host
    where = f"http://{host}:{page.port}/" if page.port else f"at any free port of {host}"
    return f"{where}, {'with a token' if page.token else 'for whoever reaches it'}"


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


def _say(line: str) -> None:
    sys.stderr.write(f"streamrnn: {line}\n")


if __name__ == "__main__":
    sys.exit(main())
