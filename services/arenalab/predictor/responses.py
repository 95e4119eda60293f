"""A reading turned into a response, and into the trace."""

from dataclasses import replace

from arenalab.api.common.v1 import answer_pb2
from arenalab.api.predictor.v1 import predictor_service_pb2 as pb
from arenalab.mesh import annotate
from arenalab.mesh import telemetry as names
from arenalab.predictor import wire
from arenalab.predictor.decision import Abstention, abstain_from_part, abstain_from_void, decide
from arenalab.predictor.monitoring.watch import VALID, Status
from arenalab.predictor.monitoring.wire import with_standing
from arenalab.predictor.outcomes import output_of, reasoning_of
from arenalab.predictor.prediction import Reading


def prediction_response(reading: Reading, request: pb.PredictRequest) -> pb.PredictResponse:
    """Returns the response to a request that was read."""
    appraisal, calibrated, found = reading.appraisal, reading.calibrated, reading.found
    confidence, features = calibrated.confidence(appraisal)
    kind = wire.kind_of(request)
    group = wire.group_of(request, appraisal)
    bound = calibrated.bound(request.alpha, request.delta, kind, group)
    standing = reading.watch.standing if reading.watch else VALID
    if found.missing_shards:
        bound = replace(bound, threshold=None)
        abstention: Abstention | None = abstain_from_part(found.missing_shards)
    elif standing.status is Status.VOID:
        abstention = abstain_from_void(standing.reason)
    else:
        abstention = decide(appraisal, confidence, bound)
    similarities = appraisal.neighbourhood.similarities
    top = float(similarities[0]) if len(similarities) else 0.0
    notes = (reasoning_of(appraisal.groups, appraisal.method, top), *reading.notes)
    return pb.PredictResponse(
        output=output_of(appraisal.groups, appraisal.method),
        confidence=confidence,
        method=wire.METHODS[appraisal.method],
        abstention=wire.abstention_of(abstention) if abstention else None,
        guarantee=with_standing(
            wire.guarantee_of(bound, calibrated.artefact.basis, group), standing
        ),
        evidence=wire.evidence_of(appraisal, request.max_evidence or wire.DEFAULT_EVIDENCE),
        alternatives=wire.alternatives_of(appraisal.groups, appraisal.method),
        reasoning=" ".join(notes),
        trajectories_used=int((appraisal.weights > 0).sum()),
        inferred_context=wire.context_of(appraisal.situation, request.context.previous_spans),
        creature=reading.creature,
        dataset=found.dataset,
        dataset_version=found.dataset_version,
        plan=found.plan if found.HasField("plan") else reading.plan,
        exact=found.certificate.exact,
        features=features,
        outcome_set=wire.outcome_set_of(appraisal, calibrated, bound.alpha),
        calibration=reading.watch.calibration if reading.watch else "",
        admissible=appraisal.is_admissible,
    )


def annotate_prediction(response: pb.PredictResponse) -> None:
    """Writes what was decided to the span of the call."""
    attributes: dict[str, str | float | int] = {
        names.CONFIDENCE: response.confidence,
        names.GUARANTEE_STATUS: answer_pb2.GuaranteeStatus.Name(response.guarantee.status),
        names.ALPHA: response.guarantee.alpha,
        names.EVIDENCE_COUNT: len(response.evidence),
        names.DATASET: response.dataset,
        names.DATASET_VERSION: response.dataset_version,
    }
    if response.HasField("abstention"):
        reason = answer_pb2.AbstainReason.Name(response.abstention.reason)
        attributes[names.ABSTAIN_REASON] = reason.removeprefix("ABSTAIN_REASON_")
    annotate(attributes)
