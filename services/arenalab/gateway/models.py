"""GET /v1/models and GET /v1/models/{id}: what Answer accepts."""

from typing import TYPE_CHECKING, Any

from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.gateway.errors import ApiError
from arenalab.gateway.exchange import Exchange
from arenalab.mesh import scope_for

if TYPE_CHECKING:
    from arenalab.api.ensemble.v1 import ensemble_service_pb2_grpc as pb_grpc


class ModelsEndpoint:
    """Lists the ensemble's models, or shows one."""

    def __init__(self, ensemble: "pb_grpc.EnsembleServiceAsyncStub", prefix: str) -> None:
        """`prefix` is the path of the list."""
        self._ensemble = ensemble
        self._prefix = prefix

    async def __call__(self, exchange: Exchange) -> None:
        request = pb.ListModelsRequest(scope=scope_for(exchange.principal.tenant))
        listed = (await self._ensemble.ListModels(request)).models
        models = [model for model in listed if exchange.principal.allows(model.id)]
        name = exchange.path.removeprefix(self._prefix).removeprefix("/")
        if not name:
            data = [_model(model) for model in models]
            await exchange.respond_json(200, {"object": "list", "data": data})
            return
        for model in models:
            if model.id == name:
                await exchange.respond_json(200, _model(model))
                return
        raise ApiError(
            404, "model_not_found", f"the model {name[:200]!r} does not exist", param="model"
        )


def _model(model: pb.Model) -> dict[str, Any]:
    return {
        "id": model.id,
        "object": "model",
        "created": model.create_time_seconds,
        "owned_by": model.owned_by,
        "description": model.description,
    }
