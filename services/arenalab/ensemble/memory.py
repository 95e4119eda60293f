"""Asking memory: one Predict call per creature, under the strategy of the request."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from arenalab.api.common.v1 import answer_pb2
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.api.predictor.v1 import predictor_service_pb2 as predictor_pb
from arenalab.ensemble.demands import Demands
from arenalab.ensemble.opinions import Opinion, abstaining, settles_cascade, single_best
from arenalab.ensemble.peers import Peers
from arenalab.ensemble.selection import Selection
from arenalab.mesh import DeadlineError, NotReadyError, PreconditionError, Reason, scope_for

# 0001-01-01T00:00:00Z.
_YEAR_1_MS: Final = -62_135_596_800_000
# Of `max_evidence`, where the caller does not say.
DEFAULT_EVIDENCE: Final = 5
_UNREACHABLE: Final = (NotReadyError, DeadlineError)


class Memory:
    """The creatures of the predictor."""

    def __init__(self, peers: Peers, at_once: int, now_s: Callable[[], float]) -> None:
        self._peers = peers
        self._now_s = now_s
        self._slots = at_once

    async def ask(
        self, selection: Selection, request: pb.AnswerRequest, tenant: str, demands: Demands
    ) -> tuple[Opinion, Sequence[Opinion]]:
        """Returns the opinion that counts, and all that were asked for, in order.

        A creature that cannot be reached abstains, and so does one whose answer does not
        meet the demands; it does not fail the answer.

        Raises:
            MeshError: The request itself is wrong.
        """
        if not selection.creatures:
            # Nothing is published, or nothing that is can be served: only memory knows
            # which, and damaged data must not pass for none.
            return await self._ask_one("", request, tenant, demands), ()
        if len(selection.creatures) == 1:
            only = await self._ask_one(selection.creatures[0], request, tenant, demands)
            return only, (only,)
        if selection.strategy == pb.STRATEGY_CASCADE:
            return await self._cascade(selection.creatures, request, tenant, demands)
        slots = asyncio.Semaphore(self._slots)

        async def bounded(creature: str) -> Opinion:
            async with slots:
                return await self._ask_one(creature, request, tenant, demands)

        opinions = await asyncio.gather(*(bounded(name) for name in selection.creatures))
        return single_best(opinions), opinions

    async def more_evidence(
        self,
        opinion: Opinion,
        request: pb.AnswerRequest,
        tenant: str,
        demands: Demands,
        wanted: int,
    ) -> Sequence[answer_pb2.Evidence]:
        """Returns `wanted` pieces of evidence of a creature that was asked for fewer.

        The creature is asked once more only if there may be more; what it cannot tell now
        is what it told before.
        """
        had = opinion.response.evidence
        limit = request.policy.max_evidence or DEFAULT_EVIDENCE
        if wanted <= limit or len(had) < limit:
            return had
        wider = pb.AnswerRequest()
        wider.CopyFrom(request)
        wider.policy.max_evidence = wanted
        found = await self._ask_one(opinion.creature, wider, tenant, demands)
        return found.response.evidence or had

    async def _cascade(
        self, creatures: Sequence[str], request: pb.AnswerRequest, tenant: str, demands: Demands
    ) -> tuple[Opinion, Sequence[Opinion]]:
        asked: list[Opinion] = []
        for creature in creatures:
            opinion = await self._ask_one(creature, request, tenant, demands)
            asked.append(opinion)
            if settles_cascade(opinion):
                return opinion, asked
        return single_best(asked), asked

    async def _ask_one(
        self, creature: str, request: pb.AnswerRequest, tenant: str, demands: Demands
    ) -> Opinion:
        policy = request.policy
        question = predictor_pb.PredictRequest(
            scope=scope_for(tenant),
            creature=creature,
            messages=request.messages,
            alpha=policy.alpha,
            delta=policy.delta,
            max_evidence=demands.evidence(policy.max_evidence),
            action=demands.action,
            guarantee_kind=policy.guarantee_kind,
            guarantee_scope=policy.guarantee_scope,
            bypass_cache=policy.cache == pb.CACHE_POLICY_BYPASS,
        )
        if policy.HasField("max_age"):
            oldest_s = self._now_s() - policy.max_age.seconds - policy.max_age.nanos / 1e9
            # Years before 1 have no timestamp.
            question.fresh_after.FromMilliseconds(max(_YEAR_1_MS, round(oldest_s * 1e3)))
        if request.HasField("context"):
            question.context.CopyFrom(request.context)
        try:
            said = await self._peers.predict(question)
        except _UNREACHABLE as error:
            return abstaining(
                creature,
                answer_pb2.ABSTAIN_REASON_NOT_READY,
                f"Memory cannot be reached: {error}.",
                "Start the predictor, planner and search services.",
            )
        except PreconditionError as error:
            if error.reason not in (Reason.NO_DATASET, Reason.NOT_CALIBRATED):
                raise
            return abstaining(
                creature,
                answer_pb2.ABSTAIN_REASON_NO_SUPPORT,
                f"{str(error).rstrip('.').capitalize()}.",
                "Publish a dataset: `arenalab ingest` and `arenalab publish`.",
            )
        return demands.judge(Opinion(creature, said), policy.max_evidence)
