"""Planned values: fields whose values are known in advance, such as a price or a weather forecast.

A value of such a field is planned for the event time of its record, which may be later than the stream time, and
applies until the time of the next one. A later record with the same time corrects it. Each observation of the key gets
covariates: the values that apply at the target times of its forecasts. Plans and observations are records of one
partition, so that an observation uses exactly the plans before it in the log.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson

from streamrnn.errors import RecordError, join_errors
from streamrnn.records import Decoded, Observation
from streamrnn.timing.rules import lead_indexes

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_PLANNED = 1000
"""Largest number of values of one key and field: as many as the largest horizon, in steps."""
PLANNED = "planned"
"""Reason of the drop of an observation that has only planned values."""
ENDED = "plan_ended"
"""Reason of the drop of planned values that no observation has used."""
PLAN_END = 86_400_000
"""Milliseconds of event time after its last value, and after its last record, at which a plan without series ends."""
PREFIX = "planned_"
"""Prefix of the names of the saved arrays."""
_NAMES, _TIMES, _VALUES, _CLOCK, _ADDED = (f"{PREFIX}{each}" for each in ("names", "times", "values", "clock", "added"))
_NEVER, _ALWAYS = np.iinfo(np.int64).min, np.iinfo(np.int64).max


class FieldPlan(NamedTuple):
    """The values of one key and field, in order of their planned times."""

    times: list[int]
    """Milliseconds since the epoch."""
    values: list[float]

    def value_at(self, time: float) -> float | None:
        """Return the value that applies at a time; None before the first one."""
        index = bisect_right(self.times, time) - 1
        return None if index < 0 else self.values[index]

    def forget(self, time: int) -> int:
        """Remove the values that no longer apply at a time, and return their number."""
        count = max(bisect_right(self.times, time) - 1, 0)
        del self.times[:count], self.values[:count]
        return count


class PlannedValues:
    """The planned values of one partition.

    Args:
        fields: Names of the planned fields, as in the names of series.
        horizons: Horizons of the forecasts, in steps.
        max_held: Largest number of values.
    """

    def __init__(self, fields: Sequence[str], horizons: Sequence[int], *, max_held: int) -> None:
        self.held = 0
        """Number of stored values."""
        self._fields, self._horizons, self._max_held = frozenset(fields), horizons, max_held
        leads = lead_indexes(len(fields), len(horizons))
        self._leads = {field: [(index, f"{field}+{horizons[index]}") for index in leads] for field in fields}
        self._plans: dict[str, dict[str, FieldPlan]] = {}
        """Plans by key and field."""
        self._time = int(_NEVER)
        """Latest event time of an observation, ms."""
        self._added: dict[str, int] = {}
        """This time when the latest value of a key was added: a key's history may follow the present of others."""
        self._first_end = int(_ALWAYS)
        """Time before which the plan of no key without series ends, ms."""

    def pass_time(self, time: int) -> None:
        """Count the time of an observation, ms."""
        self._time = max(self._time, time)

    @property
    def is_due(self) -> bool:
        """Whether the plan of a key may have ended."""
        return self._time >= self._first_end

    def end(self, keys: Collection[str]) -> int:
        """Remove the plans that have ended, but for those of `keys`, which have series; return the number of values."""
        before, ends = self.held, dict[str, int]()
        for key, fields in self._plans.items():
            if key not in keys:
                ends[key] = max(self._added[key], *(plan.times[-1] for plan in fields.values())) + PLAN_END
        self.forget([key for key, end in ends.items() if end <= self._time])
        self._first_end = min((end for end in ends.values() if end > self._time), default=int(_ALWAYS))
        return before - self.held

    def take(self, decoded: Decoded) -> tuple[Decoded, Sequence[Observation]]:
        """Return a decoded record without its planned values, and observations of only these."""
        left, planned, drops = list[Observation](), list[Observation](), dict(decoded.drops)
        for observation in decoded.observations:
            values = tuple(each for each in observation.fields if each[0] in self._fields)
            rest = observation.fields
            if values:
                planned.append(observation._replace(fields=values))
                rest = tuple(each for each in rest if each[0] not in self._fields)
            if rest:
                left.append(observation._replace(fields=rest))
            else:
                drops[PLANNED] = drops.get(PLANNED, 0) + 1
        return (Decoded(left, decoded.error, drops), planned) if planned else (decoded, ())

    def add(self, planned: Iterable[Observation]) -> tuple[list[Observation], RecordError | None]:
        """Add the planned values of a record; return the observations that do not fit at all, and the error or None."""
        errors, refused = list[RecordError](), list[Observation]()
        for observation in planned:
            wrong = self._add(observation)
            errors += wrong
            if len(wrong) == len(observation.fields):
                refused.append(observation)
        return refused, join_errors(errors) if errors else None

    def _add(self, observation: Observation) -> list[RecordError]:
        """Add planned values of one time; return an error for each that does not fit."""
        errors = []
        key, time, fields, _ = observation
        for field, value in fields:
            plan = self._plans.get(key, {}).get(field) or FieldPlan([], [])
            index = bisect_left(plan.times, time)
            if index < len(plan.times) and plan.times[index] == time:
                plan.values[index] = value
            elif len(plan.times) >= MAX_PLANNED:
                errors.append(_full(f"{key}/{field} has {MAX_PLANNED:,} planned values", "earlier ones"))
            elif self.held >= self._max_held:
                errors.append(_full(f"{self.held:,} planned values are held (input.max_held)", "those of each key"))
            else:
                plan.times.insert(index, time)
                plan.values.insert(index, value)
                self.held += 1
                self._plans.setdefault(key, {})[field] = plan
        if len(errors) < len(fields):
            self._added[key] = self._time
            self._first_end = min(self._first_end, max(time, self._time) + PLAN_END)
        return errors

    def has(self, key: str) -> bool:
        """Return whether values of a key are stored."""
        return key in self._plans

    def join(self, observation: Observation, ahead: Sequence[int]) -> Observation:
        """Return an observation with covariates: the planned values at the target times of its forecasts.

        `ahead` has the milliseconds from the observation to these times, by horizon. Values that no longer apply at
        the observation's time are removed. A plan applies up to a quarter of a step before its time.
        """
        early = ahead[-1] / self._horizons[-1] / 4
        plans, covariates = self._plans.get(observation.key, {}), list[tuple[str, float]]()
        for field in [field for field in self._leads if field in plans]:
            plan = plans[field]
            self.held -= plan.forget(observation.time)
            for index, name in self._leads[field]:
                value = plan.value_at(observation.time + ahead[index] + early)
                if value is not None:
                    covariates.append((name, value))
        return observation._replace(fields=(*covariates, *observation.fields))

    def forget(self, keys: Collection[str]) -> None:
        """Remove the values of keys whose series are removed."""
        for key in keys:
            self.held -= sum(len(plan.times) for plan in self._plans.pop(key, {}).values())
            self._added.pop(key, None)

    def save(self) -> "dict[str, NDArray[Any]]":
        """Return the state as arrays; none if there are no values."""
        plans = [(key, field, plan) for key, fields in self._plans.items() for field, plan in fields.items()]
        clock = {} if self._time == _NEVER else {_CLOCK: np.array([self._time], np.int64)}
        if not plans:
            return clock
        names = [[key, field, len(plan.times)] for key, field, plan in plans]
        return {
            _NAMES: np.frombuffer(orjson.dumps(names), np.uint8),
            _TIMES: np.array([time for *_, plan in plans for time in plan.times], np.int64),
            _VALUES: np.array([value for *_, plan in plans for value in plan.values], np.float64),
            _ADDED: np.array([self._added[key] for key, *_ in plans], np.int64),
            **clock,
        }

    def restore(self, arrays: "Mapping[str, NDArray[Any]]") -> None:
        """Continue from a saved state; values of fields that are no longer planned are dropped.

        Raises:
            ValueError: the arrays are not a saved state.
        """
        self._plans, self._added, self.held, first = {}, {}, 0, 0
        clock = arrays.get(_CLOCK, np.array([_NEVER]))
        if clock.dtype != np.int64 or clock.shape != (1,):
            raise ValueError(f"its array {_CLOCK!r} is not one time")
        self._time, self._first_end = int(clock[0]), int(_NEVER)  # the next record with plans looks for ended ones
        if _NAMES not in arrays:
            return
        times, values = arrays[_TIMES], arrays[_VALUES]
        columns = times.dtype == np.int64 and values.dtype == np.float64 and times.shape == values.shape
        if not columns or times.ndim != 1:
            raise ValueError(f"its arrays {PREFIX}… are no columns of times and values")
        if not np.isfinite(values).all():
            raise ValueError(f"its array {_VALUES!r} has values that are not finite")
        names = orjson.loads(arrays[_NAMES].tobytes())
        added = arrays.get(_ADDED, np.full(len(names), _NEVER))  # earlier versions saved none
        if added.dtype != np.int64 or added.shape != (len(names),):
            raise ValueError(f"its array {_ADDED!r} does not fit the names")
        for (key, field, count), since in zip(names, added.tolist(), strict=True):
            part = slice(first, first + count)
            plan = FieldPlan(times[part].tolist(), values[part].tolist())
            first += count
            if type(key) is not str or count < 0 or len(plan.times) != count or sorted({*plan.times}) != plan.times:
                raise ValueError(f"its array {_NAMES!r} does not fit the times")
            if field in self._fields:
                self._plans.setdefault(key, {})[field] = plan
                self._added[key] = since
                self.held += count
        if first != len(times):
            raise ValueError(f"its array {_NAMES!r} does not fit the times")


def _full(what: str, which: str) -> RecordError:
    return RecordError(
        "plan_full", f"{what}, and no more are held: {which} are forgotten as observations of the key pass their times"
    )
