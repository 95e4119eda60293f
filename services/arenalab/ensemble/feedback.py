"""From what people say of an answer to labels for the running tests of its guarantee."""

import asyncio
import logging
from collections.abc import Sequence
from itertools import islice
from typing import Final

from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.api.ledger.v1 import ledger_service_pb2 as ledger_pb
from arenalab.api.predictor.v1 import predictor_service_pb2 as predictor_pb
from arenalab.ensemble.entries import feedback_entry
from arenalab.ensemble.peers import Peers
from arenalab.ensemble.predictions import Prediction, Predictions, Said
from arenalab.ensemble.sealing import Sealer
from arenalab.mesh import InvalidInputError, NotFoundError, Reason
from arenalab.mesh.telemetry import current_trace_id as trace_id

_logger = logging.getLogger(__name__)

MAX_RATING: Final = 5
UNHELPFUL_RATING: Final = 2
HELPFUL_RATING: Final = 4
MAX_COMMENT: Final = 4096
MAX_OUTPUT_BYTES: Final = 262_144
MAX_AUDITS: Final = 1000
DEFAULT_AUDITS: Final = 100


class Feedbacks:
    """Takes feedback on recent predictions, and shows which wait for an audit."""

    def __init__(
        self, peers: Peers, sealer: Sealer, recent: Predictions, audits: Predictions
    ) -> None:
        """`audits` holds the predictions that were drawn, `recent` the others."""
        self._peers = peers
        self._sealer = sealer
        self._recent = recent
        self._audits = audits
        self._lock = asyncio.Lock()

    async def give(self, tenant: str, request: pb.FeedbackRequest) -> pb.FeedbackResponse:
        """Returns what the feedback says; its label has reached the predictor.

        Raises:
            MeshError: As EnsembleService.Feedback documents; nothing is recorded.
        """
        check(request)
        journal, prediction = self._find(tenant, request.prediction_id)
        if request.audit and not prediction.audited:
            raise InvalidInputError(
                "audit must be of a prediction that was drawn for one", field="audit"
            )
        async with self._lock:  # so that of two at once the first counts
            known = journal.verdict(prediction.prediction_id, audit=request.audit)
            if known is not None:
                return pb.FeedbackResponse(verdict=_verdict(known), known=True)
            verdict = verdict_of(request, prediction)
            if request.audit and not verdict:
                raise InvalidInputError("an audit must say right or wrong", field="rating")
            if verdict:
                await self._peers.report_label(tenant, label_of(request, prediction, verdict))
            await self._seal(feedback_entry(tenant, request, prediction, verdict, trace_id()))
            said = Said(prediction.prediction_id, request.audit, verdict)
            await asyncio.to_thread(journal.say, said)
        return pb.FeedbackResponse(verdict=verdict)

    async def forget(self, tenant: str, user: str) -> int:
        """Forgets the predictions that were made for a user; returns how many there were.

        Raises:
            BudgetSpentError: STORAGE_FULL; some may be left.
        """
        async with self._lock:  # so that no feedback on one of them is under way
            return sum(
                [
                    await asyncio.to_thread(journal.forget, tenant, user)
                    for journal in (self._recent, self._audits)
                ]
            )

    async def _seal(self, entry: ledger_pb.AppendRequest) -> None:
        try:
            await self._sealer.seal_or_queue(entry)
        except InvalidInputError as error:
            # It was sealed before, in other words, by a process that died before it noted so.
            _logger.warning("%s stands as it was sealed first: %s", entry.entry_id, error)

    def audits(self, tenant: str, limit: int) -> pb.ListAuditsResponse:
        """Returns what waits for an audit.

        Raises:
            InvalidInputError: `limit` is outside its range.
        """
        if limit > MAX_AUDITS:
            raise InvalidInputError(
                f"limit must be at most {MAX_AUDITS}, got {limit}", field="limit"
            )
        waiting = list(self._audits.pending(tenant))
        shown = islice(waiting, limit or DEFAULT_AUDITS)
        return pb.ListAuditsResponse(audits=[_audit(one) for one in shown], pending=len(waiting))

    def _find(self, tenant: str, prediction_id: str) -> tuple[Predictions, Prediction]:
        for journal in (self._recent, self._audits):
            prediction = journal.find(tenant, prediction_id)
            if prediction is not None:
                return journal, prediction
        raise NotFoundError(
            f"no recent prediction has the id {prediction_id[:80]!a}",
            Reason.UNKNOWN_PREDICTION,
            prediction_id=prediction_id[:80],
        )


