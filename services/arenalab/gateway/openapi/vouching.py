"""The `arenalab` objects: what a request may set, and what vouches for an answer."""

from typing import Final

from arenalab.gateway import extension as names
from arenalab.gateway import policy
from arenalab.gateway.openapi.parts import (
    BOOLEAN,
    COUNT,
    INTEGER,
    NUMBER,
    SHARE,
    STRING,
    Schema,
    answered,
    array,
    asked,
    between,
    closed,
    const,
    described,
    nullable,
    one_of,
    ref,
    text,
    whole,
)

_RISK: Final = between(0, policy.MAX_RISK, above_low=True)
POLICY: Final = described(
    closed(
        asked(
            {
                "alpha": described(_RISK, "Tolerated risk of answers from memory."),
                "delta": described(_RISK, "Tolerated probability that the bound fails."),
                "guarantee_kind": one_of(policy.GUARANTEE_KINDS),
                "guarantee_scope": one_of(policy.GUARANTEE_SCOPES),
                "strategy": one_of(policy.STRATEGIES),
                "fallback": one_of(policy.FALLBACKS),
                "ledger": one_of(policy.LEDGERS),
                "creatures": array(text(1, policy.MAX_NAME), most=policy.MAX_CREATURES),
                "max_evidence": whole(1, policy.MAX_EVIDENCE),
                "max_age_s": between(0, policy.MAX_AGE_S, above_low=True),
                "rephrase": one_of(policy.REPHRASES),
                "routing": described(one_of(policy.ROUTINGS), "Among the fallback's providers."),
                "cache": described(one_of(policy.CACHES), "Of memory's outputs."),
                "max_cost_usd": described(
                    between(0, policy.MAX_COST_USD, above_low=True),
                    "What a provider may be expected to charge.",
                ),
                "strict": described(BOOLEAN, "Unknown fields of the request are errors."),
                "refusal": described(BOOLEAN, "An abstention is told as a refusal."),
                "context": closed(
                    asked(
                        {
                            "environment": text(most=policy.MAX_NAME),
                            "stakes": one_of(policy.STAKES),
                            "emotional_state": text(most=policy.MAX_NAME),
                        }
                    )
                ),
            }
        )
    ),
    "How this one answer may be made. A member that is not known is an error.",
)

GUARANTEE: Final = described(
    answered(
        {
            "status": one_of(names.STATUSES.values()),
            "limits": STRING,
            "status_reason": nullable(STRING),
            "kind": one_of(names.KINDS.values()),
            "scope": one_of(names.SCOPES.values()),
            "group": nullable(STRING),
            "alpha": NUMBER,
            "delta": NUMBER,
            "threshold": nullable(NUMBER),
            "calibration_size": COUNT,
            "calibration_served": COUNT,
            "calibration_errors": COUNT,
            "risk_upper_bound": NUMBER,
            "basis": one_of(names.BASES.values()),
        },
        optional=(
            "status_reason", "kind", "scope", "group", "alpha", "delta", "threshold",
            "calibration_size", "calibration_served", "calibration_errors",
            "risk_upper_bound", "basis",
        ),
    ),
    "The bound that holds for answers from memory; for others its status is none.",
)  # fmt: skip

EVIDENCE: Final = answered(
    {
        "span_id": STRING,
        "question": STRING,
        "outcome": STRING,
        "action": nullable(STRING),
        "score": described(NUMBER, "Cosine of question and query."),
        "quality": nullable(between(0, 100)),
        "similarity": NUMBER,
        "context_similarity": NUMBER,
        "weight": NUMBER,
        "domain": nullable(STRING),
        "trajectory_depth": COUNT,
        "trajectory_completeness": NUMBER,
        "trajectory_is_fragment": BOOLEAN,
        "when": nullable(STRING),
        "supports": BOOLEAN,
    }
)

