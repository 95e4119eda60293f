"""A gateway whose peers say what their answers cost."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx

from arenalab.api.common.v1 import receipt_pb2
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.api.ensemble.v1 import ensemble_service_pb2_grpc as pb_grpc
from arenalab.api.ledger.v1 import ledger_service_pb2 as ledger_pb
from arenalab.api.ledger.v1 import ledger_service_pb2_grpc as ledger_grpc
from arenalab.api.search.v1 import search_service_pb2 as search_pb
from arenalab.api.search.v1 import search_service_pb2_grpc as search_grpc
from arenalab.gateway.config import GatewayConfig
from arenalab.gateway.wiring import running_gateway
from arenalab.mesh import BudgetSpentError, NotFoundError, Reason, Telemetry, running_server

ENSEMBLE = pb.DESCRIPTOR.services_by_name["EnsembleService"].full_name
SEARCH = search_pb.DESCRIPTOR.services_by_name["SearchService"].full_name
LEDGER = ledger_pb.DESCRIPTOR.services_by_name["LedgerService"].full_name
OWNER = "acme"  # whose all entries and predictions are
NOON_S = 20_000 * 86_400.0 + 43_200.0  # in the middle of a day of UTC, and of a minute

Json = dict[str, Any]


class Ensemble(pb_grpc.EnsembleServiceServicer):
    """Answers by the model's name.

    "paid-TOKENS-MICROS" is a provider's answer of so many tokens and so much money, if
    that is allowed,
    "unpriced" one whose cost is not known, "missing" no model, "waits" a provider's that
    says a word and waits for `resume`; any other is memory's.
    """

    def __init__(self) -> None:
        self.asked: list[pb.AnswerRequest] = []
        self.waiting = asyncio.Event()
        self.resume = asyncio.Event()
        self.ended = asyncio.Event()

    async def Answer(self, request: pb.AnswerRequest, context: Any) -> AsyncIterator[Any]:
        self.asked.append(request)
        if request.model == "missing":
            raise NotFoundError("there is no such model", Reason.UNKNOWN_MODEL)
        finished = pb.AnswerFinished(prediction_id="p", model=request.model, finish_reason="stop")
        finished.route = pb.ROUTE_MEMORY
        if request.model.startswith("paid-"):
            _, tokens, micros = request.model.split("-")
            finished.route = pb.ROUTE_FALLBACK
            finished.usage.prompt_tokens = 1
            finished.usage.completion_tokens = int(tokens) - 1
            finished.cost_usd_micros = int(micros)
            if 0 < request.max_cost_usd_micros < int(micros):
                raise BudgetSpentError("it would cost more", Reason.SPEND_CAP)
        elif request.model in ("unpriced", "waits"):
            finished.route = pb.ROUTE_PROVIDER
        started = pb.AnswerStarted(prediction_id="p", model=request.model, route=finished.route)
        try:
            yield pb.AnswerResponse(started=started)
            yield pb.AnswerResponse(delta=pb.TextDelta(text="word"))
            if request.model == "waits":
                self.waiting.set()
                await self.resume.wait()
            yield pb.AnswerResponse(finished=finished)
        finally:
            self.ended.set()

    async def ListModels(
        self, request: pb.ListModelsRequest, context: Any
    ) -> pb.ListModelsResponse:
        names = ("arenalab", f"arenalab/of-{request.scope.tenant}", "openai/gpt")
        return pb.ListModelsResponse(models=[pb.Model(id=name) for name in names])

    async def Feedback(self, request: pb.FeedbackRequest, context: Any) -> pb.FeedbackResponse:
        if request.scope.tenant != OWNER:
            raise NotFoundError("no such prediction", Reason.UNKNOWN_PREDICTION)
        return pb.FeedbackResponse()

    def register(self, server: grpc.aio.Server) -> None:
        pb_grpc.add_EnsembleServiceServicer_to_server(self, server)


class Ledger(ledger_grpc.LedgerServiceServicer):
    """Has the entries of one tenant."""

    async def GetReceipt(
        self, request: ledger_pb.GetReceiptRequest, context: Any
    ) -> ledger_pb.GetReceiptResponse:
        self._check(request.scope.tenant)
        receipt = receipt_pb2.Receipt(leaf=b"{}", leaf_hash=b"h" * 32, checkpoint="log\n1\n")
        return ledger_pb.GetReceiptResponse(receipt=receipt)

    async def Get(self, request: ledger_pb.GetRequest, context: Any) -> ledger_pb.GetResponse:
        self._check(request.scope.tenant)
        content = {"request": '{"messages": []}', "answer": "{}"}
        return ledger_pb.GetResponse(
            leaf=b"{}", content=content, content_state=ledger_pb.CONTENT_STATE_PRESENT
        )

    async def ListLogs(
        self, request: ledger_pb.ListLogsRequest, context: Any
    ) -> ledger_pb.ListLogsResponse:
        return ledger_pb.ListLogsResponse()

    @staticmethod
    def _check(tenant: str) -> None:
        if tenant != OWNER:
            raise NotFoundError("no such entry", Reason.UNKNOWN_LEAF)

    def register(self, server: grpc.aio.Server) -> None:
        ledger_grpc.add_LedgerServiceServicer_to_server(self, server)


class Search(search_grpc.SearchServiceServicer):
    """Embeds every text as two numbers, and counts three tokens for it."""

    async def Embed(self, request: search_pb.EmbedRequest, context: Any) -> search_pb.EmbedResponse:
        count = len(request.texts)
        return search_pb.EmbedResponse(
            vectors=struct.pack("<2f", 1.0, 0.5) * count,
            dimension=2,
            embedder_id="tiny",
            token_counts=[3] * count,
        )

    def register(self, server: grpc.aio.Server) -> None:
        search_grpc.add_SearchServiceServicer_to_server(self, server)


@dataclass
class Gateway:
    """One gateway, and a client for it."""

    port: int
    http: httpx.AsyncClient
    stop: AsyncExitStack

    async def ask(self, key: str = "", content: str = "How?", **members: Any) -> httpx.Response:
        body: Json = {"messages": [{"role": "user", "content": content}]} | members
        return await self.http.post(
            "/v1/chat/completions", json={"model": "arenalab"} | body, headers=bearer(key)
        )

    async def models(self, key: str = "") -> httpx.Response:
        return await self.http.get("/v1/models", headers=bearer(key))


@dataclass
class Mesh:
    """Peers that any number of gateways share."""

    ensemble: Ensemble
    addresses: Json
    stack: AsyncExitStack
    now: Callable[[], float] = field(default=lambda: NOON_S)

    def _clock(self) -> float:
        return self.now()  # whichever it is by then

    async def gateway(self, telemetry: Telemetry | None = None, **settings: Any) -> Gateway:
        """Starts one more gateway."""
        stop = await self.stack.enter_async_context(AsyncExitStack())
        http = await self.stack.enter_async_context(httpx.AsyncClient(timeout=20))
        config = GatewayConfig(**{"port": 0} | self.addresses | settings)
        running = running_gateway(config, telemetry or Telemetry("gateway"), self._clock)
        port = await stop.enter_async_context(running)
        http.base_url = httpx.URL(f"http://127.0.0.1:{port}")
        return Gateway(port, http, stop)


@asynccontextmanager
async def running_peers() -> AsyncIterator[Mesh]:
    """Runs the peers for the length of the block, and what gateways it starts."""
    ensemble = Ensemble()  # type: ignore[abstract]  # what it lacks answers UNIMPLEMENTED
    search = Search()  # type: ignore[abstract]
    ledger = Ledger()  # type: ignore[abstract]
    peers = {
        "ensemble": (ENSEMBLE, ensemble.register),
        "search": (SEARCH, search.register),
        "ledger": (LEDGER, ledger.register),
    }
    async with AsyncExitStack() as stack:
        addresses = {}
        for name, (full_name, register) in peers.items():
            server = running_server(full_name, register, "127.0.0.1:0", Telemetry("peer"))
            port = await stack.enter_async_context(server)
            addresses[f"{name}_address"] = f"127.0.0.1:{port}"
        yield Mesh(ensemble, addresses, stack)


def bearer(key: str) -> dict[str, str]:
    """Returns the header that shows a key."""
    return {"authorization": f"Bearer {key}"} if key else {}


def error_of(response: httpx.Response) -> Json:
    """Returns the error in the OpenAI body of a response."""
    found: Json = response.json()["error"]
    assert set(found) == {"message", "type", "param", "code"}
    return found
