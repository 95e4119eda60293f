"""EnsembleService: checks the request, resolves the model, streams the answer."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final, TypeVar

import grpc

from arenalab.api.common.v1 import answer_pb2, message_pb2
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.api.ensemble.v1 import ensemble_service_pb2_grpc as pb_grpc
from arenalab.api.fallback.v1 import fallback_service_pb2 as fallback_pb
from arenalab.api.predictor.v1 import predictor_service_pb2 as predictor_pb
from arenalab.ensemble.answering import Answering
from arenalab.ensemble.config import MAX_EVIDENCE
from arenalab.ensemble.erasure import Erasure
from arenalab.ensemble.feedback import Feedbacks
from arenalab.ensemble.registry import Remembered
from arenalab.ensemble.selection import ENSEMBLE, MEMORY_ONLY, OURS, Selection, select
from arenalab.ensemble.tool_turns import has_late_results
from arenalab.mesh import InvalidInputError, MeshError, NotFoundError, Reason, tenant_of

_T = TypeVar("_T")
SERVICE_NAME = pb.DESCRIPTOR.services_by_name["EnsembleService"].full_name

MAX_MESSAGES: Final = 256
MAX_CONTENT_BYTES: Final = 262_144
MAX_REQUEST_ID: Final = 128
MAX_USER: Final = 256
MAX_STOPS: Final = 4
MAX_CREDENTIALS: Final = 16

MAX_ALPHA: Final = 0.5


class EnsembleService(pb_grpc.EnsembleServiceServicer):
    """Answers over the creatures of the predictor and the providers of fallback."""

    def __init__(
        self,
        answering: Answering,
        creatures: Remembered[predictor_pb.Creature],
        providers: Remembered[fallback_pb.Provider],
        feedbacks: Feedbacks,
        erasure: Erasure,
        guarantees: Callable[[str], Awaitable[Sequence[predictor_pb.DatasetGuarantee]]],
    ) -> None:
        self._answering = answering
        self._creatures = creatures
        self._providers = providers
        self._feedbacks = feedbacks
        self._erasure = erasure
        self._guarantees = guarantees

    async def Answer(
        self, request: pb.AnswerRequest, context: grpc.ServicerContext
    ) -> AsyncIterator[pb.AnswerResponse]:
        check(request)
        tenant = tenant_of(request.scope)
        selection = await self._select(request, tenant)
        async for event in self._answering.answer(request, selection, tenant):
            yield event

    async def _select(self, request: pb.AnswerRequest, tenant: str) -> Selection:
        try:
            return await self._look_up(request, tenant, refresh=False)
        except NotFoundError:
            # Published or configured a moment ago, perhaps: look once more.
            return await self._look_up(request, tenant, refresh=True)

    async def _look_up(self, request: pb.AnswerRequest, tenant: str, *, refresh: bool) -> Selection:
        creatures = await _known(self._creatures, tenant, refresh=refresh)
        providers = await _known(self._providers, "", refresh=refresh)
        return select(
            request.model,
            request.policy,
            [creature.name for creature in creatures],
            {provider.name for provider in providers},
            [pattern for provider in providers for pattern in provider.model_patterns],
        )

    async def ListModels(
        self, request: pb.ListModelsRequest, context: grpc.ServicerContext
    ) -> pb.ListModelsResponse:
        tenant = tenant_of(request.scope)
        models = [
            _model(OURS, "Memory where the guarantee allows it, else the fallback provider."),
            _model(f"{OURS}/{MEMORY_ONLY}", "Memory, or an honest abstention."),
            _model(f"{OURS}/{ENSEMBLE}", "Creatures in order, then the fallback provider."),
        ]
        models += [
            _model(f"{OURS}/{creature.name}", f"The dataset {creature.dataset!r} alone.")
            for creature in await _known(self._creatures, tenant, refresh=True)
        ]
        models += [
            pb.Model(
                id=f"{provider.name}/{provider.default_model}",
                description=f"The provider {provider.name!r}, without memory.",
                owned_by=provider.name,
            )
            for provider in await _known(self._providers, "", refresh=True)
        ]
        return pb.ListModelsResponse(models=models)

    async def Feedback(
        self, request: pb.FeedbackRequest, context: grpc.ServicerContext
    ) -> pb.FeedbackResponse:
        return await self._feedbacks.give(tenant_of(request.scope), request)

    async def EraseSubject(
        self, request: pb.EraseSubjectRequest, context: grpc.ServicerContext
    ) -> pb.EraseSubjectResponse:
        return await self._erasure.erase(tenant_of(request.scope), request.subject)

    async def ListAudits(
        self, request: pb.ListAuditsRequest, context: grpc.ServicerContext
    ) -> pb.ListAuditsResponse:
        return self._feedbacks.audits(tenant_of(request.scope), request.limit)

    async def GetGuaranteeStatus(
        self, request: pb.GetGuaranteeStatusRequest, context: grpc.ServicerContext
    ) -> pb.GetGuaranteeStatusResponse:
        known = await self._guarantees(tenant_of(request.scope))
        return pb.GetGuaranteeStatusResponse(
            datasets=[
                pb.DatasetStatus(
                    dataset=one.dataset,
                    status=one.guarantee.status,
                    reason=one.trouble or one.guarantee.status_reason,
                )
                for one in known
            ]
        )

    def register(self, server: grpc.aio.Server) -> None:
        """Adds this servicer to `server`."""
        pb_grpc.add_EnsembleServiceServicer_to_server(self, server)


async def _known(remembered: Remembered[_T], key: str, *, refresh: bool = False) -> list[_T]:
    # An owner that is down must not stop an answer from the other.
    try:
        return list(await remembered.get(key, refresh=refresh))
    except MeshError:
        return []


def _model(name: str, description: str) -> pb.Model:
    return pb.Model(id=name, description=description, owned_by=OURS)


def check(request: pb.AnswerRequest) -> None:
    """Checks every range that the proto documents.

    Raises:
        InvalidInputError: A field is outside its range.
    """
    _check_messages(request)
    policy, sampling = request.policy, request.sampling
    for name, value in (("alpha", policy.alpha), ("delta", policy.delta)):
        if not 0 <= value <= MAX_ALPHA:  # NaN fails too
            raise _out_of_range(f"policy.{name}", f"be in (0, {MAX_ALPHA}], or 0", value)
    for name, chosen, known in (
        ("guarantee_kind", policy.guarantee_kind, answer_pb2.GuaranteeKind.values()),
        ("guarantee_scope", policy.guarantee_scope, answer_pb2.GuaranteeScope.values()),
    ):
        if chosen not in known:
            raise _out_of_range(f"policy.{name}", "be one of its values", chosen)
    age = policy.max_age
    if policy.HasField("max_age") and (age.seconds, age.nanos) <= (0, 0):
        raise _out_of_range("policy.max_age", "be more than 0", f"{age.seconds} s")
    for name, size, limit in (
        ("policy.max_evidence", policy.max_evidence, MAX_EVIDENCE),
        ("sampling.stop", len(sampling.stop), MAX_STOPS),
        ("credentials", len(request.credentials), MAX_CREDENTIALS),
        ("request_id", len(request.request_id), MAX_REQUEST_ID),
        ("user", len(request.user), MAX_USER),
        ("instructions", request.instructions, len(request.messages)),
    ):
        if size > limit:
            raise _out_of_range(name, f"be at most {limit}", size)


def _check_messages(request: pb.AnswerRequest) -> None:
    messages = request.messages
    if not 1 <= len(messages) <= MAX_MESSAGES:
        raise _out_of_range("messages", f"hold 1 to {MAX_MESSAGES} turns", len(messages))
    for n, message in enumerate(messages):
        if message.role == message_pb2.ROLE_UNSPECIFIED:
            raise _out_of_range(f"messages[{n}].role", "be set", "unspecified")
        if len(message.content.encode()) > MAX_CONTENT_BYTES:
            raise InvalidInputError(
                f"messages[{n}].content must be at most {MAX_CONTENT_BYTES} bytes",
                Reason.TOO_LARGE,
                field=f"messages[{n}].content",
                limit=str(MAX_CONTENT_BYTES),
            )
    asked = [m.content for m in messages if m.role == message_pb2.ROLE_USER]
    has_more = request.unsupported or has_late_results(messages)
    if not has_more and (not asked or not asked[-1].strip()):
        raise InvalidInputError(
            "the last user message must not be blank", Reason.EMPTY_TEXT, field="messages"
        )


def _out_of_range(field: str, rule: str, got: object) -> InvalidInputError:
    return InvalidInputError(f"{field} must {rule}, got {got}", field=field)
