"""The JSON Schema of the Helm chart's values; `deploy/generate.py` writes it to deploy/helm/streamrnn."""

import json
from collections.abc import Mapping
from typing import Any

from streamrnn.settings.json_schema import configuration_schema

TEXT: dict[str, Any] = {"type": "string"}
NAME = {"type": ["string", "null"], "minLength": 1}
SWITCH = {"type": "boolean"}
COUNT = {"type": "integer", "minimum": 1}
LABELS = {"type": "object", "additionalProperties": TEXT}
OBJECT = {"type": "object"}
OBJECTS = {"type": "array", "items": OBJECT}
QUANTITY = {"type": "string", "pattern": "^[1-9][0-9]*(Mi|Gi|Ti)$"}
DURATION = {"type": "string", "pattern": "^[1-9][0-9]*(s|m)$"}
TIMEOUT = DURATION | {"type": ["string", "null"]}
OWN = {
    "log": "the chart is for Kafka",
    "metrics.enabled": "the probes need the server of metrics",
    "metrics.host": "set bindAddress",
    "page.host": "set bindAddress",
    "kafka.instance": "it is the name of the pod",
    "kafka.sasl_password": "use secrets",
    "kafka.ssl_keyfile_password": "use secrets",
    "schema_registry.password": "use secrets",
    "page.token": "use page.tokenSecret",
}
"""Keys of the configuration that are not for the values, and why."""


def values_schema() -> str:
    """Return the schema as JSON. The configuration has its own schema, without the keys that the chart sets."""
    members = {
        "config": _configuration(),
        "replicas": COUNT,
        "image": _closed(
            {
                "repository": TEXT,
                "tag": TEXT,
                "digest": {"type": "string", "pattern": "^$|^sha256:[0-9a-f]{64}$"},
                "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
            }
        ),
        "imagePullSecrets": OBJECTS,
        "secrets": {"type": "array", "items": _secret()},
        "sizing": _closed({"series": COUNT, "stateBytes": {"type": ["integer", "null"], "minimum": 1}}),
        "resources": _closed({"requests": OBJECT, "limits": OBJECT, "claims": OBJECTS}),
        "kernelCache": _closed({"persistent": SWITCH, "size": QUANTITY, "storageClass": NAME}),
        "page": _closed(
            {
                "tokenSecret": NAME,
                "serviceAnnotations": LABELS,
                "ingress": _closed({"host": NAME, "className": NAME, "tlsSecret": NAME, "annotations": LABELS}),
            }
        ),
        "reloadOnChange": SWITCH,
        "bindAddress": {"type": "string", "minLength": 1},
        "disruptionBudget": _closed({"enabled": SWITCH}),
        "networkPolicy": _closed(
            {
                "enabled": SWITCH,
                "metricsFrom": OBJECTS,
                "pageFrom": OBJECTS,
                "egress": {"type": ["array", "null"], "items": OBJECT},
            }
        ),
        "monitoring": _closed(
            {
                "serviceMonitor": _closed(
                    {"enabled": SWITCH, "interval": DURATION, "scrapeTimeout": TIMEOUT, "labels": LABELS}
                ),
                "rules": _closed({"enabled": SWITCH, "labels": LABELS}),
                "dashboards": _closed({"enabled": SWITCH, "labels": LABELS, "annotations": LABELS}),
            }
        ),
        "autoscaling": _closed(
            {
                "enabled": SWITCH,
                "minReplicas": COUNT,
                "maxReplicas": {"type": ["integer", "null"], "minimum": 1},
                "lag": COUNT,
                "prometheus": {"type": "string", "pattern": "^https?://"},
                "authentication": NAME,
                "authModes": NAME,
            }
        ),
        "serviceAccount": _closed({"create": SWITCH, "name": TEXT, "annotations": LABELS}),
        "commonLabels": LABELS,
        "podAnnotations": LABELS,
        "podLabels": LABELS,
        "nodeSelector": LABELS,
        "tolerations": OBJECTS,
        "affinity": OBJECT,
        "topologySpreadConstraints": {"type": ["array", "null"], "items": OBJECT},
        "priorityClassName": TEXT,
        "extraEnv": OBJECTS,
        "extraEnvFrom": OBJECTS,
        "extraVolumes": OBJECTS,
        "extraVolumeMounts": OBJECTS,
        "extraObjects": OBJECTS,
        "nameOverride": TEXT,
        "fullnameOverride": TEXT,
        "global": OBJECT,  # Helm adds it
    }
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Values of streamrnn's Helm chart"}
    return json.dumps({**schema, **_closed(members)}, indent=1, ensure_ascii=False) + "\n"


def _closed(members: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": dict(members)}


def _secret() -> dict[str, Any]:
    item = _closed({"key": TEXT, "path": TEXT, "mode": COUNT}) | {"required": ["key", "path"]}
    members = {"name": TEXT, "items": {"type": "array", "items": item}, "optional": SWITCH}
    return _closed(members) | {"required": ["name"]}


def _configuration() -> dict[str, Any]:
    schema = configuration_schema()
    for key in ("$schema", "title"):
        del schema[key]
    for key, reason in OWN.items():
        *groups, name = key.split(".")
        place = schema
        for group in groups:
            place = place["properties"][group]
        assert name in place["properties"], key  # noqa: S101 -- a key that is gone must be deleted above
        # Helm prints the constant of a schema that a value does not meet, but neither its description nor its title
        place["properties"][name] = {"const": f"not in the values of the chart: {reason}"}
    schema["properties"]["metrics"]["properties"]["port"]["minimum"] = 1
    schema["properties"]["page"]["properties"]["port"]["minimum"] = 1
    topics = schema["properties"]["input"]
    return schema | {
        "required": ["input"],
        "properties": {**schema["properties"], "input": topics | {"required": ["topics"]}},
    }
