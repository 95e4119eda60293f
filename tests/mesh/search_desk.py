"""A running search with datasets to publish, for tests over real gRPC."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.api.search.v1 import search_service_pb2_grpc as pb_grpc
from arenalab.atomic import Span, Status
from arenalab.dataset import DatasetStore
from arenalab.mesh import Telemetry, address_of, connect
from arenalab.search.config import SearchConfig
from arenalab.search.embedder.protocol import Embedder
from arenalab.search.wiring import running_search
from arenalab.testing.datasets import write_version
from arenalab.testing.spans import make_span

BALANCE = make_span(
    "What is my account balance?", "show the balance", domain="banking", quality=90, tags=("money",)
)
CARD = make_span(
    "My card was stolen", "block the card", domain="banking/cards", quality=40, tags=("cards",)
)
FLIGHT = make_span(
    "Book a flight to Paris", "open the flight search", domain="travel", did="book",
    when="2026-03-01T00:00:00Z", status=Status.FAILED,
)  # fmt: skip
WEATHER = make_span("Will it rain tomorrow?", "show the forecast", domain="bankingx")
SPANS = [BALANCE, CARD, FLIGHT, WEATHER]


class Desk:
    """A folder of datasets, and the search that serves it."""

    def __init__(self, root: Path, embedder: Embedder) -> None:
        self.embedder = embedder
        self.telemetry = Telemetry("search")
        self.address = ""
        self.datasets = DatasetStore(root / "datasets")
        self.config = SearchConfig(
            address="127.0.0.1:0",
            store_path=root / "search" / "spans.sqlite",
            datasets_dir=root / "datasets",
        )

    def build(
        self,
        spans: Sequence[Span],
        *,
        dataset: str = "faq",
        tenant: str = "default",
        digest: str | None = None,
    ) -> str:
        return write_version(
            self.datasets,
            spans,
            self.embedder.embed_many([span.this for span in spans]),
            embedder_id=self.embedder.id,
            embedder_digest=digest or self.embedder.digest,
            dataset=dataset,
            tenant=tenant,
        )

    async def publish(
        self, search: "pb_grpc.SearchServiceAsyncStub", spans: Sequence[Span]
    ) -> pb.Collection:
        version = self.build(spans)
        request = pb.PublishRequest(dataset="faq", dataset_version=version)
        return (await search.Publish(request)).collection

    @asynccontextmanager
    async def serving(self) -> "AsyncIterator[pb_grpc.SearchServiceAsyncStub]":
        async with (
            running_search(self.config, self.telemetry, self.embedder) as port,
            connect(f"127.0.0.1:{port}", Telemetry("test")) as channel,
        ):
            self.address = address_of(port)
            yield pb_grpc.SearchServiceStub(channel)
