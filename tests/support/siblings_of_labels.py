"""Messages with labels, flags and settings beside their values, with numbered things, and the right observations."""

from datetime import UTC, datetime

from support.siblings import S, Sibling, T, each, iso
from support.siblings_of_codes import wave

DISORDER = 7
"""Multiplier of a row's number that puts things in an order without a pattern, together with its square."""


def drawn(first: int, count: int, n: int) -> int:
    """Return one of `count` numbers from `first` on, in no order that repeats soon."""
    return first + (n * n * DISORDER + n // 5 * 3 + n // 11) % count


def days(n: int) -> str:
    """Return a day of 2026 with the day first."""
    return datetime.fromtimestamp(1_767_225_600 + n * 86_400, UTC).strftime("%d.%m.%Y")


def level(thing: int, n: int) -> float:
    """Return a pressure that each thing has at a level of its own, in another order than the things' numbers."""
    return thing * 37 % 53 + n % 3 / 10


SIBLINGS_OF_LABELS: dict[str, Sibling] = {
    "codes of errors beside values": Sibling(
        each(
            lambda n: {"group": f"g{n % 2}", "ts": T + n, "values": {"temp": 20.5 + wave(n)}, "errors": {"lvl": 3007}}
        ),
        [("g0", T, "temp", 40.5)],
        absent=("errors.lvl",),
        key=None,
    ),
    "a register, a scale and a multiplier beside one value": Sibling(
        each(
            lambda n: (
                {"plc": f"p{n % 2}", "ts": T + n // 2 * 1000, "register": 30001, "scale": 0.1, "value": 20.5 + wave(n)}
                | {"unitOfMeasure": {"multiplier": 0}}
            )
        ),
        [("p0", T, "value", 40.5)],
        absent=("register", "scale", "unitOfMeasure.multiplier"),
    ),
    "numbers in text beside numbers": Sibling(
        each(
            lambda n: {
                "time": S + n // 2,
                "host": f"h{n % 2}",
                "fields": {"rack": "63", "version": "3.10", "cpu": 0.5 + wave(n), "io": 1.5 + n * n},
            }
        ),
        [("h0", T, "cpu", 20.5), ("h1", T, "io", 2.5)],
        absent=("rack", "version"),
    ),
    "flags that are numbers": Sibling(
        each(lambda n: {"station": f"s{n % 2}", "ts": T + n, "bikes": wave(n), "is_renting": 1, "has_kiosk": 0}),
        [("s0", T, "bikes", 20.0)],
        absent=("is_renting", "has_kiosk"),
    ),
    "frames with signals of their own": Sibling(
        each(
            lambda n: {
                "ts": T + n,
                "vin": "W",
                "name": f"E{n % 2}",
                "bus": 0,
                "dlc": 8,
                "signals": {"x": 0.5 + wave(n)} if n % 2 else {"y": 9.5 - wave(n), "z": wave(n)},
            }
        ),
        [("W/E0", T, "z", 20.0)],
        absent=("bus", "dlc"),
    ),
    "an object in place of a value": Sibling(
        each(
            lambda n: {
                "Name": f"n{n % 2}",
                "Timestamp": iso(n // 2),
                "Value": {"Name": "Bad", "Value": 255} if n == 7 else 20.5 + wave(n),
            }
        ),
        [("n0", T, "Value", 40.5)],
        absent=("Value.Value",),
    ),
    "open interest": Sibling(
        each(
            lambda n: {"symbol": "A", "ts": T + n, "price": 20.5 + wave(n), "open_interest": 900_000_000 + 31 * n * n}
        ),
        [("A", T, "open_interest", 9e8)],
    ),
    "large numbers that rise": Sibling(
        each(lambda n: {"meter": "m", "ts": T + n, "power": 20.5 + wave(n), "EAST": 12_345_678 + n * n + n}),
        [("m", T, "power", 40.5)],
        doubt="`EAST` is taken for ids, as its large numbers only rise",
    ),
    "fractions of a second": Sibling(
        each(
            lambda n: {
                "station": f"p{n % 2}",
                "time": T + n * 20,
                "fracsec": n * 20_000,
                "idcode": 7,
                "f": 50 + wave(n),
            }
        ),
        [("p0", T, "f", 70.0)],
        absent=("fracsec", "idcode"),
    ),
    "rows with times as their index": Sibling(
        each(
            lambda n: {
                "columns": ["temp", "hum"],
                "index": [T + n * 2000, T + n * 2000 + 1000],
                "data": [[wave(n), 1.5], [wave(n) + 0.5, 2.5]],
            },
            4,
        ),
        [("own", T, "temp", 20.0), ("own", T + 1000, "temp", 20.5), ("own", T + 2000, "hum", 1.5)],
    ),
    "columns of which each is an object with times as names": Sibling(
        each(lambda n: {name: {str(T + n * 2000): wave(n), str(T + n * 2000 + 1000): 1.5} for name in ("temp", "hum")}),
        [],
        doubt="the columns are named by dates",
    ),
    "a list of one meter beside the values of another": Sibling(
        each(
            lambda n: (
                {"unique_id": "m", "power_w": wave(n), "import_kwh": 5.5 + n * n, "voltage_v": 230.5 + n % 3}
                | {"external": [{"unique_id": "g", "type": "gas", "value": 2569.5, "unit": "m3"}]}
            )
        ),
        [("m", T, "power_w", 20.0)],
        absent=("value",),
    ),
    "totals among days": Sibling(
        [
            "Datum;Verbrauch\n"
            + "".join(f"{days(n)};{wave(n)},5\n" + "Summe;279,4\n" * (n == 30) for n in range(60))  # of January
        ],
        [("own", 1_767_225_600_000, "Verbrauch", 20.5)],
        doubt="'Summe' does not have the form",
    ),
    "a row of totals below two columns": Sibling(
        [
            "Datum;Uhrzeit;Leistung\n"
            + "".join(f"02.03.2026;{n:02d}:15;{wave(n)},5\n" for n in range(24))
            + "Summe;;576,1\n"
        ],
        [("own", 1_772_410_500_000, "Leistung", 20.5)],
    ),
    "hours from one to the next": Sibling(
        [
            "Date,Hours,SE3\n"
            + "".join(f"{day}-03-2026,{n:02d} - {n + 1:02d},{wave(n)}.5\n" for day in (13, 14, 15) for n in range(23))
        ],
        [],
        doubt="`Hours` numbers the periods of a day",
    ),
    "days that may be months, under an unknown name": Sibling(
        ["OperDay,HourEnding,Load\n" + "".join(f"03/02/2026,{n:02d}:00,{wave(n)}.5\n" for n in range(1, 25))],
        [],
        doubt="`OperDay` has dates, such as '03/02/2026', that are not understood",
    ),
    "twelve pumps in disorder": Sibling(
        each(lambda n: {"ts": T + n * 1000, "pump": drawn(1, 12, n), "pressure": level(drawn(1, 12, n), n)}, 300),
        [("1", T, "pressure", 37.0)],
        absent=("pump",),
        doubt="`pump` is taken for the number of a thing",
    ),
    "forty wells in disorder": Sibling(
        each(lambda n: {"ts": T + n * 1000, "well": drawn(101, 40, n), "flow": level(drawn(101, 40, n), n)}, 400),
        [("101", T, "flow", float(101 * 37 % 53))],
        absent=("well",),
        doubt="`well` is taken for the number of a thing",
    ),
    "a queue in disorder that drives the latency": Sibling(
        each(
            lambda n: {"ts": T + n * 1000, "queue": drawn(1, 20, n), "latency": 5.5 + drawn(1, 20, n) + n % 3 / 10}, 300
        ),
        [("own", T, "latency", 6.5), ("own", T, "queue", 1.0)],
        doubt="`queue` may be the key",
    ),
    "tables beside a number in each element": Sibling(
        each(
            lambda n: {
                "total": 2,
                "result": [
                    {
                        "metricId": "cpu",
                        "ratio": 0.5,
                        "data": [
                            {
                                "dimensionMap": {"host": host},
                                "timestamps": [T + n * 2000, T + n * 2000 + 1000],
                                "values": [wave(n) + place, 2.5 + place],
                            }
                            for place, host in enumerate(("a", "b"))
                        ],
                    }
                ],
            }
        ),
        [("a", T, "values", 20.0), ("b", T + 1000, "values", 3.5)],
        absent=("ratio",),
    ),
    "a channel of each pair in a list": Sibling(
        each(lambda n: [42 + n % 2, [f"{S + n // 2}.25", f"{wave(n)}.5", f"{n * n}.5"], "ohlc-1", f"p{n % 2}"], 24),
        [("ohlc-1/p0", T + 250, "[1][1]", 20.5)],
        absent=("[0]",),
    ),
    "a value before it was scaled": Sibling(
        each(lambda n: {"dev": "d", "signal": f"s{n % 2}", "raw": 99 * wave(n) % 1013, "value": wave(n), "ts": T + n}),
        [("d/s0", T, "value", 20.0)],
        absent=("raw",),
    ),
    "numbers with zeros before them": Sibling(
        each(lambda n: {"ADCO": "041876097767", "time": iso(n), "PAPP": f"{880 + 10 * (n % 7):05d}", "ADPS": "003"}),
        [("own", T, "PAPP", 880.0)],
        absent=("ADCO", "ADPS"),
    ),
    "statistics that are written later than their start": Sibling(
        each(
            lambda n: {
                "created_ts": S + n * 3600 + 3610.5,
                "statistic_id": f"s{n % 2}",
                "start_ts": S + n * 3600.0,
                "mean": 0.5 + wave(n),
            },
        ),
        [("s0", T, "mean", 20.5)],
    ),
    "a number of the message for each topic": Sibling(
        each(lambda n: {"topic": f"t{n % 2}", "mid": n // 2, "ts": T + n // 2, "temp": 0.5 + wave(n)}, 24),
        [("t0", T, "temp", 20.5)],
        absent=("mid",),
    ),
    "the start of a shift and a quality": Sibling(
        each(
            lambda n: {"pump": "p", "ts": T + n, "flow": 0.5 + wave(n), "shift_start": 21_600_000_000, "Quality": 192}
        ),
        [("p", T, "flow", 20.5)],
        absent=("shift_start", "Quality"),
    ),
    "numbers of jobs and tools, and sides of trades": Sibling(
        each(
            lambda n: {"machine": "m", "time": iso(n), "load": 0.5 + n, "toolNo": (1, 2, 5)[n % 3], "Side": n % 2 + 1}
        ),
        [("m", T, "load", 0.5)],
        absent=("toolNo", "Side"),
    ),
    "nitric oxide beside its dioxide, with a word before them": Sibling(
        each(lambda n: {"station": "s", "time": iso(n), "avg_no": wave(n), "avg_no2": 2 * wave(n)}),
        [("s", T, "avg_no", 20.0)],
    ),
    "two interfaces under a name that is not known": Sibling(
        each(
            lambda n: {
                "time": iso(n // 4),
                "direction": ("in", "out")[n % 2],
                "ifx": 101 + n // 2 % 2,
                "bytes": 20.5 + n,
            }
        ),
        [("in/101", T, "bytes", 20.5), ("out/102", T, "bytes", 23.5)],
        absent=("ifx",),
        key=None,
    ),
    "milliseconds in a member of their own": Sibling(
        each(lambda n: {"device": "d", "time": iso(n // 4, step=1), "ms": n % 4 * 250, "force": 20.5 + n}),
        [("d", T, "force", 20.5)],
        doubt="`ms` may be the milliseconds of `time`",
    ),
    "years and months called yyyy and mm": Sibling(
        ["yyyy,mm,tmean\n" + "".join(f"{2024 + n // 12},{n % 12 + 1},{wave(n)}.5\n" for n in range(24))],
        [("own", 1_704_067_200_000, "tmean", 20.5)],
    ),
    "a version among the fields of InfluxDB": Sibling(
        [f'web,region=r{n % 2} latency={wave(n)}.5,ver="1.2" {(T + n) * 10**6}' for n in range(12)],
        [("web,region=r0", T, "latency", 20.5)],
        absent=("ver",),
    ),
    "the elevation of a place with its unit": Sibling(
        each(lambda n: {"station": "s", "time": iso(n), "lat": 52.5, "lon": 13.5, "elevation_m": 46, "temp": 0.5 + n}),
        [("s", T, "temp", 0.5)],
        absent=("elevation_m",),
    ),
    "an update that has the same number for two pairs": Sibling(
        each(
            lambda n: {
                "ch": f"market.p{n % 2}.detail",
                "ts": T + n // 2 * 1000,
                "tick": {"id": 272_156_789 + n // 2 * 3, "close": 0.5 + wave(n)},
            },
            24,
        ),
        [("market.p0.detail", T, "tick.close", 20.5)],
        key=None,
    ),
    "a creation after the start": Sibling(
        each(
            lambda n: {
                "type": f"t{n % 2}",
                "creationDate": f"2024-03-01 10:00:{n // 2 + 5:02d} +0000",
                "startDate": f"2024-03-01 10:00:{n // 2:02d} +0000",
                "value": wave(n),
            }
        ),
        [("t0", T, "value", 20.0)],
    ),
    "rain that is 0.00 in": Sibling(
        each(lambda n: {"station": "s", "time": iso(n), "Temp": f"{50.5 + n} °F", "Rain": "0.00 in"}),
        [("s", T, "Rain", 0.0)],
    ),
    "starts of two servers beside the time of each message": Sibling(
        each(
            lambda n: {
                "server_name": f"s{n % 2}",
                "start": f"2024-02-27T0{n % 2}:00:00Z",
                "now": iso(n // 2),
                "cpu": 0.5 + wave(n),
            },
            24,
        ),
        [("s0", T, "cpu", 20.5), ("s1", T + 10_000, "cpu", 30.5)],
    ),
    "rows below a row of names": Sibling(
        [[["time_tag", "density"], *([f"2024-03-01 10:{n:02d}:00.000", f"{wave(n)}.5"] for n in range(20))]],
        [("own", T, "[1]", 20.5)],
        doubt="the time 'time_tag'",
    ),
    "thousands beside decimals": Sibling(
        ["Start,Line,Units,OEE\n" + "".join(f'{iso(n)},A,"12,{500 + n}",{wave(n)}.5\n' for n in range(12))],
        [("A", T, "OEE", 20.5)],
        doubt="`Units` has numbers such as '12,500', which are not read",
    ),
    "commas that separate thousands or decimals": Sibling(
        each(lambda n: {"line": "A", "time": iso(n), "units": f"12,{500 + n}"}),
        [("A", T, "units", 12.5)],
        doubt="`units` has numbers such as '12,500', which are read with a decimal comma",
    ),
    "two objects of a device": Sibling(
        each(
            lambda n: {
                "deviceInstance": 2001 + n % 2,
                "objectInstance": n // 2 % 2 + 1,
                "propertyId": 85,
                "presentValue": 0.5 + wave(n) + n // 2 % 2 * 500,
                "ts": T + n * 97,
            },
            40,
        ),
        [("2001", T, "presentValue", 20.5)],
        doubt="the values of one key differ by `objectInstance`",
        key=None,
    ),
    "an object of ids": Sibling(
        each(lambda n: {"station": "s", "time": iso(n), "temp": 0.5 + wave(n), "fallback_ids": {"sun": 7001}}),
        [("s", T, "temp", 20.5)],
        absent=("fallback_ids.sun",),
    ),
}
