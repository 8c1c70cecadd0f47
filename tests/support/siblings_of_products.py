"""Messages of further products, with the right observations: kinds whose first proposals mixed or lost series."""

import json
from datetime import UTC, datetime
from typing import Any

from support.siblings import S, Sibling, T, each, iso


def digits(index: int, step: int, pattern: str) -> str:
    """Return a time of a series in a pattern of `strftime`."""
    return datetime.fromtimestamp(S + index * step, UTC).strftime(pattern)


def trade(channel: int, n: int) -> list[Any]:
    """Return a trade of Bitfinex."""
    return [channel, "te", [401597395 + n, T + n * 1000, 0.005, 20.5 + n % 5]]


SIBLINGS_OF_PRODUCTS: dict[str, Sibling] = {
    "ChirpStack v3, with the same tags everywhere": Sibling(
        each(
            lambda n: {
                "applicationID": "1",
                "devEUI": f"AQID{n % 2}=",
                "tags": {"site": "north"},
                "fCnt": n,
                "objectJSON": json.dumps({"temperatureSensor": {"1": 20.5 + n}}),
            }
        ),
        [("AQID0=", T, "objectJSON.temperatureSensor.1", 20.5), ("AQID1=", T, "objectJSON.temperatureSensor.1", 21.5)],
        absent=("fCnt",),
        key=None,
    ),
    "Ruuvi gateway": Sibling(
        each(lambda n: {"gw_mac": "C8:25", "ts": S + n, "temperature": 20.5 + n, "id": f"F4:1F:{n % 2}"}),
        [("C8:25/F4:1F:0", T, "temperature", 20.5), ("C8:25/F4:1F:1", T + 1000, "temperature", 21.5)],
        key=None,
    ),
    "telegrams of KNX": Sibling(
        each(lambda n: {"timestamp": iso(n), "source": "1.1.4", "destination": f"3/1/{n % 2}", "value": 20.5 + n}),
        [("3/1/0", T, "value", 20.5), ("3/1/1", T + 10_000, "value", 21.5)],
        key=None,
    ),
    "metrics of Amazon CloudWatch, one list per column": Sibling(
        each(
            lambda n: {
                "MetricDataResults": [
                    {"Id": "m1", "Timestamps": [iso(2 * n), iso(2 * n + 1)], "Values": [n + 0.5, n + 0.75]}
                ]
            }
        ),
        [("m1", T, "Values", 0.5), ("m1", T + 10_000, "Values", 0.75)],
        key=None,
    ),
    "flows with times in nanoseconds": Sibling(
        each(
            lambda n: {
                "time_received_ns": (T + n * 1000) * 10**6,
                "time_flow_start_ns": (T + n * 1000) * 10**6,
                "sampler_address": f"10.0.0.{n % 2}",
                "bytes": 100 + n * n % 7,
                "src_port": 443,
                "in_if": 1,
            }
        ),
        [("10.0.0.0", T, "bytes", 100.0), ("10.0.0.1", T + 1000, "bytes", 101.0)],
        absent=("time_flow_start_ns", "src_port", "in_if"),
        key=None,
    ),
    "a web proxy's log": Sibling(
        each(lambda n: {"start_time": iso(n), "response_code": 200, "duration": 15 + n % 5, "upstream_host": "a:80"}),
        [("a:80", T, "duration", 15.0)],
        absent=("response_code",),
        key=None,
    ),
    "lags of consumers beside their sum": Sibling(
        each(
            lambda n: {
                "cluster": "c",
                "ts": S + n,
                "partitions": [{"topic": "t", "partition": p, "lag": 3 + n % 4 + p, "behind": 1.5 + p} for p in (0, 1)],
                "totallag": 5 + n % 9,
            }
        ),
        [("t/0", T, "lag", 3.0), ("t/1", T, "lag", 4.0)],
        doubt="`totallag` beside `partitions[*]`: not read",
        key=None,
    ),
    "counters among gauges of Prometheus": Sibling(
        each(lambda n: f'load1 {20 + n % 3}\nticks_total{{cpu="0"}} {100 + n}\n', 30),
        [("load1", T, "value", 20.0)],
        doubt='`ticks_total{cpu="0"}/value` only rises',
    ),
    "change events of rows with a time": Sibling(
        each(
            lambda n: {
                "before": None,
                "after": {"device": f"d{n % 2}", "reading": 20.5 + n, "measured_at": iso(n, end=".250Z")},
                "source": {"connector": "postgresql", "ts_ms": T + n * 1000},
                "op": "r",
                "ts_ms": T + n * 1000,
            }
        ),
        [("d0", T, "reading", 20.5)],
        doubt="set input.time.from to after.measured_at",
        key=None,
    ),
    "a connector's record with the time of extraction": Sibling(
        each(
            lambda n: {
                "_airbyte_emitted_at": T + n * 1000 + 999,
                "data": {"store": "s", "total": 20.5 + n, "at": T + n},
            }
        ),
        [("s", T, "total", 20.5)],
        key=None,
    ),
    "change events of Canal": Sibling(
        each(
            lambda n: {
                "data": [{"id": f"{100 + n}", "name": f"s{n % 2}", "weight": f"{20.5 + n}"}],
                "es": T + n * 1000,
                "id": n,
                "isDdl": False,
                "ts": T + n * 1000 + 500,
                "type": "UPDATE",
            }
        ),
        [("s0", T, "weight", 20.5), ("s1", T + 1000, "weight", 21.5)],
        doubt="`ts`",
        key=None,
    ),
    "ticker of Kraken, version 1": Sibling(
        each(lambda n: [340, {"a": [f"{20.5 + n}", 0, "0.9"], "b": ["20.1", 1, "1.6"]}, "ticker", "XBT/USD"]),
        [("ticker/XBT%2FUSD", T, "[1].a[0]", 20.5), ("ticker/XBT%2FUSD", T, "[1].b[0]", 20.1)],
        key=None,
    ),
    "trades of Kraken, version 1": Sibling(
        each(lambda n: [0, [[f"{20.5 + n}", "0.15", f"{S + n}.5", "s", "l", ""]], "trade", f"XBT/{'UE'[n % 2]}"]),
        [("trade/XBT%2FU", T + 500, "[0]", 20.5), ("trade/XBT%2FE", T + 1500, "[0]", 21.5)],
        key=None,
    ),
    "trades of two channels of Bitfinex": Sibling(
        each(lambda n: trade(17470 + n % 2, n)),
        [("17470/te", T, "[2][3]", 20.5), ("17471/te", T + 1000, "[2][3]", 21.5)],
        key=None,
    ),
    "trades of Bybit": Sibling(
        each(
            lambda n: {
                "topic": "publicTrade.BTCUSDT",
                "ts": T + n * 1000 + 68,
                "data": [{"T": T + n * 1000 + 65, "s": "BTCUSDT", "p": f"{20.5 + n}", "seq": 178 + n}],
            }
        ),
        [("BTCUSDT", T + 65, "p", 20.5)],
        key=None,
    ),
    "prices of ENTSO-E by position": Sibling(
        each(
            lambda n: {
                "mRID": f"m{n}",
                "TimeSeries": [
                    {
                        "in_Domain": "10Y",
                        "Period": {
                            "timeInterval": {"start": f"2024-03-{n + 1:02d}T00:00Z"},
                            "resolution": "PT60M",
                            "Point": [{"position": p, "price.amount": 20.5 + p + n % 3} for p in (1, 2, 3)],
                        },
                    }
                ],
            }
        ),
        [],
        absent=("position",),
        doubt="differ by `position`, each as a series of its own: if they follow each other by `Period.resolution`",
        key=None,
    ),
    "prices of Nord Pool": Sibling(
        each(
            lambda n: {
                "deliveryDateCET": f"2024-03-{n + 1:02d}",
                "market": "DayAhead",
                "multiAreaEntries": [
                    {
                        "deliveryStart": f"2024-03-{n + 1:02d}T{h:02d}:00:00Z",
                        "entryPerArea": {"SE3": 20.5 + h, "SE4": 1.5},
                    }
                    for h in (0, 1)
                ],
            }
        ),
        [
            ("DayAhead", T - 36_000_000, "entryPerArea.SE3", 20.5),
            ("DayAhead", T - 32_400_000, "entryPerArea.SE3", 21.5),
        ],
        key=None,
    ),
    "rates with a date beside the time": Sibling(
        each(
            lambda n: {
                "timestamp": S + 3600 * 4 * n,
                "base": "EUR",
                "date": digits(n, 14_400, "%F"),
                "rates": {"USD": 1.5 + n},
            }
        ),
        [("topic", T, "rates.USD", 1.5), ("topic", T + 86_400_000, "rates.USD", 7.5)],
        key=None,
    ),
    "components of FHIR": Sibling(
        each(
            lambda n: {
                "id": f"o{n}",
                "effectiveDateTime": iso(n),
                "component": [{"code": {"text": c}, "valueQuantity": {"value": 100.5 + n}} for c in ("sys", "dia")],
            }
        ),
        [("sys", T, "valueQuantity.value", 100.5), ("dia", T + 10_000, "valueQuantity.value", 101.5)],
        key=None,
    ),
    "readings of two patients in one key": Sibling(
        each(lambda n: {"bed": f"b{n % 2}", "monitor": "m1", "ts": S + n, "pulse": 60.5 + 40 * (n % 2) + n % 3}, 40),
        [],
        doubt="the values of one key differ by `bed`",
        key=b"ward",
    ),
    "decoded messages of ships": Sibling(
        each(
            lambda n: {
                "MetaData": {
                    "MMSI": 230 + n % 2,
                    "MMSI_String": 230 + n % 2,
                    "time_utc": digits(n, 10, "%F %T +0000 UTC"),
                },
                "Message": {"Sog": 10.5 + n},
            }
        ),
        [("230", T, "Message.Sog", 10.5), ("231", T + 10_000, "Message.Sog", 11.5)],
        absent=("MetaData.MMSI_String",),
        key=None,
    ),
    "aircraft beside a count of messages": Sibling(
        each(
            lambda n: {
                "now": S + n,
                "messages": 1000 + n * 7,
                "traffic": [{"hex": f"4ca{k}f", "gs": 400.5 + n, "alt_baro": 9000 + n} for k in (0, 1)],
            }
        ),
        [("4ca0f", T, "gs", 400.5), ("4ca1f", T + 1000, "gs", 401.5)],
        doubt="`messages` beside `traffic[*]`",
        key=None,
    ),
    "stops that are still to come": Sibling(
        each(
            lambda n: {
                "entity": [
                    {
                        "id": f"e{k}",
                        "tripUpdate": {
                            "timestamp": S + n * 15,
                            "stopTimeUpdate": [{"arrival": {"delay": 15 + n % 4, "time": S + n * 15 + 300}}],
                        },
                    }
                    for k in (0, 1)
                ]
            }
        ),
        [("e0", T, "arrival.delay", 15.0), ("e1", T + 15_000, "arrival.delay", 16.0)],
        key=None,
    ),
    "OwnTracks": Sibling(
        each(
            lambda n: {
                "_type": "location",
                "created_at": S + n * 30 + 1,
                "tid": f"p{n % 2}",
                "tst": S + n * 30,
                "vel": 5 + n % 3,
            }
        ),
        [("p0", T, "vel", 5.0), ("p1", T + 30_000, "vel", 6.0)],
        key=None,
    ),
    "smart meter by codes of OBIS": Sibling(
        each(
            lambda n: {
                "0-0:1.0.0": f"2403011{n // 6}{n % 6}000W",
                "0-0:96.1.1": "4530303434303037",
                "1-0:1.7.0": 20.5 + n % 5,
            }
        ),
        [("4530303434303037", T - 3_600_000, "1-0:1.7.0", 20.5)],
        absent=("0-0:1.0.0", "0-0:96.1.1"),
        key=None,
    ),
    "messages of FIX as JSON": Sibling(
        each(
            lambda n: {
                "8": "FIX.4.4",
                "34": str(100 + n),
                "52": digits(n, 1, "%Y%m%d-%H:%M:%S.250"),
                "55": f"S{n % 2}",
                "270": f"{20.5 + n}",
            }
        ),
        [("S0", T + 250, "270", 20.5), ("S1", T + 1250, "270", 21.5)],
        absent=("34",),
        key=None,
    ),
    "intervals of Green Button": Sibling(
        each(
            lambda n: {
                "usagePoint": "u",
                "readings": [{"timePeriod": {"duration": 900, "start": S + n * 900}, "value": 5 + n % 3}],
            }
        ),
        [("u", T, "value", 5.0)],
        absent=("timePeriod.duration",),
        key=None,
    ),
    **{
        f"dates of digits, {name}": Sibling(
            each(
                lambda n, step=step, pattern=pattern, number=number: {
                    "time": number(digits(n, step, pattern)),
                    "x": 20.5 + n,
                }
            ),
            [("own", T - offset + n * step * 1000, "x", 20.5 + n) for n in (0, 1)],
            absent=("time",),
        )
        for name, step, pattern, number, offset in (
            ("days as numbers", 86_400, "%Y%m%d", int, 36_000_000),
            ("hours as numbers", 3600, "%Y%m%d%H", int, 0),
            ("hours as text", 3600, "%Y%m%d%H", str, 0),
            ("minutes as numbers", 60, "%Y%m%d%H%M", int, 0),
            ("minutes as text", 60, "%Y%m%d%H%M", str, 0),
            ("seconds as numbers", 1, "%Y%m%d%H%M%S", int, 0),
            ("milliseconds as text", 1, "%Y%m%d%H%M%S000", str, 0),
        )
    },
    "times that Go prints": Sibling(
        each(lambda n: {"time": digits(n, 1, "%Y-%m-%d %H:%M:%S.5 +0000 UTC m=+0.5"), "x": 20.5 + n}),
        [("own", T + 500, "x", 20.5)],
        absent=("time",),
    ),
    "days of spreadsheets": Sibling(
        each(lambda n: {"time": 45352.4166 + n / 24, "x": 20.5 + n % 3}),
        [("own", T, "x", 20.5)],
        absent=("time",),
        doubt="`time`, such as 45352.4166, looks like days since 1900",
    ),
    "Julian days": Sibling(
        each(lambda n: {"time": 2460370.9166 + n / 24, "x": 20.5 + n % 3}),
        [("own", T, "x", 20.5)],
        absent=("time",),
        doubt="`time`, such as 2460370.9166, looks like a Julian day",
    ),
}
"""By name of the kind."""