_WANTED: Final = answered(
    {
        "kind": one_of(names.WANTED.values()),
        "count": COUNT,
        "outcome": nullable(STRING),
        "domain": nullable(STRING),
        "action": nullable(STRING),
        "terms": array(STRING),
    }
)
_ABSTENTION: Final = answered(
    {
        "reason": one_of(names.REASONS.values()),
        "explanation": STRING,
        "wanted": STRING,
        "nearest": array(ref("Evidence")),
        "data": array(_WANTED),
    }
)
RECEIPT: Final = described(
    answered(
        {
            "leaf_index": COUNT,
            "leaf": STRING,
            "leaf_hash": STRING,
            "inclusion_path": array(STRING),
            "checkpoint": STRING,
            "log_public_key": STRING,
        }
    ),
    "Proves offline that the ledger holds the leaf. Bytes are in base64.",
)
_REPHRASING: Final = answered(
    {
        "status": one_of(names.REPHRASINGS.values()),
        "provider": nullable(STRING),
        "provider_model": nullable(STRING),
        "unsupported": array(STRING),
        "explanation": STRING,
    }
)
_PLAN: Final = answered(
    {
        "engine": one_of(names.ENGINES.values()),
        "filter_strategy": one_of(names.FILTERS.values()),
        "ef_search": COUNT,
        "candidates": COUNT,
        "expected_matches": NUMBER,
        "cost_us": NUMBER,
        "explanation": STRING,
    }
)
_MEMBERS: Final[dict[str, Schema]] = {
    "prediction_id": described(STRING, "For feedback and receipts."),
    "route": one_of(names.ROUTES.values()),
    "confidence": SHARE,
    "method": one_of(names.METHODS.values()),
    "evidence": array(ref("Evidence")),
    "sentences": array(answered({"text": STRING, "span_ids": array(STRING)})),
    "rephrasing": nullable(_REPHRASING),
    "alternatives": array(
        answered(
            {
                "outcome": STRING,
                "share": SHARE,
                "support": COUNT,
                "span_ids": array(STRING),
                "wordings": COUNT,
            }
        )
    ),
    "abstain": nullable(_ABSTENTION),
    "guarantee": ref("Guarantee"),
    "outcome_set": nullable(
        answered({"outcomes": array(STRING), "coverage": SHARE, "calibration_size": COUNT})
    ),
    "creature": nullable(STRING),
    "creatures_asked": array(
        answered({"creature": STRING, "confidence": SHARE, "answered": BOOLEAN})
    ),
    "dataset_version": nullable(STRING),
    "audited": BOOLEAN,
    "audit_propensity": SHARE,
    "provider": nullable(STRING),
    "provider_model": nullable(STRING),
    "cost_usd_micros": described(
        nullable(COUNT), "What a provider charged, in millionths of a US dollar; null: not known."
    ),
    "guardrails": array(
        answered(
            {
                "guardrail": STRING,
                "stage": one_of(names.STAGES.values()),
                "action": one_of(names.ACTIONS.values()),
                "reason": nullable(STRING),
                "findings": COUNT,
            }
        )
    ),
    "grounding": one_of(names.GROUNDINGS.values()),
    "cache_layer": one_of(names.CACHE_LAYERS.values()),
    "config_digest": nullable(STRING),
    "model_digest": nullable(STRING),
    "receipt": nullable(ref("Receipt")),
    "content_salt": described(STRING, "Base64; proves what the leaf seals."),
    "timings_ms": {"type": "object", "additionalProperties": NUMBER},
    "reasoning": nullable(STRING),
    "plan": nullable(_PLAN),
}
EXTENSION: Final = described(answered(_MEMBERS), "Everything that is known of the answer.")
BEGUN: Final = answered({"prediction_id": STRING, "route": one_of(names.ROUTES.values())})

_ERROR: Final = answered(
    {
        "message": STRING,
        "type": STRING,
        "param": nullable(STRING),
        "code": nullable(STRING),
    }
)
ERROR: Final = answered({"error": _ERROR})
CITATION: Final[dict[str, Schema]] = {
    "start_index": COUNT,
    "end_index": COUNT,
    "title": STRING,
    "url": STRING,
}
URL_CITATION: Final = const("url_citation")
UNIX_SECONDS: Final = described(INTEGER, "Unix seconds.")
