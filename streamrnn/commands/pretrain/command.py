"""The command `streamrnn pretrain`, free of the numerical libraries until it runs."""

import argparse
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

from streamrnn.core.network.device import torch_installed
from streamrnn.errors import missing_extra
from streamrnn.settings import load

STEPS = 16_000  # default: about an hour on one core


def add_pretrain_command(commands: Any) -> None:
    """Add the command to the subparsers."""
    parser = commands.add_parser("pretrain", help="train a base network on synthetic series")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="safetensors file to write")
    parser.add_argument(
        "-c",
        "--config",
        type=Path,
        metavar="FILE",
        help="YAML: the shape of the network (model), and how to read --history (input)",
    )
    parser.add_argument("--steps", type=partial(_at_least, 1), default=STEPS, metavar="N", help="default: %(default)s")
    parser.add_argument("--seed", type=partial(_at_least, 0), default=0, metavar="N", help="default: %(default)s")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="cpu", help="default: %(default)s")
    parser.add_argument(
        "--history", action="extend", type=Path, nargs="+", default=[], metavar="FILE",
        help="also train on these files; may be repeated",
    )  # fmt: skip
    parser.add_argument("--start", type=Path, metavar="FILE", help="base network to train further; default: none")
    today = datetime.now(UTC).date().isoformat()
    parser.add_argument("--date", type=_date, default=today, metavar="YYYY-MM-DD", help="on the card; default: today")
    parser.set_defaults(command=_pretrain)


def _pretrain(arguments: argparse.Namespace) -> int:
    """Train a base network and write it; return the exit code.

    Raises:
        ConfigError: The configuration is invalid, there is no such device, or torch is not installed.
        InputError: A history or the base network to start from cannot be used.
        OutputError: The output cannot be written.
    """
    if not torch_installed():
        raise missing_extra("pretrain", "torch", "torch")
    settings = load(arguments.config, topics_required=False)
    from streamrnn.commands.inputs import open_input  # noqa: PLC0415 -- see the docstring of cli
    from streamrnn.commands.pretrain.pipeline import make_base_network  # noqa: PLC0415

    options = {name: getattr(arguments, name) for name in ("steps", "device", "date", "start")}
    options["history"] = [open_input(settings, path, number) for number, path in enumerate(arguments.history)]
    make_base_network(arguments.output, replace(settings.model.config, seed=arguments.seed), **options)
    return 0


def _at_least(least: int, text: str) -> int:
    number = int(text)
    if number < least:
        raise argparse.ArgumentTypeError(f"must be at least {least}")
    return number


def _date(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError("must be YYYY-MM-DD") from None
