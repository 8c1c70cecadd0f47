"""OpenTelemetry spans of the loop: poll, feed (with decode, step and learn inside), and commit.

The destination is set by OpenTelemetry's own environment variables (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SERVICE_NAME,
OTEL_TRACES_SAMPLER and so on). A thread of the library exports the spans and drops those that it cannot send in time.
"""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from streamrnn.errors import missing_extra
from streamrnn.version import VERSION

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from streamrnn.records import Timed, TopicPartition

FLUSH_SECONDS = 2.0
"""Time limit for exporting the last spans when the process ends."""


class Traces:
    """Records spans with a tracer of `provider`."""

    def __init__(self, provider: "TracerProvider") -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("streamrnn", VERSION)

    def span(self, work: str, partition: "TopicPartition | None" = None) -> AbstractContextManager[object]:
        """Return a context manager that records a span, nested in the open one."""
        details = {} if partition is None else partition._asdict()
        return self._tracer.start_as_current_span(work, attributes=details)

    def with_spans(self, timed: "Timed", partition: "TopicPartition") -> "Timed":
        """Return a timer of a task's work that also records a span of each piece."""

        @contextmanager
        def traced(work: str) -> Iterator[None]:
            with self.span(work, partition), timed(work):
                yield

        return traced

    def close(self) -> None:
        """Export the remaining spans, for at most FLUSH_SECONDS."""
        closing = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        closing.start()
        closing.join(FLUSH_SECONDS)


def otlp_traces() -> Traces:
    """Return traces exported over OTLP by HTTP, as the environment variables configure it.

    Raises:
        ConfigError: the libraries are not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 -- an extra
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        raise missing_extra("traces.enabled", str(error.name), "traces") from error
    resource = Resource({"service.name": "streamrnn", "service.version": VERSION})
    provider = TracerProvider(resource=resource.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Traces(provider)
