"""A folder of schemas, one per file: `schema-42.avsc`, `42.proto`, `sensor.json` ..."""

import re
from collections.abc import Iterable
from pathlib import Path

from streamrnn.errors import ConfigError, LogError, RecordError
from streamrnn.formats.schemas import Schema, SchemaId, SchemaKind

SUFFIXES: dict[str, SchemaKind] = {".avsc": "AVRO", ".proto": "PROTOBUF", ".json": "JSON"}
MAX_FILES = 10_000
MAX_FILE_BYTES = 4 * 1024 * 1024
_NUMBER = re.compile(r"(?:^|.*[-_.])(\d{1,10})")


class SchemaFolder:
    """Schemas in files. A number at the end of a file's name, alone or after `-`, `_` or `.`, is that of its schema.

    Files are read when they are needed, and the folder is scanned again for an unknown number.

    Args:
        folder: The folder; its subfolders are used only for the imports of `.proto` files.

    Raises:
        ConfigError: it is not a folder, or two of its files have the same number.
    """

    def __init__(self, *, folder: Path) -> None:
        self._folder = folder
        self._schemas: dict[Path, Schema] = {}
        self._numbers: dict[int, Path] = {}
        self._scanned = -1
        self._scan()

    def find(self, schema_id: SchemaId) -> Schema:
        """See SchemaSource."""
        if schema_id not in self._numbers:
            self._rescan()
        path = self._numbers.get(schema_id) if isinstance(schema_id, int) else None
        if path is None:
            raise RecordError(
                "unknown_schema",
                f"no schema {schema_id} in {self._folder}: name its file after its number, such as "
                f"schema-{schema_id}.avsc",
            )
        try:
            return self._read(path)
        except ConfigError as error:
            raise LogError(str(error)) from None

    def listed(self) -> Iterable[Schema]:
        """See SchemaSource."""
        self._rescan()
        try:
            return [self._read(path) for path in self._files()]
        except ConfigError as error:
            raise LogError(str(error)) from None

    def _rescan(self) -> None:
        """Scan the folder while records are read; raise a LogError for a problem, so that the daemon waits."""
        try:
            self._scan()
        except ConfigError as error:
            raise LogError(str(error)) from None

    def _files(self) -> list[Path]:
        try:
            files = sorted(path for path in self._folder.iterdir() if path.suffix in SUFFIXES)
        except OSError as error:
            raise ConfigError(f"schema_registry.folder: {self._folder} cannot be read: {error.strerror}") from error
        if len(files) > MAX_FILES:
            raise ConfigError(f"schema_registry.folder: {self._folder} has more than {MAX_FILES:,} schemas")
        return files

    def _scan(self) -> None:
        """Find the files by number again, if the folder has changed."""
        changed = self._folder.stat().st_mtime_ns if self._folder.is_dir() else -1
        if changed == self._scanned and changed != -1:
            return
        numbers: dict[int, Path] = {}
        for path in self._files():
            match = _NUMBER.fullmatch(path.stem)
            other = numbers.setdefault(int(match[1]), path) if match else path
            if other != path:
                raise ConfigError(
                    f"schema_registry.folder: {other} and {path.name} are both schema {match and match[1]}"
                )
        self._numbers, self._scanned = numbers, changed
        self._schemas.clear()

    def _read(self, path: Path) -> Schema:
        known = self._schemas.get(path)
        if known is None:
            known = self._schemas[path] = read_schema(path, root=self._folder)
        return known


def read_schema(path: Path, *, root: Path | None = None) -> Schema:
    """Return the schema in a file; a `.proto` file with its imports from the folder `root`, by default the file's own.

    Raises:
        ConfigError: the file cannot be read, or is not a schema.
    """
    kind = SUFFIXES.get(path.suffix)
    if kind is None:
        raise ConfigError(f"{path}: a schema's file must end in {', '.join(SUFFIXES)}")
    return _schema_of(path, kind, root or path.parent, {})


def _schema_of(path: Path, kind: SchemaKind, root: Path, used: dict[str, Schema]) -> Schema:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{path}: a schema may have {MAX_FILE_BYTES:,} bytes")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    found = []
    for name in _imports(text) if kind == "PROTOBUF" else ():
        file = root / name
        if name not in used and file.is_file() and file.resolve().is_relative_to(root.resolve()):
            used[name] = Schema(str(file), kind, "")  # in case it imports itself, which the compiler reports
            used[name] = _schema_of(file, kind, root, used)
        if name in used:
            found.append((name, used[name]))
    return Schema(str(path), kind, text, tuple(found))


def _imports(text: str) -> list[str]:
    return re.findall(r"""^\s*import\s+(?:public\s+|weak\s+)?["']([^"']+)["']\s*;""", text, re.MULTILINE)
