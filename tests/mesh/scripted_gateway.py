"""A gateway over real HTTP whose peers are scripted servicers over real gRPC."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import httpx

from arenalab.api.common.v1 import answer_pb2, receipt_pb2
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.api.ensemble.v1 import ensemble_service_pb2_grpc as pb_grpc
from arenalab.api.search.v1 import search_service_pb2 as search_pb
from arenalab.api.search.v1 import search_service_pb2_grpc as search_grpc
from arenalab.gateway.config import GatewayConfig
from arenalab.gateway.wiring import running_gateway
from arenalab.mesh import (
    MeshError,
    NotFoundError,
    NotReadyError,
    PreconditionError,
    Reason,
    Telemetry,
    running_server,
)

ENSEMBLE = pb.DESCRIPTOR.services_by_name["EnsembleService"].full_name
SEARCH = search_pb.DESCRIPTOR.services_by_name["SearchService"].full_name
PREDICTION_ID = "01980000-0000-7000-8000-00000000002a"
VERSION = "ab" * 32
CITATION = {"start_index": 0, "end_index": 10, "title": "q", "url": "arenalab:span/s1"}

Json = dict[str, Any]


def _started(route: pb.Route.ValueType, model: str = "arenalab") -> pb.AnswerResponse:
    return pb.AnswerResponse(
        started=pb.AnswerStarted(prediction_id=PREDICTION_ID, model=model, route=route)
    )


def _said(text: str, tool_calls: Sequence[Json] = ()) -> pb.AnswerResponse:
    calls = json.dumps(list(tool_calls)) if tool_calls else ""
    return pb.AnswerResponse(delta=pb.TextDelta(text=text, tool_calls_json=calls))


def _finished(route: pb.Route.ValueType, **members: Any) -> pb.AnswerResponse:
    finished = pb.AnswerFinished(
        prediction_id=PREDICTION_ID,
        model="arenalab",
        route=route,
        confidence=0.93,
        method=answer_pb2.ANSWER_METHOD_MAJORITY,
        finish_reason="stop",
        receipt=receipt_pb2.Receipt(
            leaf_index=7,
            leaf=b'{"kind":"answer"}',
            leaf_hash=b"\x01" * 32,
            inclusion_path=[b"\x02" * 32],
            checkpoint="log\n8\n",
            log_public_key="log+1+k",
        ),
    )
    finished.MergeFrom(pb.AnswerFinished(**members))
    finished.timings.total.FromMilliseconds(1)
    return pb.AnswerResponse(finished=finished)


def _from_memory() -> list[pb.AnswerResponse]:
    guarantee = answer_pb2.Guarantee(
        status=answer_pb2.GUARANTEE_STATUS_VALID,
        kind=answer_pb2.GUARANTEE_KIND_HIGH_PROBABILITY,
        alpha=0.05,
        delta=0.05,
        threshold=0.8,
        calibration_size=100,
        risk_upper_bound=0.04,
        basis=answer_pb2.CALIBRATION_BASIS_DATASET_HOLDOUT,
        scope=answer_pb2.GUARANTEE_SCOPE_ALL,
    )
    finished = _finished(
        pb.ROUTE_MEMORY,
        outcome_set=answer_pb2.OutcomeSet(outcomes=["Two words."], coverage=0.95),
        guarantee=guarantee,
        dataset_version=VERSION,
        creature="faq",
        evidence=[answer_pb2.Evidence(span_id="s1", question="q", similarity=0.9, supports=True)],
    )
    return [_started(pb.ROUTE_MEMORY), _said("Two "), _said("words."), finished]


def _abstaining(reason: answer_pb2.AbstainReason.ValueType) -> list[pb.AnswerResponse]:
    finished = _finished(
        pb.ROUTE_ABSTAIN,
        abstention=answer_pb2.Abstention(
            reason=reason, explanation="Memory cannot honour: response_format.", wanted="More."
        ),
    )
    return [_started(pb.ROUTE_ABSTAIN), _said("I do not know."), finished]


TOOL_CALLS = (
    {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}},
    {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
)
SCRIPTS: dict[str, Callable[[], list[pb.AnswerResponse]]] = {
    "arenalab": _from_memory,
    "refuses": lambda: [
        _started(pb.ROUTE_FALLBACK),
        pb.AnswerResponse(delta=pb.TextDelta(refusal="I will ")),
        pb.AnswerResponse(delta=pb.TextDelta(refusal="not.")),
        _finished(pb.ROUTE_FALLBACK, provider="openai", cost_usd_micros=1_250),
    ],
    "abstains": lambda: _abstaining(answer_pb2.ABSTAIN_REASON_OUT_OF_SCOPE),
    "cannot": lambda: _abstaining(answer_pb2.ABSTAIN_REASON_UNSUPPORTED_REQUEST),
    "calls": lambda: [
        _started(pb.ROUTE_FALLBACK),
        *(_said("", [call]) for call in TOOL_CALLS),
        _finished(
            pb.ROUTE_FALLBACK,
            finish_reason="tool_calls",
            usage=pb.Usage(prompt_tokens=11, completion_tokens=3),
        ),
    ],
    "unfinished": lambda: [_started(pb.ROUTE_FALLBACK), _said("half")],
}
ERRORS: dict[str, MeshError] = {
    "missing": NotFoundError("the model 'missing' does not exist", Reason.UNKNOWN_MODEL),
    "unsealed": NotReadyError("the answer cannot be sealed", Reason.LEDGER_UNAVAILABLE),
    "unpublished": PreconditionError("nothing is published", Reason.NO_DATASET),
    "no-provider": PreconditionError("no provider is configured", Reason.NO_PROVIDER),
}


class Ensemble(pb_grpc.EnsembleServiceServicer):
    """Plays the script that the model names."""

    def __init__(self) -> None:
        self.asked: list[pb.AnswerRequest] = []
        self.metadata: dict[str, Any] = {}
        self.waiting = asyncio.Event()
        self.ended = asyncio.Event()
        self.resume = asyncio.Event()

    async def Answer(self, request: pb.AnswerRequest, context: Any) -> AsyncIterator[Any]:
        self.asked.append(request)
        self.metadata = dict(context.invocation_metadata())
        if request.model in ERRORS:
            raise ERRORS[request.model]
        if request.model == "late-error":
            yield _started(pb.ROUTE_FALLBACK)
            yield _said("half")
            raise NotReadyError("the provider broke", Reason.PROVIDER_FAILED, provider="p")
        if request.model == "waits":
            async for event in self._wait():
                yield event
            return
        if request.model == "floods":
            try:
                yield _started(pb.ROUTE_FALLBACK)
                while True:
                    yield _said("x" * 1_000_000)
            finally:
                self.ended.set()
        for event in SCRIPTS[request.model]():
            yield event

    async def _wait(self) -> AsyncIterator[pb.AnswerResponse]:
        yield _started(pb.ROUTE_FALLBACK)
        self.waiting.set()
        try:
            await self.resume.wait()
            yield _said("at last")
            yield _finished(pb.ROUTE_FALLBACK)
        finally:
            self.ended.set()

    async def ListModels(
        self, request: pb.ListModelsRequest, context: Any
    ) -> pb.ListModelsResponse:
        names = ("arenalab", f"arenalab/of-{request.scope.tenant}")
        return pb.ListModelsResponse(
            models=[pb.Model(id=name, owned_by="arenalab", description="d") for name in names]
        )

    async def GetGuaranteeStatus(
        self, request: pb.GetGuaranteeStatusRequest, context: Any
    ) -> pb.GetGuaranteeStatusResponse:
        return pb.GetGuaranteeStatusResponse(
            datasets=[
                pb.DatasetStatus(dataset="faq", status=answer_pb2.GUARANTEE_STATUS_VOID),
                pb.DatasetStatus(dataset="docs", status=answer_pb2.GUARANTEE_STATUS_VALID),
            ]
        )

    def register(self, server: grpc.aio.Server) -> None:
        pb_grpc.add_EnsembleServiceServicer_to_server(self, server)


class Search(search_grpc.SearchServiceServicer):
    """Embeds a text as its length and 0.5."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def Embed(self, request: search_pb.EmbedRequest, context: Any) -> search_pb.EmbedResponse:
        self.texts = list(request.texts)
        rows = [struct.pack("<2f", len(text), 0.5) for text in request.texts]
        return search_pb.EmbedResponse(
            vectors=b"".join(rows),
            dimension=2,
            embedder_id="tiny",
            token_counts=[3] * len(rows),
        )

    def register(self, server: grpc.aio.Server) -> None:
        search_grpc.add_SearchServiceServicer_to_server(self, server)


