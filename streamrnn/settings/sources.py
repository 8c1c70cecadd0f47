"""Sources of the configuration: command line, environment, secrets files and YAML, all read as text.

Each source is a function that returns `{"section.key": SourceValue}`. Whether the keys exist is checked in the package
`settings`.

Scalars in YAML stay text (`no` is not a boolean and `0123` not an octal number), so that a value has the same meaning
in all sources.
"""

import os
import re
import select
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from streamrnn.errors import ConfigError

PREFIX = "STREAMRNN_"
SECRETS_DIRECTORY = "STREAMRNN_SECRETS_DIR"
_DEFAULT_SECRETS = Path("/run/secrets")
MAX_FILE_BYTES = 1024 * 1024
"""Largest size of a configuration or secrets file, in bytes."""
PIPE_SECONDS = 10.0
"""Longest wait for a file that is a pipe, as `-c <(command)` makes one."""
_VARIABLE = re.compile(r"\$\{(\w+)(?::?[-?+=][^}]*)?\}")
"""A variable as shells, Compose and many programs replace it."""
MAX_DEPTH = 20
"""Deepest nesting of lists and mappings in YAML."""
# Kubernetes sets these variables for every Service, including one named streamrnn.
_SERVICE_LINK = re.compile(
    r"""\w+_SERVICE_(HOST|PORT(_\w+)?)=.*
    | \w+_PORT(_\d+_(TCP|UDP|SCTP))?=(tcp|udp|sctp)://.*
    | \w+_PORT_\d+_(TCP|UDP|SCTP)_(PROTO|PORT|ADDR)=.*""",
    re.VERBOSE,
)


class SourceValue(NamedTuple):
    """The value of a key in one source."""

    value: object
    """Text, None, or a list or mapping of texts and None."""
    origin: str
    """File and line, environment variable, secrets file or `--set`, for messages."""


def read_sources(
    path: Path | None, overrides: Sequence[str], environment: Mapping[str, str], groups: Collection[str] = ()
) -> list[dict[str, SourceValue]]:
    """Read all sources, in order of precedence: --set, environment, secrets files, YAML.

    Args:
        path: The YAML file; None: none.
        overrides: Texts of the form `section.key=value`.
        environment: The environment variables.
        groups: Groups of keys within a section, such as `input.time`, whose keys have lines of their own in YAML.

    Raises:
        ConfigError: a file cannot be read or is not YAML, a source has a key twice, or an override is not of the form
            `section.key=value`.
    """
    return [
        _from_overrides(overrides),
        _from_environment(environment),
        _from_secrets(environment),
        _from_yaml(path, groups) if path is not None else {},
    ]


def environment_name(key: str) -> str:
    """Return the environment variable of a key: `STREAMRNN_KAFKA__CLIENT` for `kafka.client`."""
    return PREFIX + key.replace(".", "__").upper()


def dump_yaml(tree: Mapping[str, object]) -> str:
    """Return plain values as YAML, in the given order."""
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, default_flow_style=False, allow_unicode=True, width=120)


def _key(name: str) -> str:
    return name[len(PREFIX) :].lower().replace("__", ".")


def _from_overrides(overrides: Sequence[str]) -> dict[str, SourceValue]:
    values = {}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            # the rest is not repeated, as it may be a secret
            shown = re.match(r"[\w.]*", override)
            raise ConfigError(f"--set {shown[0] if shown else ''}: must be written --set section.key=value")
        values[key.strip()] = SourceValue(_text(text, f"--set {key.strip()}"), "--set")
    return values


def _from_environment(environment: Mapping[str, str]) -> dict[str, SourceValue]:
    return {
        _key(name): SourceValue(_text(text, f"environment variable {name}"), f"environment variable {name}")
        for name, text in sorted(environment.items())
        if name.startswith(PREFIX) and name != SECRETS_DIRECTORY and not _SERVICE_LINK.fullmatch(f"{name}={text}")
    }


def _from_secrets(environment: Mapping[str, str]) -> dict[str, SourceValue]:
    directory = Path(environment.get(SECRETS_DIRECTORY) or _DEFAULT_SECRETS)
    if not directory.is_dir():
        if SECRETS_DIRECTORY in environment:
            raise ConfigError(f"{SECRETS_DIRECTORY} = {directory}: is not a directory")
        return {}
    values: dict[str, SourceValue] = {}
    for path in sorted(directory.iterdir()):
        if not path.name.upper().startswith(PREFIX):
            continue  # other programs may use the directory too
        key = _key(path.name)
        if key in values:
            raise ConfigError(f"{key}: is in both {values[key].origin} and {path.name}; delete one of the two files")
        # editors and `echo` end a file with a newline, which is not part of the secret
        values[key] = SourceValue(_text(_read(path).rstrip("\r\n"), f"secrets file {path}"), f"secrets file {path}")
    return values


class _RefusedError(yaml.MarkedYAMLError):
    """YAML that a configuration may not contain; the problem quotes no value."""


