"""Messages of exporters, gateways and services whose first proposals had a wrong time, key or field."""

from typing import Any

from support.siblings import S, Sibling, T, each, iso


def in_use(n: int) -> dict[str, Any]:
    """Return a request that passed through a proxy, with the times at which the proxy's objects were created."""
    service = {"name": "s1", "port": 80, "created_at": S - 95_000_000}
    return {"started_at": T + 10_000 * n, "latencies": {"proxy": 20.5 + n % 3}, "service": service}


def bucket(n: int) -> dict[str, Any]:
    """Return the answer to a search: hits, and one value per half hour."""
    found = [
        {"key_as_string": iso(k, 1800, ".000Z"), "key": T + 1_800_000 * k, "n": 5 + k, "t": {"value": 20.5 + n + k}}
        for k in (0, 1)
    ]
    return {"took": 5 + n, "hits": {"total": {"value": 1000}}, "aggregations": {"per_hour": {"buckets": found}}}


SIBLINGS_OF_EXPORTERS: dict[str, Sibling] = {
    "a shadow with the speed of a fan": Sibling(
        each(lambda n: {"state": {"reported": {"temp": 20.5, "fan": n % 3}}, "version": 7 + n, "timestamp": S + n}),
        [("own", T + 1000, "fan", 1.0)],
        absent=("version",),
    ),
    "names with dots that end in a code": Sibling(
        each(lambda n: {"@timestamp": iso(n), "host": "h1", "check.exit_status": 0, "check.load1.value": 20.5 + n}),
        [("h1", T, "check.load1.value", 20.5)],
        absent=("check.exit_status",),
    ),
    "events about objects": Sibling(
        each(
            lambda n: {
                "metadata": {"name": f"p.{n}", "uid": f"u{n}", "resourceVersion": f"{12345 + n}"},
                "involvedObject": {"name": f"p{n % 2}"},
                "count": 5 + n // 2,
                "firstTimestamp": iso(0),
                "lastTimestamp": iso(n),
            },
        ),
        [("p0", T, "count", 5.0), ("p1", T + 10_000, "count", 5.0)],
    ),
    "shares of a processor's time": Sibling(
        each(lambda n: {"host": "h1", "time": S + n, "us": 5 + n % 2, "sy": 2, "id": 93 - n % 2, "wa": 0}),
        [("h1", T, "id", 93.0)],
    ),
    "a value beside its text": Sibling(
        each(lambda n: {"id": f"sensor-{n % 2}", "state": f"{20.5 + n:.3f} °C", "value": 20.5 + n}),
        [("sensor-0", T, "value", 20.5)],
        absent=("state",),
        key=None,
    ),
    "codes of flows": Sibling(
        each(
            lambda n: (
                {"time_ns": (S + n) * 10**9, "sampler_address": "10.0.0.1", "sampling_rate": 1000, "bytes": 5 + n * n}
                | {"ip_tos": 0, "tcp_flags": 24, "icmp_type": 0, "src_as": 64512, "src_vlan": 0, "ip_ttl": 64}
            )
        ),
        [("10.0.0.1", T, "bytes", 5.0)],
        absent=("sampling_rate", "ip_tos", "tcp_flags", "icmp_type", "src_as", "src_vlan", "ip_ttl"),
        key=None,
    ),
    "the status of a ship": Sibling(
        each(
            lambda n: {"mmsi": f"36730742{n % 2}", "status": n // 4 % 3, "speed": 20.5 + n, "second": 33, "at": iso(n)}
        ),
        [("367307420", T, "speed", 20.5)],
        absent=("status", "second"),
        key=None,
    ),
    "a time that is still to come": Sibling(
        each(lambda n: {"e": "markPriceUpdate", "E": T + n, "s": "B", "p": f"{20.5 + n}", "T": T + 28_800_000}),
        [("B", T, "p", 20.5)],
        absent=("T",),
        key=None,
    ),
    "elements of which one has another member": Sibling(
        each(
            lambda n: {
                "production": [
                    {"type": "inverters", "readingTime": S + n, "wNow": 500 + n % 9},
                    {"type": "eim", "measurementType": "p", "readingTime": S + n, "wNow": 510 + n % 9},
                ]
            }
        ),
        [("own/inverters", T, "wNow", 500.0), ("own/eim", T, "wNow", 510.0)],
    ),
    "the elevation as an object": Sibling(
        each(lambda n: {"station": "K", "timestamp": iso(n), "elevation": {"value": 205}, "t": {"value": 20.5 + n}}),
        [("K", T, "t.value", 20.5)],
        absent=("elevation.value",),
    ),
    "lists in lists beside types": Sibling(
        each(
            lambda n: {
                "station_id": 1,
                "sensors": [{"lsid": 5, "sensor_type": 43, "data": [{"ts": S + n, "temp": 20.5 + n}]}],
                "generated_at": S + n + 5,
            }
        ),
        [("1", T, "temp", 20.5)],
        absent=("lsid", "sensor_type"),
        key=None,
    ),
    "three answers to a search": Sibling(
        each(bucket, 3), [("own", T, "t.value", 20.5), ("own", T + 1_800_000, "n", 6.0)], absent=("took",)
    ),
    "three requests through a proxy": Sibling(
        each(in_use, 3), [("s1", T, "latencies.proxy", 20.5)], absent=("service.port", "service.created_at"), key=None
    ),
    "three rows with a date beside the time": Sibling(
        each(
            lambda n: {"host": "h", "event_date": "2024-03-01", "event_time": iso(n, 10, "").replace("T", " "), "x": 5},
            3,
        ),
        [("h", T + 10_000, "x", 5.0)],
    ),
    "an id of a database": Sibling(
        each(lambda n: {"datid": 16384, "datname": "d", "numbackends": 5 + n % 3, "ts": S + n}, 3),
        [("d", T, "numbackends", 5.0)],
        absent=("datid",),
        key=None,
    ),
    "a large rate": Sibling(
        each(lambda n: {"host": "h", "time": iso(n), "bandwidth": 117_000_000 + 10_007 * n}, 3),
        [("h", T, "bandwidth", 117_000_000.0)],
    ),
    "values with names beside numbers of the place": Sibling(
        each(
            lambda n: {
                "timestamp": iso(n),
                "location": {"indoor": 0, "floor": 2},
                "sensor": {"id": 77},
                "sensordatavalues": [{"value": f"{20.5 + n}", "value_type": "P1"}, {"value": "9", "value_type": "P2"}],
            },
            3,
        ),
        [("77", T, "P1", 20.5), ("77", T, "P2", 9.0)],
        key=None,
    ),
    "a client beside the service": Sibling(
        each(lambda n: {"ClientHost": "10.0.0.9", "ServiceName": "s", "time": iso(n), "Duration": 20.5 + n}),
        [("s", T, "Duration", 20.5)],
        key=None,
    ),
    "measured values whose names end like ids and codes": Sibling(
        each(
            lambda n: (
                {"host": "i1", "time": S + n, "pgrid": 966 + 7 * n % 31, "vgrid": 230.5 + n % 3}
                | {
                    "bestbid": 100.5 + n % 7,
                    "unpaid": 3 + n * n % 7,
                    "requests_by_type": 20 + n % 7,
                    "exposure_mAs": 2.5 + n % 5,
                }
                | {"sampling_flow": 16.5 + n % 3, "wind_type": 3 + n % 2, "radio": 37.5 + n % 4, "second": 0.5 + n % 5}
                | {"position": {"value": 40.5 + n % 6}, "cpu_time": 220_000_000 + n * n * 3331}
            )
        ),
        [
            ("i1", T, "pgrid", 966.0),
            ("i1", T, "vgrid", 230.5),
            ("i1", T, "bestbid", 100.5),
            ("i1", T, "unpaid", 3.0),
            ("i1", T, "requests_by_type", 20.0),
            ("i1", T, "exposure_mAs", 2.5),
            ("i1", T, "sampling_flow", 16.5),
            ("i1", T, "radio", 37.5),
            ("i1", T, "second", 0.5),
            ("i1", T, "position.value", 40.5),
            ("i1", T, "cpu_time", 220_000_000.0),
        ],
        absent=("wind_type",),
        key=None,
    ),
    "a text that is 0 beside a value that is 0": Sibling(
        each(lambda n: {"host": "h", "time": iso(n), "value": 0, "errors": "0", "x": 20.5 + n}),
        [("h", T, "value", 0.0), ("h", T, "errors", 0.0), ("h", T, "x", 20.5)],
    ),
    "a few numbers in a row": Sibling(
        each(lambda n: {"host": "h", "time": iso(n), "RequestCount": 7 + n, "x": 20.5}, 3),
        [("h", T, "x", 20.5)],
        doubt="`RequestCount` rises by 1 with each of a few records",
    ),
    "a column per date": Sibling(
        ["country,lat,1/1/20,1/2/20,1/3/20\nA,1.5,5,6,7\nB,2.5,6,7,8\n"],
        [],
        doubt="the columns are named by dates, such as `1/1/20`",
        timestamp=-1,
    ),
}
"""By name of the kind."""
