"""Usual meanings of member names: times, keys, identifiers, payloads. The names themselves are in words.toml."""

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_PARTS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_a-zA-Z]+")
_LISTED: dict[str, Any] = tomllib.loads(Path(__file__).with_name("words.toml").read_text("utf-8"))


def _scores(table: str) -> dict[str, int]:
    return {name: each["score"] for each in _LISTED[table] for name in each["names"]}


TIMES, KEYS = _scores("time"), _scores("key")
"""Score from 0 to 100 of a name, in lower case without separators, as the event time, and as the key."""
TIME_WORDS = frozenset[str](_LISTED["time_words"])
_NO_EVENT = frozenset[str](_LISTED["no_event_words"])
_PREDICTED = frozenset[str](_LISTED["predicted_words"])
_DURATIONS = frozenset[str](_LISTED["duration_words"])
_IDS = frozenset[str](_LISTED["id_words"])
_CODES = frozenset[str](_LISTED["code_words"])
_NO_IDS, _NO_ID_ENDINGS = frozenset[str](_LISTED["words_in_id"]), tuple[str, ...](_LISTED["endings_in_id"])
_ID_NAMES = frozenset[str](_LISTED["id_names"])
PROTOCOL_CODES = [
    (each["of"], frozenset(each.get("beside", [])) | mark, frozenset(each["names"]))
    for each in _LISTED["codes"]
    for mark in [frozenset({one}) for one in each.get("any", [])] or [frozenset[str]()]
]
"""Name of a protocol or product, members that all its messages have, and members that are codes there."""
_NUMBERED = frozenset[str](_LISTED["numbered_names"])
_DOUBTED = frozenset[str](_LISTED["doubted_words"])
_MESSAGE_IDS = frozenset[str](_LISTED["message_ids"])
RATES, MEASURED = frozenset[str](_LISTED["rate_words"]), frozenset[str](_LISTED["measured_words"])
ALSO_MEASURED = frozenset[str](_LISTED["also_measured"])
COUNTED = frozenset[str](_LISTED["counted_words"])
STATES = frozenset[str](_LISTED["state_words"])
SPLITTING = frozenset[str](_LISTED["splitting_names"])
_ENVELOPES = frozenset[str](_LISTED["envelopes"])
PAYLOADS_SURE = frozenset[str](_LISTED["sure_payloads"])
PAYLOADS = PAYLOADS_SURE.union(_LISTED["payloads"])
LISTS = PAYLOADS.union(_LISTED["lists"])
TAGS: list[str] = _LISTED["tags"]
VALUES = frozenset[str](_LISTED["value_names"])
SURE_NAMES: list[str] = _LISTED["sure_label_names"]
NAMES: list[str] = SURE_NAMES + _LISTED["label_names"]
FINAL_FLAGS = frozenset[str](_LISTED["final_flags"])


def words_of(name: str) -> list[str]:
    """Return the words of a name in lower case, from camelCase, snake_case and the like."""
    return [part.lower() for part in _PARTS.findall(name)]


def joined(name: str) -> str:
    """Return a name in lower case without separators."""
    return "".join(words_of(name))


def last_step(path: str) -> str:
    """Return the last name of a path."""
    text = path.removeprefix("header:").rstrip("\"]'")
    for mark in ('"', "'"):
        if mark in text and path != text:
            return text.rpartition(mark)[2]
    return text.rpartition(".")[2]


_OBIS_TIME = re.compile(r"(?:\d-\d:)?0?1\.0\.0(?:\*255)?|0-0:1\.0\.0(?:\.255)?")
_OBIS_ID = re.compile(r"(?:\d-\d:)?(?:96\.1\.\d{1,3}|96\.14\.0|0\.0\.0|42\.0\.0)(?:[.*]255)?")
"""OBIS codes of a smart meter's clock, and of its identification and tariff."""
_EXCHANGE_TIMES = {"E": 45, "T": 90}
"""Scores of the times in messages of exchanges: when the message was sent, and when the trade happened."""
_LATER = frozenset(("created", "creation", "end", "finish", "inserted", "loaded", "processed", "stop", "updated"))
"""Words of names of times after that of the event."""


