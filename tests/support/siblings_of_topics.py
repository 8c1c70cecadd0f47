"""Messages of further kinds, with the right observations: codes and flags, few records, odd times and places."""

from datetime import UTC, datetime

from support.siblings import S, Sibling, T, each, iso

HOUR = 3_600_000


def clock(seconds: int, pattern: str) -> str:
    """Return the time `seconds` after `S` in a pattern of `strftime`."""
    return datetime.fromtimestamp(S + seconds, UTC).strftime(pattern)


def statistics(n: int) -> dict[str, object]:
    """Return a day's statistics of one of two symbols, as Binance sends them every second."""
    prices = {name: f"{20.5 + n + place:.2f}" for place, name in enumerate("pPwxcbBaAohlvq")}
    times = {"E": T + n // 2 * 1000 + 23, "O": T + n // 2 * 1000 - 24 * HOUR, "C": T + n // 2 * 1000 + 23}
    return {"e": "24hrTicker", "s": ["A", "B"][n % 2], "F": 3_400_000_000 + n, "L": 3_401_000_000 + n} | prices | times


SIBLINGS_OF_TOPICS: dict[str, Sibling] = {
    "events of one source about two devices": Sibling(
        each(
            lambda n: (
                {"specversion": "1.0", "id": f"e{n}", "source": "/hub", "type": "t", "time": iso(n // 2)}
                | {"data": {"deviceId": f"d{n % 2}", "temp": 20.5 + n}}
            )
        ),
        [("d0", T, "temp", 20.5), ("d1", T, "temp", 21.5)],
        key=None,
    ),
    "events of one source without devices": Sibling(
        each(
            lambda n: (
                {"specversion": "1.0", "id": f"e{n}", "source": "/hub", "type": "t", "time": iso(n)}
                | {"data": {"shift": ["early", "late"][n // 4 % 2], "temp": 20.5 + n}}
            )
        ),
        [("/hub", T, "temp", 20.5), ("/hub", T + 40_000, "temp", 24.5)],
        key=None,
    ),
    "a change with a sequence that begins like a date": Sibling(
        each(
            lambda n: {
                "message": {
                    "data": {"SENSOR_ID": f"s{n % 2}", "TEMP": 20.5 + n},
                    "headers": {"changeSequence": f"20240301100000{n:021d}", "timestamp": iso(n // 2, end=".000")},
                }
            }
        ),
        [("s0", T, "TEMP", 20.5), ("s1", T, "TEMP", 21.5), ("s0", T + 10_000, "TEMP", 22.5)],
        key=None,
    ),
    "three requests, each with an id, to two sites": Sibling(
        each(lambda n: {"RayID": f"a{n}f", "ZoneName": f"z{n % 2}.example", "ts": iso(n), "bytes": 500 + n * n}, 3),
        [("z0.example", T, "bytes", 500.0), ("z1.example", T + 10_000, "bytes", 501.0)],
        key=None,
    ),
    "cards polled one after the other": Sibling(
        each(lambda n: {"timestamp": T + n // 2 * 5000 + n % 2 * 2, "name": "H", "index": n % 2, "power": 250.5 + n}),
        [("H/0", T, "power", 250.5), ("H/1", T + 2, "power", 251.5)],
        key=None,
    ),
    "counts by status": Sibling(
        each(
            lambda n: {"service": f"s{n % 2}", "ts": iso(n // 2), "ok_status": 591 + n * 7, "failed_status": n * 3 % 31}
        ),
        [("s0", T, "ok_status", 591.0), ("s1", T, "failed_status", 3.0)],
        key=None,
    ),
    "a data set with a status that is always good": Sibling(
        each(
            lambda n: (
                {"PublisherId": f"p{n % 2}"}
                | {"Messages": [{"Timestamp": iso(n // 2), "Status": 0, "Payload": {"Temp": {"Body": 20.5 + n}}}]}
            )
        ),
        [("p0", T, "Payload.Temp.Body", 20.5)],
        absent=("Status",),
        key=None,
    ),
    "a relay with nothing but a status": Sibling(
        each(lambda n: {"device": f"r{n % 2}", "ts": iso(n // 2), "status": 1}),
        [("r0", T, "status", 1.0), ("r1", T, "status", 1.0)],
        key=None,
    ),
    "three calls of a charging station": Sibling(
        [
            [
                2,
                f"id{n}",
                "TransactionEvent",
                {
                    "timestamp": iso(n),
                    "seqNo": n,
                    "evse": {"id": 1},
                    "meterValue": [
                        {
                            "timestamp": iso(n),
                            "sampledValue": [
                                {"value": 20.5 + n, "measurand": "Power"},
                                {"value": 120.5 + n, "measurand": "Energy"},
                            ],
                        }
                    ],
                },
            ]
            for n in range(3)
        ],
        [("own", T, "Power", 20.5), ("own", T + 10_000, "Energy", 121.5)],
    ),
    "codes and flags of ships and reports": Sibling(
        each(
            lambda n: (
                {"mmsi": 211000000 + n % 2, "time": iso(n // 2), "speed": 9.5 + n, "repeat": 0, "maneuver": n % 3}
                | {"mostRecent": 1, "prior": 2, "decimal": 0, "label": "5", "work_mode": 2, "RepeatIndicator": 0}
            )
        ),
        [("211000000", T, "speed", 9.5)],
        absent=("repeat", "maneuver", "mostRecent", "prior", "decimal", "label", "work_mode", "RepeatIndicator"),
        key=None,
    ),
    "codes of states, raw ones and those of quality": Sibling(
        each(
            lambda n: (
                {"TagName": f"t{n % 2}", "DateTime": iso(n // 2), "Value": 20.5 + n, "QualityDetail": 192}
                | {"state": 0, "status_raw": 3}
            )
        ),
        [("t0", T, "Value", 20.5), ("t1", T, "Value", 21.5)],
        absent=("QualityDetail", "state", "status_raw"),
        key=None,
    ),
    "numbers whose names only resemble codes": Sibling(
        each(
            lambda n: (
                {"model": f"m{n % 2}", "ts": iso(n // 2), "repeat_count": n * 5 % 7, "color_temp": 150 + n * n}
                | {"p99_lat": 20 + n * 7 % 5, "precision": 0.5 + n / 50, "prior": 0.25, "pump_state": n // 2 % 2}
            )
        ),
        [
            *(("m0", T, "repeat_count", 0.0), ("m1", T, "color_temp", 151.0), ("m0", T, "p99_lat", 20.0)),
            *(("m0", T, "precision", 0.5), ("m0", T, "prior", 0.25), ("m1", T + 10_000, "pump_state", 1.0)),
        ],
        key=None,
    ),
    "a day's statistics with their start and end": Sibling(
        each(statistics, 3),
        [("A", T + 23, "c", 24.5), ("B", T + 23, "x", 24.5), ("A", T + 1023, "p", 22.5)],
        absent=("e", "E", "O", "C", "F", "L"),
        key=None,
    ),
    "names of columns in angle brackets": Sibling(
        ["<TICKER>,<PER>,<DATE>,<TIME>,<CLOSE>\n" + "".join(f"A,60,20240301,1{n}0000,{20.5 + n}\n" for n in range(9))],
        [("A", T, "<CLOSE>", 20.5), ("A", T + HOUR, "<CLOSE>", 21.5)],
        absent=("<PER>",),
        key=None,
    ),
    "codes with zeros at the beginning, in turn": Sibling(
        each(
            lambda n: (
                {"site_no": f"0164650{n % 2}", "parameterCd": ["00060", "00065"][n // 2 % 2]}
                | {"dateTime": iso(n // 4), "value": f"{20.5 + n}"}
            )
        ),
        [("01646500/00060", T, "value", 20.5), ("01646501/00065", T, "value", 23.5)],
        key=None,
    ),
    "three readings with ids of their own": Sibling(
        each(lambda n: {"@id": f"r-{n}", "dateTime": iso(n // 2), "measure": f"m{n % 2}", "value": 20.5 + n}, 3),
        [("m0", T, "value", 20.5), ("m1", T, "value", 21.5)],
        key=None,
    ),
    "three records with a period of waves": Sibling(
        each(lambda n: {"buoy": f"b{n % 2}", "time": iso(n // 2), "wave_period": 9, "sample_period_s": 5, "h": 2.5}, 3),
        [("b0", T, "wave_period", 9.0), ("b1", T, "h", 2.5)],
        absent=("sample_period_s",),
        key=None,
    ),
    "three events about two quantities": Sibling(
        each(
            lambda n: (
                {"coreid": f"c{n % 2}", "event": ["temp", "hum"][n // 2], "data": f"{20.5 + n}"}
                | {"published_at": iso(0), "ttl": 60}
            ),
            3,
        ),
        [("c0/temp", T, "data", 20.5), ("c0/hum", T, "data", 22.5), ("c1/temp", T, "data", 21.5)],
        key=None,
    ),
    "types of data beside readings": Sibling(
        each(
            lambda n: {
                "id": f"m{n}",
                "origin": (T + n * 1000) * 1_000_000,
                "readings": [
                    {"deviceName": "d", "resourceName": name, "valueType": "Float64", "value": f"{20.5 + n:.6e}"}
                    for name in ("Temp", "Hum")
                ],
            }
        ),
        [("d/Temp", T, "value", 20.5), ("d/Hum", T + 1000, "value", 21.5)],
        key=None,
    ),
    "coordinates of a gateway and a trip": Sibling(
        each(
            lambda n: (
                {"DevEUI": f"e{n % 2}", "Time": iso(n // 2), "LrrLAT": "48.1", "LrrLON": "11.2", "SpFact": "7"}
                | {"start_lat": 52.1 + n / 100, "start_lng": 13.1, "temp": 20.5 + n}
            )
        ),
        [("e0", T, "temp", 20.5)],
        absent=("LrrLAT", "LrrLON", "SpFact", "start_lat", "start_lng"),
        key=None,
    ),
    "morning and afternoon without a space": Sibling(
        each(lambda n: {"machine": f"m{n % 2}", "when": clock(n // 2 * 1800, "%d-%b-%Y %I:%M%p"), "load": 20.5 + n}),
        [("m0", T, "load", 20.5), ("m0", T + 5 * HOUR // 2, "load", 30.5)],
        doubt="no offset",
        key=None,
    ),
    "units with squares and cubes": Sibling(
        each(
            lambda n: {
                "plant": f"p{n % 2}",
                "time": iso(n // 2),
                "flow": f"{20.5 + n} m3/h",
                "sun": f"{300 + n}.5 W/m2",
            }
        ),
        [("p0", T, "flow", 20.5), ("p1", T, "sun", 301.5)],
        key=None,
    ),
    "digits with an offset under a plain name": Sibling(
        each(
            lambda n: {"patient_id": f"p{n % 2}", "observed": f"2024030111{n // 2:02d}00+0100", "hr": 60 + n * n % 40}
        ),
        [("p0", T, "hr", 60.0), ("p0", T + 60_000, "hr", 64.0)],
        key=None,
    ),
    "an ambiguous date near the record's own time": Sibling(
        each(
            lambda n: {"park": f"p{n % 2}", "Timestamp": clock(n // 2 * 60, "%d/%m/%Y %I:%M:%S %p"), "free": 20 + n * n}
        ),
        [("p0", T, "free", 20.0), ("p0", T + 60_000, "free", 24.0)],
        doubt="are read as day first",
        key=None,
    ),
    "dates with the day first beside a clock of twelve hours": Sibling(
        each(lambda n: {"pump": "p", "Timestamp": clock(n * 7200, "%d/%m/%Y %I:%M:%S %p"), "free": 20 + n * n}),
        [("p", T, "free", 20.0), ("p", T + 14 * HOUR, "free", 69.0)],
        doubt="are read as day first",
        key=None,
        timestamp=-1,
    ),
    "days of spreadsheets under the name of a time": Sibling(
        ["Time,Load\n" + "".join(f"{45352 + (10 + n) / 24:.6f},{20.5 + n % 4}\n" for n in range(12))],
        [("topic", T, "Load", 20.5)],
        absent=("Time",),
        doubt="days",
        key=None,
    ),
    "slaves of a gateway": Sibling(
        each(lambda n: {"gw": "g", "ts": S + n // 2 * 10, "slave": n % 2 + 1, "values": {"U_L1": 229.5 + n}}),
        [("g/1", T, "U_L1", 229.5), ("g/2", T, "U_L1", 230.5)],
        absent=("slave",),
        key=None,
    ),
    "whole numbers of devices in turn": Sibling(
        each(lambda n: {"gw": "g", "ts": S + n // 3 * 10, "abteil": n % 3 + 1, "temp": 20.5 + n}),
        [("g/1", T, "temp", 20.5), ("g/2", T, "temp", 21.5), ("g/3", T + 10_000, "temp", 25.5)],
        key=None,
    ),
    "elements with times of their own": Sibling(
        each(
            lambda n: (
                {"timestamp": T + n * 10_000}
                | {"values": [{"id": f"tag{i}", "v": 20.5 + n + i, "t": T + n * 10_000 - 3} for i in range(2)]}
            )
        ),
        [("tag0", T - 3, "v", 20.5), ("tag1", T + 9_997, "v", 22.5)],
        key=None,
    ),
    "nitric oxide beside its dioxide": Sibling(
        each(lambda n: {"station": f"s{n % 2}", "time": iso(n // 2), "no": 20.5 + n, "no2": 40.5}),
        [("s0", T, "no", 20.5), ("s1", T, "no2", 40.5)],
        key=None,
    ),
    "three rows with an index without a name": Sibling(
        ["\ttime\ta\tb\n" + "".join(f"{n}\t{iso(n)}\t{20.5 + n}\t{7 * n % 5}\n" for n in range(3))],
        [("topic", T, "a", 20.5), ("topic", T, "b", 0.0)],
        absent=("c1",),
        key=None,
    ),
    "a number and a text that repeats it with its unit": Sibling(
        each(lambda n: {"device": f"d{n % 2}", "ts": iso(n // 2), "last": f"{20.5 + n} kbit/s", "last_raw": 20.5 + n}),
        [("d0", T, "last_raw", 20.5), ("d1", T, "last_raw", 21.5)],
        absent=("last",),
        key=None,
    ),
    "a symbol of a unit": Sibling(
        each(
            lambda n: (
                {"phenomenonTime": iso(n // 2), "result": 20.5 + n}
                | {"Datastream": {"name": f"Temp {n % 2}", "unitOfMeasurement": {"symbol": "C"}}}
            )
        ),
        [("Temp 0", T, "result", 20.5), ("Temp 1", T, "result", 21.5)],
        key=None,
    ),
    "sessions in a list, with their starts": Sibling(
        each(
            lambda n: (
                {"timestamp": iso(n)}
                | {
                    "chargers": [
                        {"id": f"c{i}", "start": f"2024-03-01T0{8 - i}:00:00Z", "kwh": 20.5 + n} for i in range(2)
                    ]
                }
            )
        ),
        [("c0", T, "kwh", 20.5), ("c1", T + 10_000, "kwh", 21.5)],
        key=None,
    ),
    "changes of one row": Sibling(
        each(
            lambda n: (
                {"before": None, "after": {"id": 1, "product": ["X", "Y"][n // 6], "temp": 20.5 + n}}
                | {"source": {"ts_ms": T + n}, "op": "u", "ts_ms": T + n}
            )
        ),
        [("1", T, "temp", 20.5), ("1", T + 6, "temp", 26.5)],
        key=b'{"id":1}',
    ),
    "offsets of clocks, and codes that begin with the word": Sibling(
        each(
            lambda n: (
                {"host": f"h{n % 2}", "ts": S + n // 2 * 64, "offset_ms": n * 7 % 5 - 1.631, "offset": 7000 + n * n}
                | {"code_area": "1", "valid": 1}
            )
        ),
        [("h0", T, "offset_ms", -1.631), ("h1", T, "offset_ms", 0.369)],
        absent=("offset", "code_area", "valid"),
        key=None,
    ),
}
