"""The `arenalab` object of a response: what vouches for the answer. Pure."""

import base64
from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration

from arenalab.api.common.v1 import answer_pb2, plan_pb2
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.proof import receipt_to_json
from arenalab.proof.proto_form import receipt_from_proto

LIMITS: Final = (
    "The bound is marginal over traffic like the labelled questions it was computed from, "
    "and says nothing about answers of a fallback provider."
)


def names_of(enum: Any, prefix: str) -> Mapping[int, str]:
    """Returns the lower-case names of an enum's values without their prefix."""
    names = {number: name.removeprefix(prefix).lower() for name, number in enum.items()}
    return names | {0: "none"}


ROUTES: Final = names_of(pb.Route, "ROUTE_")
METHODS: Final = names_of(answer_pb2.AnswerMethod, "ANSWER_METHOD_")
REASONS: Final = names_of(answer_pb2.AbstainReason, "ABSTAIN_REASON_")
STATUSES: Final = names_of(answer_pb2.GuaranteeStatus, "GUARANTEE_STATUS_")
KINDS: Final = names_of(answer_pb2.GuaranteeKind, "GUARANTEE_KIND_")
SCOPES: Final = names_of(answer_pb2.GuaranteeScope, "GUARANTEE_SCOPE_")
BASES: Final = names_of(answer_pb2.CalibrationBasis, "CALIBRATION_BASIS_")
WANTED: Final = names_of(answer_pb2.WantedKind, "WANTED_KIND_")
REPHRASINGS: Final = names_of(pb.RephrasingStatus, "REPHRASING_STATUS_")
ENGINES: Final = names_of(plan_pb2.Engine, "ENGINE_")
FILTERS: Final = names_of(plan_pb2.FilterStrategy, "FILTER_STRATEGY_")
STAGES: Final = names_of(pb.GuardrailStage, "GUARDRAIL_STAGE_")
ACTIONS: Final = names_of(pb.GuardrailAction, "GUARDRAIL_ACTION_")
GROUNDINGS: Final = names_of(answer_pb2.Grounding, "GROUNDING_")
CACHE_LAYERS: Final = names_of(answer_pb2.CacheLayer, "CACHE_LAYER_")


def name_of(names: Mapping[int, str], value: int) -> str:
    """Returns the name of a value; its number for one that a newer service knows."""
    return names.get(value, str(value))


def extension(finished: pb.AnswerFinished) -> dict[str, Any]:
    """Returns everything that is known of an answer, for the response."""
    return {
        "prediction_id": finished.prediction_id,
        "route": name_of(ROUTES, finished.route),
        "confidence": finished.confidence,
        "method": name_of(METHODS, finished.method),
        "evidence": [_evidence(item) for item in finished.evidence],
        "sentences": [_sentence(item) for item in finished.sentences],
        "rephrasing": _rephrasing(finished.rephrasing) if finished.HasField("rephrasing") else None,
        "alternatives": [_alternative(item) for item in finished.alternatives],
        "abstain": _abstention(finished),
        "guarantee": guarantee_form(finished.guarantee),
        "outcome_set": _outcome_set(finished),
        "creature": finished.creature or None,
        "creatures_asked": [
            {"creature": vote.creature, "confidence": vote.confidence, "answered": vote.answered}
            for vote in finished.creatures_asked
        ],
        "dataset_version": finished.dataset_version or None,
        "audited": finished.audited,
        "audit_propensity": finished.audit_propensity,
        "provider": finished.provider or None,
        "provider_model": finished.provider_model or None,
        "cost_usd_micros": _cost_usd_micros(finished),
        "guardrails": [_guardrail(verdict) for verdict in finished.guardrails],
        "grounding": name_of(GROUNDINGS, finished.grounding),
        "cache_layer": name_of(CACHE_LAYERS, finished.cache_layer),
        "config_digest": finished.config_digest or None,
        "model_digest": finished.model_digest or None,
        "receipt": receipt_to_json(receipt_from_proto(finished.receipt))
        if finished.HasField("receipt")
        else None,
        # With it, the receipt proves that the leaf seals this very answer.
        "content_salt": base64.b64encode(finished.content_salt).decode(),
        "timings_ms": timings_ms(finished.timings),
        "reasoning": finished.reasoning or None,
        "plan": _plan(finished.plan) if finished.HasField("plan") else None,
    }


def cost_usd(finished: pb.AnswerFinished) -> str | None:
    """Returns what a provider charged, in US dollars as plain decimals; None: not known."""
    micros = _cost_usd_micros(finished)
    if micros is None:
        return None
    return f"{micros // 10**6}.{micros % 10**6:06}".rstrip("0").rstrip(".")


def _cost_usd_micros(finished: pb.AnswerFinished) -> int | None:
    if finished.HasField("cost_usd_micros"):
        return finished.cost_usd_micros
    is_asked = finished.provider or finished.rephrasing.provider
    return None if is_asked else 0  # nobody charged for memory's own