def time_score(path: str) -> int:
    """Return a score from 0 to 100 of a path as the event time, by its name."""
    name = last_step(path)
    if name in _EXCHANGE_TIMES:
        return _EXCHANGE_TIMES[name]
    if _OBIS_TIME.fullmatch(name):
        return 100
    words = set(words_of(name))
    if words & _NO_EVENT:
        return 0
    score = TIMES.get(joined(name), 0)
    if not score and words & TIME_WORDS:
        score = 45 if words & _LATER else 60
    if "first" in words or not _PREDICTED.isdisjoint([*words, *path.lower().split(".")[:-1]]):
        score = min(score, 45)
    return (
        min(score, 20) if is_described(path) and joined(name) not in ("enqueuedtime", "iothubenqueuedtime") else score
    )


def key_score(path: str) -> int:
    """Return a score from 0 to 100 of a path as the key, by its name."""
    name = last_step(path)
    score = 100 if _OBIS_ID.fullmatch(name) else KEYS.get(joined(name), 0)
    parents = path.split(".")[:-1]
    of_unit = name.lower() == "symbol" and any("unit" in words_of(part) for part in parents)
    if of_unit or any(part in ("event", "metricset", "service", "ecs", "beat", "library", "sdk") for part in parents):
        return min(score, 20)  # of Elastic's common schema: what has measured, not where; of a client
    if score == KEYS["id"] and name.lower() in ("id", "name") and parents and key_score(parents[-1]) == 100:
        return 100  # device.id
    if _is_visitor(name, parents):
        return 20
    if name.lower() == "reference" and parents:
        return key_score(parents[-1])  # subject.reference, of FHIR
    words = words_of(name)
    if "".join(words).endswith("ssid") or "".join(words) in _MESSAGE_IDS:  # of a wireless network; of a message
        return 0
    if not score and len(words) > 1:
        if words[-1] in ("id", "name", "code", "key"):
            least = SOME_ID * (words[-1] == "id" or (words[-1] != "key" and KEYS.get(words[0], 0) >= KEYS["zone"]))
            return 95 if key_score(words[0]) == 100 else least
        if words[-1] in ("instance", "nbr", "no", "nr", "number") and KEYS.get(words[0], 0) >= KEYS["store"]:
            return 90  # store_nbr
        if words[-1] in ("host", "device", "sensor", "meter", "station", "node", "mac", "serial", "eui", *_TRADED):
            return 90
    return score


def _is_visitor(name: str, parents: Sequence[str]) -> bool:
    """Return whether a name is that of the address of somebody who sends requests, not of what is measured."""
    words = [word for part in (*parents[-1:], name) for word in words_of(part)]
    return not _VISITORS.isdisjoint(words[:-1]) and words[-1] in ("addr", "address", "host", "hostname", "ip")


_VISITORS = frozenset(("client", "context", "remote", "user", "visitor"))
_TRADED = ("symbol", "ticker", "pair")
SOME_ID = 62
"""Score of the id of something unknown."""


def is_duration(path: str) -> bool:
    """Return whether a name is that of a duration, whose text has a unit but is not a measured value."""
    last, parent = last_step(path), path.rpartition(".")[0]
    if last.lower() in ("amount", "v", "val", "value") and parent:
        last = last_step(parent)  # averagingPeriod.value
    return last == "i" or bool(_DURATIONS.intersection(words_of(last)))


def is_fraction(path: str) -> bool:
    """Return whether a name is that of the milliseconds of a time that is in another member."""
    return last_step(path).lower() in _FRACTIONS


_FRACTIONS = frozenset(("millis", "millisecond", "milliseconds", "ms", "msec"))


