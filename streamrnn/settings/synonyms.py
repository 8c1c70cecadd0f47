"""Suggestion of the key that was probably meant by an unknown key."""

import difflib
import re
from collections.abc import Collection

_NAMES: dict[str, str] = {
    "app": "app_name application application_id group group_id consumer_group client_id",
    "log": "backend store",
    "input.topics": "topic topics input_topic input_topics source_topic source_topics",
    "input.format": "format value_format serialization deserializer decoder",
    "input.observations": "records record_path json_path explode array items documents",
    "input.key": "key key_field key_path key_column series_key series_id id id_field group_by keys entity device "
    "device_id",
    "input.time.from": "time timestamp ts time_field timestamp_field time_column timestamp_column time_path event_time "
    "timestamp_path datetime date",
    "input.time.unit": "time_unit timestamp_unit precision time_precision unit",
    "input.time.zone": "timezone time_zone tz",
    "input.time.format": "time_format timestamp_format date_format datetime_format strptime",
    "input.fields.only": "fields fields_only only field value_field values value_fields columns features target "
    "targets include",
    "input.fields.except": "exclude ignore fields_except fields_exclude exclude_fields drop",
    "input.fields.name": "metric_field name_field field_name",
    "input.numbers.missing": "missing na na_values nulls null_values missing_values sentinel sentinels",
    "input.numbers.decimal": "decimal decimal_mark decimal_separator decimal_point",
    "input.where": "where filter filters condition conditions",
    "input.start": "auto_offset_reset offset offset_reset start_offset start_from",
    "input.max_record": "max_record_size max_bytes max_message_bytes",
    "kafka.bootstrap_servers": "brokers broker bootstrap servers bootstrap_servers broker_list hosts",
    "kafka.security_protocol": "security_protocol protocol security",
    "kafka.sasl_mechanism": "mechanism sasl_mechanisms",
    "kafka.sasl_username": "username user user_name",
    "kafka.sasl_password": "password passwd",
    "kafka.ssl_cafile": "ca ca_file ca_cert ssl_ca ssl_ca_location cafile",
    "kafka.ssl_certfile": "cert certificate certfile ssl_cert ssl_certificate_location",
    "kafka.ssl_keyfile": "keyfile ssl_key ssl_key_location",
    "sqlite.path": "database db file filename sqlite_file sqlite_path",
    "output.forecasts": "output_topic forecast_topic forecasts_topic out_topic sink",
    "output.dead_letters": "dead_letter dlq dead_letter_topic dead_letters_topic errors error_topic",
    "output.state": "state_topic changelog",
    "forecast.horizons": "horizon steps steps_ahead ahead prediction_length",
    "forecast.quantiles": "quantile levels percentiles probabilities intervals",
    "forecast.seasons": "season seasonality seasonal seasonal_periods season_length period periods",
    "forecast.timezone": "time_zone tz local_time zone",
    "forecast.calendar": "holidays holiday country holiday_calendar",
    "forecast.events": "event special_days known_events",
    "commit.interval": "interval commit_interval flush_interval",
    "commit.snapshot_interval": "snapshot checkpoint_interval snapshots",
    "model.hidden_size": "hidden units hidden_units hidden_dim",
    "model.cell": "rnn cell_type rnn_type",
    "learning.learning_rate": "lr",
    "learning.enabled": "learn online_learning",
    "device": "gpu cuda",
    "logging.level": "log_level verbosity",
    "logging.format": "log_format",
    "metrics.port": "prometheus_port metrics_port",
    "workers": "processes threads num_workers",
}
"""Names that other programs use, by key."""
_MIN_SIMILARITY = 0.8
"""Least similarity, from 0 to 1, of a misspelt key and the key that was meant."""
_LEAST_IN_SECTION = 0.75
"""Least similarity of the last parts of two keys of one section."""


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


_BY_NAME = {_plain(name): key for key, names in _NAMES.items() for name in names.split()}


def meant_key(key: str, known: Collection[str]) -> str:
    """Return the known key that was probably meant by an unknown one; empty if there is none.

    In this order: the key without its sections or with other separators, another name for it, and a misspelt one.
    """
    plain = {_plain(name): name for name in known}
    if _plain(key) in plain:
        return plain[_plain(key)]
    ends = [name for name in known if name.endswith(f".{key}")]
    if len(ends) == 1:
        return ends[0]
    near = difflib.get_close_matches(_plain(key), plain, n=1, cutoff=_MIN_SIMILARITY)
    section, _, last = key.rpartition(".")
    for name in (_plain(key), _plain(key.partition(".")[2]), _plain(last)):
        found = _BY_NAME.get(name, "")
        if found in known and not (near and _shares(plain[near[0]], section) and not _shares(found, section)):
            return found
    if near:
        return plain[near[0]]
    ends = [name for name in known if name.rpartition(".")[2] == last]
    if len(ends) == 1:
        return ends[0]
    # a short name with two letters exchanged, among those of its section
    members = {name.removeprefix(f"{section}.").partition(".")[0] for name in known if _shares(name, section)}
    near = difflib.get_close_matches(last, members, n=1, cutoff=_LEAST_IN_SECTION)
    return f"{section}.{near[0]}" if near else ""


def _shares(key: str, section: str) -> bool:
    """Return whether a key is in a section."""
    return bool(section) and key.startswith(f"{section}.")
