"""`streamrnn init`: write a configuration to a file, proposed for a topic or a file, or one of the examples.

The examples are those of the folder `config` of the repository, to which `examples` here is a link.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from streamrnn.commands.sniff.command import add_source_arguments, proposed_yaml
from streamrnn.commands.sniff.profile import count_of
from streamrnn.errors import ConfigError, OutputError
from streamrnn.files import written_atomically
from streamrnn.settings import DEFAULT_FILE

EXAMPLES = Path(__file__).with_name("examples")
_EDITOR = "yaml-language-server:"


def add_init_command(commands: Any, configured: argparse.ArgumentParser) -> None:
    """Add the command to the subparsers; `configured` has the options of every command with a configuration."""
    init = commands.add_parser("init", parents=[configured], help="write a configuration to a file")
    add_source_arguments(init, nargs="?")
    init.add_argument(
        "--example", nargs="?", const="", metavar="NAME", help="an example instead; without a name: list the examples"
    )
    init.add_argument(
        "-o", "--output", type=Path, default=DEFAULT_FILE, metavar="FILE", help="file to write; default: %(default)s"
    )
    init.add_argument("--force", action="store_true", help="replace the file if it exists")
    init.set_defaults(command=_init, usage=init.error)


def _init(arguments: argparse.Namespace) -> int:
    if (arguments.source is None) == (arguments.example is None):
        arguments.usage("name a topic or a file, or an example by --example; --example alone lists them")
    if arguments.example == "":
        sys.stdout.write("".join(f"{name:<16}{title}\n" for name, title in example_titles().items()))
        return 0
    path: Path = arguments.output
    example = None if arguments.example is None else read_example(arguments.example)
    if path.exists() and not arguments.force:
        raise OutputError(f"{path} exists: choose another name with -o, or replace it with --force")
    text = proposed_yaml(arguments) if example is None else example
    with written_atomically(path) as file:
        file.write(text.encode())
    doubts = sum(line.startswith("# - ") for line in text.splitlines()) if example is None else 0
    hint = f"; it has {count_of(doubts, 'point')} in doubt, see its comments" if doubts else ""
    sys.stdout.write(f"{path} is written{hint}\nnext: {_next_command(arguments.source, path)}\n")
    return 0


def _next_command(source: str | None, path: Path) -> str:
    """Return what to try a new configuration with: a file needs no log."""
    if source is not None and Path(source).is_file():
        return f"streamrnn backtest -c {path} --input {source} --output forecasts.jsonl"
    return f"streamrnn check -c {path} --connect"


def example_titles() -> dict[str, str]:
    """Return the first sentence of every example by its name."""
    return {path.stem: _title(path.read_text(encoding="utf-8")) for path in sorted(EXAMPLES.glob("*.yaml"))}


def _title(text: str) -> str:
    lines = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("# ") and _EDITOR not in line]
    return " ".join(lines).partition(". ")[0].removesuffix(".")


def read_example(name: str) -> str:
    """Return an example by its name.

    Raises:
        ConfigError: there is none of that name.
    """
    names = example_titles()
    if name not in names:
        raise ConfigError(f"--example {name}: there is no such example; there are {', '.join(names)}")
    text = (EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8")
    # the schema that the first line names stands beside the examples in the repository, not beside the new file
    return "".join(line for line in text.splitlines(keepends=True) if _EDITOR not in line)