def _guardrail(verdict: pb.GuardrailVerdict) -> dict[str, Any]:
    return {
        "guardrail": verdict.guardrail,
        "stage": name_of(STAGES, verdict.stage),
        "action": name_of(ACTIONS, verdict.action),
        "reason": verdict.reason or None,
        "findings": verdict.findings,
    }


def timings_ms(timings: pb.Timings) -> dict[str, float]:
    """Returns the time of each part that ran, in milliseconds."""
    return {
        part: _milliseconds(getattr(timings, part))
        for part in ("predict", "fallback", "ledger", "total")
        if timings.HasField(part)
    }


def _milliseconds(duration: Duration) -> float:
    return round(duration.seconds * 1e3 + duration.nanos / 1e6, 3)


def _evidence(item: answer_pb2.Evidence) -> dict[str, Any]:
    return {
        "span_id": item.span_id,
        "question": item.question,
        "outcome": item.outcome,
        "action": item.action or None,
        "score": item.similarity,
        "quality": item.quality if item.HasField("quality") else None,
        "similarity": item.similarity,
        "context_similarity": item.context_similarity,
        "weight": item.weight,
        "domain": item.domain or None,
        "trajectory_depth": item.trajectory_depth,
        "trajectory_completeness": item.trajectory_completeness,
        "trajectory_is_fragment": item.trajectory_is_fragment,
        "when": item.when.ToJsonString() if item.HasField("when") else None,
        "supports": item.supports,
    }


def _abstention(finished: pb.AnswerFinished) -> dict[str, Any] | None:
    if not finished.HasField("abstention"):
        return None
    abstention = finished.abstention
    return {
        "reason": name_of(REASONS, abstention.reason),
        "explanation": abstention.explanation,
        "wanted": abstention.wanted,
        "nearest": [_evidence(item) for item in abstention.nearest],
        "data": [_wanted(item) for item in abstention.data],
    }


def _wanted(item: answer_pb2.WantedData) -> dict[str, Any]:
    return {
        "kind": name_of(WANTED, item.kind),
        "count": item.count,
        "outcome": item.outcome or None,
        "domain": item.domain or None,
        "action": item.action or None,
        "terms": list(item.terms),
    }


def _sentence(item: answer_pb2.Sentence) -> dict[str, Any]:
    return {"text": item.text, "span_ids": list(item.span_ids)}


def _alternative(item: answer_pb2.Alternative) -> dict[str, Any]:
    return {
        "outcome": item.outcome,
        "share": item.share,
        "support": item.support,
        "span_ids": list(item.span_ids),
        "wordings": item.wordings,
    }


def _rephrasing(item: pb.Rephrasing) -> dict[str, Any]:
    return {
        "status": name_of(REPHRASINGS, item.status),
        "provider": item.provider or None,
        "provider_model": item.provider_model or None,
        "unsupported": list(item.unsupported),
        "explanation": item.explanation,
    }


def guarantee_form(guarantee: answer_pb2.Guarantee) -> dict[str, Any]:
    """Returns a bound as JSON; of an answer without one, its status alone."""
    if guarantee.status == answer_pb2.GUARANTEE_STATUS_UNSPECIFIED:
        return {"status": "none", "limits": LIMITS}
    return {
        "status": name_of(STATUSES, guarantee.status),
        "status_reason": guarantee.status_reason or None,
        "kind": name_of(KINDS, guarantee.kind),
        "scope": name_of(SCOPES, guarantee.scope),
        "group": guarantee.group or None,
        "alpha": guarantee.alpha,
        "delta": guarantee.delta,
        "threshold": guarantee.threshold if guarantee.HasField("threshold") else None,
        "calibration_size": guarantee.calibration_size,
        "calibration_served": guarantee.calibration_served,
        "calibration_errors": guarantee.calibration_errors,
        "risk_upper_bound": guarantee.risk_upper_bound,
        "basis": name_of(BASES, guarantee.basis),
        "limits": LIMITS,
    }


def _outcome_set(finished: pb.AnswerFinished) -> dict[str, Any] | None:
    if not finished.HasField("outcome_set"):
        return None
    found = finished.outcome_set
    return {
        "outcomes": list(found.outcomes),
        "coverage": found.coverage,
        "calibration_size": found.calibration_size,
    }


def _plan(plan: plan_pb2.QueryPlan) -> dict[str, Any]:
    return {
        "engine": name_of(ENGINES, plan.engine),
        "filter_strategy": name_of(FILTERS, plan.filter_strategy),
        "ef_search": plan.ef_search,
        "candidates": plan.candidates,
        "expected_matches": plan.expected_matches,
        "cost_us": plan.cost_us,
        "explanation": plan.explanation,
    }
