"""Spans of the loop's work for OpenTelemetry: poll, feed (of it decode, step and learn), and commit.

Where they go is said in OpenTelemetry's own environment variables (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SERVICE_NAME,
OTEL_TRACES_SAMPLER and so on). A thread of the library's sends them; what it cannot send in time is dropped.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from streamrnn.errors import ConfigError
from streamrnn.version import VERSION

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from streamrnn.records import TopicPartition

ENDING = 2.0
"""Seconds that the last spans have to be sent when the process ends."""

Timed = Callable[[str], AbstractContextManager[object]]


class Traces:
    """A recorder of spans; `provider` knows where they go."""

    def __init__(self, provider: "TracerProvider") -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("streamrnn", VERSION)

    def span(self, work: str, partition: "TopicPartition | None" = None) -> AbstractContextManager[object]:
        """A span around a piece of work, inside of the one that is open."""
        details = {} if partition is None else partition._asdict()
        return self._tracer.start_as_current_span(work, attributes=details)

    def beside(self, timed: Timed, partition: "TopicPartition") -> Timed:
        """What times a task's work, with a span around each piece of it."""

        @contextmanager
        def both(work: str) -> Iterator[None]:
            with self.span(work, partition), timed(work):
                yield

        return both

    def close(self) -> None:
        """Send what is left, as far as that takes no longer than ENDING."""
        closing = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        closing.start()
        closing.join(ENDING)


def exported() -> Traces:
    """Spans that are sent over OTLP, by HTTP, to where the environment says.

    Raises:
        ConfigError: the libraries are not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 -- an extra
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            f"traces.enabled: {error.name} is not installed: pip install 'streamrnn[traces]', or set it to false"
        ) from error
    resource = Resource({"service.name": "streamrnn", "service.version": VERSION})
    provider = TracerProvider(resource=resource.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Traces(provider)
