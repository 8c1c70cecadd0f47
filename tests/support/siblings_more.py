"""More messages as people have them in topics: tables and maps in JSON, lists of different things, quantities."""

from support.siblings import S, Sibling, T, each, iso

_HOUR = 3_600_000

MORE_SIBLINGS: dict[str, Sibling] = {
    "meter values of OCPP": Sibling(
        each(
            lambda n: [
                2,
                f"m{n}",
                "MeterValues",
                {
                    "connectorId": 1,
                    "meterValue": [
                        {
                            "timestamp": iso(n),
                            "sampledValue": [
                                {"value": f"{1000 + 7 * n}", "measurand": "Energy", "unit": "Wh"},
                                {"value": f"{20.5 + n % 3}", "measurand": "Power", "unit": "kW"},
                            ],
                        }
                    ],
                },
            ]
        ),
        [("own", T, "Energy", 1000.0), ("own", T + 10_000, "Power", 21.5)],
        absent=("connectorId",),
    ),
    "columns of hourly weather": Sibling(
        each(
            lambda n: {
                "latitude": 52.5,
                "hourly_units": {"time": "iso8601"},
                "hourly": {"time": [f"2024-03-01T{10 + n}:{m}" for m in ("00", "30")], "temp": [20.5 + n, 21.5 + n]},
            },
            9,
        ),
        [("own", T, "temp", 20.5), ("own", T + _HOUR // 2, "temp", 21.5), ("own", T + _HOUR, "temp", 21.5)],
        absent=("latitude",),
    ),
    "rows beside the names of their columns": Sibling(
        each(
            lambda n: {
                "results": [
                    {"series": [{"name": "cpu", "columns": ["time", "usage"], "values": [[iso(n), 20.5 + n % 4]]}]}
                ]
            }
        ),
        [("cpu", T, "usage", 20.5), ("cpu", T + 10_000, "usage", 21.5)],
    ),
    "quantities of Kubernetes": Sibling(
        each(
            lambda n: {
                "metadata": {"name": f"web-{n % 2}", "namespace": "prod"},
                "timestamp": iso(n // 2),
                "window": "30.1s",
                "containers": [
                    {"name": name, "usage": {"cpu": f"{250_000 + n * n}n", "memory": f"{size + n}Ki"}}
                    for name, size in (("app", 1024), ("proxy", 64))
                ],
            }
        ),
        [("app/web-0", T, "usage.cpu", 0.00025), ("proxy/web-0", T, "usage.memory", 65536.0)],
    ),
    "sizes with and without a suffix": Sibling(
        each(lambda n: {"pod": "p", "time": iso(n), "mem": f"{126 + n}Mi" if n % 2 else f"{131_072_000 + n}"}),
        [("p", T, "mem", 131_072_000.0), ("p", T + 10_000, "mem", 127.0 * 1024**2)],
    ),
    "durations of Go": Sibling(
        each(lambda n: {"host": "h", "time": iso(n), "latency": ("950µs", "1.25ms", "2s")[n % 3]}),
        [("h", T, "latency", 0.00095), ("h", T + 20_000, "latency", 2.0)],
    ),
    "words that begin with a number": Sibling(
        each(lambda n: {"host": "h", "time": iso(n), "msg": "200 OK", "mode": "11n", "temp": f"{20 + n} °C"}),
        [("h", T, "temp", 20.0)],
        absent=("msg", "mode"),
    ),
    "phases that only their place names": Sibling(
        each(lambda n: {"mac": "A4", "unixtime": S + n, "emeters": [{"power": 20.5 + n}, {"power": 30.5 + n}]}),
        [("A4/0", T, "power", 20.5), ("A4/1", T, "power", 30.5)],
    ),
    "meters under a number": Sibling(
        each(lambda n: [{"eid": eid, "timestamp": S + n, "power": 20.5 + n} for eid in (7046, 7048)]),
        [("7046", T, "power", 20.5), ("7048", T + 1000, "power", 21.5)],
        absent=("eid",),
        key=None,
    ),
    "values under their times": Sibling(
        each(lambda n: {"sensor": "a", "readings": {f"{T + 2000 * n + m}": 20.5 + n for m in (0, 1000)}}),
        [("a", T, "value", 20.5), ("a", T + 1000, "value", 20.5), ("a", T + 2000, "value", 21.5)],
    ),
    "devices under their names": Sibling(
        each(lambda n: {"ts": T + n, "devices": {name: {"temp": 20.5 + n, "hum": 40.5} for name in ("d1", "d2")}}),
        [("own/d1", T, "temp", 20.5), ("own/d2", T + 1, "temp", 21.5)],
    ),
    "metrics under their kinds": Sibling(
        each(
            lambda n: {
                kind: [{"metric": name, "value": 20.5 + n, "dimensions": {"host": "h", "az": "a"}, "timestamp": T + n}]
                for kind, name in (("gauge", "cpu"), ("counter", "req"))
            }
        ),
        [("cpu/az=a,host=h", T, "value", 20.5), ("req/az=a,host=h", T + 1, "value", 21.5)],
    ),
    "items at times of their own": Sibling(
        each(lambda n: {"host": {"host": "web1"}, "name": f"item {n % 2}", "clock": S + n, "min": 1.5, "avg": 2.5 + n}),
        [("web1/item 0", T, "avg", 2.5), ("web1/item 1", T + 1000, "avg", 3.5)],
    ),
    "number of the message called serial": Sibling(
        each(lambda n: {"serial": 100 + n, "unixtime": S + n, "temperature": 20.5 + n % 3}),
        [("own", T, "temperature", 20.5), ("own", T + 1000, "temperature", 21.5)],
        absent=("serial",),
    ),
    "zero as an id": Sibling(
        each(lambda n: {"id": 0, "a_current": 4.5 + n % 3}), [("own", T, "a_current", 4.5)], absent=("id",)
    ),
    "content in an object named context": Sibling(
        each(
            lambda n: {"eventVersion": "1", "context": {"deviceMac": "01AB", "temp": 20.5 + n, "timeOfSample": T + n}}
        ),
        [("01AB", T, "context.temp", 20.5)],
        absent=("eventVersion",),
    ),
    "seconds with an offset in nanoseconds": Sibling(
        each(
            lambda n: {
                "propertyAlias": "/plant/temp",
                "propertyValues": [
                    {
                        "value": {"doubleValue": 20.5 + n},
                        "timestamp": {"timeInSeconds": S + n, "offsetInNanos": 500_000_000},
                    }
                ],
            }
        ),
        [("/plant/temp", T + 500, "doubleValue", 20.5)],
        key=None,
    ),
    "month first by its AM and PM": Sibling(
        each(lambda n: {"sensor": "a", "ts": f"3/1/2024, 10:0{n}:00 AM", "x": 20.5 + n}, 9),
        [("a", T, "x", 20.5), ("a", T + 60_000, "x", 21.5)],
        doubt="are read as month first",
    ),
    "spaces between thousands": Sibling(
        each(lambda n: {"dev": "a", "time": iso(n), "x": f"1\u202f21{n % 10},5"}), [("a", T, "x", 1210.5)]
    ),
    "apostrophes between thousands": Sibling(
        each(lambda n: {"dev": "a", "time": iso(n), "x": f"1'21{n % 10}.5"}), [("a", T, "x", 1210.5)]
    ),
    "on and off": Sibling(
        each(lambda n: {"entity": "pump", "time": iso(n), "state": ("OFF", "ON")[n % 2]}),
        [("pump", T, "state", 0.0), ("pump", T + 10_000, "state", 1.0)],
    ),
    "candles of Bitfinex": Sibling(
        each(lambda n: [343351, [T + n, 7900.5, 20.5 + n]]),
        [("own", T, "[1][1]", 7900.5), ("own", T + 1, "[1][2]", 21.5)],
        absent=("[0]",),
        doubt="lists of different things",
    ),
    "ticks of .NET": Sibling(
        each(lambda n: {"sensor": "a", "ticks": 638448840000000000 + n * 10**7, "x": 20.5 + n % 3}),
        [("a", T, "x", 20.5)],
        absent=("ticks",),
        doubt="looks like ticks of .NET",
    ),
    "seconds of GPS": Sibling(
        each(lambda n: {"sensor": "a", "time": 1_393_322_418 + n, "x": 20.5 + n % 3}), [], doubt="10.0 years before"
    ),
    "flattened Debezium without a key": Sibling(
        each(lambda n: {"id": 7, "sensor": f"s{n % 2}", "temp": 20.5 + n, "__op": "c", "__source_ts_ms": T + n // 2}),
        [("s0", T, "temp", 20.5), ("s1", T, "temp", 21.5)],
        absent=("id",),
        key=None,
    ),
    "Debezium with decimals of variable scale": Sibling(
        each(lambda n: {"before": None, "after": {"price": {"scale": 2, "value": "AAfQ"}}, "op": "c", "ts_ms": T + n}),
        [("own", T, "price", 20.0)],
        absent=("price.scale",),
    ),
    "Debezium with decimals in bytes": Sibling(
        each(lambda n: {"before": None, "after": {"price": f"AAf{'ABCDEFGHIJKL'[n]}"}, "op": "c", "ts_ms": T + n}),
        [],
        doubt="decimal.handling.mode=string",
    ),
    "lines of StatsD": Sibling(each(lambda n: f"api.latency:{n}.5|ms|@0.1"), [], doubt="inputs.statsd"),
    "lines of logfmt": Sibling(
        each(lambda n: f'ts={iso(n)} host=h ms={n} msg="a b"'), [], doubt='data_format = "logfmt"'
    ),
    "perfdata": Sibling(each(lambda n: f"DATATYPE::HOSTPERFDATA\tTIMET::{S + n}\tX::rta={n};5"), [], doubt="of Nagios"),
}