class _TextLoader(yaml.SafeLoader):
    """A YAML loader that resolves scalars to text and null only, without aliases, anchors and tags."""

    yaml_implicit_resolvers = {  # noqa: RUF012 -- PyYAML defines it so
        first: [(tag, pattern) for tag, pattern in resolvers if tag.endswith(":null")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Return the next node. Aliases are refused: a few of them could expand to millions of values."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        tag = getattr(event, "tag", None)
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None or tag not in (None, "!"):
            raise yaml.composer.ComposerError(None, None, "alias, anchor or tag", event.start_mark)
        if self._depth >= MAX_DEPTH:
            problem = f"more than {MAX_DEPTH} nested lists or mappings"
            raise _RefusedError(problem=problem, problem_mark=event.start_mark)
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        """Return the mapping of a node; raise _RefusedError if a key is written twice."""
        found = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in found:
                raise _RefusedError(problem="a key is written twice", problem_mark=key.start_mark)
            found.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """A YAML dumper that writes lists on one line."""


_Dumper.add_representer(
    list, lambda dumper, items: dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True)
)


def _from_yaml(path: Path, groups: Collection[str]) -> dict[str, SourceValue]:
    text = _read(path)
    try:
        return _from_nodes(path, _TextLoader(text), groups)
    except yaml.MarkedYAMLError as error:
        raise ConfigError(f"{path}{_where(error)}: is not valid YAML: {_problem(error)}") from None
    except (yaml.YAMLError, ValueError):
        raise ConfigError(
            f"{path}: is not valid YAML: it contains a character or a tag that YAML does not allow"
        ) from None


def _from_nodes(path: Path, loader: _TextLoader, groups: Collection[str]) -> dict[str, SourceValue]:
    root = loader.get_single_node()
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{path}: must contain sections and keys, such as `input: {{topics: [sensors]}}`")
    values: dict[str, SourceValue] = {}
    for key, node, line in _leaves(loader, root, groups):
        if key in values:
            raise ConfigError(f"{key} ({path}, line {line}): is written twice; it is also in {values[key].origin}")
        value = loader.construct_object(node, deep=True)
        if found := next(filter(None, map(_VARIABLE.search, _texts(value))), None):
            raise ConfigError(
                f"{key} ({path}, line {line}): ${{{found[1]}}} is not replaced: a file has no variables; delete the "
                f"key here, and set the environment variable {environment_name(key)}"
            )
        values[key] = SourceValue(value, f"{path}, line {line}")
    return values


def _texts(value: object) -> Iterator[str]:
    """Yield the texts in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(each)


def _leaves(
    loader: _TextLoader, root: yaml.MappingNode, groups: Collection[str], prefix: str = ""
) -> Iterator[tuple[str, yaml.Node, int]]:
    """Yield the key, node and line of each value; a mapping is a section, or a group of keys within one."""
    for name_node, node in root.value:
        name = f"{prefix}{loader.construct_object(name_node)}"
        if isinstance(node, yaml.MappingNode) and (not prefix or (name in groups and node.value)):
            yield from _leaves(loader, node, groups, f"{name}.")
        else:
            yield name, node, name_node.start_mark.line + 1


def _where(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark
    return f", line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""


def _problem(error: yaml.MarkedYAMLError) -> str:
    if "found character '\\t'" in str(error.problem):
        return "a tab; indent with spaces"
    # other kinds of errors quote the value, which may be a secret
    if isinstance(error, yaml.scanner.ScannerError | yaml.parser.ParserError | _RefusedError):
        return str(error.problem)
    return "values that begin with *, & or ! need quotes, keys must be plain words, and a file must be one document"


def _text(text: str, origin: str) -> str:
    """Return `text` as it is; raise ConfigError, without quoting it, if it has a NUL character or is not UTF-8."""
    if "\0" in text:
        raise ConfigError(f"{origin}: contains a NUL character; write it as text")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{origin}: is not UTF-8") from None
    return text


def _read(path: Path) -> str:
    try:
        content = _read_bytes(path)
    except FileNotFoundError:
        raise ConfigError(f"{path}: does not exist; `streamrnn init` writes a configuration") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(f"{path}: is larger than {MAX_FILE_BYTES:,} bytes, the most that is allowed")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 at byte {error.start}") from None


def _read_bytes(path: Path) -> bytes:
    """Return the content of a file, at most one byte more than MAX_FILE_BYTES. Raises OSError, for a slow pipe too."""
    deadline, content = time.monotonic() + PIPE_SECONDS, b""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        ready = select.poll()
        ready.register(descriptor, select.POLLIN)
        while len(content) <= MAX_FILE_BYTES:
            if not ready.poll(1000 * max(0.0, deadline - time.monotonic())):
                raise TimeoutError(f"it is a pipe whose writer has not ended within {PIPE_SECONDS:g} s")
            part = os.read(descriptor, MAX_FILE_BYTES + 1 - len(content))
            if not part:
                break
            content += part
    finally:
        os.close(descriptor)
    return content
