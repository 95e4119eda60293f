"""The services that Predictor calls, as the few calls it makes of them."""

import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import grpc
import numpy as np

from arenalab.api.common.v1 import plan_pb2, span_pb2
from arenalab.api.planner.v1 import planner_service_pb2 as planner_pb
from arenalab.api.planner.v1 import planner_service_pb2_grpc as planner_grpc
from arenalab.api.search.v1 import search_service_pb2 as search_pb
from arenalab.caching import Cache, Computed, cache_key
from arenalab.mesh import DeadlineError, NotFoundError, NotReadyError, scope_for
from arenalab.predictor.config import PredictorConfig
from arenalab.predictor.neighbourhood import Vectors
from arenalab.predictor.plans import KeptPlans
from arenalab.predictor.revisions import Revision

if TYPE_CHECKING:
    from arenalab.api.search.v1 import search_service_pb2_grpc as search_grpc

# Same request, same response: safe to ask again.
IDEMPOTENT_PLANNER: Final = ("arenalab.api.planner.v1.PlannerService/Plan",)
# Questions of spans added online: 384 float32 each, so 6 MB at most.
_MAX_VECTORS: Final = 4096
_TRAJECTORY_FORM: Final = "trajectory 1"


class Peers:
    """Search and planner, with this service's time limits."""

    def __init__(
        self,
        config: PredictorConfig,
        search: "search_grpc.SearchServiceAsyncStub",
        planner: grpc.aio.Channel,
        trajectories: Cache | None = None,
    ) -> None:
        """Keeps its arguments.

        Args:
            config: The time limits.
            search: Its stub.
            planner: A channel to it.
            trajectories: Keeps the spans that conversations came from; None: nothing does.
        """
        self._config = config
        self._search = search
        self._planner = planner_grpc.PlannerServiceStub(planner)
        self._plans = KeptPlans(time.monotonic)
        self._trajectories = trajectories
        self._vectors: OrderedDict[str, Vectors] = OrderedDict()
        # How often something was done without a peer that could not be reached.
        self.troubles = 0

    async def plan(self, request: planner_pb.PlanRequest) -> plan_pb2.QueryPlan | None:
        """Returns the plan; None when the planner cannot be reached."""
        key = request.SerializeToString(deterministic=True)
        plan = self._plans.get(key)
        if plan is not None:
            return plan
        try:
            response = await self._planner.Plan(request, timeout=self._config.planner_timeout_s)
        except (NotReadyError, DeadlineError):
            self.troubles += 1
            return None
        self._plans.put(key, response.plan)
        return response.plan

    async def search(self, request: search_pb.SearchTextRequest) -> search_pb.SearchTextResponse:
        return await self._search.SearchText(request, timeout=self._config.search_timeout_s)

    async def collections(self, tenant: str) -> Sequence[search_pb.Collection]:
        """Returns the collections of a tenant, the one published last first."""
        request = search_pb.ListCollectionsRequest(scope=scope_for(tenant))
        response = await self._search.ListCollections(
            request, timeout=self._config.search_timeout_s
        )
        return response.collections

    async def revision(self, tenant: str, dataset: str) -> Revision:
        """Returns the state of a dataset; an empty name means the one published last."""
        request = search_pb.GetRevisionRequest(scope=scope_for(tenant), dataset=dataset)
        now = await self._search.GetRevision(request, timeout=self._config.search_timeout_s)
        return Revision(now.dataset, now.dataset_version, now.revision)

    async def spans(
        self, tenant: str, dataset: str, span_ids: Sequence[str], revision: Revision | None = None
    ) -> Sequence[span_pb2.Span]:
        """Returns spans by id; none when one of them is not there.

        Args:
            tenant: Whose they are.
            dataset: What they are in.
            span_ids: Which.
            revision: A state of the dataset at or before now, to keep them under; None: they are
                not kept.
        """
        request = search_pb.GetSpansRequest(
            scope=scope_for(tenant), dataset=dataset, span_ids=span_ids
        )
        if self._trajectories is None or revision is None or revision.dataset != dataset:
            return (await self._spans(request)).spans

        async def compute() -> Computed:
            return Computed((await self._spans(request)).SerializeToString())

        key = cache_key(
            _TRAJECTORY_FORM, tenant, dataset, revision.version, revision.token, *span_ids
        )
        kept = await self._trajectories.get_or_compute(key, compute)
        return search_pb.GetSpansResponse.FromString(kept.value).spans

    async def _spans(self, request: search_pb.GetSpansRequest) -> search_pb.GetSpansResponse:
        try:
            return await self._search.GetSpans(request, timeout=self._config.search_timeout_s)
        except NotFoundError:
            return search_pb.GetSpansResponse()

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Returns the vectors of texts that will hardly come again, shape (n, d)."""
        response = await self._search.Embed(
            search_pb.EmbedRequest(texts=texts), timeout=self._config.search_timeout_s
        )
        return np.frombuffer(response.vectors, dtype="<f4").reshape(-1, response.dimension)

    async def vectors(self, texts: Sequence[str]) -> Vectors:
        """Returns the vectors of texts, shape (n, d); those asked for lately are remembered."""
        missing = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        fresh: dict[str, Vectors] = {}
        if missing:
            fresh = dict(zip(missing, await self.embed(missing), strict=True))
        found = np.stack([fresh[t] if t in fresh else self._vectors[t] for t in texts])
        self._vectors.update(fresh)
        while len(self._vectors) > _MAX_VECTORS:
            self._vectors.popitem(last=False)
        return found
