"""Names of series from a name and its tags: one spelling for each set of tags, in whatever order they come."""

import re
from collections.abc import Iterable, Mapping
from hashlib import blake2b

from streamrnn.formats import NAME_BYTES

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DIGEST_BYTES = 8
_ODD = re.compile(r"[{\\\n]")
"""Characters that may have to be escaped or quoted, besides quotation marks and equals signs."""


def series_name(text: str) -> str:
    r"""Return a text as a key: control characters are written as `\x0a`, and a long text is cut and ends with a hash.

    The hash distinguishes series whose names begin with the same 256 bytes.
    """
    if text.isprintable() and len(text) <= (NAME_BYTES if text.isascii() else NAME_BYTES // 4):  # the common case
        return text
    text = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
    data = text.encode()
    if len(data) <= NAME_BYTES:
        return text
    digest = blake2b(data, digest_size=_DIGEST_BYTES).hexdigest()
    return f"{data[: NAME_BYTES - 2 * _DIGEST_BYTES - 1].decode(errors='ignore')}#{digest}"


def tagged(measurement: str, tags: Mapping[str, str]) -> str:
    r"""Return a series in the spelling of InfluxDB, such as `cpu,cpu=cpu0,host=h1`.

    Commas, spaces and, in tags, equals signs are escaped by a backslash, as in the line protocol.
    """
    plain = ",".join([measurement, *[f"{name}={value}" for name, value in sorted(tags.items())]])
    if plain.count(",") == plain.count("=") == len(tags) and " " not in plain:
        return series_name(plain)
    head = measurement.replace(",", "\\,").replace(" ", "\\ ")
    return series_name(",".join([head, *(f"{_escape(name)}={_escape(tags[name])}" for name in sorted(tags))]))


def labelled(name: str, labels: Iterable[tuple[str, str]]) -> str:
    r"""Return a series in the spelling of Prometheus, such as `up{instance="a:9090",job="b"}`.

    Backslashes and quotation marks inside of a value are escaped by a backslash, and line ends are `\n`. Names that
    could be mistaken for more than a name are in quotation marks, too.
    """
    return with_pairs(name, pairs_of(labels))


def pairs_of(labels: Iterable[tuple[str, str]]) -> str:
    """Return the part of a series' name between its braces; see `labelled`."""
    labels = list(labels)
    pairs = ",".join([f'{label}="{value}"' for label, value in labels])
    if pairs.count('"') != 2 * len(labels) or pairs.count("=") != len(labels) or _ODD.search(pairs):
        pairs = ",".join([f'{_name(label)}="{_quote(value)}"' for label, value in labels])
    return pairs


def with_pairs(name: str, pairs: str) -> str:
    """Return the name of a series whose labels are written already; see `labelled`."""
    name = _name(name) if "{" in name else name
    return series_name(f"{name}{{{pairs}}}" if pairs else name)


def _name(text: str) -> str:
    return f'"{_quote(text)}"' if '"' in text or "=" in text or "{" in text else text


def _escape(text: str) -> str:
    if "," in text or "=" in text or " " in text:
        return text.replace(",", "\\,").replace("=", "\\=").replace(" ", "\\ ")
    return text


def _quote(text: str) -> str:
    if "\\" in text or '"' in text or "\n" in text:
        return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return text


def has_number(fields: Mapping[str, object]) -> bool:
    """Return whether any field is a number, a boolean, or text that is a number."""
    for value in fields.values():  # noqa: SIM110 -- half of the time of `any` with a generator
        if type(value) is not str or _is_number(value):
            return True
    return False


def _is_number(text: str) -> bool:
    try:
        float(text[:64])
    except ValueError:
        return False
    return True
