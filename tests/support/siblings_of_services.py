"""Messages of cloud services, hospitals, transport and homes: kinds whose first proposals lost or mixed something."""

import json
from typing import Any

from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from support.siblings import S, Sibling, T, each, iso


def series(host: int, n: int) -> dict[str, Any]:
    """Return a series of Datadog's API, version 2."""
    named = [{"name": f"h{host}", "type": "host"}]
    points = [{"timestamp": S + 10 * n, "value": 20.5 + n + host}]
    return {"metric": "load.1", "type": 3, "points": points, "resources": named}


def observation(n: int) -> dict[str, Any]:
    """Return an observation of FHIR: two things are measured in turn."""
    code = ["8867-4", "8310-5"][n % 2]
    return {
        "resourceType": "Observation", "id": f"o{n}",
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "subject": {"reference": "Patient/example"}, "effectiveDateTime": iso(n // 2),
        "valueQuantity": {"value": 44.5 + n, "unit": "beats/min", "code": "/min"},
    }  # fmt: skip


def requests(first: int) -> bytes:
    """Return two requests of a metric stream of AWS, each behind its size."""
    written = bytearray()
    for n in (first, first + 1):
        data = MetricsData()
        metric = data.resource_metrics.add().scope_metrics.add().metrics.add(name="CPU")
        metric.summary.data_points.add(time_unix_nano=(S + 60 * n) * 10**9, count=3, sum=20.5 + n)
        content = data.SerializeToString()
        assert len(content) < 128  # one byte is the size
        written += bytes([len(content)]) + content
    return bytes(written)


PERIOD = {
    "timeInterval": {"start": "2024-03-01T10:00Z", "end": "2024-03-01T11:00Z"}, "resolution": "PT15M",
    "Point": [{"position": str(place), "quantity": str(20.5 + place * place)} for place in range(1, 5)],
}  # fmt: skip
TELEGRAM = "/ISK5\\2M550T-1012\r\n\r\n1-3:0.2.8(50)\r\n1-0:1.7.0(00.5*kW)\r\n!1234\r\n"
TSF = "# about\n@relation nn5\n@attribute series_name string\n@frequency daily\n@data\nT1:1996-03-18 00-00-00:13.4,?\n"

SIBLINGS_OF_SERVICES: dict[str, Sibling] = {
    "hosts in a list of one name": Sibling(
        each(lambda n: {"series": [series(1, n), series(2, n)]}),
        [("h1", T, "value", 21.5), ("h2", T, "value", 22.5)],
    ),
    "observations of FHIR": Sibling(
        each(observation),
        [
            ("Patient%2Fexample/8867-4", T, "valueQuantity.value", 44.5),
            ("Patient%2Fexample/8310-5", T, "valueQuantity.value", 45.5),
        ],
    ),
    "one document with a series and its period": Sibling(
        [{"GL_MarketDocument": {"TimeSeries": [{"mRID": "1", "businessType": "A04", "Period": PERIOD}]}}],
        [("own/1", T, "quantity", 21.5), ("own/2", T, "quantity", 24.5)],
        doubt="if they follow each other by `Period.resolution`",
    ),
    "lists beside the numbers of a device": Sibling(
        each(
            lambda n: {
                "unixtime": S + n,
                "mac": "AABB",
                "meters": [{"power": 5.5 + n}],
                "temp": 30.5,
                "rssi": -60 - n % 3,
            }
        ),
        [("AABB", T, "rssi", -60.0)],
        doubt="such as meters[0].power",
    ),
    "lists within the observations": Sibling(
        [{"groups": [{"kind": 1, "date": S + 60 * n, "x": n % 3 + 0.5, "all": [{"value": 5 + n}]} for n in range(9)]}],
        [("own", T, "x", 0.5)],
        doubt="input.observations be `groups[*].all[*]`",
    ),
    "the value before beside the new one": Sibling(
        each(
            lambda n: {
                "topic": f"items/T{n % 2}",
                "payload": json.dumps({"value": f"{20.5 + n}", "oldValue": "1.5"}),
                "timestamp": T + 1000 * n,
            }
        ),
        [("items/T0", T, "value", 20.5)],
        absent=("oldValue", "payload.oldValue"),
    ),
    "references, journeys, flags and types of messages": Sibling(
        each(
            lambda n: (
                {"veh": "v1", "LineRef": "1", "jrn": 45 + n % 2, "flags": n % 2, "msgtype": 1 + 2 * (n % 2)}
                | {"tst": iso(n), "spd": 12.5 + n, "elev": 308, "geoid": 8741}
            )
        ),
        [("v1", T, "spd", 12.5)],
        absent=("LineRef", "jrn", "flags", "msgtype", "elev", "geoid"),
    ),
    "the quality of a value": Sibling(
        each(lambda n: {"tagPath": f"[a]T{n % 2}", "value": 20.5 + n, "quality": 192, "timestamp": T + 1000 * n}),
        [("[a]T0", T, "value", 20.5)],
        absent=("quality",),
    ),
    "logs of OpenTelemetry": Sibling(
        each(lambda n: {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": f"{S + n}000000000"}]}]}]}),
        [],
        absent=("timeUnixNano",),
        doubt="has logs of OpenTelemetry, not metrics",
    ),
    "a vehicle with names and values in a list": Sibling(
        each(
            lambda n: {
                "data": [{"key": "VehicleSpeed", "value": {"doubleValue": 20.5 + n}}],
                "createdAt": iso(n),
                "vin": f"V{n % 2}",
            }
        ),
        [("V0", T, "doubleValue", 20.5), ("V1", T + 10_000, "doubleValue", 21.5)],
        key=None,
    ),
    "a data set beside its interval": Sibling(
        [
            {
                "intraday": {
                    "dataset": [{"time": f"10:{n:02d}:00", "value": 60.5 + n} for n in range(30)],
                    "datasetInterval": 1,
                }
            }
        ],
        [("own", T, "value", 60.5)],
        absent=("intraday.datasetInterval",),
        doubt="is no time that is understood",
    ),
    "keys of windows": Sibling(
        each(lambda n: {"AVG_TEMP": 20.5 + n}),
        [("d1", T, "AVG_TEMP", 20.5)],
        key=b"d1" + T.to_bytes(8),
    ),
    "requests behind their sizes": Sibling(
        [requests(2 * n) for n in range(6)],
        [("CPU", T, "sum", 20.5), ("CPU", T + 60_000, "sum", 21.5)],
    ),
    "messages of HL7": Sibling(each(lambda n: f"MSH|^~\\&|MON|ICU\rOBX|1|NM|8867-4^HR||{60 + n}|bpm"), [], doubt="HL7"),
    "telegrams of a smart meter": Sibling([TELEGRAM] * 12, [], doubt="telegrams of a smart meter"),
    "a file of Monash's archive": Sibling([TSF], [], doubt="Monash"),
    "an ARFF file": Sibling(["% about\n\n@RELATION w\n@ATTRIBUTE x numeric\n@DATA\n1.5\n"], [], doubt="ARFF"),
    "a table aligned by blanks": Sibling(
        each(lambda n: f"12:0{n % 10}:01 AM     all      {n}.50     90.00"), [], doubt="aligned by blanks"
    ),
}
