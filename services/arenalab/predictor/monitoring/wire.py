"""Between protobuf and the running tests."""

import math
from typing import Final

from arenalab.api.common.v1 import answer_pb2
from arenalab.api.predictor.v1 import predictor_service_pb2 as pb
from arenalab.mesh import InvalidInputError
from arenalab.mesh import Reason as ErrorReason
from arenalab.predictor.monitoring.betting import e_value
from arenalab.predictor.monitoring.labels import Label, Source
from arenalab.predictor.monitoring.watch import RunningTest, Standing, Status

MAX_LABELS: Final = 1000
MAX_ID: Final = 128
MAX_SUBJECT: Final = 256
MAX_TURNS: Final = 256
MAX_TEXT_BYTES: Final = 327_680

_SOURCES: Final = {
    pb.LABEL_SOURCE_AUDIT: Source.AUDIT,
    pb.LABEL_SOURCE_FEEDBACK: Source.FEEDBACK,
}


def with_standing(guarantee: answer_pb2.Guarantee, standing: Standing) -> answer_pb2.Guarantee:
    """Returns the guarantee with the running status, which can only make it worse."""
    if standing.status is Status.VALID:
        return guarantee
    guarantee.status_reason = standing.reason
    if standing.status is Status.VOID:
        guarantee.status = answer_pb2.GUARANTEE_STATUS_VOID
        guarantee.ClearField("threshold")
    elif guarantee.status == answer_pb2.GUARANTEE_STATUS_VALID:
        guarantee.status = answer_pb2.GUARANTEE_STATUS_DEGRADED
    return guarantee


def running_test_of(test: RunningTest) -> answer_pb2.GuaranteeTest:
    """Returns a test as it stands."""
    form = answer_pb2.GuaranteeTest(
        name=test.name,
        e_value=test.e,
        peak=e_value(test.peak_log_e),
        degrades_at=test.degrades_at,
        observed=test.observed,
        errors=test.errors,
    )
    if test.voids_at is not None:
        form.voids_at = test.voids_at
    return form


def check_subject(subject: str) -> str:
    """Returns the subject of an erasure, checked.

    Raises:
        InvalidInputError: It is empty or too long.
    """
    if not 1 <= len(subject) <= MAX_SUBJECT:
        raise _refused("subject", f"have 1 to {MAX_SUBJECT} characters", len(subject))
    return subject


def label_of(label: pb.Label, field: str) -> Label:
    """Returns a label, checked.

    Raises:
        InvalidInputError: A field is outside its range.
    """
    if label.source not in _SOURCES:
        raise _refused(f"{field}.source", "be audit or feedback", label.source)
    if not 1 <= len(label.prediction_id) <= MAX_ID:
        raise _refused(
            f"{field}.prediction_id", f"have 1 to {MAX_ID} characters", len(label.prediction_id)
        )
    if not 0 <= label.confidence <= 1:  # NaN fails too
        raise _refused(f"{field}.confidence", "be in [0, 1]", label.confidence)
    source = _SOURCES[label.source]
    if source is Source.AUDIT and not (0 < label.propensity <= 1):
        raise _refused(f"{field}.propensity", "be in (0, 1] for an audit", label.propensity)
    if len(label.turns) > MAX_TURNS:
        raise _refused(f"{field}.turns", f"hold at most {MAX_TURNS}", len(label.turns))
    if len(label.subject) > MAX_SUBJECT:
        raise _refused(
            f"{field}.subject", f"have at most {MAX_SUBJECT} characters", len(label.subject)
        )
    if label.turns and not label.turns[-1].strip():
        raise _refused(f"{field}.turns", "end with a question", "a blank")
    size = sum(len(text.encode()) for text in (*label.turns, *label.outcomes))
    if size > MAX_TEXT_BYTES:
        raise InvalidInputError(
            f"{field} must have at most {MAX_TEXT_BYTES} bytes of turns and outcomes, got {size}",
            ErrorReason.TOO_LARGE,
            field=f"{field}.turns",
        )
    return Label(
        prediction_id=label.prediction_id,
        source=source,
        creature=label.creature,
        calibration=label.calibration,
        confidence=label.confidence,
        admissible=label.admissible,
        served=label.served,
        correct=label.correct,
        propensity=label.propensity if source is Source.AUDIT else 1.0,
        turns=tuple(label.turns),
        outcomes=tuple(label.outcomes),
        subject=label.subject,
    )


def labels_by_version(
    request: pb.ReportLabelsRequest,
) -> dict[tuple[str, str], list[Label]]:
    """Returns the labels of each dataset and version, in their order.

    Raises:
        InvalidInputError: A field is outside its range.
    """
    if not 1 <= len(request.labels) <= MAX_LABELS:
        raise _refused("labels", f"hold 1 to {MAX_LABELS}", len(request.labels))
    grouped: dict[tuple[str, str], list[Label]] = {}
    for n, label in enumerate(request.labels):
        checked = label_of(label, f"labels[{n}]")
        grouped.setdefault((label.dataset, label.dataset_version), []).append(checked)
    return grouped


def _refused(field: str, rule: str, got: object) -> InvalidInputError:
    shown = got if not isinstance(got, float) or math.isfinite(got) else "a number that is not"
    return InvalidInputError(f"{field} must {rule}, got {shown}", field=field)
