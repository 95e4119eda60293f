"""The services that Ensemble calls, as the few calls it makes of them."""

from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from typing import Final, cast

import grpc

from arenalab.api.fallback.v1 import fallback_service_pb2 as fallback_pb
from arenalab.api.fallback.v1 import fallback_service_pb2_grpc as fallback_grpc
from arenalab.api.ledger.v1 import ledger_service_pb2 as ledger_pb
from arenalab.api.ledger.v1 import ledger_service_pb2_grpc as ledger_grpc
from arenalab.api.predictor.v1 import predictor_service_pb2 as predictor_pb
from arenalab.api.predictor.v1 import predictor_service_pb2_grpc as predictor_grpc
from arenalab.ensemble.config import EnsembleConfig
from arenalab.mesh import scope_for

# Same request, same response: safe to ask again.
IDEMPOTENT_PREDICTOR: Final = (
    "arenalab.api.predictor.v1.PredictorService/CheckSupport",
    "arenalab.api.predictor.v1.PredictorService/Predict",
    "arenalab.api.predictor.v1.PredictorService/ListCreatures",
    "arenalab.api.predictor.v1.PredictorService/ReportLabels",
    "arenalab.api.predictor.v1.PredictorService/GetGuaranteeStatus",
)
# Append is idempotent by its entry id.
IDEMPOTENT_LEDGER: Final = (
    "arenalab.api.ledger.v1.LedgerService/Append",
    "arenalab.api.ledger.v1.LedgerService/GetCheckpoint",
)


class Peers:
    """Predictor, fallback and ledger, with this service's time limits."""

    def __init__(
        self,
        config: EnsembleConfig,
        predictor: grpc.aio.Channel,
        fallback: grpc.aio.Channel,
        ledger: grpc.aio.Channel,
    ) -> None:
        self._config = config
        self._predictor = predictor_grpc.PredictorServiceStub(predictor)
        self._fallback = fallback_grpc.FallbackServiceStub(fallback)
        self._ledger = ledger_grpc.LedgerServiceStub(ledger)

    async def predict(self, request: predictor_pb.PredictRequest) -> predictor_pb.PredictResponse:
        return await self._predictor.Predict(request, timeout=self._config.predict_timeout_s)

    async def creatures(self, tenant: str) -> Sequence[predictor_pb.Creature]:
        request = predictor_pb.ListCreaturesRequest(scope=scope_for(tenant))
        response = await self._predictor.ListCreatures(
            request, timeout=self._config.predict_timeout_s
        )
        return response.creatures

    async def report_label(self, tenant: str, label: predictor_pb.Label) -> None:
        request = predictor_pb.ReportLabelsRequest(scope=scope_for(tenant), labels=[label])
        await self._predictor.ReportLabels(request, timeout=self._config.predict_timeout_s)

    async def guarantees(self, tenant: str) -> Sequence[predictor_pb.DatasetGuarantee]:
        request = predictor_pb.GetGuaranteeStatusRequest(scope=scope_for(tenant))
        response = await self._predictor.GetGuaranteeStatus(
            request, timeout=self._config.predict_timeout_s
        )
        return response.datasets

    async def providers(self, _key: str = "") -> Sequence[fallback_pb.Provider]:
        response = await self._fallback.ListProviders(
            fallback_pb.ListProvidersRequest(), timeout=self._config.predict_timeout_s
        )
        return response.providers

    def complete(
        self, request: fallback_pb.CompleteRequest
    ) -> AsyncGenerator[fallback_pb.CompleteResponse]:
        """Returns the events of a completion; closing them ends the call."""
        events = self._fallback.Complete(request, timeout=self._config.fallback_timeout_s)
        # As every stream of the mesh's channels.
        return cast("AsyncGenerator[fallback_pb.CompleteResponse]", aiter(events))

    def reword(
        self, request: fallback_pb.CompleteRequest
    ) -> AsyncIterable[fallback_pb.CompleteResponse]:
        return self._fallback.Complete(request, timeout=self._config.rephrase_timeout_s)

    async def check_support(
        self, request: predictor_pb.CheckSupportRequest
    ) -> predictor_pb.CheckSupportResponse:
        return await self._predictor.CheckSupport(request, timeout=self._config.predict_timeout_s)

    async def append(self, request: ledger_pb.AppendRequest) -> ledger_pb.AppendResponse:
        return await self._ledger.Append(request, timeout=self._config.ledger_timeout_s)

    async def erase_labels(self, tenant: str, subject: str) -> int:
        request = predictor_pb.EraseSubjectRequest(scope=scope_for(tenant), subject=subject)
        response = await self._predictor.EraseSubject(request, timeout=self._config.erase_timeout_s)
        return response.labels

    async def erase_content(self, tenant: str, subject: str) -> ledger_pb.EraseResponse:
        request = ledger_pb.EraseRequest(scope=scope_for(tenant), subject=subject)
        return await self._ledger.Erase(request, timeout=self._config.erase_timeout_s)

    async def check_ledger(self) -> None:
        """Raises a MeshError when the ledger cannot be reached now."""
        await self._ledger.GetCheckpoint(
            ledger_pb.GetCheckpointRequest(), timeout=self._config.ledger_timeout_s
        )
