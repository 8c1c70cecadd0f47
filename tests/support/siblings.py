"""Messages as people have them in topics, with the right observations: the kinds that `sniff` must read by itself."""

import base64
import json
from typing import Any, NamedTuple


class Sibling(NamedTuple):
    """Values of records, and some of the right observations: key, time in ms, field and value."""

    values: list[Any]
    """Texts and bytes as they are, others as JSON."""
    expected: list[tuple[str, int, str, float]]
    absent: tuple[str, ...] = ()
    """Fields that must not be read."""
    doubt: str = ""
    """A part of a doubt that must be raised."""
    key: bytes | None = b"own"
    timestamp: int = 1_709_287_200_000

    def payloads(self) -> list[bytes]:
        """Return the values as bytes."""
        texts = [each if isinstance(each, str | bytes) else json.dumps(each) for each in self.values]
        return [each.encode() if isinstance(each, str) else each for each in texts]


T = 1_709_287_200_000
"""2024-03-01T10:00:00Z."""
S = T // 1000


def iso(index: int, step: int = 10, end: str = "Z") -> str:
    """Return a time of a series with one value per `step` seconds."""
    minutes, seconds = divmod(index * step, 60)
    return f"2024-03-01T10:{minutes:02d}:{seconds:02d}{end}"


def hour(index: int) -> str:
    """Return an hour of 2024-03-01 with the day first."""
    return f"01.03.2024 {index:02d}:00"


def in_base64(document: Any) -> str:
    """Return a document as JSON in base64."""
    return base64.b64encode(json.dumps(document).encode()).decode()


def each(make: Any, count: int = 12) -> list[Any]:
    """Return the results of a function of 0, 1 and so on."""
    return [make(index) for index in range(count)]


