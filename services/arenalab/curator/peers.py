"""The services that Curator calls, as the few calls it makes of them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import grpc

from arenalab.api.ledger.v1 import ledger_service_pb2 as ledger_pb
from arenalab.api.ledger.v1 import ledger_service_pb2_grpc as ledger_grpc
from arenalab.api.predictor.v1 import predictor_service_pb2 as predictor_pb
from arenalab.api.predictor.v1 import predictor_service_pb2_grpc as predictor_grpc
from arenalab.api.search.v1 import search_service_pb2 as search_pb
from arenalab.curator.config import CuratorConfig
from arenalab.mesh import scope_for

if TYPE_CHECKING:
    from arenalab.api.search.v1 import search_service_pb2_grpc as search_grpc

# Same request, same effect: safe to ask again.
IDEMPOTENT_LEDGER: Final = ("arenalab.api.ledger.v1.LedgerService/Append",)


class Peers:
    """Search, predictor and ledger, with this service's time limits."""

    def __init__(
        self,
        config: CuratorConfig,
        search: "search_grpc.SearchServiceAsyncStub",
        predictor: grpc.aio.Channel,
        ledger: grpc.aio.Channel,
    ) -> None:
        self._config = config
        self._search = search
        self._predictor = predictor_grpc.PredictorServiceStub(predictor)
        self._ledger = ledger_grpc.LedgerServiceStub(ledger)

    async def embed(self, texts: Sequence[str]) -> search_pb.EmbedResponse:
        return await self._search.Embed(
            search_pb.EmbedRequest(texts=texts), timeout=self._config.embed_timeout_s
        )

    async def train(
        self, request: predictor_pb.TrainCalibrationRequest
    ) -> predictor_pb.TrainCalibrationResponse:
        return await self._predictor.TrainCalibration(request, timeout=self._config.train_timeout_s)

    async def load(self, tenant: str, dataset: str, version: str) -> None:
        await self._search.Publish(
            search_pb.PublishRequest(
                scope=scope_for(tenant), dataset=dataset, dataset_version=version
            ),
            timeout=self._config.load_timeout_s,
        )

    async def append(self, request: ledger_pb.AppendRequest) -> ledger_pb.AppendResponse:
        return await self._ledger.Append(request, timeout=self._config.ledger_timeout_s)
