"""POST /v1/feedback: what somebody thinks of an answer; DELETE /v1/subjects/{user}."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.gateway.body import parse_object
from arenalab.gateway.errors import ApiError, bad_request
from arenalab.gateway.exchange import Exchange
from arenalab.gateway.extension import name_of, names_of
from arenalab.gateway.fields import Fields, missing
from arenalab.gateway.ids import prediction_id
from arenalab.gateway.notices import take_unknown
from arenalab.mesh import scope_for
from arenalab.proof import receipt_to_json
from arenalab.proof.proto_form import receipt_from_proto

if TYPE_CHECKING:
    from arenalab.api.ensemble.v1 import ensemble_service_pb2_grpc as pb_grpc

MAX_RATING: Final = 5
MAX_COMMENT: Final = 4_096
MAX_OUTPUT_BYTES: Final = 262_144
MAX_SUBJECT: Final = 256
VERDICTS: Final = names_of(pb.Verdict, "VERDICT_")
KNOWN: Final = frozenset(
    {"prediction_id", "rating", "helpful", "actual_output", "comment", "audit"}
)
_GIVEN: Final = ("rating", "helpful", "actual_output")


def parse_feedback(body: Mapping[str, Any], tenant: str) -> pb.FeedbackRequest:
    """Reads the body of a feedback.

    Raises:
        ApiError: 400; `param` names the field.
    """
    fields = Fields(body)
    output = fields.string("actual_output")
    if output is not None and len(output.encode()) > MAX_OUTPUT_BYTES:
        raise bad_request(
            f"actual_output must have at most {MAX_OUTPUT_BYTES} bytes of UTF-8",
            param="actual_output",
            code="string_above_max_length",
        )
    request = pb.FeedbackRequest(
        scope=scope_for(tenant),
        prediction_id=prediction_id(fields.required_string("prediction_id"), param="prediction_id"),
        rating=fields.integer("rating", 1, MAX_RATING),
        helpful=fields.boolean("helpful"),
        actual_output=output,
        comment=fields.string("comment", max_chars=MAX_COMMENT) or "",
        audit=bool(fields.boolean("audit")),
    )
    if all(fields.get(name) is None for name in _GIVEN):
        raise bad_request(
            f"one of {', '.join(_GIVEN)} is required",
            param="rating",
            code="missing_required_parameter",
        )
    return request


class FeedbackEndpoint:
    """Hands feedback to the ensemble, where the first word on an answer counts."""

    def __init__(
        self,
        ensemble: "pb_grpc.EnsembleServiceAsyncStub",
        *,
        max_body_bytes: int,
        body_timeout_s: float,
    ) -> None:
        self._ensemble = ensemble
        self._max_body_bytes = max_body_bytes
        self._body_timeout_s = body_timeout_s

    async def __call__(self, exchange: Exchange) -> None:
        data = await exchange.read_json_bytes(self._max_body_bytes, self._body_timeout_s)
        body = parse_object(data)
        take_unknown(exchange, Fields(body).unknown(KNOWN))
        request = parse_feedback(body, exchange.principal.tenant)
        response = await self._ensemble.Feedback(request)
        await exchange.respond_json(
            200,
            {
                "object": "feedback",
                "prediction_id": request.prediction_id,
                "verdict": name_of(VERDICTS, response.verdict),
                "known": response.known,
            },
        )


class SubjectsEndpoint:
    """Erases what a user said and was told."""

    def __init__(self, ensemble: "pb_grpc.EnsembleServiceAsyncStub", prefix: str) -> None:
        """`prefix` is what comes before the user's id in the path."""
        self._ensemble = ensemble
        self._prefix = prefix

    async def __call__(self, exchange: Exchange) -> None:
        subject = exchange.path.removeprefix(self._prefix)
        if not subject:
            raise missing("user")
        if len(subject) > MAX_SUBJECT:
            raise ApiError(
                400,
                "string_above_max_length",
                f"user must have at most {MAX_SUBJECT} characters, got {len(subject)}",
                param="user",
            )
        erased = await self._ensemble.EraseSubject(
            pb.EraseSubjectRequest(scope=scope_for(exchange.principal.tenant), subject=subject)
        )
        receipt = None
        if erased.HasField("receipt"):
            receipt = receipt_to_json(receipt_from_proto(erased.receipt))
        await exchange.respond_json(
            200,
            {
                "object": "subject.erased",
                "user": subject,
                "entries": erased.entries,
                "predictions": erased.predictions,
                "labels": erased.labels,
                "queued": erased.queued,
                "receipt": receipt,
            },
        )
