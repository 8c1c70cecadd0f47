"""Messages with codes, numbers of things and rolling counters beside what they measure, and the right observations."""

import json
from typing import Any

from support.siblings import S, Sibling, T, each, iso


def wave(index: int) -> int:
    """Return a whole number that rises and falls."""
    return 20 + index * 7 % 11


def collected(n: int) -> list[dict[str, Any]]:
    """Return values of two plugins of collectd in turn."""
    plugin, instance = [("interface", "eth0"), ("disk", "sda")][n % 2]
    return [
        {
            "values": [wave(n), wave(n) / 2], "dsnames": ["rx", "tx"], "dstypes": ["derive", "derive"],
            "time": S + n * 10 + 0.123, "interval": 10.0, "host": "h1", "plugin": plugin,
            "plugin_instance": instance, "type": "ops", "type_instance": "",
        }
    ]  # fmt: skip


CONNECT = {"type": "string", "optional": False}
DOUBT = "whole numbers that are always the same, or a few that recur"

SIBLINGS_OF_CODES: dict[str, Sibling] = {
    "frames of J1939": Sibling(
        each(lambda n: {"ts": T + n * 100, "pgn": 61444, "sa": 0, "da": 255, "prio": 3, "spn_190": 1480 + wave(n)}),
        [("own", T, "spn_190", 1500.0)],
        absent=("sa", "da", "prio", "pgn"),
    ),
    "quality codes of ADS-B": Sibling(
        each(
            lambda n: {"now": S + n, "hex": "4ca1fa", "gs": 400 + wave(n), "nic": 8, "nac_p": 9, "sil": 3, "version": 2}
        ),
        [("4ca1fa", T, "gs", 420.0)],
        absent=("nic", "nac_p", "sil", "version"),
    ),
    "attempts of a workflow in two repositories": Sibling(
        each(
            lambda n: {
                "workflow_run": {"name": "CI", "run_attempt": 1, "created_at": iso(n), "duration_ms": 9000 + wave(n)},
                "repository": {"full_name": f"a/{n % 2}"},
            }
        ),
        [("a/0", T, "workflow_run.duration_ms", 9020.0)],
        absent=("workflow_run.run_attempt",),
    ),
    "exchange and tape of a trade": Sibling(
        each(
            lambda n: {
                "ev": "T",
                "sym": "AB"[n % 2],
                "x": [4, 11, 12][n % 3],
                "z": [3, 1][n % 2],
                "p": 114.5 + n,
                "s": wave(n),
                "t": T + n,
                "q": 3681328 + 7 * n,
            }
        ),
        [("A", T, "p", 114.5), ("B", T + 1, "s", 27.0)],
        absent=("x", "z", "q"),
    ),
    "index of a session": Sibling(
        each(lambda n: {"app_id": "web", "collector_tstamp": iso(n), "domain_sessionidx": n % 3, "dwell": wave(n)}),
        [("web", T, "dwell", 20.0)],
        absent=("domain_sessionidx",),
    ),
    "function code and size of a Modbus request": Sibling(
        each(
            lambda n: {
                "device": "m",
                "slave": 1,
                "fc": 3,
                "address": 40001,
                "quantity": 2,
                "value": wave(n),
                "ts": T + n,
            }
        ),
        [("m", T, "value", 20.0)],
        absent=("fc", "quantity", "address", "slave"),
    ),
    "generic and specific traps": Sibling(
        each(lambda n: {"agent": f"10.0.0.{n % 2}", "generic": 6, "specific": 3, "time": iso(n), "load": wave(n)}),
        [("10.0.0.0", T, "load", 20.0)],
        absent=("generic", "specific"),
    ),
    "loads of a machine without a name": Sibling(
        each(lambda n: {"ts": T + n * 1000, "cpu": 20 + wave(n), "mem": 40 + wave(n), "disk": 70 + n // 9}, 24),
        [("own", T, "cpu", 40.0), ("own", T + 1000, "mem", 67.0)],
    ),
    "loads of four processors": Sibling(
        each(lambda n: {"ts": T + n // 4 * 1000, "cpu": n % 4, "load": wave(n)}, 40),
        [("0", T, "load", 20.0), ("1", T, "load", 27.0)],
        absent=("cpu",),
    ),
    "gauges of StatsD": Sibling(
        each(lambda n: {"timestamp": S + n * 10, "counters": {"hits": wave(n)}, "gauges": {"queue": wave(n)}}, 24),
        [("own", T, "gauges.queue", 20.0)],
    ),
    "rolling counters": Sibling(
        each(
            lambda n: {"ts": T + n * 10, "id": "0x1A0", "rpm": 1480 + wave(n), "alive": n % 16, "cnt": (n + 3) % 16}, 40
        ),
        [("0x1A0", T, "rpm", 1500.0)],
        absent=("alive", "cnt"),
    ),
    "status of an answer as text": Sibling(
        each(lambda n: {"@timestamp": iso(n), "host": "lb", "response": "200", "request_time": f"0.{wave(n)}"}),
        [("lb", T, "request_time", 0.2)],
        absent=("response",),
    ),
    "tariff of a meter": Sibling(
        each(lambda n: {"meter": "L", "ts": iso(n), "1-0:16.7.0": 500 + wave(n), "0-0:96.14.0": 1, "active_tariff": 2}),
        [("L", T, "1-0:16.7.0", 520.0)],
        absent=("0-0:96.14.0", "active_tariff"),
    ),
    "height of a place": Sibling(
        each(
            lambda n: {"gatewayId": "g", "time": iso(n), "rx": wave(n), "location": {"latitude": 1.1, "altitude": 30.5}}
        ),
        [("g", T, "rx", 20.0)],
        absent=("location.altitude",),
    ),
    "states as decimal numbers": Sibling(
        each(
            lambda n: {"host": f"h{n % 2}", "time": iso(n), "check": {"state": [0.0, 2.0][n % 3 == 2], "rtt": 0.5 + n}}
        ),
        [("h0", T, "check.rtt", 0.5)],
        absent=("check.state",),
    ),
    "a state alone": Sibling(
        each(lambda n: {"host": "h", "time": iso(n), "state": [0.0, 2.0][n % 3 == 2]}),
        [("h", T, "state", 0.0)],
        doubt="`state` is the code of a status, but no other number is a field",
    ),
    "two plugins of collectd": Sibling(
        each(collected),
        [("h1/interface", T + 123, "rx", 20.0), ("h1/disk", T + 10_123, "tx", 13.5)],
    ),
    "two items of a machine, not at once": Sibling(
        each(
            lambda n: {"device": "mill", "dataItemId": f"x{n % 2}", "timestamp": iso(n), "value": wave(n) + n % 2 * 500}
        ),
        [("mill/x0", T, "value", 20.0), ("mill/x1", T + 10_000, "value", 527.0)],
    ),
    "metrics of two agents beside a source and an age": Sibling(
        each(
            lambda n: {
                "agent": f"10.0.0.{n // 2 % 2}",
                "datasource": "2",
                "metric": f"m{n % 2}",
                "value": wave(n),
                "lastUpdate": 30 + n % 7,
                "ts": T + n // 2 * 1000,
            },
            40,
        ),
        [("10.0.0.0", T, "m0", 20.0), ("10.0.0.1", T + 1000, "m1", 30.0)],
        absent=("datasource", "lastUpdate", "value"),
    ),
    "counters of a database": Sibling(
        each(lambda n: {"datname": "a", "time": iso(n), "blks_hit": 10**7 + n * 300, "numbackends": wave(n)}),
        [("a", T, "blks_hit", 1e7)],
    ),
    "a client's library": Sibling(
        each(
            lambda n: {
                "context": {"library": {"name": "x"}},
                "timestamp": iso(n),
                "messageId": f"m{n}",
                "revenue": wave(n),
            }
        ),
        [("own", T, "revenue", 20.0)],
    ),
    "lines of JSON in Connect's payload": Sibling(
        each(lambda n: {"schema": CONNECT, "payload": json.dumps({"ts": T + n * 1000, "dev": "a", "temp": wave(n)})}),
        [("a", T, "temp", 20.0)],
    ),
    "a table of the German weather service": Sibling(
        [
            "STATIONS_ID;MESS_DATUM;QN_9;TT_TU;eor\n"
            + "".join(f"        433;20240301{n:02d};    3;   {wave(n)}.5;eor\n" for n in range(10, 22))
        ],
        [("433", T, "TT_TU", 24.5)],
        absent=("QN_9",),
    ),
    "orders and shifts": Sibling(
        each(
            lambda n: {
                "machine": "M7",
                "order": 480011,
                "op": 10,
                "shift": 1,
                "good": 100 + wave(n),
                "ts": T + n * 1000,
            }
        ),
        [("M7", T, "good", 120.0)],
        absent=("order", "op", "shift"),
    ),
    "numbers of inputs": Sibling(
        each(
            lambda n: {
                "utcTimeStamp": T + n * 1000,
                "serialNr": "5010",
                "channelPowers": [{"ctInput": k, "phaseId": k, "power": wave(n + k)} for k in range(3)],
            }
        ),
        [("5010/0", T, "power", 20.0), ("5010/2", T, "power", 23.0)],
        absent=("ctInput",),
    ),
    "settings of a lamp": Sibling(
        each(lambda n: {"bri": 100 + wave(n), "ps": 3, "fx": 9, "seg": 0, "ts": T + n * 1000, "mac": "aa"}),
        [("aa", T, "bri", 120.0)],
        doubt=f"`ps`, `fx`, `seg`: {DOUBT}",
    ),
    "a validity that is always the same": Sibling(
        each(
            lambda n: {"cluster": "c", "host": f"n{n % 2}", "metric": "load", "tmax": 70, "val": wave(n), "ts": S + n}
        ),
        [("n0/load", T, "val", 20.0)],
        absent=("tmax",),
    ),
}
