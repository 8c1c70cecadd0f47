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
            lambda n: {"ts": T + n * 1000, "site": "north", "pump": (n + (n > 7)) % 3 + 1, "pressure": 3.5 + wave(n)},
            30,
        ),
        [("1", T, "pressure", 23.5), ("2", T + 1000, "pressure", 30.5)],
        absent=("pump",),
    ),
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
    "quantities of fulfilment centres": Sibling(
        each(lambda n: {"ts": T + n * 1000, "fc": "LEJ1", "sku": "AB"[n % 2], "quantity": 100 + wave(n)}),
        [("A", T, "quantity", 120.0)],
    ),
    "milliseconds of a response": Sibling(
        each(lambda n: {"ts": T + n * 1000, "service": "api", "response": 200 + n % 5, "load": 0.5 + wave(n)}),
        [("api", T, "response", 200.0)],
    ),
    "results of a probe": Sibling(
        each(lambda n: {"ts": T + n * 1000, "probe": "p", "result": 100, "url": "/", "rtt": 0.5 + wave(n)}),
        [("p", T, "result", 100.0)],
    ),
    "results of a request": Sibling(
        each(lambda n: {"ts": T + n * 1000, "probe": "p", "result": 200 + n % 2 * 4, "url": "/", "rtt": 0.5 + wave(n)}),
        [("p", T, "rtt", 20.5)],
        absent=("result",),
    ),
    "glucose of patients": Sibling(
        each(lambda n: {"ts": T + n * 1000, "patient": "p", "result": 100 + n % 4, "dose": 0.5 + wave(n)}),
        [("p", T, "result", 100.0)],
    ),
    "a tariff that is a price": Sibling(
        each(lambda n: {"ts": T + n * 1000, "zone": "DE", "tariff": 23 + n % 3, "power": 0.5 + wave(n)}),
        [("DE", T, "tariff", 23.0)],
        doubt="`tariff`: whole numbers that may only number things",
    ),
    "attempts that are counted": Sibling(
        each(lambda n: {"ts": T + n * 1000, "host": "h", "login_attempt": wave(n), "load": 0.5 + wave(n)}),
        [("h", T, "login_attempt", 20.0)],
        doubt="`login_attempt`: whole numbers that may only number things",
    ),
    "a quantity that begins with qn": Sibling(
        each(lambda n: {"ts": T + n * 1000, "host": "h", "qn_depth": wave(n), "load": 0.5 + wave(n)}),
        [("h", T, "qn_depth", 20.0)],
    ),
    "aggregates of an exchange": Sibling(
        each(
            lambda n: {
                "ev": "AM",
                "sym": "AB"[n % 2],
                "v": 4000 + wave(n),
                "op": 114 + n % 2,
                "o": 114.5,
                "c": 110 + wave(n),
                "h": 150.5,
                "l": 101.5,
                "z": 60 + wave(n),
                "s": T + n * 60_000,
                "e": T + n * 60_000 + 60_000,
            }
        ),
        [("A", T, "c", 130.0), ("A", T, "z", 80.0), ("B", T + 60_000, "op", 115.0)],
    ),
    "quotes of an exchange": Sibling(
        each(
            lambda n: {
                "ev": "Q",
                "sym": "A",
                "bx": 4,
                "bp": 114.5 + n,
                "bs": wave(n),
                "ax": 7,
                "ap": 114.75 + n,
                "as": wave(n),
                "c": 0,
                "t": T + n,
                "q": 50_385_480 + 7 * n,
                "z": 3,
            }
        ),
        [("A", T, "bp", 114.5)],
        absent=("bx", "ax", "c", "q", "z"),
    ),
    "orders and shifts that are counted": Sibling(
        each(lambda n: {"ts": T + n * 1000, "host": "s", "order": wave(n), "batch": 40 + wave(n), "x": 0.5 + n}),
        [("s", T, "order", 20.0), ("s", T, "batch", 60.0)],
        doubt="`order`, `batch`: whole numbers that may only number things",
    ),
    "reliability as a percentage": Sibling(
        each(lambda n: {"ts": T + n * 1000, "device": "d", "present_value": 0.5 + wave(n), "reliability": 97 + n % 3}),
        [("d", T, "reliability", 97.0)],
        doubt="`reliability`: whole numbers that may only number things",
    ),
}