SIBLINGS: dict[str, Sibling] = {
    "flat": Sibling(
        each(lambda n: {"device": f"p{n % 2}", "ts": T + n // 2 * 10_000, "temp": 20 + n / 10, "hum": 40}),
        [("p0", T, "temp", 20.0), ("p1", T, "temp", 20.1), ("p1", T + 10_000, "hum", 40.0)],
    ),
    "epoch seconds as text, nested": Sibling(
        each(
            lambda n: {
                "meta": {"deviceId": f"d{n % 3}"},
                "at": {"ts": str(S + n // 3 * 60)},
                "readings": {"temperature": f"{20 + n / 8}", "rpm": 1480 + 3 * n % 7},
            }
        ),
        [("d0", T, "temperature", 20.0), ("d1", T, "rpm", 1483.0), ("d0", T + 60_000, "temperature", 20.375)],
    ),
    "sequence number and message id": Sibling(
        each(
            lambda n: {
                "sensor_id": "a",
                "timestamp": iso(n),
                "sequence": 100 + n,
                "msg": 7000 + n,
                "pressure": 1.5 + n % 3,
            }
        ),
        [("a", T, "pressure", 1.5), ("a", T + 10_000, "pressure", 2.5)],
        absent=("sequence", "msg"),
    ),
    "id with leading zeros": Sibling(
        each(lambda n: {"meter": "00731", "customer_no": "004711", "time": iso(n), "kwh": f"{5 + n * 0.25}"}),
        [("00731", T, "kwh", 5.0), ("00731", T + 10_000, "kwh", 5.25)],
        absent=("customer_no",),
    ),
    "unit behind the number": Sibling(
        each(
            lambda n: {"name": "boiler", "time": iso(n), "temperature": f"{21 + n / 2} °C", "pressure": f"{1 + n} bar"}
        ),
        [("boiler", T, "temperature", 21.0), ("boiler", T, "pressure", 1.0)],
    ),
    "decimal commas": Sibling(
        each(lambda n: {"Gerät": "Kessel", "Zeit": iso(n), "Temperatur": f"{21 + n},5", "Druck": f"1.0{10 + n},25"}),
        [("Kessel", T, "Temperatur", 21.5), ("Kessel", T, "Druck", 1010.25)],
    ),
    "sentinels": Sibling(
        each(
            lambda n: {
                "station": "s1",
                "time": iso(n),
                "t": -9999 if n == 3 else 12.5 + n / 10,
                "rh": 65 if n != 5 else -9999,
            }
        ),
        [("s1", T, "t", 12.5), ("s1", T + 30_000, "rh", 65.0)],
    ),
    "text among numbers": Sibling(
        each(lambda n: {"entity": "x", "host": "h", "time": iso(n), "v1": "ERR" if n == 2 else f"{n}.5"}),
        [("h", T, "v1", 0.5), ("h", T + 30_000, "v1", 3.5)],
    ),
    "day first": Sibling(
        each(lambda n: {"pump": "p", "datetime": f"{13 + n:02d}/03/2024 10:00:00", "flow": 3.5}),
        [("p", 1_710_324_000_000, "flow", 3.5)],
        doubt="no offset",
    ),
    "month first": Sibling(
        each(lambda n: {"pump": "p", "datetime": f"03/{13 + n:02d}/2024 10:00:00 AM", "flow": 3.5}),
        [("p", 1_710_324_000_000, "flow", 3.5)],
    ),
    "ambiguous date": Sibling(
        [{"pump": "p", "datetime": "03/04/2023 10:00", "flow": 3.5}],
        [("p", 1_680_516_000_000, "flow", 3.5)],
        doubt="first",
    ),
    "dotted day": Sibling(
        each(lambda n: {"pump": "p", "zeit": f"{1 + n}.03.2024 10:00", "flow": 3.5}), [("p", T, "flow", 3.5)]
    ),
    "naive time two hours off": Sibling(
        each(lambda n: {"device": "d", "time": iso(n, 0, ""), "x": 1.5}, 1),
        [("d", T, "x", 1.5)],
        doubt="2 h earlier",
        timestamp=T - 7_200_000,
    ),
    "top-level array": Sibling(
        [each(lambda n: {"id": f"s{n % 2}", "t": T + n // 2 * 1000, "v": n * 1.5}, 6)],
        [("s0", T, "v", 0.0), ("s1", T, "v", 1.5), ("s0", T + 1000, "v", 3.0)],
    ),
    "parent's device beside readings": Sibling(
        [
            {
                "gateway": "g1",
                "deviceId": "d7",
                "count": 2,
                "readings": [{"ts": T, "temp": 20.5, "hum": 40}, {"ts": T + 1000, "temp": 20.6, "hum": 41}],
            }
        ],
        [("d7", T, "temp", 20.5), ("d7", T + 1000, "hum", 41.0)],
        absent=("count",),
    ),
    "array with the time of the parent": Sibling(
        each(
            lambda n: {
                "timestamp": iso(n),
                "sensors": [{"name": "a", "value": 1.5 + n}, {"name": "b", "value": 2.5 + n}],
            },
            4,
        ),
        [("a", T, "value", 1.5), ("b", T, "value", 2.5), ("a", T + 10_000, "value", 2.5)],
    ),
    "nested arrays": Sibling(
        [{"site": "s", "devices": [{"id": "d1", "readings": [{"ts": T, "temp": 1.5}]}]}],
        [("s", T, "temp", 1.5)],
    ),
    "long format with a device": Sibling(
        each(
            lambda n: {
                "device_id": "d1",
                "parameter": "temp" if n % 2 else "hum",
                "value": 20 + n,
                "ts": T + n // 2 * 1000,
            }
        ),
        [("d1", T, "hum", 20.0), ("d1", T, "temp", 21.0)],
    ),
    "long format without a device": Sibling(
        each(lambda n: {"sensor": f"line1.m{n % 3}", "value": n + 0.5, "timestamp": S + n // 3}, 12),
        [("line1.m0", T, "value", 0.5), ("line1.m2", T, "value", 2.5)],
    ),
    "tags": Sibling(
        each(lambda n: {"tags": {"host": f"h{n % 2}", "rack": "r1"}, "time": iso(n // 2), "fields": {"load": n + 0.5}}),
        [("host=h0,rack=r1", T, "load", 0.5), ("host=h1,rack=r1", T, "load", 1.5)],
    ),
    "key of two members": Sibling(
        each(lambda n: {"host": "h", "cpu": f"cpu{n % 2}", "time": iso(n // 2), "usage": n + 0.5}),
        [("h/cpu0", T, "usage", 0.5), ("h/cpu1", T, "usage", 1.5)],
    ),
    "home assistant": Sibling(
        each(
            lambda n: {
                "entity_id": "sensor.kitchen",
                "state": "unavailable" if n == 4 else f"{21 + n / 10:.1f}",
                "attributes": {"unit_of_measurement": "°C", "battery_level": 90, "friendly_name": "Kitchen"},
                "last_changed": iso(n, 10, "+00:00"),
                "last_updated": iso(n, 10, "+00:00"),
            }
        ),
        [("sensor.kitchen", T, "state", 21.0)],
        absent=("attributes.battery_level", "battery_level"),
    ),
    "home assistant event": Sibling(
        each(
            lambda n: {
                "event_type": "state_changed",
                "time_fired": iso(n, 10, "+00:00"),
                "data": {
                    "entity_id": "sensor.a",
                    "old_state": {"entity_id": "sensor.a", "state": "1.5", "last_updated": iso(0)},
                    "new_state": {
                        "entity_id": "sensor.a",
                        "state": f"{n + 2.5}",
                        "attributes": {},
                        "last_updated": iso(n, 10, "+00:00"),
                    },
                },
            }
        ),
        [("sensor.a", T, "state", 2.5), ("sensor.a", T + 10_000, "state", 3.5)],
    ),
    "zigbee without a time": Sibling(
        each(
            lambda n: {
                "battery": 100,
                "linkquality": 90 + n,
                "temperature": 20.5 + n,
                "update": {"installed_version": 8, "state": "idle"},
            },
            4,
        ),
        [("own", T, "temperature", 20.5), ("own", T, "battery", 100.0), ("own", T, "linkquality", 90.0)],
        absent=("update.installed_version",),
    ),
    "tasmota": Sibling(
        each(
            lambda n: {
                "Time": iso(n, 10, ""),
                "ENERGY": {"TotalStartTime": "2020-01-01T00:00:00", "Total": 10.5 + n, "Power": 12.0 + n},
            }
        ),
        [("own", T, "ENERGY.Power", 12.0), ("own", T + 10_000, "ENERGY.Total", 11.5)],
    ),
    "shelly": Sibling(
        each(
            lambda n: {
                "src": "shellyplus-a",
                "dst": "x",
                "method": "NotifyStatus",
                "params": {"ts": S + n + 0.25, "switch:0": {"id": 0, "apower": 11.5 + n, "voltage": 230.1}},
            }
        ),
        [("shellyplus-a", T + 250, "params.switch:0.apower", 11.5)],
        absent=("params.switch:0.id",),
    ),
    "chirpstack": Sibling(
        [
            {
                "deduplicationId": "3ac7",
                "time": iso(0),
                "deviceInfo": {"deviceName": "soil-1", "devEui": "a84041", "tags": {}},
                "fCnt": 12,
                "fPort": 2,
                "object": {"moisture": 31.5},
                "rxInfo": [{"rssi": -60, "snr": 7.5}],
                "txInfo": {"frequency": 868100000},
            }
        ],
        [("soil-1", T, "moisture", 31.5)],
        absent=("fCnt", "fPort", "txInfo.frequency"),
    ),
    "azure routed telemetry": Sibling(
        [
            {
                "body": {"temp": 21.5},
                "systemProperties": {"iothub-connection-device-id": "pi", "iothub-enqueuedtime": iso(0)},
            }
        ],
        [("pi", T, "temp", 21.5)],
    ),
    "mongo": Sibling(
        each(
            lambda n: {
                "_id": {"$oid": f"65e1a{n:019d}"},
                "device": "d",
                "time": {"$date": iso(n)},
                "v1": {"$numberDouble": f"{n}.5"},
            }
        ),
        [("d", T, "v1", 0.5), ("d", T + 10_000, "v1", 1.5)],
    ),
    "seconds and nanos": Sibling(
        each(lambda n: {"device": "d", "time": {"seconds": S + n, "nanos": 500_000_000}, "x": 1.5}),
        [("d", T + 500, "x", 1.5)],
    ),
    "nanoseconds": Sibling(
        each(lambda n: {"host": "d", "time": (T + n) * 1_000_000, "x": 1.5}),
        [("d", T, "x", 1.5), ("d", T + 1, "x", 1.5)],
    ),
    "JSON in a string": Sibling([json.dumps(json.dumps({"device": "d", "ts": T, "x": 1.5}))], [("d", T, "x", 1.5)]),
    "objects in lines": Sibling(
        ['{"device":"d","ts":1709287200000,"x":1.5}\n{"device":"d","ts":1709287201000,"x":2.5}\n'],
        [("d", T, "x", 1.5), ("d", T + 1000, "x", 2.5)],
    ),
    "binance combined stream": Sibling(
        [
            {
                "stream": "ethusdt@kline_1m",
                "data": {
                    "e": "kline",
                    "E": T + 59_999,
                    "s": "ETHUSDT",
                    "k": {
                        "t": T,
                        "T": T + 59_999,
                        "s": "ETHUSDT",
                        "i": "1m",
                        "f": 1,
                        "L": 2,
                        "o": "3400.10",
                        "c": close,
                        "h": "3401.00",
                        "l": "3399.00",
                        "v": "10.5",
                        "n": 40,
                        "x": final,
                        "q": "1",
                        "V": "1",
                        "Q": "1",
                        "B": "0",
                    },
                },
            }
            for close, final in (("3400.20", False), ("3400.30", True))
        ],
        [("ETHUSDT", T, "c", 3400.3), ("ETHUSDT", T, "n", 40.0)],
        absent=("f", "L", "T"),
    ),
    "bybit kline": Sibling(
        [
            {
                "topic": "kline.5.BTCUSDT",
                "type": "snapshot",
                "ts": T + 9,
                "data": [
                    {
                        "start": T,
                        "end": T + 299_999,
                        "interval": "5",
                        "open": "1.5",
                        "close": close,
                        "high": "2.5",
                        "low": "1.0",
                        "volume": "3.5",
                        "turnover": "2.5",
                        "confirm": final,
                        "timestamp": T + 9,
                    }
                ],
            }
            for close, final in (("1.6", False), ("1.75", True))
        ],
        [("kline.5.BTCUSDT", T, "close", 1.75)],
        absent=("end",),
    ),
    "coinbase match": Sibling(
        each(
            lambda n: {
                "type": "match",
                "trade_id": 1040839665 + 3 * n,
                "maker_order_id": "a-b",
                "side": "buy",
                "size": f"0.{n + 1}",
                "price": f"63983.{n + 10}",
                "product_id": "BTC-USD",
                "sequence": 130993420811 + n * 7,
                "time": iso(n),
            }
        ),
        [("BTC-USD", T, "price", 63983.10), ("BTC-USD", T, "size", 0.1)],
        absent=("trade_id", "sequence"),
    ),
    "bookticker": Sibling(
        each(
            lambda n: {
                "stream": "btcusdt@bookTicker",
                "data": {
                    "u": 96099642589 + n,
                    "s": "BTCUSDT",
                    "b": "64059.99",
                    "B": "0.98",
                    "a": f"64060.{n + 10}",
                    "A": "3.27",
                },
            }
        ),
        [("BTCUSDT", T, "b", 64059.99), ("BTCUSDT", T, "A", 3.27)],
        absent=("u",),
    ),
    "aggTrade, two in one millisecond": Sibling(
        [
            {
                "e": "aggTrade",
                "E": T + 5,
                "s": "BTCUSDT",
                "a": 26129 + n,
                "p": f"0.0{n + 1}",
                "q": "4.7",
                "f": 100 + n,
                "l": 105 + n,
                "T": T,
                "m": True,
                "M": True,
            }
            for n in range(2)
        ],
        [("BTCUSDT", T, "p", 0.01), ("BTCUSDT", T, "p", 0.02)],
        absent=("a", "f", "l", "E"),
        doubt="the time of an earlier one",
    ),
    "filebeat": Sibling(
        each(
            lambda n: {
                "@timestamp": iso(n, 10, ".000Z"),
                "host": {"name": "web01"},
                "agent": {"version": "8.1", "id": "x"},
                "event": {"duration": 1000 + n},
                "system": {"load": {"1": 0.5 + n, "5": 0.75}},
            }
        ),
        [("web01", T, "system.load.1", 0.5)],
        absent=("event.duration",),
    ),
    "dotted names": Sibling(
        each(lambda n: {"host.name": "h", "time": iso(n), "system.cpu.pct": 0.5 + n}), [("h", T, "system.cpu.pct", 0.5)]
    ),
    "odd names": Sibling(
        each(lambda n: {"id": "st", "time": iso(n), "max. wv (m/s)": 1.5 + n, "T [°C]": 20.5, "a/b": 3.5}),
        [("st", T, "max. wv (m%2Fs)", 1.5), ("st", T, "T [°C]", 20.5), ("st", T, "a%2Fb", 3.5)],
    ),
    "uuid per message": Sibling(
        each(
            lambda n: {
                "id": f"0f8fad5b-d9cb-469f-a165-7086772895{n:02d}",
                "source": "plc-4",
                "time": iso(n),
                "speed": 3.5 + n,
            }
        ),
        [("plc-4", T, "speed", 3.5)],
    ),
    "no key at all": Sibling(
        each(lambda n: {"time": iso(n), "speed": 3.5 + n}),
        [("topic", T, "speed", 3.5)],
        doubt="no member names",
        key=None,
    ),
    "integer device and building": Sibling(
        each(lambda n: {"device": 100 + n % 2, "building": 7, "time": iso(n // 2), "co2": 400 + 5 * n}, 60),
        [("100", T, "co2", 400.0), ("101", T, "co2", 405.0)],
    ),
    "key in a header of the record": Sibling(each(lambda n: {"ts": T + n, "volt": 3.5}), [("own", T, "volt", 3.5)]),
    "key that is JSON": Sibling(each(lambda n: {"ts": T + n, "volt": 3.5}), [("7", T, "volt", 3.5)], key=b'{"id": 7}'),
    "expiry and created": Sibling(
        each(
            lambda n: {
                "vehicle": "v",
                "expires_at": T + 10**9,
                "created_at": iso(n),
                "speed": 50.5,
                "lat": 48.1,
                "lon": 11.5,
            }
        ),
        [("v", T, "speed", 50.5)],
        absent=("expires_at", "lat", "lon"),
    ),
    "event and ingestion time": Sibling(
        each(lambda n: {"vehicle": "v", "received_at": iso(n + 1), "event_time": iso(n), "speed": 50.5}),
        [("v", T, "speed", 50.5)],
    ),
    "compact day": Sibling(
        each(lambda n: {"site": "v", "time": f"20240301T10{n:02d}00Z", "x": 50.5}),
        [("v", T, "x", 50.5), ("v", T + 60_000, "x", 50.5)],
    ),
    "twitter-like day": Sibling(
        each(lambda n: {"site": "v", "time": f"01-Mar-2024 10:{n:02d}:00", "x": 50.5}), [("v", T, "x", 50.5)]
    ),
    "counter": Sibling(
        each(lambda n: {"interface": "eth0", "host": "h", "time": iso(n), "rx_bytes": 10_000_000 + 1500 * n}),
        [("h", T, "rx_bytes", 10_000_000.0)],
        doubt="counter",
    ),
    "boolean beside": Sibling(
        each(lambda n: {"machine": "m", "time": iso(n), "running": True, "rpm": 100.5 + n}),
        [("m", T, "rpm", 100.5)],
        absent=("running",),
    ),
    "opc ua": Sibling(
        each(
            lambda n: {
                "NodeId": f"ns=2;s=Line{n % 2}.Temp",
                "SourceTimestamp": iso(n // 2),
                "Value": 20.5 + n,
                "StatusCode": 0,
            }
        ),
        [("ns=2;s=Line0.Temp", T, "Value", 20.5), ("ns=2;s=Line1.Temp", T, "Value", 21.5)],
    ),
    "geofenced vehicle": Sibling(
        each(
            lambda n: {
                "vehicleId": 4711,
                "location": {"lat": 48.1, "lon": 11.5},
                "speedKmh": 50.5 + n,
                "timestampMs": T + n,
            }
        ),
        [("4711", T, "speedKmh", 50.5)],
        absent=("location.lat",),
    ),
    "own key and a phase": Sibling(
        each(lambda n: {"phase": f"L{n % 2}", "time": iso(n // 2), "usage": n + 0.5}),
        [("own/L0", T, "usage", 0.5), ("own/L1", T, "usage", 1.5)],
    ),
    "node-red": Sibling(
        each(lambda n: {"topic": f"home/t{n % 2}", "payload": 21.5 + n, "qos": 0, "retain": False, "_msgid": f"a{n}"}),
        [("home/t0", T, "payload", 21.5), ("home/t1", T, "payload", 22.5)],
        absent=("qos",),
    ),
    "tags that are numbers": Sibling(
        each(
            lambda n: {
                "name": "cpu",
                "tags": {"host": "a", "cpu": f"{n % 2}"},
                "timestamp": iso(n // 2),
                "gauge": n + 0.5,
            }
        ),
        [("cpu/cpu=0,host=a", T, "gauge", 0.5), ("cpu/cpu=1,host=a", T, "gauge", 1.5)],
        absent=("tags.cpu",),
    ),
    "booleans only": Sibling(
        each(lambda n: {"host": "h", "ts": T + n, "up": n != 3}), [("h", T, "up", 1.0), ("h", T + 3, "up", 0.0)]
    ),
    "day and time of day apart": Sibling(
        each(lambda n: {"meterId": "M", "readingDate": "2024-03-01", "readingTime": f"10:{n:02d}", "kWh": 1.5}),
        [("M", T, "kWh", 1.5)],
        doubt="`readingDate` has the date and `readingTime` the time of day",
    ),
    "metrics of CloudWatch": Sibling(
        each(
            lambda n: {
                "metric_stream_name": "m",
                "account_id": "123456789012",
                "namespace": "AWS/EC2",
                "metric_name": "CPUUtilization",
                "dimensions": {"InstanceId": f"i-{n % 2}"},
                "unit": "Percent",
                "timestamp": T + n // 2 * 60_000,
                "value": {"max": 1.5 + n, "min": 1.0, "sum": 3.5, "count": 2.0},
            }
        ),
        [("CPUUtilization/i-0", T, "max", 1.5), ("CPUUtilization/i-1", T, "max", 2.5)],
        absent=("account_id",),
    ),
    "NGSI": Sibling(
        each(lambda n: {"id": f"Room{n % 2}", "type": "Room", "temperature": {"type": "Number", "value": 23.5 + n}}),
        [("Room0", T, "temperature.value", 23.5), ("Room1", T, "temperature.value", 24.5)],
    ),
    "gateway with values": Sibling(
        each(
            lambda n: {
                "timestamp": T + n * 1000,
                "values": [
                    {"id": "Ch.Dev.A", "v": 4.5 + n, "q": True, "t": T + n * 1000},
                    {"id": "Ch.Dev.B", "v": 5.5, "q": True, "t": T + n * 1000},
                ],
            },
            6,
        ),
        [("Ch.Dev.A", T, "v", 4.5), ("Ch.Dev.B", T, "v", 5.5)],
        absent=("t",),
    ),
    "weather": Sibling(
        each(
            lambda n: {
                "coord": {"lon": 10.99, "lat": 44.34},
                "main": {"temp": 298.48 + n, "pressure": 1015},
                "dt": S + n * 600,
                "sys": {"sunrise": S - 9000},
                "timezone": 7200,
                "id": 3163858,
                "name": "Zocca",
                "cod": 200,
            }
        ),
        [("Zocca", T, "main.temp", 298.48)],
        absent=("cod", "id", "timezone", "coord.lon", "sys.sunrise"),
    ),
    "windows of ksqlDB": Sibling(
        each(
            lambda n: {
                "WINDOWSTART": T + n * 60_000,
                "WINDOWEND": T + n * 60_000 + 60_000,
                "SENSOR_ID": "s",
                "AVG_TEMP": 20.5,
            }
        ),
        [("s", T, "AVG_TEMP", 20.5)],
        absent=("WINDOWEND",),
        doubt="`WINDOWEND`",
    ),
    "rows without a header": Sibling(
        each(lambda n: f"pump-{n % 2};{iso(n // 2)};{20.5 + n}"),
        [("pump-0", T, "c3", 20.5), ("pump-1", T, "c3", 21.5)],
        doubt="input.csv.columns",
        key=None,
    ),
    "a table in a record": Sibling(
        ["time;temp [°C];rpm\n" + "".join(f"{iso(n)};{20 + n},5;{1480 + 3 * n % 7}\n" for n in range(12))],
        [("own", T, "temp [°C]", 20.5), ("own", T + 10_000, "rpm", 1483.0)],
    ),
    "lines of InfluxDB": Sibling(
        each(lambda n: f"cpu,host=h{n % 2} usage={n}.5,cores=4i {(T + n // 2 * 1000) * 1_000_000}"),
        [("cpu,host=h0", T, "usage", 0.5), ("cpu,host=h1", T, "cores", 4.0)],
    ),
    "batch of Telegraf": Sibling(
        [
            {
                "metrics": each(
                    lambda n: {"name": "mem", "tags": {"host": "a"}, "fields": {"used": n + 0.5}, "timestamp": S + n}
                )
            }
        ],
        [("mem,host=a", T, "used", 0.5), ("mem,host=a", T + 1000, "used", 1.5)],
    ),
    "samples of Prometheus": Sibling(
        each(lambda n: f'up{{job="a{n % 2}"}} {n} {T + n // 2 * 1000}'),
        [('up{job="a0"}', T, "value", 0.0), ('up{job="a1"}', T, "value", 1.0)],
    ),
    "pack of SenML": Sibling(
        [[{"bn": "urn:dev:1:", "bt": S, "n": "temp", "u": "Cel", "v": 23.5}, {"n": "hum", "u": "%RH", "v": 40}]],
        [("urn:dev:1:temp", T, "value", 23.5), ("urn:dev:1:hum", T, "value", 40.0)],
    ),
    "Debezium with ids": Sibling(
        each(
            lambda n: {
                "op": "u",
                "before": None,
                "source": {"table": "m", "ts_ms": T},
                "ts_ms": T + n,
                "after": {"id": 7, "meter_id": 12, "kw": 1.5 + n},
            }
        ),
        [("own", T, "kw", 1.5)],
        absent=("id", "meter_id"),
    ),
    "event of CloudEvents": Sibling(
        each(
            lambda n: {
                "specversion": "1.0",
                "type": "t",
                "source": "/s",
                "id": f"{n}",
                "time": iso(n),
                "data": {"temp": 20.5 + n, "sequence": n},
            }
        ),
        [("own", T, "temp", 20.5), ("own", T + 10_000, "temp", 21.5)],
        absent=("sequence",),
    ),
    "payload of Kafka Connect": Sibling(
        each(
            lambda n: {"schema": {"type": "struct", "fields": []}, "payload": {"dev": "d", "ts": T + n, "temp": 20.5}}
        ),
        [("d", T, "temp", 20.5)],
    ),
    "Pub/Sub, base64": Sibling(
        each(
            lambda n: {
                "message": {
                    "attributes": {"deviceId": "dev-1"},
                    "data": in_base64({"temperature": 20.5 + n}),
                    "messageId": f"{2070443601311540 + n}",
                    "publishTime": iso(n),
                },
                "subscription": "projects/p/subscriptions/s",
            }
        ),
        [("dev-1", T, "temperature", 20.5), ("dev-1", T + 10_000, "temperature", 21.5)],
        absent=("message.messageId",),
    ),
    "JSON in text, in a member": Sibling(
        each(lambda n: {"dev": f"d{n % 2}", "ts": T + n // 2 * 1000, "payload": json.dumps({"temp": 20.5 + n})}),
        [("d0", T, "temp", 20.5), ("d1", T, "temp", 21.5)],
    ),
    "captured events of Event Hubs": Sibling(
        each(
            lambda n: {
                "SequenceNumber": n,
                "Offset": f"{400 * n}",
                "EnqueuedTimeUtc": f"3/1/2024 10:{n:02d}:00 AM",
                "SystemProperties": {"iothub-connection-device-id": "pi", "iothub-enqueuedtime": iso(n)},
                "Body": in_base64({"temp": 20.5 + n}),
            }
        ),
        [("pi", T, "temp", 20.5), ("pi", T + 10_000, "temp", 21.5)],
        absent=("SequenceNumber", "Offset"),
    ),
    "nothing but a counter of messages": Sibling(
        each(lambda n: {"messageId": 70 * n, "time": iso(n), "interval": 10, "values": [1.5 + n]}),
        [],
        absent=("messageId", "interval"),
        doubt="such as values[0]",
    ),
    "Debezium of MongoDB": Sibling(
        each(
            lambda n: {
                "op": "u",
                "ts_ms": T + n,
                "source": {"ts_ms": T},
                "after": json.dumps({"dev": "d", "temp": 20.5 + n, "at": {"$date": T + n}}),
            }
        ),
        [("own", T, "temp", 20.5)],
        absent=("at.$date",),
    ),
    "updates of Maxwell": Sibling(
        each(
            lambda n: {
                "database": "shop",
                "table": "meter",
                "type": "update",
                "ts": S + n,
                "xid": 1000 + n,
                "xoffset": n,
                "data": {"id": 7, "kw": 20.5 + n % 3},
                "old": {"kw": 19.5 + n % 3},
            }
        ),
        [("7", T, "kw", 20.5), ("7", T + 1000, "kw", 21.5)],
        absent=("old.kw", "xid", "xoffset"),
    ),
    "registers beside addresses": Sibling(
        each(
            lambda n: {
                "slave": 3,
                "fc": 3,
                "ts": iso(n),
                "registers": [{"addr": 40001, "name": "flow", "value": 200 + n}, {"addr": 2, "name": "x", "value": n}],
            }
        ),
        [("flow", T, "value", 200.0), ("x", T, "value", 0.0)],
        absent=("slave", "fc"),
    ),
    "two lists side by side": Sibling(
        each(lambda n: {"id": "own", **{name: [{"ts": T + n, "temp": 20.5 + n}] for name in ("A", "B")}}),
        [],
        doubt="`B[*]`: more observations, which are not read",
    ),
    "lists under the names of devices": Sibling(
        each(lambda n: {name: [{"ts": T + n, "values": {"temp": 20.5 + n}}] for name in ("A", "B")}),
        [("A", T, "temp", 20.5), ("B", T, "temp", 20.5), ("B", T + 1, "temp", 21.5)],
    ),
    "points of Datadog": Sibling(
        each(
            lambda n: {
                "series": [
                    {"metric": name, "points": [[S + 10 * n, 20.5 + n % 3]], "type": "gauge", "host": "web1"}
                    for name in ("load", "cpu")
                ]
            }
        ),
        [("web1/load", T, "[1]", 20.5), ("web1/cpu", T, "[1]", 20.5), ("web1/cpu", T + 10_000, "[1]", 21.5)],
        doubt="fields are numbered by their place",
    ),
    "candles of OKX": Sibling(
        each(
            lambda n: {
                "arg": {"channel": "candle1m", "instId": "BTC-USDT"},
                "data": [[str(T + 60_000 * n), f"{50000 + n % 5}", "50010", "49990", "50000.5", "12.3", "1"]],
            }
        ),
        [("BTC-USDT", T, "[1]", 50000.0), ("BTC-USDT", T + 60_000, "[4]", 50000.5)],
        doubt="fields are numbered by their place",
    ),
    "values of collectd": Sibling(
        each(
            lambda n: [
                {
                    "values": [197 + n * n, 175 + n * n],
                    "dstypes": ["counter", "counter"],
                    "dsnames": ["read", "write"],
                    "time": S + n // 2 * 10 + 0.123,
                    "interval": 10.0,
                    "host": "leeloo",
                    "plugin": "disk",
                    "plugin_instance": f"sd{'ab'[n % 2]}",
                    "type": kind,
                    "type_instance": "",
                }
                for kind in ("octets", "ops")
            ]
        ),
        [
            ("leeloo/sda/octets", T + 123, "read", 197.0),
            ("leeloo/sda/ops", T + 123, "write", 175.0),
            ("leeloo/sdb/octets", T + 123, "read", 198.0),
        ],
    ),
    "measures of Timestream": Sibling(
        each(
            lambda n: {
                "Dimensions": [{"Name": "host", "Value": "h1"}, {"Name": "az", "Value": "a"}],
                "MeasureName": "cpu",
                "MeasureValue": str(20.5 + n % 4),
                "Time": str(T + n),
                "TimeUnit": "MILLISECONDS",
            }
        ),
        [("az=a,host=h1/cpu", T, "MeasureValue", 20.5)],
    ),
    "metrics of Azure": Sibling(
        each(
            lambda n: {
                "records": [{"count": 4, "average": 20.5 + n, "resourceId": "VM1", "time": iso(n), "metricName": "CPU"}]
            }
        ),
        [("VM1/CPU", T, "average", 20.5)],
    ),
    "time series of Cloud Monitoring": Sibling(
        each(
            lambda n: {
                "metric": {"type": "cpu/utilization", "labels": {"instance_name": "vm1"}},
                "resource": {"type": "gce_instance", "labels": {"zone": "z"}},
                "points": [{"interval": {"startTime": iso(n), "endTime": iso(n)}, "value": {"doubleValue": 0.25 + n}}],
            }
        ),
        [("vm1/cpu%2Futilization", T, "doubleValue", 0.25)],
    ),
    "history of Zabbix": Sibling(
        each(
            lambda n: {
                "host": {"host": "web1", "name": "Web 1"},
                "itemid": 23296,
                "name": "Load",
                "clock": S + 60 * n,
                "ns": 123456789,
                "value": 1.5 + n,
            }
        ),
        [("web1", T, "value", 1.5)],
        absent=("ns", "itemid"),
    ),
    "result of a check with the times of its course": Sibling(
        each(
            lambda n: {
                "timestamp": S + 60 * n + 0.5,
                "host": "h1",
                "result": {"rta": 20.5, "execution_start": S + 60 * n + 0.1, "execution_end": S + 60 * n + 0.2},
            }
        ),
        [("h1", T + 500, "rta", 20.5)],
        absent=("execution_end", "result.execution_end", "result.execution_start"),
    ),
    "station without a name": Sibling(
        each(lambda n: {"dateTime": str(S + 60 * n), "outTemp": str(20.5 + n % 3), "interval": "1"}),
        [("own", T, "outTemp", 20.5)],
    ),
    "readings within devices": Sibling(
        each(
            lambda n: {
                "site": "s",
                "devices": [
                    {"id": name, "readings": [{"ts": T + n, "temp": 20.5 + n}, {"ts": T + n + 500, "temp": 21.0 + n}]}
                    for name in ("d1", "d2")
                ],
            }
        ),
        [("s/d1", T, "temp", 20.5), ("s/d2", T, "temp", 20.5), ("s/d2", T + 500, "temp", 21.0)],
    ),
    "sensors under the id of a chip": Sibling(
        each(
            lambda n: {
                "esp8266id": "12345",
                "software_version": "NRZ-2020",
                "values": [{"value_type": "P1", "value": f"{20.5 + n}"}, {"value_type": "P2", "value": "9.5"}],
            }
        ),
        [("12345", T, "P1", 20.5), ("12345", T, "P2", 9.5)],
    ),
    "lanes of a road": Sibling(
        each(
            lambda n: {
                "siteId": "A1",
                "from": iso(n),
                "to": iso(n + 1),
                "lanes": [{"lane": 1, "count": 10 + n % 5}, {"lane": 2, "count": 7 + n % 3}],
            }
        ),
        [("A1/1", T, "count", 10.0), ("A1/2", T, "count", 7.0)],
        absent=("lane",),
    ),
    "station beside the time of the server": Sibling(
        each(
            lambda n: {
                "body": {"devices": [{"station_name": "Home", "now": {"time_utc": S + 600 * n, "CO2": 400 + n % 9}}]},
                "time_server": S + 600 * n + 3,
            }
        ),
        [("Home", T, "now.CO2", 400.0)],
    ),
    "ships": Sibling(
        each(lambda n: {"mmsi": 230123456 + n % 2, "sog": 20.5 + n, "timestamp": iso(n // 2)}),
        [("230123456", T, "sog", 20.5), ("230123457", T, "sog", 21.5)],
        absent=("mmsi",),
    ),
    "interfaces of a switch": Sibling(
        each(
            lambda n: {
                "agent_host": "sw1",
                "ifIndex": str(1 + n % 2),
                "ifHCInOctets": 10**12 + n * n,
                "polled_at": S + n // 2 * 60,
            }
        ),
        [("sw1/1", T, "ifHCInOctets", 1e12), ("sw1/2", T, "ifHCInOctets", 1e12 + 1)],
        absent=("ifIndex",),
    ),
    "dates of .NET": Sibling(
        each(lambda n: {"Tag": "FT101", "Timestamp": f"/Date({T + n})/", "Value": 20.5 + n}),
        [("FT101", T, "Value", 20.5), ("FT101", T + 1, "Value", 21.5)],
    ),
    "days of a spreadsheet": Sibling(
        each(lambda n: {"id": "a", "date": 45352.5 + n / 24, "v": 20.5 + n}),
        [("a", T, "v", 20.5)],
        absent=("date",),
        doubt="counts days",
    ),
    "year, month and day": Sibling(
        each(lambda n: {"Year": 2024, "Month": 3, "Day": 1 + n % 28, "load": 20.5 + n}),
        [("own", T, "load", 20.5)],
        doubt="must be written as one time",
    ),
    "bare numbers": Sibling([f"{20 + n}.5" for n in range(9)], [("own", T, "value", 20.5), ("own", T, "value", 21.5)]),
    "rows that begin with a name": Sibling(
        each(lambda n: f"pump7;{iso(n)};{20 + n % 3}.5;{1000 + n % 5}"),
        [("pump7", T, "c3", 20.5), ("pump7", T, "c4", 1000.0)],
        doubt="input.csv.columns",
        key=None,
    ),
    "hexadecimal payload": Sibling(
        each(lambda n: {"id": "tag", "ts": S + n, "data": "0201061BFF", "temperature": 20.5 + n}),
        [("tag", T, "temperature", 20.5)],
        absent=("data",),
    ),
    "time in an odd notation": Sibling(
        each(lambda n: {"timestamp": f"240301/1{n // 6}{n % 6}000", "power": 20.5 + n % 5}),
        [("own", T, "power", 20.5)],
        absent=("timestamp",),
        doubt="`timestamp`, such as '240301/100000', is no time that is understood",
    ),
    "lines of Graphite": Sibling(
        each(lambda n: f"servers.web{n % 2}.cpu {n}.5 {S + n // 2 * 10}"),
        [("servers.web0.cpu", T, "value", 0.5), ("servers.web1.cpu", T, "value", 1.5)],
    ),
    "months": Sibling(
        each(lambda n: {"geo": "DE", "TIME_PERIOD": f"2024-{1 + n:02d}", "OBS_VALUE": 450.5 + n}),
        [("own", 1_709_251_200_000, "OBS_VALUE", 452.5)],
    ),
    "intervals of a day-ahead market": Sibling(
        ["MTU (CET/CEST),Load [MW]\n" + "".join(f"{hour(n)} - {hour(n + 1)},{500 + n * n}\n" for n in range(9))],
        [("own", 1_709_251_200_000, "Load [MW]", 500.0), ("own", 1_709_254_800_000, "Load [MW]", 501.0)],
    ),
    "German export": Sibling(
        ["Datum von;Datum bis;Last\n" + "".join(f"{hour(n)};{hour(n + 1)};1.{500 + n},25\n" for n in range(9))],
        [("own", 1_709_251_200_000, "Last", 1500.25)],
        doubt="`Datum bis`",
    ),
    "candles without a header": Sibling(
        ["".join(f"{S + 3600 * n},{40000 + n}.5,{40009 + n}.5\n" for n in range(20))],
        [("own", T, "c2", 40000.5), ("own", T + 3_600_000, "c3", 40010.5)],
        doubt="input.csv.columns",
        timestamp=-1,
    ),
    "prices": Sibling(
        each(lambda n: {"sym": "A", "date": iso(n), "price": f"${1 + n},234.50", "volume": "1,234,567"}),
        [("A", T, "price", 1234.5), ("A", T, "volume", 1234567.0)],
    ),
}