def is_identifier(name: str) -> bool:
    """Return whether a name is that of numbers without measured values: ids, sequence numbers, coordinates."""
    last = last_step(name).strip("<>")  # of tables with <PER>
    if last.rpartition(".")[2].lower() in _ID_NAMES or _OBIS_ID.fullmatch(last):
        return True
    if last == "$oid" or "_id" in name.split("."):  # of documents of MongoDB
        return True
    words = words_of(last)
    if len(words) == 2 and words[1] in ("index", "nbr", "no", "nr", "num", "number") and KEYS.get(words[0]) == 100:
        return True  # sensor_index
    if words[-1:] in (["cd"], ["code"], ["port"], ["ref"]) and not _is_counted_by(words):
        return True  # elb_status_code, remote_port
    if last.lower().endswith("id") and joined(last) in KEYS:
        return True  # deviceid
    return bool(_IDS.intersection(words)) or last.lower().startswith(("fcnt", "fport"))


def _is_counted_by(words: Sequence[str]) -> bool:
    """Return whether the last word is what is counted by, such as that of errors_by_code."""
    return words[-2:-1] in (["by"], ["per"])


def numbers_parts(path: str) -> bool:
    """Return whether a name is that of numbers of a device's parts, which may belong to its key."""
    return not _PARTS_OF_DEVICES.isdisjoint(words_of(last_step(path))[-1:])


_PARTS_OF_DEVICES = frozenset(("channel", "index", "instance", "port", "register"))


def is_message_id(name: str) -> bool:
    """Return whether a name is that of the id of a message or an event."""
    return joined(last_step(name)) in _MESSAGE_IDS


def is_numbered(name: str) -> bool:
    """Return whether a name is that of whole numbers that measure nothing: of stores and routes, codes and ids."""
    last = last_step(name)
    words = words_of(last)
    if (
        joined(last) in _NUMBERED
        or words[:1] in (["cod"], ["code"], ["codice"], ["codigo"])
        or (len(words) > 1 and words[-1] in ("as", "nbr", "no", "nr"))
        or (len(words) > 1 and words[0] == "qn" and all(map(str.isdigit, words[1:])))
    ):
        return True  # src_as, toolNo; QN_9, of the German weather service
    ending = words[-1] if words and not _is_counted_by(words) else ""
    is_id = ending.endswith("id") and ending not in _NO_IDS and not ending.endswith(_NO_ID_ENDINGS)
    return is_id or ending in _CODES or (ending.endswith(("code", "idx")) and len(ending) > 3)  # datid, ip_tos, idcode


def perhaps_numbers(path: str) -> bool:
    """Return whether a name is as often that of a quantity as of whole numbers that only number things."""
    return not _DOUBTED.isdisjoint(words_of(last_step(path))[-1:])


def is_quantity(path: str) -> bool:
    """Return whether a name is that of a measured quantity or, in the plural, of counted things."""
    name = last_step(path)
    words = words_of(name)
    last = words[-1] if words else ""
    plural = len(last) > 3 and last.endswith("s") and not last.endswith(("ss", "us", "is"))
    return plural or not ((MEASURED | COUNTED | RATES) - _UNCLEAR).isdisjoint(words)


_UNCLEAR = frozenset("qv")
"""Letters that stand for an amount, and as often for something else."""


def is_day_number(path: str, numbers: Sequence[float]) -> bool:
    """Return whether numbers are days since 1900, as in spreadsheets, or since 1970, judged by name and range."""
    dated = "date" in words_of(last_step(path)) or last_step(path).lower() in ("day", "days")
    if time_score(path) == _SURELY and any(each % 1 for each in numbers):
        return all(_DAY_2000 <= each < _DAY_2100 for each in numbers)
    return dated and bool(numbers) and all(14_000 < each < 73_000 for each in numbers)


_SURELY = 100
_DAY_2000, _DAY_2100 = 36_526, 73_051
"""Days of spreadsheets."""


def is_described(path: str) -> bool:
    """Return whether a path leads into an object that describes the message."""
    return any(map(wraps_messages, path.split(".")[:-1]))


def wraps_messages(name: str) -> bool:
    """Return whether a name is that of an object that describes the message; its numbers are not fields."""
    return name.lower() in _ENVELOPES
