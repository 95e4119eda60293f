"""A reading turned into a response, and into the trace."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from arenalab.api.common.v1 import answer_pb2
from arenalab.api.predictor.v1 import predictor_service_pb2 as pb
from arenalab.mesh import annotate
from arenalab.mesh import telemetry as names
from arenalab.predictor import evidence, wire
from arenalab.predictor.abstaining import Case, refuse
from arenalab.predictor.meaning import Cluster
from arenalab.predictor.monitoring.watch import VALID, Status
from arenalab.predictor.monitoring.wire import with_standing
from arenalab.predictor.outcomes import reasoning_of
from arenalab.predictor.prediction import Reading
from arenalab.predictor.synthesis import Synthesis, synthesise


def prediction_response(
    reading: Reading, clusters: Sequence[Cluster], request: pb.PredictRequest
) -> pb.PredictResponse:
    """Returns the response to a request that was read; `clusters` are its outcomes by meaning."""
    appraisal, calibrated, found = reading.appraisal, reading.calibrated, reading.found
    confidence, features = calibrated.confidence(appraisal)
    kind = wire.kind_of(request)
    group = wire.group_of(request, appraisal)
    bound = calibrated.bound(request.alpha, request.delta, kind, group)
    standing = reading.watch.standing if reading.watch else VALID
    if found.missing_shards:
        bound = replace(bound, threshold=None)
    synthesis = synthesise(appraisal, clusters)
    refusal = refuse(
        Case(
            asked=reading.asked,
            appraisal=appraisal,
            synthesis=synthesis,
            confidence=confidence,
            bound=bound,
            group=group,
            missing_words=reading.missing,
            missing_shards=found.missing_shards,
            void_reason=standing.reason if standing.status is Status.VOID else "",
            fresh_after_s=_fresh_after_s(request),
        )
    )
    return pb.PredictResponse(
        output=synthesis.output,
        sentences=evidence.sentences_of(synthesis),
        confidence=confidence,
        method=wire.METHODS[synthesis.method],
        abstention=evidence.abstention_of(appraisal, refusal.abstention, refusal.data)
        if refusal
        else None,
        guarantee=with_standing(
            wire.guarantee_of(bound, calibrated.artefact.basis, group), standing
        ),
        evidence=evidence.evidence_of(
            appraisal, synthesis, request.max_evidence or wire.DEFAULT_EVIDENCE
        ),
        alternatives=evidence.alternatives_of(appraisal, synthesis),
        reasoning=_reasoning(reading, synthesis),
        trajectories_used=int(np.count_nonzero(appraisal.weights > 0)),
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


def _fresh_after_s(request: pb.PredictRequest) -> float | None:
    if not request.HasField("fresh_after"):
        return None
    return request.fresh_after.seconds + request.fresh_after.nanos / 1e9


def _reasoning(reading: Reading, synthesis: Synthesis) -> str:
    similarities = reading.appraisal.neighbourhood.similarities
    top = float(similarities[0]) if len(similarities) else 0.0
    notes = [reasoning_of(synthesis.clusters, synthesis.method, top)]
    wordings = len(synthesis.clusters[0].groups) if synthesis.clusters else 1
    if wordings > 1:
        notes.append(f"The best outcome was told in {wordings} wordings.")
    return " ".join([*notes, *reading.notes])


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
