"""OpenTelemetry spans of the loop."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from support.fakes import INPUT, FakeForecaster, make_task
from support.inputs import mixed
from support.worker_harness import Clock, FaultyLog, finish, make_store, make_worker, published

from streamrnn.commands import run
from streamrnn.errors import ConfigError
from streamrnn.log.memory import MemoryStore
from streamrnn.observe.metrics import Metrics
from streamrnn.observe.traces import Traces, otlp_traces
from streamrnn.runtime.worker import Worker
from streamrnn.settings import load


@pytest.fixture
def spans() -> Iterator[tuple[Traces, Callable[[], list[ReadableSpan]]]]:
    """Yield traces, and a function that returns the finished spans."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    traces = Traces(provider)
    yield traces, lambda: list(exporter.get_finished_spans())
    traces.close()


def traced_worker(traces: Traces | None, metrics: Metrics) -> tuple[Worker, MemoryStore]:
    """Return a worker over some records, with or without traces."""
    store, clock = make_store(mixed(300, seed=1)), Clock()
    timed = metrics.timed if traces is None else traces.with_spans(metrics.timed, INPUT)
    changes = {} if traces is None else {"span": traces.span}
    worker = make_worker(
        lambda: FaultyLog(store, clock),
        clock,
        task=lambda partition: make_task(FakeForecaster(most=40), partition=partition, timed=timed),
        poll_records=100,
        **changes,
    )
    return worker, store


def test_spans_of_the_loop(spans: tuple[Traces, Callable[[], list[ReadableSpan]]]) -> None:
    """Polls, feeds and commits are spans; decoding, steps and learning are nested in their feed, each with its task."""
    traces, ended = spans
    metrics = Metrics(horizons=(1, 3), quantiles=(0.1, 0.5, 0.9), max_series=10)
    worker, store = traced_worker(traces, metrics)
    finish(worker, store)
    worker.close()
    by_name: dict[str, list[ReadableSpan]] = {}
    for span in ended():
        by_name.setdefault(span.name, []).append(span)
    assert by_name.keys() == {"poll", "feed", "decode", "step", "learn", "commit"}
    assert len(by_name["feed"]) == len(by_name["decode"]) == 4  # of three polls: the first few records come first
    feeds = {span.context.span_id: span for span in by_name["feed"]}
    for name in ("decode", "step", "learn"):
        for span in by_name[name]:
            assert span.parent is not None
            feed = feeds[span.parent.span_id]
            assert feed.start_time <= span.start_time <= span.end_time <= feed.end_time  # type: ignore[operator]
    for name in ("poll", "feed", "commit"):
        assert {span.parent for span in by_name[name]} == {None}
    for name in by_name.keys() - {"poll"}:
        assert {tuple(sorted((span.attributes or {}).items())) for span in by_name[name]} == {
            (("partition", 0), ("topic", "sensors"))
        }
    _, text = metrics.exposition("")
    assert f"streamrnn_step_seconds_count {len(by_name['step'])}.0" in text.decode()  # traces and metrics count alike


def test_traces_change_nothing(spans: tuple[Traces, Callable[[], list[ReadableSpan]]]) -> None:
    """Forecasts and dead letters are the same with and without traces."""
    outputs = []
    for traces in (spans[0], None):
        worker, store = traced_worker(traces, Metrics(horizons=(1, 3), quantiles=(0.1, 0.5, 0.9), max_series=10))
        finish(worker, store)
        worker.close()
        outputs.append(published(store))
    assert outputs[0] == outputs[1]
    assert outputs[0][0]


def test_off_by_default() -> None:
    """By default the daemon has no traces and does not import OpenTelemetry."""
    assert run.make_traces(load(None, ["input.topics=a"])) is None
    script = "import sys; import streamrnn.app; sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the key and the command that installs the extra."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(
        ConfigError, match=r"traces\.enabled: needs .*, which is not installed: pip install 'streamrnn\[traces\]'"
    ):
        otlp_traces()


class Collector:
    """A collector that stores what it receives."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.path == "/v1/traces"
                collector.requests.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def test_the_environment_configures_the_exporter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans are exported over OTLP by HTTP, under the environment's service name; closing exports the last ones."""
    with closing(Collector()) as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.address)
        monkeypatch.setenv("OTEL_SERVICE_NAME", "pumps")
        with closing(otlp_traces()) as traces, traces.span("poll"):
            pass
    (request,) = collector.requests
    (sent,) = request.resource_spans
    names = {each.key: each.value.string_value for each in sent.resource.attributes}
    assert names["service.name"] == "pumps"
    assert [span.name for scope in sent.scope_spans for span in scope.spans] == ["poll"]


def test_an_unreachable_collector_does_not_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recording spans does not wait for the collector, and closing waits two seconds at most."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    traces = otlp_traces()
    begun = time.monotonic()
    for _ in range(1000):
        with traces.span("step", INPUT):
            pass
    assert time.monotonic() - begun < 1.0
    traces.close()
    assert time.monotonic() - begun < 4.0
