"""Messages and tables of vendors' products, with the right observations: kinds whose first proposals lost something."""

from datetime import date
from typing import Any

from support.siblings import S, Sibling, T, each, iso
from support.siblings_of_platforms import clock, table

CHECK: dict[str, Any] = {"exit_status": 0, "performance_data": ["rta=20.5ms;3000;5000;0", "pl=0%;80;100"]}


def wave(index: int) -> float:
    """Return a value that rises and falls."""
    return 20.5 + index * 7 % 11


def position(n: int) -> dict[str, Any]:
    """Return a sample of an agent of MTConnect."""
    sample = {"dataItemId": "x2", "timestamp": iso(n), "sequence": 8000 + n, "value": wave(n)}
    return {"Streams": {"DeviceStream": [{"name": "VMC", "ComponentStream": [{"Samples": [{"Position": sample}]}]}]}}


def diagnostic(n: int) -> dict[str, Any]:
    """Return a measured value of a vehicle: one of two diagnostics in turn."""
    return {
        "data": wave(n) + n // 2 % 2 * 100,
        "dateTime": iso(n),
        "device": {"id": f"b{n % 2}"},
        "diagnostic": {"id": ["FuelLevel", "RoadSpeed"][n // 2 % 2]},
        "version": "0000007d8c",
    }


def inserted(n: int) -> dict[str, Any]:
    """Return an event of a change stream of MongoDB."""
    key = {"_id": {"$oid": f"65e1{n:020d}"}}
    return {
        "_id": {"_data": f"8265{n:06d}"},
        "operationType": "insert",
        "clusterTime": {"$timestamp": {"t": S + n, "i": 1}},
        "wallTime": {"$date": iso(n, 1, ".250Z")},
        "fullDocument": {**key, "device": f"d{n % 2}", "temp": wave(n)},
        "documentKey": key,
    }


def stored(n: int) -> dict[str, Any]:
    """Return an event of a stream of DynamoDB."""
    image = {"device": {"S": f"d{n % 2}"}, "ts": {"N": str(T + n * 1000)}, "temp": {"N": str(wave(n))}}
    return {"eventName": "INSERT", "dynamodb": {"NewImage": image, "SizeBytes": 59 + n % 3, "StreamViewType": "NEW"}}


def span(n: int) -> dict[str, Any]:
    """Return a span of Jaeger."""
    return {
        "startTime": (T + n * 50) * 1000,
        "duration": 1500 + n * 37 % 400,
        "process": {"serviceName": "cart"},
        "tags": [{"key": "http.status_code", "type": "int64", "value": 200}],
    }


def quote(n: int) -> dict[str, Any]:
    """Return a quote with both sides of an order book."""
    sides = {"bids": [{"price": "1.1", "liquidity": 10_000}], "asks": [{"price": "1.2", "liquidity": 10_000}]}
    return {"instrument": "EUR_USD", "time": f"{S + n}.250", **sides, "closeoutBid": f"{wave(n)}", "type": "PRICE"}


def tops(n: int) -> dict[str, Any]:
    """Return an order book without any other number."""
    sides = {"askLevel": [{"price": f"{wave(n)}", "qty": 5}], "bidLevel": [{"price": f"{wave(n) - 1}", "qty": 9}]}
    return {"payload": [{"lastUpdateTime": iso(n), "instrument": {"symbol": "ESM4"}, **sides}]}


def prices() -> dict[str, Any]:
    """Return one document with the prices of a day by position."""
    points = [{"position": str(n + 1), "price.amount": str(wave(n))} for n in range(24)]
    period = {"timeInterval": {"start": "2024-03-01T10:00Z"}, "resolution": "PT60M", "Point": points}
    return {"Publication_MarketDocument": {"TimeSeries": [{"currency_Unit.name": "EUR", "Period": period}]}}


VENDORS_MESSAGES: dict[str, Sibling] = {
    "an axis' position": Sibling(
        each(position), [("VMC", T, "Position.value", 20.5)], absent=("Position.sequence",), key=None
    ),
    "a type of data that is written as a number": Sibling(
        each(lambda n: {"destination": f"1/2/{n % 2}", "dpt": "9.001", "value": wave(n), "timestamp": iso(n)}),
        [("1/2/0", T, "value", 20.5), ("1/2/1", T + 10_000, "value", 27.5)],
        absent=("dpt",),
        key=None,
    ),
    "diagnostics of vehicles": Sibling(
        each(diagnostic, 24),
        [("b0/FuelLevel", T, "data", 20.5), ("b0/RoadSpeed", T + 20_000, "data", 123.5)],
        key=None,
    ),
    "a change stream of MongoDB": Sibling(
        each(inserted),
        [("d0", T + 250, "temp", 20.5), ("d1", T + 1250, "temp", 27.5)],
        absent=("_id._data", "clusterTime.$timestamp.t"),
        key=None,
    ),
    "a stream of DynamoDB": Sibling(
        each(stored),
        [("d0", T, "temp.N", 20.5), ("d1", T + 1000, "temp.N", 27.5)],
        absent=("dynamodb.SizeBytes", "SizeBytes"),
        key=None,
    ),
    "a value beside the period over which it is averaged": Sibling(
        each(
            lambda n: {
                "date": {"utc": iso(n // 2)},
                "parameter": ["pm25", "o3"][n % 2],
                "value": wave(n),
                "averagingPeriod": {"value": 1, "unit": "hours"},
                "location": "B1",
            }
        ),
        [("B1/pm25", T, "value", 20.5), ("B1/o3", T, "value", 27.5)],
        absent=("averagingPeriod.value",),
        key=None,
    ),
    "when a trade was made, not when it was sent": Sibling(
        each(
            lambda n: {
                "SendingTime": clock(n, 10, "%Y%m%d-%H:%M:%S.250"),
                "Symbol": ["IBM", "T"][n % 2],
                "LastPx": wave(n),
                "TransactTime": clock(n, 10, "%Y%m%d-%H:%M:%S.125"),
            }
        ),
        [("IBM", T + 125, "LastPx", 20.5), ("T", T + 10_125, "LastPx", 27.5)],
        key=None,
    ),
    "the index of a sensor, and when it was modified": Sibling(
        each(
            lambda n: {
                "time_stamp": S + n,
                "sensor": {"sensor_index": 131075, "last_modified": 1635632829, "pm": wave(n)},
            }
        ),
        [("131075", T, "sensor.pm", 20.5)],
        absent=("sensor.last_modified",),
        key=None,
    ),
    "labels with types": Sibling(each(span), [("cart", T, "duration", 1500.0)], absent=("value",), key=None),
    "sides of an order book beside a price": Sibling(
        each(quote), [("EUR_USD", T + 250, "closeoutBid", 20.5)], absent=("price", "liquidity"), key=None
    ),
    "an order book": Sibling(each(tops), [], doubt="such as askLevel[0].price", key=None),
    "prices of a day in one document": Sibling([prices()], [], doubt="differ by `position`", key=None),
    "performance data as text": Sibling(
        each(lambda n: {"timestamp": S + n, "host": "h", "load": wave(n), "check_result": CHECK}),
        [("h", T, "load", 20.5)],
        doubt="`check_result.performance_data` has texts with numbers",
        key=None,
    ),
    "a list in a text": Sibling(
        each(lambda n: {"ts": S + n, "server": "m", "data": f"[{wave(n)}]", "load": wave(n)}),
        [("m", T, "load", 20.5)],
        doubt="such as data[0]",
        key=None,
    ),
    "a size with the name of a symbol": Sibling(
        each(lambda n: {"ev": "T", "sym": "MSFT", "p": wave(n), "s": 100 + n % 4, "t": T + n * 17}),
        [("MSFT", T, "p", 20.5), ("MSFT", T + 17, "s", 101.0)],
        key=None,
    ),
    "a value that rises by 1": Sibling(
        each(lambda n: {"device": "d", "ts": T + n * 1000, "value": 100 + n}), [("d", T, "value", 100.0)], key=None
    ),
}


def day(n: int) -> str:
    """Return a day in 2024."""
    return date.fromordinal(date(2024, 1, 1).toordinal() + n).isoformat()


NEW_YEAR = 1_704_067_200_000
MONTHS = "Jan,Feb,Mar,Apr,May,Jun,Jul,Aug,Sep,Oct,Nov,Dec"
VENDORS_TABLES: dict[str, Sibling] = {
    "a column per month": Sibling(
        table(f"Year,{MONTHS}", lambda n: f"{1990 + n}," + ",".join(f"{wave(n + k)}" for k in range(12))),
        [],
        doubt="named by months",
    ),
    "two columns of one name": Sibling(
        table("time,temp,temp", lambda n: f"{iso(n)},{wave(n)},{n % 3}.5"),
        [("own", T, "temp", 20.5), ("own", T, "temp_2", 0.5)],
    ),
    "points in the time of day, under a name that is not known": Sibling(
        table("Quando;kW", lambda n: f"{13 + n}/03/2024 10.00;{wave(n)}"),
        [("own", T + 12 * 86_400_000, "kW", 20.5)],
    ),
    "dates of Japan": Sibling(
        table("日付,値", lambda n: f"2024年3月{1 + n}日,{wave(n)}"), [("own", T - 36_000_000, "値", 20.5)]
    ),
    "year and month": Sibling(
        table("year,month,sold", lambda n: f"{2010 + n // 12},{n % 12 + 1},{100 + n * 7 % 50}", 30),
        [("own", 1_262_304_000_000, "sold", 100.0), ("own", 1_264_982_400_000, "sold", 107.0)],
    ),
    "negative numbers in parentheses": Sibling(
        table("date,profit", lambda n: f"{day(n)},{f'({100 + n}.50)' if n % 3 == 0 else wave(n)}"),
        [("own", NEW_YEAR + 86_400_000, "profit", 27.5)],
        doubt="4 of 12 values of `profit` are no numbers, such as '(100.50)'",
    ),
}
SIBLINGS_OF_VENDORS = VENDORS_MESSAGES | VENDORS_TABLES
"""By name of the kind."""
