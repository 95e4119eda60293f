"""Embeddings, models, feedback, the ledger, risk and coverage, and the probes."""

from typing import Final

from arenalab.gateway import embeddings, feedback, policy, riskcoverage
from arenalab.gateway import extension as names
from arenalab.gateway.openapi.parts import (
    BOOLEAN,
    COUNT,
    ID,
    NOT_BLANK,
    NUMBER,
    SHARE,
    STRING,
    Schema,
    answered,
    array,
    asked,
    between,
    const,
    described,
    nullable,
    one_of,
    ref,
    text,
    whole,
)
from arenalab.gateway.openapi.vouching import UNIX_SECONDS

_MAX_INT32: Final = 2**31 - 1
_TOKEN_IDS: Final = array(COUNT, 1, embeddings.MAX_TOKEN_IDS)
_TEXT: Final = {**text(1, embeddings.MAX_TEXT_BYTES), "pattern": NOT_BLANK}
EMBEDDINGS_REQUEST: Final = asked(
    {
        "input": {
            "anyOf": [
                _TEXT,
                array(_TEXT, 1, embeddings.MAX_INPUTS),
                described(_TOKEN_IDS, "One text as cl100k token ids."),
                array(_TOKEN_IDS, 1, embeddings.MAX_INPUTS),
            ]
        },
        "model": text(most=embeddings.MAX_MODEL),
        "encoding_format": one_of(("float", "base64")),
        "dimensions": described(whole(1, _MAX_INT32), "The embedder's own, or a 400."),
        "user": STRING,
    },
    ("input",),
)
EMBEDDINGS: Final = answered(
    {
        "object": const("list"),
        "data": array(
            answered(
                {
                    "object": const("embedding"),
                    "index": COUNT,
                    "embedding": {
                        "anyOf": [
                            array(NUMBER),
                            described(STRING, "Base64 of little-endian float32."),
                        ]
                    },
                }
            )
        ),
        "model": STRING,
        "usage": answered({"prompt_tokens": COUNT, "total_tokens": COUNT}),
    }
)

MODEL: Final = answered(
    {
        "id": STRING,
        "object": const("model"),
        "created": UNIX_SECONDS,
        "owned_by": STRING,
        "description": STRING,
    }
)
MODELS: Final = answered({"object": const("list"), "data": array(ref("Model"))})

FEEDBACK_REQUEST: Final[Schema] = described(
    {
        **asked(
            {
                "prediction_id": described(ID, "Of an answer: its UUID, chatcmpl-… or resp_…"),
                "rating": whole(1, feedback.MAX_RATING),
                "helpful": BOOLEAN,
                "actual_output": text(most=feedback.MAX_OUTPUT_BYTES),
                "comment": text(most=feedback.MAX_COMMENT),
                "audit": described(BOOLEAN, "The label of an answer that was drawn for one."),
            },
            ("prediction_id",),
        ),
        "anyOf": [
            {"required": ["rating"], "properties": {"rating": {"type": "integer"}}},
            {"required": ["helpful"], "properties": {"helpful": {"type": "boolean"}}},
            {"required": ["actual_output"], "properties": {"actual_output": {"type": "string"}}},
        ],
    },
    "At least one of rating, helpful and actual_output.",
)
FEEDBACK: Final = answered(
    {
        "object": const("feedback"),
        "prediction_id": STRING,
        "verdict": described(
            one_of(feedback.VERDICTS.values()), "What counts for memory's output."
        ),
        "known": described(BOOLEAN, "There was feedback already, which stands."),
    }
)
ERASED: Final = answered(
    {
        "object": const("subject.erased"),
        "user": STRING,
        "entries": COUNT,
        "predictions": COUNT,
        "labels": COUNT,
        "queued": COUNT,
        "receipt": nullable(ref("Receipt")),
    }
)
RECEIPT_FOUND: Final = answered(
    {
        "object": const("receipt"),
        "id": STRING,
        "receipt": ref("Receipt"),
        "supersessions": described(
            array(
                answered(
                    {
                        "span_id": STRING,
                        "reason": STRING,
                        "replacement_id": nullable(STRING),
                        "leaf_index": COUNT,
                        "append_time": STRING,
                    }
                )
            ),
            "Spans that the answer leaned on and that were found wrong since.",
        ),
    }
)
CHECKPOINT: Final = answered(
    {
        "object": const("ledger.checkpoint"),
        "checkpoint": nullable(STRING),
        "cosigned_checkpoint": nullable(STRING),
        "tree_size": COUNT,
        "log_public_key": STRING,
        "public_keys": array(STRING),
        "damage": nullable(STRING),
    }
)

_RISK: Final = between(0, policy.MAX_RISK, above_low=True)
RISK_PARAMETERS: Final[dict[str, Schema]] = {
    "creature": text(most=policy.MAX_NAME),
    "alpha": array(_RISK, most=riskcoverage.MAX_ALPHAS),
    "delta": _RISK,
    "guarantee_kind": one_of(policy.GUARANTEE_KINDS),
    "groups": BOOLEAN,
    "max_points": whole(1, riskcoverage.MAX_POINTS),
    "cost_per_fallback_usd_micros": whole(0, riskcoverage.MAX_COST_USD_MICROS),
}
_ROW: Final = answered(
    {
        "guarantee": ref("Guarantee"),
        "coverage": SHARE,
        "saved_usd_micros_per_thousand": COUNT,
        "labels_for_five_points": nullable(COUNT),
    }
)
RISK_COVERAGE: Final = answered(
    {
        "object": const("risk_coverage"),
        "creature": nullable(STRING),
        "dataset": nullable(STRING),
        "dataset_version": nullable(STRING),
        "basis": one_of(names.BASES.values()),
        "calibration_size": COUNT,
        "points": array(
            answered(
                {
                    "threshold": SHARE,
                    "coverage": SHARE,
                    "risk": SHARE,
                    "lower": SHARE,
                    "upper": SHARE,
                    "served": COUNT,
                    "errors": COUNT,
                }
            )
        ),
        "rows": array(ref("RiskRow")),
        "groups": array(ref("RiskRow")),
        "groups_left_out": COUNT,
        "reliability": array(answered({"size": COUNT, "confidence": SHARE, "accuracy": SHARE})),
        "expected_calibration_error": NUMBER,
        "brier": NUMBER,
        "cost_per_fallback_usd_micros": COUNT,
        "limits": array(STRING),
    }
)
RISK_ROW: Final = _ROW

_STATUSES: Final[Schema] = {"type": "object", "additionalProperties": STRING}
HEALTH: Final = answered({"status": const("ok")})
READY: Final = answered(
    {"status": const("ready"), "services": _STATUSES, "guarantees": nullable(_STATUSES)}
)
NOT_READY: Final[Schema] = {
    **answered({"services": _STATUSES, "guarantees": nullable(_STATUSES)}),
}
NOT_READY["properties"]["error"] = {"type": "object"}
