"""`streamrnn pretrain`: the command line of it, free of the numerical libraries until it runs."""

import argparse
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from streamrnn.settings import load

STEPS = 16_000
"""By default: about an hour of one core."""


def add_to(commands: Any) -> argparse.ArgumentParser:
    """Add the command to the subparsers; the caller sets what it calls."""
    parser: argparse.ArgumentParser = commands.add_parser("pretrain", help="make a base network from synthetic series")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="safetensors")
    parser.add_argument("-c", "--config", type=Path, metavar="FILE", help="YAML: the shape of the network (model)")
    parser.add_argument("--steps", type=_count, default=STEPS, metavar="N", help="default: %(default)s")
    parser.add_argument("--seed", type=_seed, default=0, metavar="N", help="default: %(default)s")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="cpu", help="default: %(default)s")
    parser.add_argument(
        "--history",
        action="extend",
        type=Path,
        nargs="+",
        default=[],
        metavar="F.csv",
        help="learn from these, too; may be repeated",
    )
    today = datetime.now(UTC).date().isoformat()
    parser.add_argument("--date", type=_date, default=today, metavar="YYYY-MM-DD", help="of the card; default: today")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Make a base network.

    Raises:
        ConfigError: the configuration, the device, a history or the output cannot be used.
        InputError: a history cannot be read.
    """
    model = load(arguments.config, topics_required=False).model
    from streamrnn.commands.pretrain.pipeline import make  # noqa: PLC0415 -- see the docstring of cli

    make(
        arguments.output,
        **model.network,
        steps=arguments.steps,
        seed=arguments.seed,
        device=arguments.device,
        history=arguments.history,
        date=arguments.date,
    )
    return 0


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return count


def _seed(text: str) -> int:
    seed = int(text)
    if seed < 0:
        raise argparse.ArgumentTypeError("must be at least 0")
    return seed


def _date(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError("must be YYYY-MM-DD") from None
