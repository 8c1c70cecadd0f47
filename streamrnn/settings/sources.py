"""Where the value of a key comes from: command line, environment, secrets files, YAML; each read as plain text.

Each source is a function that returns `{key: Value}`, a key being written `section.key`; an earlier one wins over a
later one. Nothing here knows which keys exist: `settings` does, and refuses the others.

Scalars in YAML stay text (`no`, `0123` and `1e-3` are not turned into a boolean, an octal number and a string), so
that a value means the same wherever it is written.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from streamrnn.errors import ConfigError

PREFIX = "STREAMRNN_"
SECRETS_DIRECTORY = "STREAMRNN_SECRETS_DIR"
_DEFAULT_SECRETS = Path("/run/secrets")
# Kubernetes sets such variables for every Service, also for one that happens to be called streamrnn.
_SERVICE_LINK = re.compile(
    r"""\w+_SERVICE_(HOST|PORT(_\w+)?)=.*
    | \w+_PORT(_\d+_(TCP|UDP|SCTP))?=(tcp|udp|sctp)://.*
    | \w+_PORT_\d+_(TCP|UDP|SCTP)_(PROTO|PORT|ADDR)=.*""",
    re.VERBOSE,
)


class Value(NamedTuple):
    """What a source says of one key."""

    value: object
    """Text, None, a list or a mapping of these."""
    origin: str
    """Where it stands, in words for a message: file and line, environment variable, secrets file or --set."""


def gather(path: Path | None, overrides: Sequence[str], environment: Mapping[str, str]) -> list[dict[str, Value]]:
    """Read every source, the strongest first: --set, environment, secrets files, YAML.

    Raises:
        ConfigError: a file cannot be read or is not YAML, a key is written twice in one source, or an override is
            not of the form `section.key=value`.
    """
    return [
        _from_overrides(overrides),
        _from_environment(environment),
        _from_secrets(environment),
        _from_yaml(path) if path is not None else {},
    ]


def environment_name(key: str) -> str:
    """Name the environment variable of a key: `kafka.client` is `STREAMRNN_KAFKA__CLIENT`."""
    return PREFIX + key.replace(".", "__").upper()


def to_yaml(tree: Mapping[str, object]) -> str:
    """Write plain values as YAML, in the order given."""
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, default_flow_style=False, allow_unicode=True, width=120)


def _key(name: str) -> str:
    return name[len(PREFIX) :].lower().replace("__", ".")


def _from_overrides(overrides: Sequence[str]) -> dict[str, Value]:
    values = {}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            # only what can be a key is repeated: the rest may be a secret
            shown = re.match(r"[\w.]*", override)
            raise ConfigError(f"--set {shown[0] if shown else ''}: must be written --set section.key=value")
        values[key.strip()] = Value(text, "--set")
    return values


def _from_environment(environment: Mapping[str, str]) -> dict[str, Value]:
    return {
        _key(name): Value(text, f"environment variable {name}")
        for name, text in sorted(environment.items())
        if name.startswith(PREFIX) and name != SECRETS_DIRECTORY and not _SERVICE_LINK.fullmatch(f"{name}={text}")
    }


def _from_secrets(environment: Mapping[str, str]) -> dict[str, Value]:
    directory = Path(environment.get(SECRETS_DIRECTORY) or _DEFAULT_SECRETS)
    if not directory.is_dir():
        if SECRETS_DIRECTORY in environment:
            raise ConfigError(f"{SECRETS_DIRECTORY} = {directory}: is not a directory")
        return {}
    values: dict[str, Value] = {}
    for path in sorted(directory.iterdir()):
        if not path.name.upper().startswith(PREFIX):
            continue  # somebody else's: the directory is shared
        key = _key(path.name)
        if key in values:
            raise ConfigError(f"{key}: both {values[key].origin} and {path.name} say it; keep one of the two files")
        # an editor or `echo` ends the file with a newline, which is no part of the secret
        values[key] = Value(_read(path).rstrip("\r\n"), f"secrets file {path}")
    return values


class _TextLoader(yaml.SafeLoader):
    """YAML whose scalars are text, and null."""

    yaml_implicit_resolvers = {  # noqa: RUF012 -- the name and the kind are PyYAML's
        first: [(tag, pattern) for tag, pattern in resolvers if tag.endswith(":null")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


class _Dumper(yaml.SafeDumper):
    """Sections on lines of their own, lists on one line."""


_Dumper.add_representer(
    list, lambda dumper, items: dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True)
)


def _from_yaml(path: Path) -> dict[str, Value]:
    text = _read(path)
    try:
        return _from_nodes(path, _TextLoader(text))
    except yaml.MarkedYAMLError as error:
        raise ConfigError(f"{path}{_where(error)}: is not valid YAML: {_problem(error)}") from None
    except (yaml.YAMLError, ValueError):
        raise ConfigError(
            f"{path}: is not valid YAML: it holds a character or a tag that YAML does not allow"
        ) from None


def _from_nodes(path: Path, loader: _TextLoader) -> dict[str, Value]:
    root = loader.get_single_node()
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{path}: must hold sections and keys, such as `input: {{topics: [sensors]}}`")
    values: dict[str, Value] = {}
    for key, node, line in _leaves(loader, root):
        if key in values:
            raise ConfigError(f"{key} ({path}, line {line}): is written twice, first in {values[key].origin}")
        values[key] = Value(loader.construct_object(node, deep=True), f"{path}, line {line}")
    return values


def _leaves(loader: _TextLoader, root: yaml.MappingNode) -> Iterator[tuple[str, yaml.Node, int]]:
    """List (key, node, line) of what stands in a section or beside the sections; a section is a mapping at the top."""
    for name_node, node in root.value:
        name = str(loader.construct_object(name_node))
        if not isinstance(node, yaml.MappingNode):
            yield name, node, name_node.start_mark.line + 1
            continue
        for key_node, value_node in node.value:
            yield f"{name}.{loader.construct_object(key_node)}", value_node, key_node.start_mark.line + 1


def _where(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark
    return f", line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""


def _problem(error: yaml.MarkedYAMLError) -> str:
    # the other kinds of error repeat a piece of the value, and the value may be a secret
    if isinstance(error, yaml.scanner.ScannerError | yaml.parser.ParserError):
        return str(error.problem)
    return "a value that begins with *, & or ! needs quotes, keys are plain words, and a file is one document"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 at byte {error.start}") from None
