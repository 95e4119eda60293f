"""One trace per request, across every service, received as OTLP on a real gRPC port."""

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import AbstractContextManager
from dataclasses import replace

import grpc
import httpx
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from arenalab.local.configs import Settings
from arenalab.local.home import Home, Running

pytestmark = pytest.mark.slow
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


class Collector(otlp_grpc.TraceServiceServicer):
    """Keeps every span it receives, with the name of its service."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Span]] = []
        self.arrived = threading.Condition()

    def Export(
        self, request: otlp.ExportTraceServiceRequest, context: object
    ) -> otlp.ExportTraceServiceResponse:
        with self.arrived:
            for resource in request.resource_spans:
                names = {a.key: a.value.string_value for a in resource.resource.attributes}
                for scope in resource.scope_spans:
                    self.spans += [(names["service.name"], span) for span in scope.spans]
            self.arrived.notify_all()
        return otlp.ExportTraceServiceResponse()

    def of_trace(self, trace_id: str) -> list[tuple[str, Span]]:
        return [(s, span) for s, span in self.spans if span.trace_id.hex() == trace_id]

    def wait_for(
        self, trace_id: str, complete: Callable[[list[tuple[str, Span]]], bool]
    ) -> list[tuple[str, Span]]:
        """Returns the spans of a trace once they are complete: each service exports its own."""
        with self.arrived:
            met = self.arrived.wait_for(lambda: complete(self.of_trace(trace_id)), 30)
            found = self.of_trace(trace_id)
        assert met, f"after 30 s only {sorted((s, span.name) for s, span in found)}"
        return found


def _edges(spans: list[tuple[str, Span]]) -> set[tuple[str, str]]:
    """The pairs of services of which one called the other."""
    service_of = {span.span_id: service for service, span in spans}
    return {
        (service_of[span.parent_span_id], service)
        for service, span in spans
        if span.parent_span_id in service_of
    }


def _keys(spans: list[tuple[str, Span]]) -> set[tuple[str, str]]:
    """The pairs of a service and an attribute that one of its spans carries."""
    return {(service, a.key) for service, span in spans for a in span.attributes}


@pytest.fixture(scope="module")
def collector() -> Iterator[tuple[Collector, str]]:
    servicer = Collector()
    server = grpc.server(futures.ThreadPoolExecutor(4))
    otlp_grpc.add_TraceServiceServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, f"http://127.0.0.1:{port}"
    server.stop(1).wait()


@pytest.fixture(scope="module")
def traced(
    collector: tuple[Collector, str],
    start_mesh: Callable[[Home, Settings], AbstractContextManager[Running]],
    published_home: Callable[[str], Home],
) -> Iterator[Running]:
    home = published_home("traced")
    settings = replace(Settings.of(home, {}), otlp_endpoint=collector[1])
    with start_mesh(home, settings) as running:
        yield running


def _ask(running: Running, trace_id: str, question: str) -> httpx.Response:
    return httpx.post(
        f"{running.gateway}/v1/chat/completions",
        json={
            "model": "arenalab",
            "messages": [{"role": "user", "content": question}],
            "arenalab": {"cache": "bypass"},  # what is kept was searched in another trace
        },
        headers={"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"},
        timeout=30,
    )


def test_one_request_is_one_trace_through_every_service_of_the_answer_path(
    traced: Running, collector: tuple[Collector, str]
) -> None:
    assert _ask(traced, TRACE_ID, "Where do I see traces in Jaeger?").status_code == 200
    path = {
        ("gateway", "ensemble"),
        ("ensemble", "predictor"),
        ("predictor", "planner"),
        ("predictor", "search"),
        ("ensemble", "ledger"),
    }
    collector[0].wait_for(TRACE_ID, lambda spans: path <= _edges(spans))


def test_the_plan_and_the_decision_are_in_the_trace(
    traced: Running, collector: tuple[Collector, str]
) -> None:
    trace_id = "11112222333344445555666677778888"
    _ask(traced, trace_id, "Where do I see traces in Jaeger?")
    attributes = {
        ("search", "arenalab.plan.engine"),
        ("search", "arenalab.plan.explanation"),
        ("predictor", "arenalab.confidence"),
        ("ensemble", "arenalab.route"),
        ("ensemble", "arenalab.ledger.index"),
    }
    collector[0].wait_for(trace_id, lambda spans: attributes <= _keys(spans))


def test_a_fallback_is_part_of_the_same_trace(
    traced: Running, collector: tuple[Collector, str]
) -> None:
    trace_id = "aaaabbbbccccddddeeeeffff00001111"
    _ask(traced, trace_id, "Which wine goes well with grilled salmon?")
    services = {"gateway", "ensemble", "fallback", "ledger"}
    collector[0].wait_for(trace_id, lambda spans: services <= {service for service, _ in spans})
