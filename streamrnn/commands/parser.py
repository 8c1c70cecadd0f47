"""The parser of the command line: errors that say what was meant, and completion for shells."""

import argparse
import difflib
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

SHELLS = ("bash", "zsh")
LAST_PORT = 65535
ALIKE = 0.66
"""Least similarity, from 0 to 1, of a known word to propose for an unknown one."""


def count(text: str) -> int:
    """Return the whole number above 0 in an argument.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be a whole number from 1")
    return int(text)


def port(text: str) -> int:
    """Return the port in an argument; 0 is for any free one.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if not text.isdecimal() or int(text) > LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text}: must be a port from 0 to {LAST_PORT}")
    return int(text)


class _Commands(argparse._SubParsersAction):  # type: ignore[type-arg]  # noqa: SLF001 -- argparse has no public one
    """Commands whose own help begins with their summary in the list of commands."""

    def add_parser(self, name: str, **keywords: Any) -> Any:
        """See argparse."""
        summary = keywords["help"]
        return super().add_parser(name, description=f"{summary[0].upper()}{summary[1:]}.", **keywords)


class Parser(argparse.ArgumentParser):
    """A parser that accepts no abbreviated options: a new option must not break a script.

    For an unknown option or command the program ends with a message that proposes the most similar known one.
    """

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords, allow_abbrev=False)
        self._commands: dict[str, argparse.ArgumentParser] = {}

    def add_subparsers(self, **keywords: Any) -> Any:
        """See argparse."""
        added = super().add_subparsers(action=_Commands, **keywords)
        self._commands = added.choices
        return added

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """See argparse. Exits with 2 where an option or command is unknown."""
        given = sys.argv[1:] if args is None else list(args)
        if self._commands:
            self._check_command(given)
        found, unknown = super().parse_known_args(given, namespace)
        if option := next((each for each in unknown if each.startswith("-") and each != "-"), None):
            self._refuse_option(option)
        return found, unknown

    def _check_command(self, given: Sequence[str]) -> None:
        """Refuse an unknown command, or an unknown option before it; argparse would say that the command is missing."""
        arguments = iter(given)
        for argument in arguments:
            if not argument.startswith("-"):
                if argument not in self._commands:
                    meant = _meant(argument, self._commands)
                    self.error(f"{argument}: there is no such command{meant} There are {', '.join(self._commands)}.")
                return
            name, _, value = argument.partition("=")
            option = self._option_string_actions.get(name)
            if option is None:
                self._refuse_option(argument, self._commands)
            if option.nargs != 0 and not value:
                next(arguments, None)

    def _refuse_option(self, argument: str, later: Mapping[str, argparse.ArgumentParser] | None = None) -> NoReturn:
        """Refuse an option; `later` are the commands that follow here, one of which may have it."""
        option = argument.partition("=")[0]
        for name, command in (later or {}).items():
            if option in command._option_string_actions:  # noqa: SLF001 -- as argparse has no public way to ask
                self.error(f"{option}: belongs behind the command, as in {self.prog} {name} {option}")
        known = [name for name, each in self._option_string_actions.items() if each.help != argparse.SUPPRESS]
        self.error(f"{option}: there is no such option{_meant(option, known)} See {self.prog} --help.")


def _meant(word: str, known: Iterable[str]) -> str:
    names = {each.lstrip("-"): each for each in known}  # dashes would make all options alike
    near = difflib.get_close_matches(word.lstrip("-"), names, n=1, cutoff=ALIKE)
    return f", did you mean {names[near[0]]}?" if near else "."


def add_completion_command(commands: Any, parser: argparse.ArgumentParser) -> None:
    """Add the command that prints a shell's completion of all others."""
    completion = commands.add_parser("completion", help="print what a shell needs to complete commands and options")
    completion.add_argument("shell", choices=SHELLS)
    completion.set_defaults(command=lambda arguments: _print_completion(parser, arguments.shell))


def _print_completion(parser: argparse.ArgumentParser, shell: str) -> int:
    import shtab  # noqa: PLC0415 -- for this command only

    sys.stdout.write(shtab.complete(parser, shell=shell) + "\n")
    return 0
