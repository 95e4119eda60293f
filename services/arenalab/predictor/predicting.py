"""Outputs of questions: from the cache where nothing has changed, else computed.

The key of an output holds all that it depends on: tenant, dataset, version and revision,
calibration with the running status of its tests, the creature as it is defined, and the whole
request with every turn of the conversation. So nothing that is found is out of date, and there is
nothing to invalidate: a change of any of these makes another key.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version as release_of
from typing import Final

from arenalab.api.common.v1 import answer_pb2
from arenalab.api.predictor.v1 import predictor_service_pb2 as pb
from arenalab.caching import Cache, Computed, cache_key
from arenalab.mesh import MeshError, tenant_of
from arenalab.predictor.creatures import Creature
from arenalab.predictor.monitoring.watch import Standing, Watch
from arenalab.predictor.peers import Peers
from arenalab.predictor.prediction import Predictor, Question, Reading
from arenalab.predictor.responses import prediction_response
from arenalab.predictor.revisions import Revision, Revisions
from arenalab.predictor.versions import Versions

LAYERS: Final = {
    None: answer_pb2.CACHE_LAYER_UNSPECIFIED,
    "memory": answer_pb2.CACHE_LAYER_MEMORY,
    "redis": answer_pb2.CACHE_LAYER_REDIS,
    "disk": answer_pb2.CACHE_LAYER_DISK,
}
_FORM: Final = "prediction 1"
# Another release may read the same spans otherwise.
_RELEASE: Final = release_of("arenalab")


@dataclass(frozen=True, slots=True)
class State:
    """What an output depends on, the request apart."""

    tenant: str
    creature: Creature
    revision: Revision
    watch: Watch
    standing: Standing

    def key(self, request: pb.PredictRequest) -> bytes:
        """Returns the key of a request's output."""
        return cache_key(
            _FORM,
            _RELEASE,
            self.tenant,
            self.revision.dataset,
            self.revision.version,
            self.revision.token,
            self.watch.calibration,
            self.standing.status.name,
            self.standing.reason,
            repr(self.creature),
            request.SerializeToString(deterministic=True),
        )

    def is_of(self, reading: Reading) -> bool:
        """Returns whether a reading was made in this state, and of all its data."""
        found, watch = reading.found, reading.watch
        return (
            (found.dataset, found.dataset_version) == (self.revision.dataset, self.revision.version)
            and watch is self.watch
            and watch.standing == self.standing
            and not found.missing_shards
        )


class Predicting:
    """Answers requests that were checked."""

    def __init__(
        self,
        predictor: Predictor,
        versions: Versions,
        peers: Peers,
        revisions: Revisions,
        caches: Sequence[Cache],
    ) -> None:
        """Keeps its arguments.

        Args:
            predictor: Computes what is not kept.
            versions: The calibrations in use.
            peers: What the predictor calls.
            revisions: Tell whether something has changed.
            caches: The first holds outputs; none: nothing is kept. All are emptied by `forget`.
        """
        self._predictor = predictor
        self._versions = versions
        self._peers = peers
        self._revisions = revisions
        self._caches = caches

    async def predict(self, request: pb.PredictRequest) -> pb.PredictResponse:
        """Returns the output of a request, and counts it where it may be served.

        Raises:
            MeshError: As `Predictor.read`.
        """
        state = await self._state(request)
        if state is None:
            response, reading = await self._computed(request, None)
            watch = reading.watch
        else:
            response = await self._kept_or_computed(request, state)
            watch = state.watch
        if watch is not None and not response.HasField("abstention"):
            watch.count_served(response.confidence)
        return response

    async def forget(self) -> None:
        """Empties the caches, for everyone: what a person said may be quoted in an output."""
        for cache in self._caches:
            await cache.clear()

    async def _state(self, request: pb.PredictRequest) -> State | None:
        """Returns the state of now; None where the cache is not to be used, or cannot be."""
        # `fresh_after` is of this moment: no other request will ever have the same.
        if not self._caches or request.bypass_cache or request.HasField("fresh_after"):
            return None
        tenant = tenant_of(request.scope)
        creature = self._predictor.creature(request.creature)
        try:
            revision = await self._revisions.now(tenant, creature.dataset)
            version = await self._versions.get(tenant, revision.dataset, revision.version)
        except MeshError:  # computing will say what is wrong, in the words of the contract
            return None
        watch = version.monitor.watch
        return State(tenant, creature, revision, watch, watch.standing)

    async def _kept_or_computed(
        self, request: pb.PredictRequest, state: State
    ) -> pb.PredictResponse:
        fresh: pb.PredictResponse | None = None

        async def compute() -> Computed:
            nonlocal fresh
            troubles = self._peers.troubles
            fresh, reading = await self._computed(request, state.revision)
            # What was made without a peer that others may reach in a moment is not kept.
            is_whole = self._peers.troubles == troubles
            return Computed(fresh.SerializeToString(), is_whole and state.is_of(reading))

        hit = await self._caches[0].get_or_compute(state.key(request), compute)
        if hit.layer is None and fresh is not None:
            return fresh
        response = pb.PredictResponse.FromString(hit.value)
        response.cache_layer = LAYERS[hit.layer]
        return response

    async def _computed(
        self, request: pb.PredictRequest, revision: Revision | None
    ) -> tuple[pb.PredictResponse, Reading]:
        question = Question(
            tenant=tenant_of(request.scope),
            creature=request.creature,
            messages=request.messages,
            action=request.action,
            context=request.context,
            filter=request.filter,
            revision=revision,
        )
        reading = await self._predictor.read(question)
        clusters = await self._predictor.clusters(reading.appraisal)
        return prediction_response(reading, clusters, request), reading
