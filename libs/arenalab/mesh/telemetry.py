"""Tracing for every service of the mesh: OTLP out, W3C trace context across calls.

Span names and attributes follow the RPC conventions that are released
(semantic-conventions 1.44): `rpc.system.name`, `rpc.method` with the full name,
`rpc.response.status_code` as a string. The contrib gRPC instrumentation still
emits the older names, so the mesh's own server and channel open the spans.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

import grpc
from opentelemetry import trace
from opentelemetry.context import Context, attach
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from arenalab.mesh.metrics import Metrics

RPC_SYSTEM: Final = "rpc.system.name"
RPC_METHOD: Final = "rpc.method"
RPC_STATUS: Final = "rpc.response.status_code"
ERROR_TYPE: Final = "error.type"

# Ours, on the span of the service that decides each.
ROUTE: Final = "arenalab.route"
ABSTAIN_REASON: Final = "arenalab.abstain.reason"
CONFIDENCE: Final = "arenalab.confidence"
GUARANTEE_STATUS: Final = "arenalab.guarantee.status"
ALPHA: Final = "arenalab.alpha"
COST_USD_MICROS: Final = "arenalab.cost_usd_micros"
EVIDENCE_COUNT: Final = "arenalab.evidence.count"
DATASET: Final = "gen_ai.data_source.id"
DATASET_VERSION: Final = "arenalab.dataset.version"
LEDGER_INDEX: Final = "arenalab.ledger.index"
PREDICTION_ID: Final = "arenalab.prediction.id"
PLAN_ENGINE: Final = "arenalab.plan.engine"
PLAN_STRATEGY: Final = "arenalab.plan.filter_strategy"
PLAN_EF_SEARCH: Final = "arenalab.plan.ef_search"
PLAN_CANDIDATES: Final = "arenalab.plan.candidates"
PLAN_COST_US: Final = "arenalab.plan.cost_us"
PLAN_EXPLANATION: Final = "arenalab.plan.explanation"
SEARCH_EXACT: Final = "arenalab.search.exact"
SEARCH_MATCHES: Final = "arenalab.search.matches"

# Server-side statuses that are the server's fault; a client's span fails on any but OK.
_SERVER_ERRORS: Final = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
_PROPAGATOR: Final = TraceContextTextMapPropagator()
_IDS: Final = RandomIdGenerator()


class Telemetry:
    """How one service is observed: its tracer and the metrics of its process."""

    def __init__(
        self, service: str, *, otlp_endpoint: str | None = None, metrics: Metrics | None = None
    ) -> None:
        """Starts exporting spans when an endpoint ("http://host:port") is given.

        Without one, spans are not recorded, but a caller's trace context still
        travels on to the services that are called.
        """
        self.service = service
        self.metrics = metrics or Metrics()
        self._provider: TracerProvider | None = None
        self.tracer: trace.Tracer = trace.NoOpTracer()
        if otlp_endpoint:
            resource = Resource.create({SERVICE_NAME: service, "service.namespace": "arenalab"})
            self._provider = TracerProvider(resource=resource)
            exporter = OTLPSpanExporter(
                endpoint=otlp_endpoint, insecure=not otlp_endpoint.startswith("https")
            )
            # Bounded: spans beyond the queue are dropped, never the answers.
            self._provider.add_span_processor(
                BatchSpanProcessor(exporter, max_queue_size=8192, schedule_delay_millis=500)
            )
            self.tracer = self._provider.get_tracer("arenalab.mesh")

    @property
    def _records(self) -> bool:
        return not isinstance(self.tracer, trace.NoOpTracer)

    def serve_span(
        self, method: str, metadata: Sequence[tuple[str, str | bytes]] | None
    ) -> trace.Span | None:
        """Makes the caller's trace the current one, for the rest of the current task.

        Returns:
            The span of the call, which the caller ends; None where none is recorded.
        """
        context = extract(metadata)
        span = None
        if self._records:
            span = self.tracer.start_span(
                method, context, trace.SpanKind.SERVER, attributes=rpc_attributes(method)
            )
            context = trace.set_span_in_context(span, context)
        attach(context)
        return span

    def request_context(self, headers: Mapping[str, str]) -> Context:
        """Returns the trace context of an HTTP request: the caller's, else one of its own.

        Where spans are recorded, the span that is opened in it begins the trace. Where
        they are not, the context itself names one, marked as not sampled: logs and ledger
        entries of one request can still be told to belong together.
        """
        context = _PROPAGATOR.extract(headers)
        if self._records or trace.get_current_span(context).get_span_context().is_valid:
            return context
        own = trace.SpanContext(_IDS.generate_trace_id(), _IDS.generate_span_id(), is_remote=False)
        return trace.set_span_in_context(trace.NonRecordingSpan(own), context)

    def call_span(self, method: str) -> tuple[trace.Span, list[tuple[str, str]]]:
        """Opens the span of a call to a peer; returns the metadata that hands it on."""
        if not self._records:  # the trace context travels on as it came
            return trace.INVALID_SPAN, inject()
        span = self.tracer.start_span(
            method, kind=trace.SpanKind.CLIENT, attributes=rpc_attributes(method)
        )
        return span, inject(trace.set_span_in_context(span))

    def shutdown(self) -> None:
        """Sends what is still queued, then stops exporting."""
        if self._provider is not None:
            self._provider.shutdown()

    @contextmanager
    def span(
        self, name: str, attributes: Mapping[str, AttributeValue] | None = None
    ) -> Iterator[trace.Span]:
        """Opens an internal span for the length of the block."""
        with self.tracer.start_as_current_span(name, attributes=attributes) as span:
            yield span


def annotate(attributes: Mapping[str, AttributeValue]) -> None:
    """Sets attributes on the span of the call that is being served."""
    span = trace.get_current_span()
    if span.is_recording():
        span.set_attributes(attributes)


def current_trace_id() -> str:
    """Returns the id of the trace that the current call belongs to, 32 hex digits; "" for none."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else ""


def is_recorded() -> bool:
    """Returns whether the call that is being served has a span that records attributes."""
    return trace.get_current_span().is_recording()


def rpc_attributes(method: str) -> dict[str, AttributeValue]:
    """Returns the attributes that an RPC span has from the start."""
    return {RPC_SYSTEM: "grpc", RPC_METHOD: method}


def record_status(span: trace.Span, code: grpc.StatusCode, *, server: bool) -> None:
    """Writes an RPC's status to its span, and whether it counts as a failure."""
    if not span.is_recording():
        return
    span.set_attribute(RPC_STATUS, code.name)
    if code is not grpc.StatusCode.OK and (not server or code.name in _SERVER_ERRORS):
        span.set_attribute(ERROR_TYPE, code.name)
        span.set_status(trace.StatusCode.ERROR)


def extract(metadata: Sequence[tuple[str, str | bytes]] | None) -> Context:
    """Returns the trace context that a caller sent."""
    carrier = {key: value for key, value in metadata or () if isinstance(value, str)}
    return _PROPAGATOR.extract(carrier)


def inject(context: Context | None = None) -> list[tuple[str, str]]:
    """Returns the metadata that hands a trace context on, by default the current one."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, context)
    return list(carrier.items())