def check(request: pb.FeedbackRequest) -> None:
    """Checks every range that the proto documents.

    Raises:
        InvalidInputError: A field is outside its range.
    """
    given = ("rating", "helpful", "actual_output")
    if not any(request.HasField(name) for name in given):  # type: ignore[arg-type]
        raise InvalidInputError(f"one of {', '.join(given)} must be set", field="rating")
    if request.HasField("rating") and not 1 <= request.rating <= MAX_RATING:
        raise InvalidInputError(
            f"rating must be in [1, {MAX_RATING}], got {request.rating}", field="rating"
        )
    if len(request.comment) > MAX_COMMENT:
        raise InvalidInputError(
            f"comment must have at most {MAX_COMMENT} characters", Reason.TOO_LARGE, field="comment"
        )
    if len(request.actual_output.encode()) > MAX_OUTPUT_BYTES:
        raise InvalidInputError(
            f"actual_output must be at most {MAX_OUTPUT_BYTES} bytes",
            Reason.TOO_LARGE,
            field="actual_output",
        )


def verdict_of(request: pb.FeedbackRequest, prediction: Prediction) -> pb.Verdict.ValueType:
    """Returns what a feedback says of memory's output.

    Nothing for unsolicited feedback on an answer that was not memory's, or where it had no output.
    """
    if not prediction.output or not (prediction.served or request.audit):
        return pb.VERDICT_UNSPECIFIED
    if request.HasField("actual_output"):
        return _judged(is_right=request.actual_output.strip() == prediction.output.strip())
    if request.HasField("helpful"):
        return _judged(is_right=request.helpful)
    if request.rating <= UNHELPFUL_RATING:
        return pb.VERDICT_WRONG
    return pb.VERDICT_RIGHT if request.rating >= HELPFUL_RATING else pb.VERDICT_UNSPECIFIED


def label_of(
    request: pb.FeedbackRequest, prediction: Prediction, verdict: pb.Verdict.ValueType
) -> predictor_pb.Label:
    """Returns the label of a prediction with a verdict."""
    audit, feedback = predictor_pb.LABEL_SOURCE_AUDIT, predictor_pb.LABEL_SOURCE_FEEDBACK
    return predictor_pb.Label(
        prediction_id=prediction.prediction_id,
        source=audit if request.audit else feedback,
        dataset=prediction.dataset,
        dataset_version=prediction.dataset_version,
        creature=prediction.creature,
        calibration=prediction.calibration,
        confidence=prediction.confidence,
        admissible=prediction.admissible,
        served=prediction.served,
        correct=verdict == pb.VERDICT_RIGHT,
        propensity=prediction.propensity,
        turns=prediction.turns,
        outcomes=_outcomes(request, prediction, verdict),
        subject=prediction.user,
    )


def _outcomes(
    request: pb.FeedbackRequest, prediction: Prediction, verdict: pb.Verdict.ValueType
) -> Sequence[str]:
    if verdict == pb.VERDICT_RIGHT:
        return [prediction.output]  # as memory spells it: labels are compared byte for byte
    return [request.actual_output] if request.actual_output.strip() else []


def _judged(*, is_right: bool) -> pb.Verdict.ValueType:
    return pb.VERDICT_RIGHT if is_right else pb.VERDICT_WRONG


def _verdict(number: int) -> pb.Verdict.ValueType:
    return pb.Verdict.Value(pb.Verdict.Name(number))  # type: ignore[arg-type]


def _audit(prediction: Prediction) -> pb.Audit:
    return pb.Audit(
        prediction_id=prediction.prediction_id,
        turns=prediction.turns,
        output=prediction.output,
        confidence=prediction.confidence,
        served=prediction.served,
        creature=prediction.creature,
        dataset_version=prediction.dataset_version,
        propensity=prediction.propensity,
    )
