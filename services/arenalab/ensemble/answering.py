"""The answer path: memory, else the team's own LLM, then the seal."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Final

from google.protobuf.duration_pb2 import Duration

from arenalab.api.common.v1 import answer_pb2
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.api.fallback.v1 import fallback_service_pb2 as fallback_pb
from arenalab.ensemble.completions import close, completion_for
from arenalab.ensemble.demands import Demands
from arenalab.ensemble.draft import Draft
from arenalab.ensemble.guardrails.answers import Speech
from arenalab.ensemble.guardrails.guardrail import Guardrail
from arenalab.ensemble.guardrails.questions import screen
from arenalab.ensemble.memory import Memory
from arenalab.ensemble.opinions import (
    degrade,
    guarantee_of_choice,
    outcome_set_of_choice,
)
from arenalab.ensemble.peers import Peers
from arenalab.ensemble.recording import Recorder
from arenalab.ensemble.rephrasing import rephrase, sentences_within
from arenalab.ensemble.sealing import Sealer
from arenalab.ensemble.selection import Selection
from arenalab.mesh import (
    BudgetSpentError,
    DeadlineError,
    MeshError,
    NotFoundError,
    NotReadyError,
    PreconditionError,
    Telemetry,
    annotate,
    deadline,
    telemetry,
)
from arenalab.proof import SALT_BYTES

_logger = logging.getLogger(__name__)

# What a provider may fail with while an honest abstention is still possible. A model
# that it does not know is the caller's mistake only when the caller named it.
_PROVIDER_TROUBLE: Final = (
    NotReadyError,
    NotFoundError,
    BudgetSpentError,
    PreconditionError,
    DeadlineError,
)
# How long a request that was cancelled may still take to be sealed.
ABORTED_SEAL_S: Final = 10.0


class Answering:
    """Makes answers; holds no state between them."""

    def __init__(
        self,
        peers: Peers,
        memory: Memory,
        sealer: Sealer,
        recorder: Recorder,
        observed: Telemetry,
        new_id: Callable[[], str],
        random: Callable[[int], bytes],
        guardrails: Sequence[Guardrail] = (),
        rag_evidence: int = 0,
    ) -> None:
        self._peers = peers
        self._memory = memory
        self._sealer = sealer
        self._recorder = recorder
        self._telemetry = observed
        self._new_id = new_id
        self._random = random
        self._guardrails = guardrails
        self._rag_evidence = rag_evidence
        self._aborted: set[asyncio.Task[None]] = set()

    async def answer(
        self, request: pb.AnswerRequest, selection: Selection, tenant: str
    ) -> AsyncIterator[pb.AnswerResponse]:
        """Yields the events of one answer, in the order that the proto promises.

        Raises:
            MeshError: As documented at EnsembleService.Answer.
        """
        answer = Draft(
            request=request,
            selection=selection,
            tenant=tenant,
            finished=pb.AnswerFinished(
                prediction_id=self._new_id(),
                model=selection.model,
                content_salt=self._random(SALT_BYTES),
                cost_usd_micros=0,  # until a provider is asked
            ),
            started_s=time.perf_counter(),
            demands=Demands.of(request),
            speech=Speech(self._guardrails),
        )
        try:
            async for event in self._events(answer):
                yield event
        except (asyncio.CancelledError, GeneratorExit):
            self._seal_aborted(answer)
            raise
        finally:
            self._observe(answer)

    async def _events(self, answer: Draft) -> AsyncIterator[pb.AnswerResponse]:
        if self._is_blocked(answer):
            answer.finished.method = answer_pb2.ANSWER_METHOD_NONE
            text = "A guardrail does not let this question be answered."
            told = self._settle(answer, pb.ROUTE_ABSTAIN, text, "content_filter")
        elif answer.selection.is_direct:
            told = self._from_provider(answer, pb.ROUTE_PROVIDER)
        else:
            told = await self._from_memory(answer)
        async for event in told:
            yield event
        yield pb.AnswerResponse(finished=answer.finished)

    async def _from_memory(self, answer: Draft) -> AsyncIterator[pb.AnswerResponse]:
        """Asks memory; returns its answer, or that of who answers where it abstains."""
        output = await self._ask_memory(answer)
        if answer.call is not None:
            return self._settle(answer, pb.ROUTE_MEMORY, "", "tool_calls")
        if output is not None:
            return self._settle(answer, pb.ROUTE_MEMORY, await self._word(answer, output))
        if answer.selection.fallback == pb.FALLBACK_POLICY_NEVER:
            return self._abstain(answer)
        return self._from_provider(answer, pb.ROUTE_FALLBACK)

    def _is_blocked(self, answer: Draft) -> bool:
        """Reads the question; from here on it is without what a guardrail took from it."""
        answer.request, verdicts, is_blocked = screen(answer.request, self._guardrails)
        answer.finished.guardrails.extend(verdicts)
        return is_blocked

    async def _ask_memory(self, answer: Draft) -> str | None:
        """Fills `finished` from memory; returns the output when it may be served."""
        finished = answer.finished
        if answer.demands.beyond:
            features = ", ".join(answer.demands.beyond)
            finished.method = answer_pb2.ANSWER_METHOD_NONE
            finished.abstention.reason = answer_pb2.ABSTAIN_REASON_UNSUPPORTED_REQUEST
            finished.abstention.explanation = f"Memory cannot honour: {features}."
            finished.abstention.wanted = "Ask without these features, or configure a provider."
            return None
        before_s = time.perf_counter()
        with self._telemetry.span("invoke_workflow arenalab.memory"):
            chosen, asked = await self._memory.ask(
                answer.selection, answer.request, answer.tenant, answer.demands
            )
        _set_seconds(finished.timings.predict, time.perf_counter() - before_s)
        answer.chosen, answer.asked = chosen, asked
        said = chosen.response
        finished.confidence = said.confidence
        finished.method = said.method
        finished.evidence.extend(said.evidence)
        finished.alternatives.extend(said.alternatives)
        finished.reasoning = said.reasoning
        finished.creature = said.creature or chosen.creature
        finished.dataset_version = said.dataset_version
        finished.cache_layer = said.cache_layer
        finished.guarantee.CopyFrom(guarantee_of_choice(chosen, asked))
        if (outcomes := outcome_set_of_choice(chosen, asked)) is not None:
            finished.outcome_set.CopyFrom(outcomes)
        if said.HasField("plan"):
            finished.plan.CopyFrom(said.plan)
        finished.creatures_asked.extend(
            pb.CreatureVote(
                creature=o.creature, confidence=o.response.confidence, answered=o.answered
            )
            for o in asked
        )
        self._recorder.draw(finished, said)
        self._telemetry.metrics.confidence.observe(said.confidence)
        if said.HasField("abstention"):
            finished.abstention.CopyFrom(said.abstention)
            return None
        if answer.call is None:  # the sentences of arguments are none
            finished.sentences.extend(said.sentences)
        return said.output

    async def _word(self, answer: Draft, output: str) -> str:
        """Returns memory's output as it is served: reworded if the policy wants it, and cut."""
        finished, request = answer.finished, answer.request
        # Other words would not keep a form that was demanded.
        is_free = answer.demands.format is None
        if request.policy.rephrase == pb.REPHRASE_POLICY_LLM and finished.sentences and is_free:
            await self._sealer.check(answer.selection.ledger)
            before_s = time.perf_counter()
            worded = await rephrase(self._peers, request, output, list(finished.sentences))
            _set_seconds(finished.timings.fallback, time.perf_counter() - before_s)
            del finished.sentences[:]
            finished.sentences.extend(worded.sentences)
            finished.rephrasing.CopyFrom(worded.rephrasing)
            finished.reasoning = f"{finished.reasoning} {worded.rephrasing.explanation}".strip()
            if worded.cost_usd_micros is None:
                finished.ClearField("cost_usd_micros")
            else:
                finished.cost_usd_micros = worded.cost_usd_micros
            if worded.is_rephrased:
                answer.own_words = _cut(output, request.sampling.stop)
                degrade(finished.guarantee)
            output = worded.text
        text = _cut(output, request.sampling.stop)
        if text != output:
            kept = sentences_within(text, finished.sentences)
            del finished.sentences[:]
            finished.sentences.extend(kept)
        return text

    async def _abstain(self, answer: Draft) -> AsyncIterator[pb.AnswerResponse]:
        why = answer.finished.abstention.explanation
        sentences = ("I do not know this well enough to answer.", why, answer.trouble)
        answer.finished.guarantee.status = answer_pb2.GUARANTEE_STATUS_UNSPECIFIED
        text = " ".join(sentence for sentence in sentences if sentence)
        async for event in self._settle(answer, pb.ROUTE_ABSTAIN, text):
            yield event

    async def _settle(
        self, answer: Draft, route: pb.Route.ValueType, text: str, finish_reason: str = "stop"
    ) -> AsyncIterator[pb.AnswerResponse]:
        """Seals what is known whole, a text or the call of a tool, then says it."""
        answer.finished.finish_reason = finish_reason
        events = [answer.start(route), *answer.say(_whole(answer, text)), *answer.end()]
        await self._seal(answer)
        for event in events:
            yield event

    async def _from_provider(
        self, answer: Draft, route: pb.Route.ValueType
    ) -> AsyncIterator[pb.AnswerResponse]:
        """Streams a provider's answer; if none can be had, memory's abstention is the answer."""
        await self._sealer.check(answer.selection.ledger)
        answer.finished.guarantee.Clear()
        answer.finished.ClearField("cost_usd_micros")  # not known until it says so
        before_s = time.perf_counter()
        begun = False
        await self._widen(answer)
        try:
            async with aclosing(self._peers.complete(completion_for(answer))) as events:
                async for event in events:
                    if event.HasField("started"):
                        begun = True
                        answer.finished.provider = event.started.provider
                        answer.finished.provider_model = event.started.model
                        answer.finished.method = answer_pb2.ANSWER_METHOD_LLM
                        yield answer.start(route)
                    elif event.HasField("delta"):
                        for told in answer.say(_delta(event.delta)):
                            yield told
                    else:
                        close(answer.finished, event.finished)
                    if answer.speech.is_blocked:
                        break  # which ends the call: nobody pays for what nobody is told
            for told in answer.end():
                yield told
        except _PROVIDER_TROUBLE as error:
            if begun or route == pb.ROUTE_PROVIDER:
                raise
            answer.trouble = f"No fallback answered: {error}."
            del answer.finished.evidence[:]
            answer.finished.evidence.extend(answer.said.evidence)
            async for abstaining in self._abstain(answer):
                yield abstaining
            return
        _set_seconds(answer.finished.timings.fallback, time.perf_counter() - before_s)
        await self._seal(answer)

    async def _widen(self, answer: Draft) -> None:
        """Takes as much evidence as a prompt is to have, where the caller wants less."""
        if answer.chosen is None or not self._rag_evidence:
            return
        found = await self._memory.more_evidence(
            answer.chosen, answer.request, answer.tenant, answer.demands, self._rag_evidence
        )
        del answer.finished.evidence[:]
        answer.finished.evidence.extend(found)

    async def _seal(self, answer: Draft) -> None:
        finished = answer.finished
        before_s = time.perf_counter()
        answer.vouch()
        answer.sealing = answer.entry()
        receipt = await self._sealer.seal(answer.sealing, answer.selection.ledger)
        answer.sealed = True
        await self._record(answer)
        if receipt is not None:
            finished.receipt.CopyFrom(receipt)
        now_s = time.perf_counter()
        _set_seconds(finished.timings.ledger, now_s - before_s)
        _set_seconds(finished.timings.total, now_s - answer.started_s)

    def _seal_aborted(self, answer: Draft) -> None:
        """Seals what was delivered of an answer whose reader went away."""
        if answer.sealed or not answer.is_told:
            return
        entry = answer.sealing
        if entry is None:
            answer.finished.finish_reason = "cancelled"
            answer.vouch()
            entry = answer.entry()

        async def seal() -> None:
            deadline.begin(ABORTED_SEAL_S)
            # One that was on its way may be in the ledger: in other words it would be refused,
            # in the same words it is that leaf.
            try:
                await self._sealer.seal(entry, answer.selection.ledger)
            except MeshError:
                _logger.exception("%s, which was cut off, is not sealed", entry.entry_id)
                return
            await self._record(answer)

        task = asyncio.create_task(seal())
        self._aborted.add(task)
        task.add_done_callback(self._aborted.discard)

    async def _record(self, answer: Draft) -> None:
        await self._recorder.record(answer.tenant, answer.request, answer.finished, answer.said)

    async def drain(self) -> None:
        """Waits until the answers that were cut off are sealed."""
        await asyncio.gather(*self._aborted, return_exceptions=True)

    def _observe(self, answer: Draft) -> None:
        finished = answer.finished
        route = _name(pb.Route.Name(finished.route), "ROUTE_")
        reason = _name(answer_pb2.AbstainReason.Name(finished.abstention.reason), "ABSTAIN_REASON_")
        self._telemetry.metrics.answers.labels(route, reason).inc()
        for verdict in finished.guardrails:
            self._telemetry.metrics.guardrails.labels(
                verdict.guardrail,
                _name(pb.GuardrailStage.Name(verdict.stage), "GUARDRAIL_STAGE_"),
                _name(pb.GuardrailAction.Name(verdict.action), "GUARDRAIL_ACTION_"),
            ).inc()
        annotate(
            {
                "gen_ai.operation.name": "invoke_workflow",
                telemetry.PREDICTION_ID: finished.prediction_id,
                telemetry.ROUTE: route,
                telemetry.ABSTAIN_REASON: reason,
                telemetry.CONFIDENCE: finished.confidence,
                telemetry.EVIDENCE_COUNT: len(finished.evidence),
                telemetry.DATASET_VERSION: finished.dataset_version,
                telemetry.LEDGER_INDEX: finished.receipt.leaf_index,
                telemetry.COST_USD_MICROS: finished.cost_usd_micros,
            }
        )


def _whole(answer: Draft, text: str) -> pb.TextDelta:
    """Returns an answer that is known whole, in one piece."""
    call = answer.call
    if call is None:
        return pb.TextDelta(text=text)
    told = {
        "index": 0,
        # Of the prediction, so that who has the one finds the other.
        "id": f"call_{answer.finished.prediction_id.replace('-', '')}",
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }
    return pb.TextDelta(tool_calls_json=json.dumps([told]))


def _delta(delta: fallback_pb.CompletionDelta) -> pb.TextDelta:
    return pb.TextDelta(
        text=delta.text, tool_calls_json=delta.tool_calls_json, refusal=delta.refusal
    )


def _cut(text: str, stops: Iterable[str]) -> str:
    ends = [found for stop in stops if stop and (found := text.find(stop)) >= 0]
    return text[: min(ends)] if ends else text


def _set_seconds(duration: Duration, seconds: float) -> None:
    duration.FromNanoseconds(round(seconds * 1e9))


def _name(value: str, prefix: str) -> str:
    name = value.removeprefix(prefix)
    return "" if name == "UNSPECIFIED" else name.lower()
