"""Messages whose keys look like quantities and whose quantities look like codes, and the right observations."""

from support.siblings import Sibling, T, each
from support.siblings_of_codes import wave

IN_DISORDER = (3, 1, 2, 2, 1, 3, 1, 1, 2, 3)
"""Numbers of three things as they report, in no steady order."""


def out_of(first: int, second: int, third: int, n: int) -> int:
    """Return one of three numbers, in no steady order."""
    return (first, second, third)[IN_DISORDER[n % len(IN_DISORDER)] - 1]


SIBLINGS_OF_QUANTITIES: dict[str, Sibling] = {
    "pumps of a site in disorder": Sibling(
        each(
            lambda n: {"ts": T + n * 1000, "site": "north", "pump": out_of(1, 2, 3, n), "pressure": 3.5 + wave(n)}, 40
        ),
        [("3", T, "pressure", 23.5), ("1", T + 1000, "pressure", 30.5)],
        absent=("pump",),
        doubt="`pump` is taken for the number of a thing",
    ),
    "pumps of a topic in disorder": Sibling(
        each(lambda n: {"ts": T + n * 1000, "pump": out_of(3, 5, 8, n), "pressure": 3.5 + wave(n)}, 40),
        [("8", T, "pressure", 23.5), ("3", T + 1000, "pressure", 30.5)],
        absent=("pump",),
        key=None,
    ),
    "two wells in turn": Sibling(
        each(lambda n: {"well": (12, 15)[n % 2], "ts": T + n * 1000, "flow": 1.5 + wave(n)}),
        [("12", T, "flow", 21.5), ("15", T + 1000, "flow", 28.5)],
        absent=("well",),
        key=None,
    ),
    "pumps in turn, with a record missing": Sibling(
        each(
            lambda n: {
                "ts": T + n * 1000, "site": "north", "pump": (n + (n > 7)) % 3 + 1, "pressure": 3.5 + wave(n)
            },
            30,
        ),
        [("1", T, "pressure", 23.5), ("2", T + 1000, "pressure", 30.5)],
        absent=("pump",),
    ),  # fmt: skip
    "buses with speed and fuel": Sibling(
        each(
            lambda n: {"ts": T + n * 1000, "bus": out_of(104, 117, 231, n), "speed": 30 + wave(n), "fuel": 60.5 - n / 9}
        ),
        [("231", T, "speed", 50.0), ("104", T + 1000, "speed", 57.0)],
        absent=("bus",),
    ),
    "one motor": Sibling(
        each(lambda n: {"ts": T + n * 1000, "motor": 7, "rpm": 1480 + wave(n)}),
        [("7", T, "rpm", 1500.0)],
        absent=("motor",),
    ),
    "wells with many numbers": Sibling(
        each(lambda n: {"ts": T + n * 1000, "well": 100 + n * 7 % 12, "flow": 1.5 + wave(n)}, 60),
        [("own", T, "flow", 21.5)],
        doubt="`well` may be the key",
    ),
    "loads of a machine that seldom change": Sibling(
        each(lambda n: {"ts": T + n * 1000, "cpu": out_of(3, 5, 8, n), "mem": 40, "disk": 70 + n % 2}, 40),
        [("own", T, "cpu", 8.0), ("own", T, "mem", 40.0), ("own", T, "disk", 70.0)],
    ),
    "the stages of a fan": Sibling(
        each(lambda n: {"ts": T + n * 1000, "device": "d", "fan": out_of(0, 1, 2, n), "temp": 20.5 + wave(n)}, 40),
        [("d", T, "fan", 2.0), ("d", T, "temp", 40.5)],
    ),
    "people in rooms": Sibling(
        each(lambda n: {"ts": T + n * 1000, "room": "abc"[n % 3], "people": (1, 3, 2)[n % 3], "temp": 20.5 + wave(n)}),
        [("a", T, "people", 1.0), ("b", T + 1000, "people", 3.0)],
    ),
    "errors and cores of hosts": Sibling(
        each(
            lambda n: {
                "ts": T + n * 1000,
                "host": "abc"[n % 3],
                "errors": (0, 2, 1)[n % 3],
                "queue_depth": (1, 3, 2)[n % 3],
                "cores": n % 3,
                "load": 0.5 + wave(n),
            },
            120,
        ),
        [("a", T, "errors", 0.0), ("b", T + 1000, "queue_depth", 3.0), ("c", T + 2000, "cores", 2.0)],
    ),
    "a few numbers of each key": Sibling(
        each(lambda n: {"ts": T + n * 1000, "host": "abc"[n % 3], "ordinal": n % 3, "load": 0.5 + wave(n)}),
        [("a", T, "load", 20.5), ("b", T + 1000, "ordinal", 1.0)],
        doubt="`ordinal`: whole numbers that are always the same",
    ),
    "many numbers of each key": Sibling(
        each(lambda n: {"ts": T + n * 1000, "host": "abc"[n % 3], "ordinal": n % 3, "load": 0.5 + wave(n)}, 120),
        [("a", T, "load", 20.5)],
        absent=("ordinal",),
    ),
}
