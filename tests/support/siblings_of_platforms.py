"""Messages and tables of common platforms, with the right observations: kinds whose first proposals lost something."""

from datetime import UTC, datetime
from typing import Any

from support.siblings import S, Sibling, T, each, iso

DAY = 86_400_000


def clock(index: int, step: int, pattern: str) -> str:
    """Return a time of a series in a pattern of `strftime`."""
    return datetime.fromtimestamp(S + index * step, UTC).strftime(pattern)


def candle(n: int) -> dict[str, Any]:
    """Return an update of a candle of Kraken: two in a minute."""
    return {
        "channel": "ohlc",
        "timestamp": f"2024-03-01T10:{n // 2:02d}:{20 + n % 2}.5Z",
        "data": [
            {"symbol": "A/USD", "open": 0.5, "high": 0.6, "low": 0.4, "close": 20.5 + n}
            | {"interval_begin": f"2024-03-01T10:{n // 2:02d}:00Z", "timestamp": f"2024-03-01T10:{n // 2 + 1:02d}:00Z"}
        ],
    }


def entity(n: int) -> dict[str, Any]:
    """Return a state of one of three entities of Home Assistant: two numbers and a lamp."""
    name, state = [("sensor.t", f"{20.5 + n}"), ("light.a", "on"), ("sensor.p", f"{5.5 + n}")][n % 3]
    return {"entity_id": name, "state": state, "attributes": {}, "last_updated": iso(n)}


def table(header: str, make: Any, count: int = 12) -> list[str]:
    """Return a table as the value of one record."""
    return ["\n".join([header, *(make(n) for n in range(count))]) + "\n"]


