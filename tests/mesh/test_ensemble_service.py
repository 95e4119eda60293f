"""The answer path over real gRPC; the peers are scripted servicers, each on a port of its own."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from arenalab.api.common.v1 import answer_pb2, message_pb2, receipt_pb2
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.api.ensemble.v1 import ensemble_service_pb2_grpc as pb_grpc
from arenalab.api.fallback.v1 import fallback_service_pb2 as fallback_pb
from arenalab.api.fallback.v1 import fallback_service_pb2_grpc as fallback_grpc
from arenalab.api.ledger.v1 import ledger_service_pb2 as ledger_pb
from arenalab.api.ledger.v1 import ledger_service_pb2_grpc as ledger_grpc
from arenalab.api.predictor.v1 import predictor_service_pb2 as predictor_pb
from arenalab.api.predictor.v1 import predictor_service_pb2_grpc as predictor_grpc
from arenalab.ensemble.config import EnsembleConfig
from arenalab.ensemble.wiring import running_ensemble
from arenalab.mesh import (
    InvalidInputError,
    MeshError,
    NotFoundError,
    NotReadyError,
    PreconditionError,
    Reason,
    Telemetry,
    connect,
    running_server,
)

VALID = answer_pb2.Guarantee(
    status=answer_pb2.GUARANTEE_STATUS_VALID, alpha=0.05, delta=0.05, threshold=0.8
)


def _answers(output: str, confidence: float) -> predictor_pb.PredictResponse:
    return predictor_pb.PredictResponse(
        output=output,
        confidence=confidence,
        method=answer_pb2.ANSWER_METHOD_MAJORITY,
        guarantee=VALID,
        evidence=[answer_pb2.Evidence(span_id="s1", question="q", outcome=output, similarity=0.9)],
        dataset="faq",
        dataset_version="ab" * 32,
        outcome_set=answer_pb2.OutcomeSet(outcomes=[output], coverage=0.95, calibration_size=200),
        calibration="c" * 16,
        admissible=True,
        model_digest="e" * 64,
    )


def _abstains(confidence: float = 0.2) -> predictor_pb.PredictResponse:
    said = _answers("perhaps", confidence)
    said.abstention.reason = answer_pb2.ABSTAIN_REASON_OUT_OF_SCOPE
    said.abstention.explanation = "The nearest span is far away."
    return said


class _Predictor(predictor_grpc.PredictorServiceServicer):
    def __init__(self) -> None:
        self.says: dict[str, predictor_pb.PredictResponse | MeshError] = {}
        self.asked: list[str] = []
        self.requests: list[predictor_pb.PredictRequest] = []
        self.checked: list[predictor_pb.CheckSupportRequest] = []
        self.unsupported: dict[str, str] = {}  # a sentence, and the term that it lacks
        self.check_fails: MeshError | None = None
        self.labels: list[predictor_pb.Label] = []
        self.refuses: MeshError | None = None
        self.erased: list[str] = []

    async def EraseSubject(
        self, request: predictor_pb.EraseSubjectRequest, context: object
    ) -> predictor_pb.EraseSubjectResponse:
        if self.refuses:
            raise self.refuses
        self.erased.append(request.subject)
        theirs = [one for one in self.labels if one.subject == request.subject]
        return predictor_pb.EraseSubjectResponse(labels=len(theirs))

    async def ReportLabels(
        self, request: predictor_pb.ReportLabelsRequest, context: object
    ) -> predictor_pb.ReportLabelsResponse:
        if self.refuses:
            raise self.refuses
        self.labels += request.labels
        return predictor_pb.ReportLabelsResponse(recorded=len(request.labels))

    async def GetGuaranteeStatus(
        self, request: predictor_pb.GetGuaranteeStatusRequest, context: object
    ) -> predictor_pb.GetGuaranteeStatusResponse:
        reason = "audit test: e-value 40 reached 20"
        void = answer_pb2.Guarantee(status=answer_pb2.GUARANTEE_STATUS_VOID, status_reason=reason)
        return predictor_pb.GetGuaranteeStatusResponse(
            datasets=[
                predictor_pb.DatasetGuarantee(dataset="faq", guarantee=void),
                predictor_pb.DatasetGuarantee(dataset="docs", trouble="it is damaged"),
            ]
        )

    async def Predict(
        self, request: predictor_pb.PredictRequest, context: object
    ) -> predictor_pb.PredictResponse:
        self.asked.append(request.creature)
        self.requests.append(request)
        if not request.creature:  # as the predictor when there is none
            raise PreconditionError("no dataset is published yet", Reason.NO_DATASET)
        said = self.says[request.creature]
        if isinstance(said, MeshError):
            raise said
        told = predictor_pb.PredictResponse()
        told.CopyFrom(said)
        del told.evidence[request.max_evidence or 5 :]
        return told

    async def CheckSupport(
        self, request: predictor_pb.CheckSupportRequest, context: object
    ) -> predictor_pb.CheckSupportResponse:
        self.checked.append(request)
        if self.check_fails:
            raise self.check_fails
        texts = [f"{text.strip()}." for text in request.text.split(".") if text.strip()]
        sentences = [
            predictor_pb.CheckedSentence(
                sentence=answer_pb2.Sentence(text=text, span_ids=["s1"]),
                supported=text not in self.unsupported,
                unsupported_terms=[self.unsupported[text]] if text in self.unsupported else [],
            )
            for text in texts
        ]
        return predictor_pb.CheckSupportResponse(
            sentences=sentences, supported=all(one.supported for one in sentences)
        )

    async def ListCreatures(
        self, request: predictor_pb.ListCreaturesRequest, context: object
    ) -> predictor_pb.ListCreaturesResponse:
        return predictor_pb.ListCreaturesResponse(
            creatures=[predictor_pb.Creature(name=n, dataset=n) for n in self.says]
        )


class _Fallback(fallback_grpc.FallbackServiceServicer):
    def __init__(self) -> None:
        self.requests: list[fallback_pb.CompleteRequest] = []
        self.fails: MeshError | None = None
        self.hangs = False
        self.writes: tuple[str | fallback_pb.CompletionDelta, ...] = ("from ", "the LLM")
        self.ended = asyncio.Event()  # a completion, whole or not
        self.finish_reason = "stop"
        self.cost_usd_micros: int | None = 42
        self.grounding = answer_pb2.GROUNDING_CITED

    async def Complete(
        self, request: fallback_pb.CompleteRequest, context: object
    ) -> AsyncIterator[fallback_pb.CompleteResponse]:
        self.requests.append(request)
        if self.fails:
            raise self.fails
        started = fallback_pb.CompletionStarted(provider="local", model="tiny", attempts=1)
        yield fallback_pb.CompleteResponse(started=started)
        try:
            for text in self.writes:
                delta = fallback_pb.CompletionDelta(text=text) if isinstance(text, str) else text
                yield fallback_pb.CompleteResponse(delta=delta)
            if self.hangs:
                await asyncio.Event().wait()
        finally:
            self.ended.set()
        finished = fallback_pb.CompletionFinished(
            finish_reason=self.finish_reason,
            prompt_tokens=7,
            completion_tokens=2,
            cached_prompt_tokens=3,
            reasoning_tokens=1,
            cited_span_ids=["s1"],
            cost_usd_micros=self.cost_usd_micros,
            grounding=self.grounding,
        )
        yield fallback_pb.CompleteResponse(finished=finished)

    async def ListProviders(
        self, request: fallback_pb.ListProvidersRequest, context: object
    ) -> fallback_pb.ListProvidersResponse:
        provider = fallback_pb.Provider(
            name="local", default_model="tiny", model_patterns=["gpt-4*", "lab/*"]
        )
        return fallback_pb.ListProvidersResponse(providers=[provider])


class _Ledger(ledger_grpc.LedgerServiceServicer):
    def __init__(self) -> None:
        self.entries: list[ledger_pb.AppendRequest] = []
        self.appended = asyncio.Condition()
        self.down = False
        self.is_silent = False  # keeps the next entry, and does not say so
        self.refused: set[str] = set()

    async def Erase(
        self, request: ledger_pb.EraseRequest, context: object
    ) -> ledger_pb.EraseResponse:
        if self.down:
            raise NotReadyError("no disk")
        theirs = [one for one in self.entries if one.content and one.subject == request.subject]
        if not theirs:
            raise NotFoundError("the subject has no content", Reason.UNKNOWN_LEAF)
        for entry in theirs:
            entry.content.clear()
        receipt = receipt_pb2.Receipt(leaf_index=len(self.entries))
        return ledger_pb.EraseResponse(entries=len(theirs), receipt=receipt)

    async def Append(
        self, request: ledger_pb.AppendRequest, context: object
    ) -> ledger_pb.AppendResponse:
        if self.down:
            raise NotReadyError("no disk")
        if request.entry_id in self.refused:
            raise InvalidInputError("says something else already", field="entry_id")
        async with self.appended:
            self.entries.append(request)
            self.appended.notify_all()
        if self.is_silent:
            self.is_silent = False
            await asyncio.Event().wait()  # until the caller gives up
        index = len(self.entries) - 1
        return ledger_pb.AppendResponse(receipt=receipt_pb2.Receipt(leaf_index=index))

    async def GetCheckpoint(
        self, request: ledger_pb.GetCheckpointRequest, context: object
    ) -> ledger_pb.GetCheckpointResponse:
        if self.down:
            raise NotReadyError("no disk")
        return ledger_pb.GetCheckpointResponse()


@dataclass
class World:
    """An ensemble among scripted peers."""

    stub: "pb_grpc.EnsembleServiceAsyncStub"
    address: str
    predictor: _Predictor
    fallback: _Fallback
    ledger: _Ledger

    async def ask(self, **kwargs: Any) -> tuple[str, pb.AnswerFinished, list[str]]:
        """Returns the text, the last event, and the kinds of all events."""
        text, finished, kinds = "", pb.AnswerFinished(), []
        async for event in self.stub.Answer(_question(**kwargs)):
            kinds.append(event.WhichOneof("event"))
            text += event.delta.text
            if event.HasField("finished"):
                finished = event.finished
        return text, finished, [kind for kind in kinds if kind]


def _question(text: str = "How?", **kwargs: Any) -> pb.AnswerRequest:
    message = message_pb2.Message(role=message_pb2.ROLE_USER, content=text)
    return pb.AnswerRequest(**{"messages": [message], **kwargs})


@asynccontextmanager
async def _serving(name: str, add: Callable[..., None], servicer: object) -> AsyncIterator[str]:
    def register(server: grpc.aio.Server) -> None:
        add(servicer, server)

    async with running_server(name, register, "127.0.0.1:0", Telemetry(name)) as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running_world(tmp_path) as running:
        yield running


@asynccontextmanager
async def running_world(folder: Path, **settings: Any) -> AsyncIterator[World]:
    """Runs an ensemble among scripted peers, its files below `folder`."""
    # The peers answer the RPCs that Ensemble calls; the others stay unimplemented.
    predictor, fallback, ledger = _Predictor(), _Fallback(), _Ledger()  # type: ignore[abstract]
    predictor.says["faq"] = _answers("Like this.", 0.93)
    async with (
        _serving(
            "predictor", predictor_grpc.add_PredictorServiceServicer_to_server, predictor
        ) as predictor_at,
        _serving(
            "fallback", fallback_grpc.add_FallbackServiceServicer_to_server, fallback
        ) as fallback_at,
        _serving("ledger", ledger_grpc.add_LedgerServiceServicer_to_server, ledger) as ledger_at,
    ):
        config = EnsembleConfig(
            address="127.0.0.1:0",
            predictor_address=predictor_at,
            fallback_address=fallback_at,
            ledger_address=ledger_at,
            journal_path=folder / "unsealed.ndjson",
            predictions_dir=folder / "predictions",
            **settings,
        )
        async with (
            running_ensemble(config, Telemetry("ensemble")) as port,
            connect(f"127.0.0.1:{port}", Telemetry("test")) as channel,
        ):
            stub = pb_grpc.EnsembleServiceStub(channel)
            yield World(stub, f"127.0.0.1:{port}", predictor, fallback, ledger)


async def test_memory_answers_where_it_may(world: World) -> None:
    text, finished, kinds = await world.ask()
    assert text == "Like this."
    assert kinds == ["started", "delta", "finished"]
    assert finished.route == pb.ROUTE_MEMORY
    assert finished.guarantee == VALID
    assert finished.receipt.leaf_index == 0
    assert not world.fallback.requests


async def test_a_kept_output_is_an_answer_of_its_own_and_says_where_it_was(world: World) -> None:
    kept = _answers("Like this.", 0.93)
    kept.cache_layer = answer_pb2.CACHE_LAYER_REDIS
    world.predictor.says["faq"] = kept
    told = [(await world.ask())[1] for _ in range(2)]
    assert {one.cache_layer for one in told} == {answer_pb2.CACHE_LAYER_REDIS}
    assert len({one.prediction_id for one in told}) == 2
    assert len({one.content_salt for one in told}) == 2
    assert [entry.entry_id for entry in world.ledger.entries] == [one.prediction_id for one in told]


@pytest.mark.parametrize(
    ("cache", "bypasses"),
    [
        (pb.CACHE_POLICY_UNSPECIFIED, False),
        (pb.CACHE_POLICY_USE, False),
        (pb.CACHE_POLICY_BYPASS, True),
    ],
)
async def test_memory_is_asked_past_its_cache_where_the_caller_says_so(
    world: World, cache: pb.CachePolicy.ValueType, *, bypasses: bool
) -> None:
    await world.ask(policy=pb.AnswerPolicy(cache=cache))
    assert [one.bypass_cache for one in world.predictor.requests] == [bypasses]


async def test_the_leaf_carries_facts_and_the_content_lies_beside_it(world: World) -> None:
    _, finished, _ = await world.ask(user="u1", request_id="r1")
    [entry] = world.ledger.entries
    facts = json.loads(entry.facts_json)
    assert facts["route"] == "memory"
    assert list(entry.evidence_ids) == ["s1"]
    assert (facts["dataset"], entry.dataset_version) == ("faq", "ab" * 32)
    assert entry.kind == ledger_pb.ENTRY_KIND_PREDICTION
    assert entry.model_digest == "e" * 64
    assert facts["request_id"] == "r1"
    assert "Like this." not in entry.facts_json
    assert entry.content["answer"] == "Like this."
    assert entry.subject == "u1"
    assert entry.entry_id == finished.prediction_id


async def test_the_llm_answers_where_memory_abstains(world: World) -> None:
    world.predictor.says["faq"] = _abstains()
    text, finished, _ = await world.ask()
    assert text == "from the LLM"
    assert finished.route == pb.ROUTE_FALLBACK
    assert finished.abstention.reason == answer_pb2.ABSTAIN_REASON_OUT_OF_SCOPE
    assert finished.guarantee.status == answer_pb2.GUARANTEE_STATUS_UNSPECIFIED
    assert finished.usage == pb.Usage(
        prompt_tokens=7, completion_tokens=2, cached_prompt_tokens=3, reasoning_tokens=1
    )
    [request] = world.fallback.requests
    assert [item.span_id for item in request.evidence] == ["s1"]
    assert finished.evidence[0].supports


async def test_memory_only_abstains_and_says_why(world: World) -> None:
    world.predictor.says["faq"] = _abstains()
    text, finished, _ = await world.ask(model="arenalab/memory-only")
    assert finished.route == pb.ROUTE_ABSTAIN
    assert "far away" in text
    assert "perhaps" not in text
    assert not world.fallback.requests
    assert len(world.ledger.entries) == 1


@pytest.mark.parametrize(
    "trouble",
    [
        PreconditionError("no provider is configured", Reason.NO_PROVIDER),
        NotFoundError("local does not know the model 'x'", Reason.UNKNOWN_MODEL, model="x"),
    ],
    ids=["no provider", "a model that its provider does not know"],
)
async def test_a_fallback_that_is_not_set_up_is_an_honest_abstention(
    world: World, trouble: MeshError
) -> None:
    world.predictor.says["faq"] = _abstains()
    world.fallback.fails = trouble
    text, finished, _ = await world.ask()
    assert finished.route == pb.ROUTE_ABSTAIN
    assert str(trouble) in text


async def test_a_request_that_the_provider_refuses_is_an_error(world: World) -> None:
    world.predictor.says["faq"] = _abstains()
    world.fallback.fails = InvalidInputError("temperature is too high", field="temperature")
    with pytest.raises(InvalidInputError, match="too high"):
        await world.ask()


async def test_memory_that_is_down_is_an_abstention_not_an_error(world: World) -> None:
    world.predictor.says["faq"] = NotReadyError("search is down", service="search")
    _, finished, _ = await world.ask()
    assert finished.route == pb.ROUTE_FALLBACK
    assert finished.abstention.reason == answer_pb2.ABSTAIN_REASON_NOT_READY


async def test_without_any_dataset_the_llm_answers(world: World) -> None:
    world.predictor.says.clear()
    _, finished, _ = await world.ask()
    assert finished.route == pb.ROUTE_FALLBACK
    assert finished.abstention.reason == answer_pb2.ABSTAIN_REASON_NO_SUPPORT


async def test_what_memory_cannot_honour_goes_to_the_llm(world: World) -> None:
    _, finished, _ = await world.ask(unsupported=["tools"], messages_json='[{"role":"user"}]')
    assert finished.abstention.reason == answer_pb2.ABSTAIN_REASON_UNSUPPORTED_REQUEST
    assert world.fallback.requests[0].messages_json == '[{"role":"user"}]'
    assert not world.predictor.asked


async def test_a_providers_model_skips_memory(world: World) -> None:
    _, finished, _ = await world.ask(model="local/other")
    assert finished.route == pb.ROUTE_PROVIDER
    assert world.fallback.requests[0].model == "other"
    assert not world.predictor.asked


@pytest.mark.parametrize("model", ["gpt-5", "nobody/x", "arenalab/nobody", "arenalab/"])
async def test_an_unknown_model_is_not_found(world: World, model: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        await world.ask(model=model)
    assert caught.value.reason is Reason.UNKNOWN_MODEL


async def test_a_creature_published_a_moment_ago_can_be_asked(world: World) -> None:
    await world.ask()
    world.predictor.says["new"] = _answers("Anew.", 0.9)
    text, _, _ = await world.ask(model="arenalab/new")
    assert text == "Anew."


async def test_single_best_takes_the_most_confident_that_may_answer(world: World) -> None:
    world.predictor.says |= {"low": _answers("Low.", 0.5), "proud": _abstains(0.99)}
    text, finished, _ = await world.ask()
    assert text == "Like this."
    assert [vote.creature for vote in finished.creatures_asked] == ["faq", "low", "proud"]


async def test_choosing_among_creatures_weakens_the_guarantee(world: World) -> None:
    world.predictor.says["low"] = _answers("Low.", 0.5)
    _, finished, _ = await world.ask()
    assert finished.guarantee.status == answer_pb2.GUARANTEE_STATUS_DEGRADED


async def test_the_guarantee_that_the_caller_chose_is_asked_for(world: World) -> None:
    policy = pb.AnswerPolicy(
        alpha=0.1,
        guarantee_kind=answer_pb2.GUARANTEE_KIND_EXPECTATION,
        guarantee_scope=answer_pb2.GUARANTEE_SCOPE_GROUP,
    )
    await world.ask(policy=policy)
    await world.ask()
    chosen, default = world.predictor.requests
    assert chosen.alpha == 0.1
    assert chosen.guarantee_kind == answer_pb2.GUARANTEE_KIND_EXPECTATION
    assert chosen.guarantee_scope == answer_pb2.GUARANTEE_SCOPE_GROUP
    assert default.guarantee_kind == answer_pb2.GUARANTEE_KIND_UNSPECIFIED
    assert default.guarantee_scope == answer_pb2.GUARANTEE_SCOPE_UNSPECIFIED


async def test_the_outcome_set_is_told_also_when_memory_abstains(world: World) -> None:
    _, finished, _ = await world.ask()
    assert list(finished.outcome_set.outcomes) == ["Like this."]
    assert finished.outcome_set.coverage == 0.95
    world.predictor.says["faq"] = _abstains()
    _, finished, _ = await world.ask(model="arenalab/memory-only")
    assert list(finished.outcome_set.outcomes) == ["perhaps"]


async def test_a_choice_among_creatures_has_no_outcome_set(world: World) -> None:
    world.predictor.says["other"] = _answers("Or so.", 0.95)
    _, finished, _ = await world.ask()
    assert len(finished.creatures_asked) == 2
    assert not finished.HasField("outcome_set")


async def test_a_cascade_stops_at_the_first_sure_creature(world: World) -> None:
    world.predictor.says = {
        "unsure": _answers("Unsure.", 0.5),
        "sure": _answers("Sure.", 0.8),
        "late": _answers("Late.", 0.99),
    }
    text, _, _ = await world.ask(model="arenalab/ensemble")
    assert text == "Sure."
    assert world.predictor.asked == ["unsure", "sure"]


async def test_an_answer_that_cannot_be_sealed_is_withheld(world: World) -> None:
    world.ledger.down = True
    with pytest.raises(NotReadyError) as caught:
        await world.ask()
    assert caught.value.reason is Reason.LEDGER_UNAVAILABLE


async def test_no_provider_is_paid_for_an_answer_that_cannot_be_sealed(world: World) -> None:
    world.predictor.says["faq"] = _abstains()
    world.ledger.down = True
    with pytest.raises(NotReadyError):
        await world.ask()
    assert not world.fallback.requests


@pytest.mark.slow
async def test_best_effort_answers_now_and_seals_later(world: World) -> None:
    world.ledger.down = True
    policy = pb.AnswerPolicy(ledger=pb.LEDGER_POLICY_BEST_EFFORT)
    text, finished, _ = await world.ask(policy=policy)
    assert text == "Like this."
    assert not finished.HasField("receipt")
    world.ledger.down = False
    async with asyncio.timeout(20), world.ledger.appended:
        await world.ledger.appended.wait_for(lambda: bool(world.ledger.entries))
    assert world.ledger.entries[0].entry_id == finished.prediction_id


@pytest.mark.slow
async def test_an_entry_that_is_refused_for_ever_holds_up_no_other(world: World) -> None:
    world.ledger.down = True
    policy = pb.AnswerPolicy(ledger=pb.LEDGER_POLICY_BEST_EFFORT)
    _, first, _ = await world.ask(policy=policy)
    _, second, _ = await world.ask(policy=policy)
    world.ledger.refused.add(first.prediction_id)
    world.ledger.down = False
    async with asyncio.timeout(20), world.ledger.appended:
        await world.ledger.appended.wait_for(lambda: bool(world.ledger.entries))
    assert [entry.entry_id for entry in world.ledger.entries] == [second.prediction_id]


async def test_what_was_delivered_before_a_reader_left_is_sealed(world: World) -> None:
    world.predictor.says["faq"] = _abstains()
    world.fallback.hangs = True
    stream = world.stub.Answer(_question())
    async for event in stream:
        if event.delta.text == "the LLM":
            stream.cancel()
            break
    async with asyncio.timeout(20), world.ledger.appended:
        await world.ledger.appended.wait_for(lambda: bool(world.ledger.entries))
    [entry] = world.ledger.entries
    assert json.loads(entry.facts_json)["finish_reason"] == "cancelled"
    assert entry.content["answer"] == "from the LLM"


async def test_an_answer_whose_reader_left_while_it_was_sealed_is_sealed_in_the_same_words(
    world: World,
) -> None:
    world.ledger.is_silent = True  # it has the entry, and the ensemble does not know
    stream = world.stub.Answer(_question())

    async def read() -> list[pb.AnswerResponse]:
        return [event async for event in stream]

    reading = asyncio.create_task(read())
    async with asyncio.timeout(20), world.ledger.appended:
        await world.ledger.appended.wait_for(lambda: len(world.ledger.entries) == 1)
    stream.cancel()
    async with asyncio.timeout(20), world.ledger.appended:
        await world.ledger.appended.wait_for(lambda: len(world.ledger.entries) == 2)
    await asyncio.wait({reading})
    first, again = world.ledger.entries
    assert first == again
    assert json.loads(first.facts_json)["finish_reason"] == "stop"


async def test_a_stop_sequence_cuts_a_memory_answer(world: World) -> None:
    text, _, _ = await world.ask(sampling=pb.Sampling(stop=[" this"]))
    assert text == "Like"


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.AnswerRequest(), "messages"),
        (_question("  "), "messages"),
        (_question(policy=pb.AnswerPolicy(alpha=0.7)), "policy.alpha"),
        (_question(policy=pb.AnswerPolicy(delta=float("nan"))), "policy.delta"),
        (_question(policy=pb.AnswerPolicy(max_evidence=51)), "policy.max_evidence"),
        (_question(policy=pb.AnswerPolicy(guarantee_kind=9)), "policy.guarantee_kind"),  # type: ignore[arg-type]
        (_question(policy=pb.AnswerPolicy(guarantee_scope=9)), "policy.guarantee_scope"),  # type: ignore[arg-type]
        (_question(sampling=pb.Sampling(stop=["a"] * 5)), "sampling.stop"),
        (_question("x" * 262_145), "messages[0].content"),
        (_question(messages=[message_pb2.Message(content="x")]), "messages[0].role"),
        (_question(user="u" * 257), "user"),
    ],
)
async def test_bad_input_names_the_field(
    world: World, request_: pb.AnswerRequest, field: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        async for _ in world.stub.Answer(request_):
            pass
    assert caught.value.metadata["field"] == field


async def test_models_are_listed_with_the_default_first(world: World) -> None:
    listed = await world.stub.ListModels(pb.ListModelsRequest())
    assert [model.id for model in listed.models] == [
        "arenalab",
        "arenalab/memory-only",
        "arenalab/ensemble",
        "arenalab/faq",
        "local/tiny",
    ]


REPHRASE = pb.AnswerPolicy(rephrase=pb.REPHRASE_POLICY_LLM)
TRACED = [
    answer_pb2.Sentence(text="Open the lid.", span_ids=["s1"]),
    answer_pb2.Sentence(text="Press the moon.", span_ids=["s1", "s2"]),
]


@pytest.fixture
def traced(world: World) -> World:
    """A world whose memory has an answer of two sentences."""
    said = _answers("Open the lid. Press the moon.", 0.93)
    said.sentences.extend(TRACED)
    world.predictor.says["faq"] = said
    world.fallback.writes = ("First open the lid. ", "Then press the moon.")
    return world


async def test_a_memory_answer_carries_the_spans_of_each_sentence(traced: World) -> None:
    text, finished, _ = await traced.ask()
    assert text == "Open the lid. Press the moon."
    assert list(finished.sentences) == TRACED
    # Nobody rewords what the policy does not allow to.
    assert not finished.HasField("rephrasing")
    assert not traced.fallback.requests


async def test_a_stop_sequence_cuts_the_sentences_with_the_text(traced: World) -> None:
    text, finished, _ = await traced.ask(sampling=pb.Sampling(stop=["the moon"]))
    assert text == "Open the lid. Press "
    assert [s.text for s in finished.sentences] == ["Open the lid.", "Press"]
    assert list(finished.sentences[1].span_ids) == ["s1", "s2"]


async def test_a_rephrasing_that_the_spans_support_is_served_without_a_proven_bound(
    traced: World,
) -> None:
    text, finished, _ = await traced.ask(policy=REPHRASE)
    assert text == "First open the lid. Then press the moon."
    assert finished.route == pb.ROUTE_MEMORY
    assert finished.rephrasing.status == pb.REPHRASING_STATUS_SERVED
    assert (finished.rephrasing.provider, finished.rephrasing.provider_model) == ("local", "tiny")
    assert finished.guarantee.status == answer_pb2.GUARANTEE_STATUS_DEGRADED
    assert [s.text for s in finished.sentences] == ["First open the lid.", "Then press the moon."]
    assert all(s.span_ids for s in finished.sentences)
    [check] = traced.predictor.checked
    assert list(check.evidence) == TRACED
    [asked] = traced.fallback.requests
    assert json.loads(asked.messages[-1].content) == {
        "question": "How?",
        "text": "Open the lid. Press the moon.",
    }
    [entry] = traced.ledger.entries
    assert entry.content["answer"] == text
    facts = json.loads(entry.facts_json)
    assert facts["rephrasing"]["status"] == "served"
    assert facts["cost_usd_micros"] == finished.cost_usd_micros == 42


async def test_a_sentence_without_support_brings_back_the_words_of_the_spans(
    traced: World,
) -> None:
    traced.predictor.unsupported["Then press the moon."] = "moon"
    text, finished, _ = await traced.ask(policy=REPHRASE)
    assert text == "Open the lid. Press the moon."
    assert list(finished.sentences) == TRACED
    assert finished.rephrasing.status == pb.REPHRASING_STATUS_UNSUPPORTED
    assert list(finished.rephrasing.unsupported) == ["Then press the moon."]
    assert "1 of 2 sentences" in finished.reasoning
    assert "moon" in finished.rephrasing.explanation
    assert finished.guarantee == VALID


@pytest.mark.parametrize("trouble", ["provider", "check", "cut off", "silent"])
async def test_trouble_with_a_rephrasing_serves_the_words_of_the_spans(
    traced: World, trouble: str
) -> None:
    match trouble:
        case "provider":
            traced.fallback.fails = PreconditionError("no provider", Reason.NO_PROVIDER)
        case "check":
            traced.predictor.check_fails = NotReadyError("search is away")
        case "cut off":
            traced.fallback.finish_reason = "length"
        case _:
            traced.fallback.writes = (" ",)
    text, finished, _ = await traced.ask(policy=REPHRASE)
    assert text == "Open the lid. Press the moon."
    assert finished.rephrasing.status == pb.REPHRASING_STATUS_FAILED
    assert finished.rephrasing.explanation in finished.reasoning
    assert finished.guarantee == VALID
    assert list(finished.sentences) == TRACED


async def test_an_abstention_is_reworded_by_nobody(world: World) -> None:
    world.predictor.says["faq"] = _abstains()
    policy = pb.AnswerPolicy(rephrase=pb.REPHRASE_POLICY_LLM, fallback=pb.FALLBACK_POLICY_NEVER)
    _, finished, _ = await world.ask(policy=policy)
    assert finished.route == pb.ROUTE_ABSTAIN
    assert not finished.HasField("rephrasing")
    assert not world.fallback.requests


async def test_the_oldest_evidence_that_the_policy_allows_is_a_moment_for_memory(
    world: World,
) -> None:
    before_s = int(time.time())
    policy = pb.AnswerPolicy()
    policy.max_age.FromSeconds(3600)
    await world.ask(policy=policy)
    await world.ask()
    aged, ageless = world.predictor.requests
    assert before_s - 3600 <= aged.fresh_after.seconds <= int(time.time()) - 3600
    assert not ageless.HasField("fresh_after")
    policy.max_age.FromSeconds(10_000 * 366 * 86_400 // 2)
    await world.ask(policy=policy)
    policy.max_age.FromSeconds(0)
    with pytest.raises(InvalidInputError, match="max_age"):
        await world.ask(policy=policy)
