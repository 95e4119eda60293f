"""Between protobuf and the domain."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Final

from arenalab.api.common.v1 import answer_pb2, message_pb2, span_pb2
from arenalab.api.predictor.v1 import predictor_service_pb2 as pb
from arenalab.api.search.v1 import search_service_pb2 as search_pb
from arenalab.mesh import InvalidInputError
from arenalab.mesh import Reason as ErrorReason
from arenalab.predictor.appraisal import Appraisal
from arenalab.predictor.artefact import Artefact, Basis
from arenalab.predictor.calibrated import Calibrated
from arenalab.predictor.context_match import FIXED
from arenalab.predictor.context_weights import Choice, LearnedWeights
from arenalab.predictor.guarantee import Bound, Kind
from arenalab.predictor.neighbourhood import (
    TRAJECTORY_DEPTH,
    UNMEASURED_QUALITY,
    Memory,
    Situation,
    situation_with,
)
from arenalab.predictor.outcomes import Method
from arenalab.predictor.prediction_sets import prediction_set

MAX_MESSAGES: Final = 256
MAX_CONTENT_BYTES: Final = 262_144
MAX_EVIDENCE: Final = 50
DEFAULT_EVIDENCE: Final = 5
# Spans whose reading is kept, about a kilobyte each.
_KEPT_MEMORIES: Final = 16_384
MAX_RISK: Final = 0.5
MAX_NANOS: Final = 999_999_999
MAX_CHECKED_BYTES: Final = 32_768
MAX_CHECKED_EVIDENCE: Final = 256

METHODS: Final = {
    Method.MAJORITY: answer_pb2.ANSWER_METHOD_MAJORITY,
    Method.SYNTHESIS: answer_pb2.ANSWER_METHOD_SYNTHESIS,
    Method.UNCERTAIN: answer_pb2.ANSWER_METHOD_UNCERTAIN,
    Method.NONE: answer_pb2.ANSWER_METHOD_NONE,
}
CHOICES: Final = {
    answer_pb2.CONTEXT_WEIGHTING_UNSPECIFIED: Choice.AUTO,
    answer_pb2.CONTEXT_WEIGHTING_FIXED: Choice.FIXED,
    answer_pb2.CONTEXT_WEIGHTING_LEARNED: Choice.LEARNED,
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
    for enum, field, value in (
        (span_pb2.Stakes, "context.stakes", request.context.stakes),
        (answer_pb2.GuaranteeKind, "guarantee_kind", request.guarantee_kind),
        (answer_pb2.GuaranteeScope, "guarantee_scope", request.guarantee_scope),
    ):
        if value not in enum.values():
            raise _refused(field, "be one of its values", value)
    check_risk(request.alpha, request.delta)
    if not 0 <= request.fresh_after.nanos <= MAX_NANOS:
        raise _refused("fresh_after.nanos", f"be in [0, {MAX_NANOS}]", request.fresh_after.nanos)
    if request.max_evidence > MAX_EVIDENCE:
        raise _refused("max_evidence", f"be at most {MAX_EVIDENCE}", request.max_evidence)


def check_support(request: pb.CheckSupportRequest) -> None:
    """Checks every range that the proto documents.

    Raises:
        InvalidInputError: A field is outside its range, or a text is blank.
    """
    texts = [("text", request.text)]
    texts += [(f"evidence[{n}].text", one.text) for n, one in enumerate(request.evidence)]
    for field, text in texts:
        if not text.strip():
            raise InvalidInputError(
                f"{field} must not be blank", ErrorReason.EMPTY_TEXT, field=field
            )
        if len(text.encode()) > MAX_CHECKED_BYTES:
            raise InvalidInputError(
                f"{field} must be at most {MAX_CHECKED_BYTES} bytes",
                ErrorReason.TOO_LARGE,
                field=field,
                limit=str(MAX_CHECKED_BYTES),
            )
    if not 1 <= len(request.evidence) <= MAX_CHECKED_EVIDENCE:
        raise _refused(
            "evidence", f"hold 1 to {MAX_CHECKED_EVIDENCE} sentences", len(request.evidence)
        )


def check_weighting(weighting: int) -> Choice:
    """Returns where the context weights come from.

    Raises:
        InvalidInputError: It is none of the enum's values.
    """
    for value, choice in CHOICES.items():
        if value == weighting:
            return choice
    raise _refused("context_weighting", "be one of its values", weighting)


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
    actions = (action,) if action else ()
    if earlier:
        actions = (*(span.did for span in earlier), *actions)
    return situation_with(
        context.environment, context.emotional_state, context.stakes or None, actions
    )


def memory_of(hit: search_pb.Hit) -> Memory | None:
    """Returns what the predictor keeps of a hit; None for a span without outcome."""
    memory = _opening(hit.span.SerializeToString())
    # Only a span that names earlier ones has a trajectory: without them it is a fragment of one.
    if memory is not None and memory.is_fragment and hit.trajectory:
        return _memory(hit.span, hit.trajectory)
    return memory


@lru_cache(maxsize=_KEPT_MEMORIES)
def _opening(span: bytes) -> Memory | None:
    # To name a span by its bytes costs a fraction of reading it, and one that was changed has
    # others: so they can be remembered of spans whose id says too little.
    return opening_of(span_pb2.Span.FromString(span))


def opening_of(span: span_pb2.Span) -> Memory | None:
    """Returns what the predictor keeps of a span alone; None without an outcome.

    Where it names spans before it, it is a fragment.
    """
    return _memory(span, ())


def _memory(span: span_pb2.Span, trajectory: Sequence[span_pb2.Span]) -> Memory | None:
    # Read straight from the message: search has checked the span.
    if span.status == span_pb2.SPAN_STATUS_COMPLETED:
        outcome = span.if_ok
    elif span.status == span_pb2.SPAN_STATUS_FAILED:
        outcome = span.if_not
    else:
        return None
    when, metadata = span.when, span.metadata
    quality = metadata.quality_score / 100 if metadata.HasField("quality_score") else None
    return Memory(
        span_id=span.id,
        question=span.this,
        outcome=outcome,
        situation=situation_of(span.context, trajectory[::-1] if trajectory else (), span.did),
        trajectory_depth=len(trajectory),
        is_fragment=_is_fragment(span, trajectory),
        when_s=when.seconds + when.nanos / 1e9,
        earlier=tuple([earlier.this for earlier in trajectory]) if trajectory else (),
        quality=UNMEASURED_QUALITY if quality is None else quality,
        is_measured=quality is not None,
    )


def _is_fragment(span: span_pb2.Span, trajectory: Sequence[span_pb2.Span]) -> bool:
    """Whether the walk back ended where a span names earlier ones that are not there.

    A walk that ended at its depth, or where a cycle closes, is no fragment.
    """
    named = (trajectory[-1] if trajectory else span).context.previous_spans
    if not named or len(trajectory) >= TRAJECTORY_DEPTH:
        return False
    walked = {span.id, *(earlier.id for earlier in trajectory)}
    return any(span_id not in walked for span_id in named)


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
    size = prediction_set([group.share for group in appraisal.groups], level)
    return answer_pb2.OutcomeSet(
        outcomes=[group.outcome for group in appraisal.groups[:size]],
        coverage=1.0 - epsilon,
        calibration_size=calibrated.set_size,
    )


def context_of(situation: Situation, previous: Sequence[str]) -> span_pb2.SpanContext:
    """Returns the context that was matched against."""
    return span_pb2.SpanContext(
        previous_spans=previous,
        environment=situation.domain,
        stakes=situation.stakes or 0,  # type: ignore[arg-type]
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
        context_weights=None if artefact.context is None else _context_weights(artefact.context),
    )


def _context_weights(weights: LearnedWeights) -> answer_pb2.ContextWeights:
    return answer_pb2.ContextWeights(
        fixed=answer_pb2.FactorWeights(**asdict(FIXED)),
        learned=None
        if weights.learned is None
        else answer_pb2.FactorWeights(**asdict(weights.learned)),
        uses_learned=weights.learned is not None and weights.uses_learned,
        fixed_auc=weights.fixed_auc,
        learned_auc=weights.learned_auc,
        questions=weights.questions,
    )


def _refused(field: str, rule: str, got: object) -> InvalidInputError:
    return InvalidInputError(f"{field} must {rule}, got {got}", field=field)