@dataclass
class Mesh:
    """A gateway with its peers."""

    port: int
    http: httpx.AsyncClient
    ensemble: Ensemble
    search: Search
    gateway: AsyncExitStack  # closing it stops the gateway alone

    async def ask(self, **members: Any) -> httpx.Response:
        body: Json = {"messages": [{"role": "user", "content": "How?"}]} | members
        return await self.http.post("/v1/chat/completions", json=body)

    async def raw(self, data: bytes, *, until_closed: bool = True) -> bytes:
        """Sends bytes on a connection of its own; returns what comes back."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        try:
            if until_closed:
                return await reader.read()
            return await reader.readuntil(b"}}")
        finally:
            writer.close()
            await writer.wait_closed()


@asynccontextmanager
async def running(telemetry: Telemetry | None = None, **settings: Any) -> AsyncIterator[Mesh]:
    ensemble = Ensemble()  # type: ignore[abstract]  # as below
    search = Search()  # type: ignore[abstract]  # what it lacks answers UNIMPLEMENTED
    async with AsyncExitStack() as stack:

        async def serve(name: str, register: Callable[[grpc.aio.Server], None]) -> str:
            server = running_server(name, register, "127.0.0.1:0", Telemetry("peer"))
            return f"127.0.0.1:{await stack.enter_async_context(server)}"

        given: Json = {
            "port": 0,
            "ensemble_address": await serve(ENSEMBLE, ensemble.register),
            "search_address": await serve(SEARCH, search.register),
            # The ledger is only asked for its health.
            "ledger_address": await serve(ENSEMBLE, ensemble.register),
        }
        config = GatewayConfig(**given | settings)
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=20))
        gateway = await stack.enter_async_context(AsyncExitStack())
        served = running_gateway(config, telemetry or Telemetry("gateway"))
        port = await gateway.enter_async_context(served)
        http.base_url = httpx.URL(f"http://127.0.0.1:{port}")
        yield Mesh(port, http, ensemble, search, gateway)
