"""One question through the mesh: plan, search, appraise, decide."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from arenalab.api.common.v1 import filter_pb2, message_pb2, plan_pb2, span_pb2
from arenalab.api.planner.v1 import planner_service_pb2 as planner_pb
from arenalab.api.search.v1 import search_service_pb2 as search_pb
from arenalab.mesh import DeadlineError, NotFoundError, NotReadyError, scope_for
from arenalab.mesh import Reason as ErrorReason
from arenalab.predictor import wire
from arenalab.predictor.actions import candidates, compared, spoken
from arenalab.predictor.appraisal import Appraisal, appraise
from arenalab.predictor.calibrated import Calibrated
from arenalab.predictor.conversation import Asked, read_conversation
from arenalab.predictor.creatures import Creature
from arenalab.predictor.follow_up import unmentioned
from arenalab.predictor.hits import ReadHits
from arenalab.predictor.meaning import Cluster, cluster, competing
from arenalab.predictor.monitoring.watch import Watch
from arenalab.predictor.neighbourhood import (
    TRAJECTORY_DEPTH,
    K,
    Neighbourhood,
    Query,
    Vectors,
)
from arenalab.predictor.peers import Peers
from arenalab.predictor.revisions import Revision
from arenalab.predictor.slices import narrowed
from arenalab.predictor.versions import LoadedVersion, Versions
from arenalab.predictor.views import Opinion, Views


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of memory."""

    tenant: str
    creature: str  # empty: the one of the dataset published last
    messages: Sequence[message_pb2.Message]
    action: str = ""
    context: span_pb2.SpanContext = field(default_factory=span_pb2.SpanContext)
    filter: filter_pb2.SpanFilter = field(default_factory=filter_pb2.SpanFilter)
    revision: Revision | None = None  # of the dataset, before it is searched


@dataclass(frozen=True, slots=True)
class Reading:
    """What memory holds on a question, before any decision."""

    asked: Asked
    appraisal: Appraisal
    calibrated: Calibrated
    creature: str
    found: search_pb.SearchTextResponse
    plan: plan_pb2.QueryPlan | None
    notes: tuple[str, ...]  # for the reasoning: what was done differently than usual
    missing: tuple[str, ...] = ()  # words of a follow-up that the evidence does not speak of
    watch: Watch | None = None  # the running tests of the calibration
    model_digest: str = ""  # of the embedder that the version was built with


