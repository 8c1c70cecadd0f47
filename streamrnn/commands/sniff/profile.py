"""Statistics of a sample's observations: series, cadence, seasons, counters, bounds, duplicates."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import accumulate, pairwise
from statistics import median
from typing import NamedTuple, Protocol

from streamrnn.commands.sniff.search.words import COUNTED, words_of
from streamrnn.errors import RecordError
from streamrnn.records import Decoded, Record

_SEASONS = ((3_600, "1h"), (86_400, "24h"), (604_800, "7d"))
_MIN_STEPS, _MAX_STEPS = 4, 5_000
"""Fewest and most observations per season for which a season is proposed."""
_FEW, _MANY = 8, 20
"""Fewest values of a series for which a field can be a counter: if its name suggests one, and otherwise."""
_STEADY = 0.7
"""Least share of a regular series' steps within a tenth of the cadence."""


class Decoder(Protocol):
    """The part of a decoder that a profile needs."""

    def decode(self, records: Sequence[Record]) -> list[Decoded]:
        """Decode records in their order."""


class Refusal(NamedTuple):
    """Number of records refused for one reason."""

    records: int
    example: str
    """Message of the first refusal."""


class FieldProfile(NamedTuple):
    """Statistics of one field over all keys."""

    values: int
    low: float
    high: float
    counter: bool
    """Whether the values only rise, resets aside, in every series."""
    whole: bool
    """Whether all values are whole numbers."""


class Profile(NamedTuple):
    """Statistics of a sample, decoded under one configuration."""

    records: int
    observations: int
    values: int
    keys: list[str]
    series: int
    fields: dict[str, FieldProfile]
    first: int | None
    last: int | None
    cadence: float | None
    """Median seconds between two observations of a series; None if no series has two times."""
    steady: bool
    """Whether the observations are regular: most steps are close to the cadence."""
    duplicates: int
    """Number of values with the series and time of an earlier value."""
    backwards: int
    """Number of values with an earlier time than the value before them in their series."""
    lateness: float
    """Largest number of seconds by which an observation is older than the latest event time before it."""
    refusals: dict[str, Refusal]
    drops: dict[str, int]
    seasons: tuple[str, ...]
    """Names of the seasons that suit the cadence."""
    counters: tuple[str, ...] = ()
    """Names of the series (key/field) that are counters."""
    scattered: tuple[str, ...] = ()
    """Keys with observations in several partitions, each of which forecasts them without those of the others."""


def profile_of(decoder: Decoder, records: Sequence[Record]) -> Profile:
    """Decode a sample as the daemon would, and return its statistics."""
    decoded = decoder.decode(records)
    observations = [each for one in decoded for each in one.observations]
    refusals: dict[str, Refusal] = {}
    drops: Counter[str] = Counter()
    for one in decoded:
        drops.update(one.drops)
        if one.error is not None:
            _count_refusal(refusals, one.error)
    series: dict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
    parts: dict[tuple[int, str, str], list[int]] = defaultdict(list)
    by_partition: dict[int, list[int]] = defaultdict(list)
    for record, one in zip(records, decoded, strict=True):
        by_partition[record.partition] += [each.time for each in one.observations]
        for observation in one.observations:
            for name, value in observation.fields:
                series[observation.key, name].append((observation.time, value))
                parts[record.partition, observation.key, name].append(observation.time)
    times = [each.time for each in observations]
    places = Counter(key for _, key in dict.fromkeys((partition, key) for partition, key, _ in parts))
    steps = [step for each in parts.values() for step in _steps(each)]
    cadence = median(steps) / 1000 if steps else None
    return Profile(
        records=len(records),
        observations=len(observations),
        values=sum(map(len, series.values())),
        keys=list(dict.fromkeys(each.key for each in observations)),
        series=len(series),
        fields=_profile_fields(series),
        first=min(times, default=None),
        last=max(times, default=None),
        cadence=cadence,
        steady=_share_near(steps, cadence) >= _STEADY,
        duplicates=sum(len(each) - len(set(each)) for each in parts.values()),
        backwards=sum(b < a for each in parts.values() for a, b in pairwise(each)),
        lateness=max(map(_lateness, by_partition.values()), default=0) / 1000,
        refusals=refusals,
        drops=dict(drops),
        seasons=tuple(name for seconds, name in _SEASONS if _fits(seconds, cadence)),
        counters=tuple(f"{key}/{name}" for (key, name), values in series.items() if _only_rises(key, name, values)),
        scattered=tuple(key for key, partitions in places.items() if partitions > 1),
    )


