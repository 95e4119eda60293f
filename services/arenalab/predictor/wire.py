"""Between protobuf and the domain."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from arenalab.api.common.v1 import answer_pb2, message_pb2, span_pb2
from arenalab.api.predictor.v1 import predictor_service_pb2 as pb
from arenalab.api.search.v1 import search_service_pb2 as search_pb
from arenalab.mesh import InvalidInputError
from arenalab.mesh import Reason as ErrorReason
from arenalab.predictor.appraisal import Appraisal
from arenalab.predictor.artefact import Artefact, Basis
from arenalab.predictor.calibrated import Calibrated
from arenalab.predictor.decision import Abstention, Reason
from arenalab.predictor.guarantee import Bound, Kind
from arenalab.predictor.neighbourhood import Memory, Situation, situation_with
from arenalab.predictor.outcomes import Group, Method
from arenalab.predictor.prediction_sets import prediction_set

MAX_MESSAGES: Final = 256
MAX_CONTENT_BYTES: Final = 262_144
MAX_EVIDENCE: Final = 50
DEFAULT_EVIDENCE: Final = 5
MAX_RISK: Final = 0.5

METHODS: Final = {
    Method.MAJORITY: answer_pb2.ANSWER_METHOD_MAJORITY,
    Method.SYNTHESIS: answer_pb2.ANSWER_METHOD_SYNTHESIS,
    Method.UNCERTAIN: answer_pb2.ANSWER_METHOD_UNCERTAIN,
    Method.NONE: answer_pb2.ANSWER_METHOD_NONE,
}
_REASONS: Final = {
    Reason.NO_SUPPORT: answer_pb2.ABSTAIN_REASON_NO_SUPPORT,
    Reason.CONFLICTING_OUTCOMES: answer_pb2.ABSTAIN_REASON_CONFLICTING_OUTCOMES,
    Reason.OUT_OF_SCOPE: answer_pb2.ABSTAIN_REASON_OUT_OF_SCOPE,
    Reason.CONTRAST_CLASH: answer_pb2.ABSTAIN_REASON_CONTRAST_CLASH,
    Reason.GUARANTEE_VOID: answer_pb2.ABSTAIN_REASON_GUARANTEE_VOID,
}
_BASES: Final = {
    Basis.DATASET_HOLDOUT: answer_pb2.CALIBRATION_BASIS_DATASET_HOLDOUT,
    Basis.LABELLED_TRAFFIC: answer_pb2.CALIBRATION_BASIS_LABELLED_TRAFFIC,
}
_KINDS: Final = {
    Kind.HIGH_PROBABILITY: answer_pb2.GUARANTEE_KIND_HIGH_PROBABILITY,
    Kind.EXPECTATION: answer_pb2.GUARANTEE_KIND_EXPECTATION,
}


def check_request(request: pb.PredictRequest) -> None:
    """Checks every range that the proto documents.

    Raises:
        InvalidInputError: A field is outside its range, or there is no question.
    """
    if not 1 <= len(request.messages) <= MAX_MESSAGES:
        raise _refused("messages", f"hold 1 to {MAX_MESSAGES} turns", len(request.messages))
    for n, message in enumerate(request.messages):
        field = f"messages[{n}]"
        if message.role == message_pb2.ROLE_UNSPECIFIED:
            raise _refused(f"{field}.role", "be set", "unspecified")
        if len(message.content.encode()) > MAX_CONTENT_BYTES:
            raise InvalidInputError(
                f"{field}.content must be at most {MAX_CONTENT_BYTES} bytes",
                ErrorReason.TOO_LARGE,
                field=f"{field}.content",
                limit=str(MAX_CONTENT_BYTES),
            )
    turns = user_turns(request.messages)
    if not turns or not turns[-1].strip():
        raise InvalidInputError(
            "the last user message must not be blank", ErrorReason.EMPTY_TEXT, field="messages"
        )
    if request.context.stakes not in span_pb2.Stakes.values():
        raise _refused("context.stakes", "be one of its values", request.context.stakes)
    check_risk(request.alpha, request.delta)
    if request.guarantee_kind not in answer_pb2.GuaranteeKind.values():
        raise _refused("guarantee_kind", "be one of its values", request.guarantee_kind)
    if request.guarantee_scope not in answer_pb2.GuaranteeScope.values():
        raise _refused("guarantee_scope", "be one of its values", request.guarantee_scope)
    if request.max_evidence > MAX_EVIDENCE:
        raise _refused("max_evidence", f"be at most {MAX_EVIDENCE}", request.max_evidence)


def check_risk(alpha: float, delta: float) -> None:
    """Checks the range of alpha and delta.

    Raises:
        InvalidInputError: One is outside it.
    """
    for field, value in (("alpha", alpha), ("delta", delta)):
        if not 0 <= value <= MAX_RISK:  # NaN fails too
            raise _refused(field, f"be in (0, {MAX_RISK}], or 0", value)


def user_turns(messages: Sequence[message_pb2.Message]) -> list[str]:
    """Returns what the user said, oldest first."""
    return [m.content for m in messages if m.role == message_pb2.ROLE_USER]


def situation_of(
    context: span_pb2.SpanContext, earlier: Sequence[span_pb2.Span], action: str
) -> Situation:
    """Returns the situation of a live question; `earlier` are its previous spans, oldest first."""
    actions = (*(span.did for span in earlier), *([action] if action else []))
    return situation_with(
        context.environment, context.emotional_state, context.stakes or None, actions
    )


def memory_of(hit: search_pb.Hit) -> Memory | None:
    """Returns what the predictor keeps of a hit; None for a span without outcome.

    Read straight from the message: search has checked the span, and building one per hit
    would cost more than the search.
    """
    span = hit.span
    if span.status == span_pb2.SPAN_STATUS_COMPLETED:
        outcome = span.if_ok
    elif span.status == span_pb2.SPAN_STATUS_FAILED:
        outcome = span.if_not
    else:
        return None
    return Memory(
        span_id=span.id,
        question=span.this,
        outcome=outcome,
        situation=situation_of(span.context, tuple(reversed(hit.trajectory)), span.did),
        trajectory_depth=len(hit.trajectory),
    )


def evidence_of(appraisal: Appraisal, limit: int) -> list[answer_pb2.Evidence]:
    """Returns the evidence by descending weight, at most `limit`."""
    hood = appraisal.neighbourhood
    supporting = set(appraisal.groups[0].members) if appraisal.groups else set()
    order = sorted(range(len(hood)), key=lambda at: (-appraisal.weights[at], at))
    return [
        answer_pb2.Evidence(
            span_id=hood.memories[at].span_id,
            question=hood.memories[at].question,
            outcome=hood.memories[at].outcome,
            similarity=float(hood.similarities[at]),
            context_similarity=float(appraisal.context[at]),
            weight=max(0.0, float(appraisal.weights[at])),
            domain=hood.memories[at].situation.domain,
            trajectory_depth=hood.memories[at].trajectory_depth,
            supports=at in supporting,
        )
        for at in order[:limit]
    ]


def alternatives_of(groups: Sequence[Group], method: Method) -> list[answer_pb2.Alternative]:
    """Returns the outcomes beside the output that hold a share of the vote."""
    # An uncertain output is a list of options: none of them is the output itself.
    others = groups if method is Method.UNCERTAIN else groups[1:]
    return [
        answer_pb2.Alternative(outcome=group.outcome, share=group.share, support=len(group.members))
        for group in others
        if group.share > 0
    ]


def guarantee_of(
    bound: Bound, basis: Basis | None, group: str | None = None
) -> answer_pb2.Guarantee:
    """Returns a bound, of a group unless that is None; without a threshold it is void.

    Without a basis there is no calibration that it could come from.
    """
    guarantee = answer_pb2.Guarantee(
        status=answer_pb2.GUARANTEE_STATUS_VOID,
        kind=_KINDS[bound.kind],
        alpha=bound.alpha,
        delta=bound.delta,
        calibration_size=bound.size,
        calibration_served=bound.served,
        calibration_errors=bound.errors,
        risk_upper_bound=bound.upper,
        basis=_BASES[basis] if basis else answer_pb2.CALIBRATION_BASIS_UNSPECIFIED,
        scope=answer_pb2.GUARANTEE_SCOPE_ALL if group is None else answer_pb2.GUARANTEE_SCOPE_GROUP,
        group=group or "",
    )
    if bound.threshold is not None:
        guarantee.status = answer_pb2.GUARANTEE_STATUS_VALID
        guarantee.threshold = bound.threshold
    return guarantee


def kind_of(request: pb.PredictRequest) -> Kind:
    """Returns the kind of guarantee that a request decides by."""
    if request.guarantee_kind == answer_pb2.GUARANTEE_KIND_EXPECTATION:
        return Kind.EXPECTATION
    return Kind.HIGH_PROBABILITY


def group_of(request: pb.PredictRequest, appraisal: Appraisal) -> str | None:
    """Returns the domain whose guarantee decides; None where that of all traffic does."""
    if request.guarantee_scope == answer_pb2.GUARANTEE_SCOPE_GROUP:
        return appraisal.situation.domain
    return None


def outcome_set_of(
    appraisal: Appraisal, calibrated: Calibrated, epsilon: float
) -> answer_pb2.OutcomeSet | None:
    """Returns the set that holds the right outcome but for `epsilon`; None where there is none."""
    level = calibrated.set_level(epsilon)
    if level is None or not appraisal.groups:
        return None
    scores = calibrated.artefact.pairs.set_scores
    size = prediction_set([group.share for group in appraisal.groups], level)
    return answer_pb2.OutcomeSet(
        outcomes=[group.outcome for group in appraisal.groups[:size]],
        coverage=1.0 - epsilon,
        calibration_size=int((~np.isnan(scores)).sum()),
    )


def abstention_of(abstention: Abstention) -> answer_pb2.Abstention:
    """Returns an abstention."""
    return answer_pb2.Abstention(
        reason=_REASONS[abstention.reason],
        explanation=abstention.explanation,
        wanted=abstention.wanted,
    )


def context_of(situation: Situation, previous: Sequence[str]) -> span_pb2.SpanContext:
    """Returns the context that was matched against."""
    return span_pb2.SpanContext(
        previous_spans=previous,
        environment=situation.domain,
        stakes=span_pb2.Stakes.Name(situation.stakes or 0),  # type: ignore[arg-type]
        emotional_state=situation.emotion,
    )


def summary_of(artefact: Artefact, bound: Bound) -> answer_pb2.CalibrationSummary:
    """Returns what a calibration reached."""
    return answer_pb2.CalibrationSummary(
        guarantee=guarantee_of(bound, artefact.basis),
        coverage=bound.coverage,
        expected_calibration_error=artefact.summary.expected_calibration_error,
        brier=artefact.summary.brier,
        examples=artefact.summary.examples,
    )


def _refused(field: str, rule: str, got: object) -> InvalidInputError:
    return InvalidInputError(f"{field} must {rule}, got {got}", field=field)