class Predictor:
    """Reads questions against the live dataset versions."""

    def __init__(self, peers: Peers, versions: Versions, named: Sequence[Creature]) -> None:
        self._peers = peers
        self._versions = versions
        self._named = {creature.name: creature for creature in named}

    def creature(self, name: str) -> Creature:
        """Returns the creature of a name: a named one, else the dataset's own."""
        return self._named.get(name) or Creature(name, name)

    async def read(self, question: Question) -> Reading:
        """Returns what memory holds on a question.

        Raises:
            NotFoundError: UNKNOWN_MODEL, there is no such creature.
            MeshError: As search and the dataset store.
        """
        creature = self.creature(question.creature)
        asked = read_conversation(wire.user_turns(question.messages))
        wanted = narrowed(creature, question.filter)
        plan = None if wanted is None else await self._plan(question.tenant, creature, wanted)
        notes = []
        if asked.is_joined:
            notes.append(f"The question was read with the turns before it, as {asked.text!r}.")
        if plan is None and wanted is not None:
            notes.append("The planner could not be reached: search chose its own way.")
        request = search_pb.SearchTextRequest(
            scope=scope_for(question.tenant),
            dataset=creature.dataset,
            text=asked.text,
            filter=wanted,
            limit=K,
            plan=plan,
            trajectory_depth=TRAJECTORY_DEPTH,
            extra_text=asked.extra_text,
        )
        found = await self._search(creature, request)
        hits = [] if wanted is None else list(found.hits)
        version = await self._versions.get(question.tenant, found.dataset, found.dataset_version)
        accepted: frozenset[str] = frozenset()
        if question.action and wanted is not None:
            accepted = await self._accepted(question.action, hits, version)
            found = await self._search_again(creature, request, found, accepted)
            hits = list(found.hits)
            version = await self._versions.get(
                question.tenant, found.dataset, found.dataset_version
            )
        query = await self._query(question, asked.text, found.dataset, accepted)
        hood = await self._neighbourhood(hits, version, asked.extra_text)
        calibrated, watch = version.calibrated, version.monitor.watch
        opinion = await self._opinion(calibrated.views, asked.text, found) if len(hood) else None
        appraisal = appraise(
            query, hood, opinion, calibrated.artefact.mixing, calibrated.context_weights
        )
        return Reading(
            asked=asked,
            appraisal=appraisal,
            calibrated=calibrated,
            creature=creature.name or found.dataset,
            found=found,
            plan=plan,
            notes=tuple(notes),
            missing=unmentioned(asked, appraisal),
            watch=watch,
            model_digest=version.embedder_digest,
        )

    async def clusters(self, appraisal: Appraisal) -> list[Cluster]:
        """Returns the outcomes of an appraisal by meaning; by their words without search."""
        texts = competing(appraisal.groups)
        vectors = await self._vectors_of(texts)
        return cluster(appraisal.groups, texts, vectors, is_mixed=appraisal.is_mixed)

    async def _vectors_of(self, texts: Sequence[str]) -> Vectors | None:
        if not texts:
            return None
        try:
            return await self._peers.vectors(texts)
        except (NotReadyError, DeadlineError):
            self._peers.troubles += 1
            return None

    async def _accepted(
        self, action: str, hits: Sequence[search_pb.Hit], version: LoadedVersion
    ) -> frozenset[str]:
        """Returns the actions of the version and of what was found that answer to one."""
        known = version.actions.union(hit.span.did for hit in hits)
        meant = compared(action, known)
        vectors = await self._vectors_of([spoken(one) for one in (action, *meant)])
        return frozenset(candidates(action, known, meant, vectors))

    async def _search_again(
        self,
        creature: Creature,
        request: search_pb.SearchTextRequest,
        found: search_pb.SearchTextResponse,
        accepted: frozenset[str],
    ) -> search_pb.SearchTextResponse:
        """Returns the spans nearest among those of accepted actions.

        The nearest of all may hardly hold any of them.
        """
        if not accepted or all(hit.span.did in accepted for hit in found.hits):
            return found
        again = search_pb.SearchTextRequest()
        again.CopyFrom(request)
        again.ClearField("plan")  # of another filter; search makes its own
        allowed = request.filter.actions or accepted
        again.filter.actions[:] = sorted(accepted.intersection(allowed))
        return await self._search(creature, again) if again.filter.actions else found

    async def _plan(
        self, tenant: str, creature: Creature, wanted: filter_pb2.SpanFilter
    ) -> plan_pb2.QueryPlan | None:
        request = planner_pb.PlanRequest(
            scope=scope_for(tenant), dataset=creature.dataset, filter=wanted, limit=K
        )
        try:
            return await self._peers.plan(request)
        except NotFoundError as error:
            raise _unknown(creature, error) from error

    async def _search(
        self, creature: Creature, request: search_pb.SearchTextRequest
    ) -> search_pb.SearchTextResponse:
        try:
            return await self._peers.search(request)
        except NotFoundError as error:
            raise _unknown(creature, error) from error

    async def _query(
        self, question: Question, text: str, dataset: str, accepted: frozenset[str]
    ) -> Query:
        previous = question.context.previous_spans
        earlier: Sequence[span_pb2.Span] = ()
        if previous:
            earlier = await self._peers.spans(question.tenant, dataset, previous, question.revision)
        situation = wire.situation_of(question.context, earlier, question.action)
        return Query(text, situation, question.action, accepted)

    async def _opinion(
        self, views: Views | None, text: str, found: search_pb.SearchTextResponse
    ) -> Opinion | None:
        if views is None:
            return None
        vector = np.frombuffer(found.vector, dtype="<f4").reshape(1, -1)
        if not vector.size:  # a search of an earlier release does not send it
            vector = await self._peers.vectors([text])
        return views.opinions([text], vector)[0]

    async def _neighbourhood(
        self, hits: Sequence[search_pb.Hit], version: LoadedVersion, extra_text: str
    ) -> Neighbourhood:
        read = version.reader.read(hits)
        similarities = np.array([hit.similarity for hit in read.hits], dtype=np.float64)
        semantic = similarities
        if extra_text:
            semantic = np.array([hit.extra_similarity for hit in read.hits], dtype=np.float64)
        vectors = await self._vectors(read, version.vectors)
        return Neighbourhood(read.memories, similarities, semantic, vectors)

    async def _vectors(self, read: ReadHits, known: Vectors) -> Vectors:
        if (read.rows >= 0).all():
            return np.asarray(known[read.rows])
        vectors = np.zeros((len(read.rows), known.shape[1]), dtype=np.float32)
        vectors[read.rows >= 0] = known[read.rows[read.rows >= 0]]
        # Of spans that came after the version was built.
        added = np.flatnonzero(read.rows < 0)
        texts = [read.memories[int(at)].question for at in added]
        vectors[added] = await self._peers.vectors(texts)
        return vectors


def _unknown(creature: Creature, error: NotFoundError) -> NotFoundError:
    if error.reason is not ErrorReason.UNKNOWN_DATASET or not creature.name:
        return error
    return NotFoundError(
        f"there is no creature {creature.name!r}", ErrorReason.UNKNOWN_MODEL, model=creature.name
    )
