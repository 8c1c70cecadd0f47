"""Message types from `.proto` files, which are compiled, and from descriptor sets."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

from streamrnn.errors import ConfigError, RecordError
from streamrnn.formats.schemas import Schema

MAIN = "streamrnn_main.proto"
DESCRIPTOR_SETS = (".desc", ".pb", ".binpb", ".protoset")
COMPILE_SECONDS = 30.0
_WARNING = re.compile(r"WARNING: |[IW]\d{4} ")

# Files that Confluent's registry adds to every schema: the same declarations, not copies.
BUILT_IN = {
    "confluent/meta.proto": """
        syntax = "proto3";
        package confluent;
        import "google/protobuf/descriptor.proto";
        message Meta { string doc = 1; map<string, string> params = 2; repeated string tags = 3; }
        extend google.protobuf.FileOptions { Meta file_meta = 1088; }
        extend google.protobuf.MessageOptions { Meta message_meta = 1088; }
        extend google.protobuf.FieldOptions { Meta field_meta = 1088; }
        extend google.protobuf.EnumOptions { Meta enum_meta = 1088; }
        extend google.protobuf.EnumValueOptions { Meta enum_value_meta = 1088; }
    """,
    "confluent/type/decimal.proto": """
        syntax = "proto3";
        package confluent.type;
        message Decimal { bytes value = 1; uint32 precision = 2; int32 scale = 3; }
    """,
}


class ProtoFile:
    """The messages of a `.proto` file."""

    def __init__(self, files: Any, name: str, source: str) -> None:
        from google.protobuf import descriptor_pool  # noqa: PLC0415 -- optional

        self._pool = descriptor_pool.DescriptorPool()
        try:
            for file in files:
                self._pool.AddSerializedFile(file.SerializeToString())
        except (TypeError, ValueError) as error:
            raise RecordError("unknown_schema", f"{source} cannot be used: {error}") from None
        self._file = next(file for file in files if file.name == name)
        self._files, self._source = files, source

    def at(self, indexes: tuple[int, ...]) -> Any:
        """Return the descriptor of the message at `indexes`: its index in the file, then in each message around it.

        Raises:
            RecordError: invalid_protobuf.
        """
        messages, names = self._file.message_type, [self._file.package] if self._file.package else []
        for index in indexes:
            if index >= len(messages):
                raise RecordError(
                    "invalid_protobuf", f"{self._source} has no message with the indexes {list(indexes)[:8]}"
                )
            names.append(messages[index].name)
            messages = messages[index].nested_type
        return self._pool.FindMessageTypeByName(".".join(names))

    def named(self, message: str | None) -> Any:
        """Return the descriptor of a message by its full name; of the file's only message for None.

        Raises:
            ConfigError: there is none, or there are several.
        """
        prefix = f"{self._file.package}." if self._file.package else ""
        names = [prefix + each.name for each in self._file.message_type]
        if message is None and len(names) == 1:
            message = names[0]
        try:
            return self._pool.FindMessageTypeByName(message or "")
        except KeyError:
            raise ConfigError(
                f"input.message: {message!r} must be the full name of a message of {self._source}, such as "
                f"{', '.join(names[:5]) or 'package.Message'}"
            ) from None


def compile_schema(schema: Schema) -> ProtoFile:
    """Return the messages that the text of a `.proto` file and its imports define.

    Raises:
        RecordError: unknown_schema, with the compiler's message.
    """
    from google.protobuf import descriptor_pb2  # noqa: PLC0415 -- optional

    if schema.kind != "PROTOBUF":
        form = {"AVRO": "avro", "JSON": "json_schema"}[schema.kind]
        raise RecordError("unknown_schema", f"{schema.name} is none of Protobuf; set input.format: {form}")
    with tempfile.TemporaryDirectory(prefix="streamrnn-") as name:
        folder = Path(name)
        for path, text in (BUILT_IN | _imported(schema) | {MAIN: schema.text}).items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        result = folder / "descriptors"
        # in a process of its own: the compiler can neither crash nor stall this one, and its messages are readable
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}", f"--descriptor_set_out={result}"]
        try:
            done = subprocess.run(  # noqa: S603 -- no shell, and the arguments are ours
                [*command, "--include_imports", MAIN],
                capture_output=True, text=True, errors="replace", timeout=COMPILE_SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise RecordError("unknown_schema", f"{schema.name}: its compiler took {COMPILE_SECONDS:g} s") from None
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if not _WARNING.match(line)]
            text = "; ".join(lines).replace(f"{folder}/", "").replace(MAIN, "line")
            raise RecordError("unknown_schema", f"{schema.name} cannot be compiled: {text[:500]}")
        files = descriptor_pb2.FileDescriptorSet.FromString(result.read_bytes()).file
    return ProtoFile(files, MAIN, schema.name)


def read_descriptors(path: Path) -> ProtoFile:
    """Return the types of a descriptor set, as `protoc --include_imports --descriptor_set_out=FILE` writes it.

    Raises:
        ConfigError: it cannot be read.
    """
    from google.protobuf import descriptor_pb2, message  # noqa: PLC0415 -- optional

    try:
        files = descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes()).file
        return ProtoFile(files, files[-1].name, str(path))  # imported files come before those that import them
    except (OSError, message.DecodeError, LookupError, RecordError) as error:
        raise ConfigError(f"input.schema: {path} is no descriptor set: {error}") from None


def _imported(schema: Schema) -> dict[str, str]:
    """Return the texts of the files that a schema uses, by path.

    Raises:
        RecordError: unknown_schema, for a path that leads out of the folder of the files.
    """
    found: dict[str, str] = {}
    for name, reference in schema.references:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.name or "\0" in name or "\\" in name:
            raise RecordError("unknown_schema", f"{schema.name} imports {name[:100]!r}, which is no relative path")
        found |= _imported(reference) | {name: reference.text}
    return found