MESSAGES: dict[str, Sibling] = {
    "traffic of interfaces, in an object that is called network": Sibling(
        each(
            lambda n: {
                "@timestamp": iso(n // 2),
                "host": {"name": "web1", "os": {"kernel": "5.4"}},
                "system": {"network": {"name": ["eth0", "lo"][n % 2], "in": {"bytes": 100 * n + n % 5}}},
            }
        ),
        [
            ("web1/eth0", T, "system.network.in.bytes", 0.0),
            ("web1/lo", T, "system.network.in.bytes", 101.0),
        ],
        absent=("host.os.kernel",),
        key=None,
    ),
    "a monitor's durations, beside the size of a response": Sibling(
        each(
            lambda n: {
                "@timestamp": iso(n),
                "monitor": {"id": "m0", "duration": {"us": 1000 + 7 * n % 50}},
                "http": {"response": {"status_code": 200, "body": {"bytes": 1256}}},
            }
        ),
        [("m0", T, "monitor.duration.us", 1000.0), ("m0", T, "http.response.body.bytes", 1256.0)],
        absent=("http.response.status_code",),
        key=None,
    ),
    "units behind decimal commas": Sibling(
        each(lambda n: {"Zeit": iso(n), "Maschine": f"M{n % 2}", "Temp": f"{20 + n},5 °C", "Druck": "1.013,25"}),
        [("M0", T, "Temp", 20.5), ("M1", T + 10_000, "Temp", 21.5), ("M0", T, "Druck", 1013.25)],
        key=None,
    ),
    "a pair of currencies beside the name of the channel": Sibling(
        each(
            lambda n: {
                "time": S + n,
                "time_ms": T + n * 1000 + 326,
                "channel": "spot.tickers",
                "result": {"currency_pair": ["BTC_USDT", "ETH_USDT"][n % 2], "last": f"{20.5 + n}"},
            }
        ),
        [("BTC_USDT", T + 326, "last", 20.5), ("ETH_USDT", T + 1326, "last", 21.5)],
        key=None,
    ),
    "a code of what is traded beside the type of the message": Sibling(
        each(
            lambda n: {
                "type": "ticker",
                "code": ["KRW-BTC", "KRW-ETH"][n % 2],
                "trade_price": 20.5 + n,
                "trade_date": "20240301",
                "timestamp": T + n * 1000,
            }
        ),
        [("KRW-BTC", T, "trade_price", 20.5), ("KRW-ETH", T + 1000, "trade_price", 21.5)],
        absent=("trade_date",),
        key=None,
    ),
    "updates of candles without a flag, by their start": Sibling(
        each(candle),
        [("A/USD", T, "close", 20.5), ("A/USD", T, "close", 21.5), ("A/USD", T + 60_000, "close", 22.5)],
        doubt="have the series and the time of an earlier one",
        key=None,
    ),
    "candles from t to T without a flag": Sibling(
        each(
            lambda n: {
                "channel": "candle",
                "data": {"t": T + 60_000 * n, "T": T + 60_000 * n + 59_999, "s": "BTC", "c": f"{20.5 + n}"}
                | dict.fromkeys("olh", "20.1"),
            }
        ),
        [("BTC", T, "c", 20.5), ("BTC", T + 60_000, "c", 21.5)],
        absent=("T", "t"),
        key=None,
    ),
    "labels around the samples, as a list of names and values": Sibling(
        each(
            lambda n: {
                "timeseries": [
                    {
                        "labels": [{"name": "__name__", "value": "cpu"}, {"name": "host", "value": f"h{k}"}],
                        "samples": [{"value": 20.5 + n + 10 * k, "timestamp": str(T + n * 10_000)}],
                    }
                    for k in range(2)
                ]
            }
        ),
        [("__name__=cpu,host=h0", T, "value", 20.5), ("__name__=cpu,host=h1", T, "value", 30.5)],
        key=None,
    ),
    "tags of FIX": Sibling(
        each(
            lambda n: {
                "35": "W",
                "9": str(150 + n % 3),
                "52": clock(n, 1, "%Y%m%d-%H:%M:%S.5"),
                "55": ["AAPL", "MSFT"][n % 2],
                "269": "0",
                "270": f"{20.5 + n}",
            }
        ),
        [("AAPL", T + 500, "270", 20.5), ("MSFT", T + 1500, "270", 21.5)],
        absent=("9", "269"),
        key=None,
    ),
    "columns of a change, the device among them": Sibling(
        each(
            lambda n: {
                "timestamp": iso(n),
                "columns": [
                    {"name": "device", "type": "text", "value": f"d{n % 2}"},
                    {"name": "temp", "type": "double precision", "value": 20.5 + n},
                ],
            }
        ),
        [],
        doubt="'device' has texts as values, such as 'd0', which count as missing",
        key=None,
    ),
    "a candle whose id is its time": Sibling(
        each(lambda n: {"ch": "a.kline", "ts": T + 60_000 * n + 11, "tick": {"id": S + 60 * n, "close": 20.5 + n}}),
        [("a.kline", T + 11, "tick.close", 20.5), ("a.kline", T + 60_011, "tick.close", 21.5)],
        absent=("tick.id",),
        key=None,
    ),
    "a trade in seconds and in microseconds": Sibling(
        each(
            lambda n: {
                "data": {"timestamp": str(S + n), "microtimestamp": f"{S + n}250000", "price": 20.5 + n},
                "channel": "live_trades_btcusd",
            }
        ),
        [("live_trades_btcusd", T + 250, "price", 20.5)],
        absent=("microtimestamp",),
        key=None,
    ),
    "an event with a date and a time in microseconds": Sibling(
        each(lambda n: {"event_date": "20240301", "event_timestamp": f"{S + n}123456", "value_in_usd": 2.5 + n}, 1),
        [("own", T + 123, "value_in_usd", 2.5)],
        absent=("event_date",),
    ),
    "three messages, each with an id of the request": Sibling(
        each(lambda n: {"Latency": 20.5 + n, "FunctionName": f"f{n % 2}", "requestId": f"9{n}-1", "ts": T + n}, 3),
        [("f0", T, "Latency", 20.5), ("f1", T + 1, "Latency", 21.5), ("f0", T + 2, "Latency", 22.5)],
        key=None,
    ),
    "three processes at one time": Sibling(
        each(lambda n: {"host": "h", "ts": T, "process": {"name": ["java", "nginx", "sshd"][n]}, "cpu": 0.5 + n}, 3),
        [("h/java", T, "cpu", 0.5), ("h/nginx", T, "cpu", 1.5), ("h/sshd", T, "cpu", 2.5)],
        key=None,
    ),
    "one message with two instances of a plugin": Sibling(
        [[{"host": "h", "time": S, "plugin_instance": str(n), "cpu": 0.5 + n} for n in range(2)]],
        [("h/0", T, "cpu", 0.5), ("h/1", T, "cpu", 1.5)],
        key=None,
    ),
    "one database in the sample: its instance is the key": Sibling(
        each(lambda n: {"engine": "MYSQL", "instanceID": "db1", "timestamp": iso(n), "cpu": 20.5 + n}),
        [("db1", T, "cpu", 20.5)],
        key=None,
    ),
    "probes with ids of their own": Sibling(
        each(
            lambda n: {
                "Time": iso(n),
                "DS18B20-1": {"Id": "0112", "Temperature": 20.5 + n},
                "DS18B20-2": {"Id": "0113", "Temperature": 30.5 + n},
            }
        ),
        [("tele/env", T, "DS18B20-1.Temperature", 20.5), ("tele/env", T, "DS18B20-2.Temperature", 30.5)],
        key=b"tele/env",
    ),
    "ids, codes and places of a vehicle": Sibling(
        each(
            lambda n: {
                "VP": {"veh": 817 + n % 2, "tst": iso(n), "spd": 20.5 + n, "oper": 22, "line": 1, "route": "2550"}
            }
        ),
        [("817", T, "VP.spd", 20.5), ("818", T + 10_000, "VP.spd", 21.5)],
        absent=("VP.oper", "VP.line", "VP.route"),
        key=None,
    ),
    "codes of quality": Sibling(
        each(lambda n: [{"_time": iso(n), "temperature": 20.5 + n, "temperature_qc": 64 * (n % 2)}]),
        [("own", T, "temperature", 20.5)],
        absent=("temperature_qc",),
    ),
    "a log of requests": Sibling(
        each(
            lambda n: {
                "level": 30,
                "time": T + n,
                "hostname": "h1",
                "msg": "done",
                "responseTime": 20.5 + n,
                "userid": n % 3,
                "elb_status_code": "200",
                "remote_port": "55555",
                "address": {"zipcode": 62000 + n % 7},
            }
        ),
        [("h1", T, "responseTime", 20.5)],
        absent=("level", "userid", "elb_status_code", "remote_port", "address.zipcode"),
        key=None,
    ),
    "states of an entity, numbers among lamps": Sibling(
        each(entity),
        [("sensor.t", T, "state", 20.5), ("light.a", T + 10_000, "state", 1.0), ("sensor.p", T + 20_000, "state", 7.5)],
        key=None,
    ),
    "starts of requests, not their ends": Sibling(
        each(
            lambda n: {
                "Host": "x",
                "EdgeEndTimestamp": T + n + 9,
                "EdgeStartTimestamp": T + n + 3,
                "Bytes": 400 + n % 7,
            }
        ),
        [("x", T + 3, "Bytes", 400.0)],
        key=None,
    ),
    "an agent's number is no device": Sibling(
        each(lambda n: {"Header": {"instanceId": 1649989201}, "name": "X", "timestamp": iso(n), "value": 20.5 + n}),
        [("X", T, "value", 20.5)],
        key=None,
    ),
    "statistics beside the number of processors": Sibling(
        each(
            lambda n: {
                "hosts": [
                    {"nodename": "h1", "number-of-cpus": 2}
                    | {"statistics": [{"timestamp": iso(n), "cpu-load": [{"cpu": "all", "user": 20.5 + n}]}]}
                ]
            }
        ),
        [("all", T, "user", 20.5)],
        key=None,
    ),
}
TABLES: dict[str, Sibling] = {
    "days and hours in two columns": Sibling(
        table("dteday,season,hr,cnt", lambda n: f"2024-03-0{1 + n // 24},1,{n % 24},{16 + n * 7 % 31}", 30),
        [("own", T - 10 * 3_600_000, "cnt", 16.0), ("own", T + 14 * 3_600_000, "cnt", 29.0)],
        doubt="have no offset",
    ),
    "rows with numbers, of stores and families": Sibling(
        table(
            "id,date,store_nbr,family,sales,onpromotion",
            lambda n: (
                f"{n},{clock(n // 4, 86_400, '%Y-%m-%d')},{1 + n % 2},{['EGGS', 'MEAT'][n // 2 % 2]},{n + 0.5},{n % 3}"
            ),
            32,
        ),
        [("1/EGGS", T - 10 * 3_600_000, "sales", 0.5), ("2/MEAT", T - 10 * 3_600_000, "sales", 3.5)],
        absent=("id", "store_nbr"),
    ),
    "latitudes that look like times of day": Sibling(
        table(
            "STATION,LATITUDE,LONGITUDE,DATE,TMAX",
            lambda n: f"USW0{n % 2},40.77,-73.88,{clock(n // 2, 86_400, '%Y-%m-%d')},{40 + n * 7 % 5}",
        ),
        [("USW00", T - 10 * 3_600_000, "TMAX", 40.0), ("USW01", T - 10 * 3_600_000, "TMAX", 42.0)],
        absent=("LATITUDE", "LONGITUDE"),
    ),
    "bars in names of columns": Sibling(
        table(
            "Time (UTC),Forecast [MW] - BZN|DE,Actual [MW] - BZN|DE",
            lambda n: (
                f"{clock(n, 900, '%d.%m.%Y %H:%M')} - {clock(n + 1, 900, '%d.%m.%Y %H:%M')},{n * 7 % 5},{n * 3 % 7}"
            ),
        ),
        [("own", T + 900_000, "Actual [MW] - BZN|DE", 3.0)],
    ),
    "periods of a day": Sibling(
        table(
            "SettlementDate,SettlementPeriod,Price",
            lambda n: f"{clock(n // 48, 86_400, '%Y-%m-%d')},{1 + n % 48},{n * 7 % 50 + 0.5}",
            144,
        ),
        [],
        doubt="`SettlementPeriod` numbers the periods of a day",
    ),
    "counters of the performance monitor": Sibling(
        table(
            '"(PDH-CSV 4.0) (GMT Standard Time)(0)","\\\\H\\Memory\\Available MBytes"',
            lambda n: f'"{clock(n, 15, "%m/%d/%Y %H:%M:%S.123")}","{8000 + n * 7 % 50}"',
        ),
        [("own", T + 123, "\\\\H\\Memory\\Available MBytes", 8000.0)],
    ),
}
SIBLINGS_OF_PLATFORMS = MESSAGES | TABLES
"""By name of the kind."""
