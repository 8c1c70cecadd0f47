"""The options of every command, as tables, from the parsers of the command line."""

# ruff: noqa: SLF001 -- argparse has no public way to list the options of a parser

import argparse
from collections.abc import Iterator

from streamrnn.cli import _parser

COMMON = frozenset({"help", "config", "overrides"})
"""Options that the text above the tables describes."""


def tables() -> Iterator[str]:
    """Yield a heading and a table for each command and, within it, for each of its own commands."""
    yield from _subcommands(_parser(), "streamrnn", "##")


def _subcommands(parser: argparse.ArgumentParser, path: str, level: str) -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            described = {each.dest: each.help for each in action._choices_actions}
            for name, command in action.choices.items():
                if described.get(name) is not None:
                    yield from _command(command, f"{path} {name}", described[name], level)


def _command(parser: argparse.ArgumentParser, path: str, described: str | None, level: str) -> Iterator[str]:
    yield f"{level} {path}\n"
    yield f"{_sentence(parser.description or described or '')}\n"
    options = [action for action in parser._actions if _shown(action)]
    if options:
        yield "| argument | default | meaning |"
        yield "|-|-|-|"
        yield from (_row(action) for action in options)
        yield ""
    yield from _subcommands(parser, path, f"{level}#")


def _shown(action: argparse.Action) -> bool:
    hidden = action.help == argparse.SUPPRESS or action.dest in COMMON
    return not hidden and not isinstance(action, argparse._SubParsersAction)


def _row(action: argparse.Action) -> str:
    value = action.metavar or ("|".join(map(str, action.choices)) if action.choices else action.dest.upper())
    repeated = " …" if action.nargs in ("+", "*") else ""
    name = ", ".join(action.option_strings)
    shown = " ".join(filter(None, (name, "" if action.nargs == 0 else f"{value}{repeated}")))
    meaning, _, default = (action.help or "").replace("%(default)s", str(action.default)).partition("default: ")
    if not default and action.default is not None and action.nargs != 0 and action.default != argparse.SUPPRESS:
        default = str(action.default)
    default = f"`{default}`" if default else "required" if action.required and action.option_strings else ""
    return f"| `{_escaped(shown)}` | {default} | {_escaped(meaning.rstrip('; '))} |"


def _escaped(text: str) -> str:
    return text.replace("|", r"\|")


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
