"""Text notations that are recognised but not supported as input, and how to convert them."""

import re
from collections.abc import Sequence

_TELEGRAF = 'have Telegraf convert them: inputs.kafka_consumer with data_format = "{}", outputs.kafka with "influx"'
_COMMENTS = r"(?:\s*+[%#][^\n]*+\n)*+\s*+"
_NUMBER = r"[-+]?[\d.]+(?:[eE][-+]?\d+)?"
ARFF_REMEDY = "save its rows as CSV, as pandas does with what scipy.io.arff.loadarff returns"
TSF_REMEDY = "save its series as CSV in long format (name, time, value), as sktime's load_tsf_to_dataframe returns them"
_PRODUCER = "have their producer write JSON"
_NOTATIONS: tuple[tuple[str, str, str], ...] = (
    ("lines of StatsD", rf"[^\s|:=]+(?:,[^\s|:=,]+=[^\s|:,]+)*:{_NUMBER}\|(?:c|g|ms|h|s|d)\b.*",
     "have Telegraf receive them (inputs.statsd) and write them (outputs.kafka)"),
    ("performance data of Nagios", r"(?:DATATYPE::|\[[A-Z]+PERFDATA\]).*|[^=\s]+=[\d.]+[a-zA-Z%]*;.*",
     _TELEGRAF.format("nagios")),
    ("lines of OpenTSDB", rf"put \S+ \d{{10,13}} {_NUMBER}(?: [^\s=]+=\S+)+", _TELEGRAF.format("opentsdb")),
    ("lines of Wavefront", rf"\S+ {_NUMBER} (?:\d{{10,13}} )?source=.*", _TELEGRAF.format("wavefront")),
    ("lines of Carbon 2.0", rf"(?:[^\s=]+=\S+ )+ ?(?:[^\s=]+=\S+ )* {_NUMBER} \d{{10}}", _PRODUCER),
    ("lines of Dynatrace", rf"[a-zA-Z_][\w.:-]*(?:,[^\s=,]+=[^\s,]+)* (?:gauge|count),?.*{_NUMBER}(?: \d{{13}})?",
     "write them as InfluxDB's line protocol, as Telegraf's outputs.kafka does"),
    ("FIX messages", r"8=FIXT?\.\d.*", "have the FIX engine write JSON"),
    ("a file of Monash's archive", rf"(?i:{_COMMENTS}@relation\b.*@frequency\b.*)|"
     r"@(?:frequency|horizon|missing|equallength)\b.*|[^:,]+:\d{4}-\d\d-\d\d \d\d-\d\d-\d\d:.*",
     TSF_REMEDY),
    ("an ARFF file", rf"(?i:{_COMMENTS}@(?:relation|attribute)\b.*)", ARFF_REMEDY),
    ("HL7 messages", r"MSH\|.*", "have the integration engine write JSON, such as observations of FHIR"),
    ("telegrams of a smart meter", r"/[A-Za-z]{3}\d.*|\d-\d:\d{1,3}\.\d{1,3}\.\d{1,3}(?:\*\d{1,3})?\(.*",
     "have the gateway decode them to JSON, as DSMR-reader does"),
    ("NMEA sentences", r"[$!][A-Z]{2}[A-Z]{3},.*", "have the gateway decode them to JSON, as gpsd does"),
    ("logfmt", r'(?:[\w.@/-]+=(?:"(?:[^"\\]|\\.)*"|[^\s"=]*)(?:\s+|$)){3,}', _TELEGRAF.format("logfmt")),
    ("syslog", r"<\d{1,3}>.*", "have the collector parse them, such as Telegraf's inputs.syslog or Fluent Bit"),
    ("lines of a web server's log", r'\S+ \S+ \S+ \[[^\]]+\] "[^"]*" \d{3} \S+.*',
     "have the server log JSON, or Telegraf parse them with data_format = \"grok\""),
    ("form data", r"[\w.%+-]+=[^&=\s]*(?:&[\w.%+-]+=[^&=\s]*)+", _TELEGRAF.format("form_urlencoded")),
    ("a table aligned by blanks", r"\S++(?: \S++)?(?: {2,}+\S++(?: \S++)?){2,}+\s*",
     "set input.format: csv, input.csv.delimiter: space and input.csv.columns; sar's own tables are CSV by sadf -d"),
    ("XML", r"\s*<(?:\?xml|[A-Za-z_]).*", _TELEGRAF.format("xml")),
)  # fmt: skip
"""Name, pattern of a line, and remedy."""
_COMPILED = [(name, re.compile(pattern, re.DOTALL), remedy) for name, pattern, remedy in _NOTATIONS]
_MAX_LENGTH = 2_000


def known_notation(lines: Sequence[str]) -> tuple[str, str] | None:
    """Return the name of the notation of at least half of the lines, and the remedy; None if no notation matches."""
    lines = [line[:_MAX_LENGTH] for line in lines[:100] if line]
    for name, pattern, remedy in _COMPILED:
        if lines and sum(pattern.fullmatch(line) is not None for line in lines) >= 0.5 * len(lines):
            return name, remedy
    return None