def _lateness(times: Sequence[int]) -> int:
    """Return the most milliseconds by which a time is before the latest one so far."""
    return max((latest - time for time, latest in zip(times, accumulate(times, max), strict=True)), default=0)


def _count_refusal(refusals: dict[str, Refusal], error: RecordError) -> None:
    known = refusals.get(error.reason)
    refusals[error.reason] = Refusal(1, str(error)) if known is None else known._replace(records=known.records + 1)


def _steps(times: Sequence[int]) -> list[int]:
    """Return the milliseconds between the distinct times of a series."""
    return [b - a for a, b in pairwise(sorted(set(times)))]


def _share_near(steps: Sequence[int], cadence: float | None) -> float:
    if not steps or not cadence:
        return 0.0
    return sum(abs(step - cadence * 1000) <= 100 * cadence for step in steps) / len(steps)


def _fits(season: int, cadence: float | None) -> bool:
    return cadence is not None and cadence > 0 and _MIN_STEPS <= season / cadence <= _MAX_STEPS


def _profile_fields(series: dict[tuple[str, str], list[tuple[int, float]]]) -> dict[str, FieldProfile]:
    by_field: dict[str, list[list[float]]] = defaultdict(list)
    for (_, name), values in series.items():
        by_field[name].append([value for _, value in sorted(values, key=lambda each: each[0])])
    found = {}
    for name, lists in by_field.items():
        known = [value for values in lists for value in values]
        least = _FEW if COUNTED.intersection(words_of(name)) else _MANY
        long = [values for values in lists if len(values) >= least]
        rising = bool(long) and all(_is_counter(values) for values in long)
        whole = all(value.is_integer() for value in known)
        found[name] = FieldProfile(len(known), min(known), max(known), rising, whole)
    return found


def _only_rises(key: str, name: str, values: Sequence[tuple[int, float]]) -> bool:
    """Return whether a series is a counter, judged by its values in order of time."""
    least = _FEW if COUNTED.intersection(words_of(f"{key}.{name}")) else _MANY
    return len(values) >= least and _is_counter([value for _, value in sorted(values, key=lambda each: each[0])])


def _is_counter(values: Sequence[float]) -> bool:
    """Return whether values never fall except for resets to about zero, and rise in at least half of the steps."""
    steps = list(pairwise(values))
    resets = sum(b < a and 0 <= b < 0.1 * a for a, b in steps)
    falls = sum(b < a for a, b in steps)
    rises = sum(b > a for a, b in steps)
    return falls == resets <= len(steps) // 8 and rises >= len(steps) / 2 and min(values) >= 0


def duration(seconds: float) -> str:
    """Return a duration with its unit, such as `10 s`."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1000:.3g} ms"


def count_of(count: int, noun: str) -> str:
    """Return a number with its noun, such as `1 key` and `1,000 records`."""
    plural = noun if noun == "series" else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"


def scattered_warning(profile: Profile) -> str:
    """Return a sentence about keys in several partitions; empty if there are none."""
    if not profile.scattered:
        return ""
    count, are = len(profile.scattered), "is" if len(profile.scattered) == 1 else "are"
    return (
        f"{count:,} of {count_of(len(profile.keys), 'key')}, such as {profile.scattered[0]}, {are} in several "
        "partitions, and each partition forecasts only its own part of a series: producers should set the records' "
        "Kafka key to it"
    )


def quoted_names(names: Sequence[str]) -> str:
    """Return the first five names in quotes, and how many more there are."""
    return ", ".join(f"`{name}`" for name in names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
