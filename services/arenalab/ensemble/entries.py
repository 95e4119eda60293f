"""Ledger entries of what the ensemble says and hears: public facts, and content beside them.

Facts are in the leaf for ever, so they hold nothing that a person said. The content is
encrypted under the user's key. It holds all that asking again needs: "request" is the
whole request, "config" the settings that decided, whose digest is in the leaf.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

from blake3 import blake3
from google.protobuf import json_format

from arenalab.api.common.v1 import answer_pb2, message_pb2
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.api.ledger.v1 import ledger_service_pb2 as ledger_pb
from arenalab.atomic import JSON, canonical_json
from arenalab.ensemble.opinions import Opinion
from arenalab.ensemble.predictions import Prediction
from arenalab.mesh import scope_for

# The ledger takes 1 MiB of content, and three texts may be long: beyond this many bytes
# one is committed to by its hash.
MAX_TEXT_BYTES: Final = 320 * 1024
# ... and texts that are rarely long.
MAX_NOTE_BYTES: Final = 16 * 1024
MAX_DIGEST: Final = 128  # characters of a model's name in a leaf
_PROVIDERS: Final = frozenset({pb.ROUTE_FALLBACK, pb.ROUTE_PROVIDER})


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An answer as it was given, and what led to it."""

    request: pb.AnswerRequest
    finished: pb.AnswerFinished
    text: str
    tool_calls: str = ""  # a JSON array of whole calls
    refusal: str = ""  # a provider's words for why it does not answer
    asked: Sequence[Opinion] = ()  # the creatures, in order
    chosen: Opinion | None = None
    strategy: pb.Strategy.ValueType = pb.STRATEGY_UNSPECIFIED
    trouble: str = ""  # why no provider answered
    own_words: str = ""  # memory's, where the text is a provider's rephrasing of them


def answer_entry(tenant: str, said: Said, trace_id: str) -> ledger_pb.AppendRequest:
    """Returns the entry of one answer."""
    request, finished = said.request, said.finished
    config = canonical_json(config_of(said))
    content = {
        "conversation": _conversation(request.messages),
        "request": _bounded(request_json(request)),
        "answer": _bounded(said.text),
        "config": config.decode(),
    }
    if said.tool_calls:
        # What they say and the text together are as long as one text may be.
        left = MAX_TEXT_BYTES - len(content["answer"].encode())
        content["tool_calls"] = _bounded(said.tool_calls, max(MAX_NOTE_BYTES, left))
    if said.refusal:
        content["refusal"] = _bounded(said.refusal, MAX_NOTE_BYTES)
    if said.trouble:
        content["trouble"] = _bounded(said.trouble, MAX_NOTE_BYTES)
    if said.own_words:
        content["memory"] = _bounded(said.own_words, MAX_NOTE_BYTES)
    is_providers = finished.route in _PROVIDERS
    return ledger_pb.AppendRequest(
        scope=scope_for(tenant),
        entry_id=finished.prediction_id,
        kind=ledger_pb.ENTRY_KIND_FALLBACK if is_providers else ledger_pb.ENTRY_KIND_PREDICTION,
        facts_json=json.dumps(_facts(said)),
        content=content,
        subject=request.user,
        content_salt=finished.content_salt,
        evidence_ids=dict.fromkeys(item.span_id for item in finished.evidence),
        dataset_version=finished.dataset_version,
        model_digest=_model_digest(said, is_providers=is_providers),
        config_digest=config_digest(config),
        trace_id=trace_id,
    )


def feedback_entry(
    tenant: str,
    request: pb.FeedbackRequest,
    prediction: Prediction,
    verdict: pb.Verdict.ValueType,
    trace_id: str,
) -> ledger_pb.AppendRequest:
    """Returns the entry of a feedback; there is one for each source."""
    source = "audit" if request.audit else "feedback"
    facts: dict[str, JSON] = {"source": source, "verdict": _name(pb.Verdict.Name(verdict))}
    if request.HasField("rating"):
        facts["rating"] = request.rating
    if request.HasField("helpful"):
        facts["helpful"] = request.helpful
    content = {}
    if request.comment:
        content["comment"] = request.comment
    if request.HasField("actual_output"):
        content["actual_output"] = request.actual_output
    return ledger_pb.AppendRequest(
        scope=scope_for(tenant),
        entry_id=f"{source}:{prediction.prediction_id}",
        kind=ledger_pb.ENTRY_KIND_FEEDBACK,
        facts_json=json.dumps(facts),
        content=content,
        subject=prediction.user,
        dataset_version=prediction.dataset_version,
        trace_id=trace_id,
        parent_id=prediction.prediction_id,
    )


def config_of(said: Said) -> dict[str, JSON]:
    """Returns the settings that decided, as far as they are not in the dataset versions."""
    policy = said.request.policy
    max_age_s = None
    if policy.HasField("max_age"):
        max_age_s = _number(policy.max_age.ToNanoseconds() / 1e9)
    return {
        "alpha": _number(policy.alpha),  # 0: the version's own
        "delta": _number(policy.delta),
        "guarantee_kind": _name(answer_pb2.GuaranteeKind.Name(policy.guarantee_kind)),
        "guarantee_scope": _name(answer_pb2.GuaranteeScope.Name(policy.guarantee_scope)),
        "strategy": _name(pb.Strategy.Name(said.strategy)),
        "max_evidence": policy.max_evidence,
        "max_age_s": max_age_s,
        "creatures": [
            {
                "creature": opinion.creature or opinion.response.creature,
                "dataset": opinion.response.dataset,
                "dataset_version": opinion.response.dataset_version,
                "calibration": opinion.response.calibration,
            }
            for opinion in said.asked
        ],
    }


def config_digest(config: bytes) -> str:
    """Returns what a leaf says of canonical settings: 64 hexadecimal digits."""
    return blake3(config).hexdigest()


def request_json(request: pb.AnswerRequest) -> str:
    """Returns a request as canonical JSON; `json_format.ParseDict` reads it.

    What opens a provider's account is left out: it is nobody's to keep.
    """
    if request.credentials:
        given, request = request, pb.AnswerRequest()
        request.CopyFrom(given)
        request.ClearField("credentials")
    try:
        form = json_format.MessageToDict(request, preserving_proto_field_name=True)
        return canonical_json(form).decode()
    except (ValueError, json_format.Error):
        # A number in `passthrough` that JSON cannot write: only a provider reads those.
        return _digest_of(request.SerializeToString(deterministic=True))


def _facts(said: Said) -> dict[str, object]:
    request, finished = said.request, said.finished
    facts: dict[str, object] = {
        "model": finished.model,
        "route": _name(pb.Route.Name(finished.route)),
        "method": _name(answer_pb2.AnswerMethod.Name(finished.method)),
        "confidence": _number(finished.confidence),
        "creature": finished.creature,
        "guarantee": _guarantee(finished.guarantee.SerializeToString()),
        "finish_reason": finished.finish_reason,
        "request_id": request.request_id,
        "audited": finished.audited,
        "audit_propensity": _number(finished.audit_propensity),
    }
    if said.chosen is not None and said.chosen.response.dataset:
        facts["dataset"] = said.chosen.response.dataset
    if finished.HasField("abstention"):
        reason = answer_pb2.AbstainReason.Name(finished.abstention.reason)
        facts["abstain_reason"] = reason.removeprefix("ABSTAIN_REASON_")
    if finished.HasField("rephrasing"):
        told = finished.rephrasing
        facts["rephrasing"] = {
            "status": _name(pb.RephrasingStatus.Name(told.status)),
            "provider": told.provider,
            "provider_model": told.provider_model,
        }
    if (finished.provider or finished.HasField("rephrasing")) and finished.HasField(
        "cost_usd_micros"
    ):
        facts["cost_usd_micros"] = finished.cost_usd_micros
    if finished.grounding:
        grounding = answer_pb2.Grounding.Name(finished.grounding)
        facts["grounding"] = grounding.removeprefix("GROUNDING_").lower()
    if finished.guardrails:
        facts["guardrails"] = [_verdict(one) for one in finished.guardrails]
    if finished.provider:
        facts["provider"] = finished.provider
        facts["provider_model"] = finished.provider_model
    return facts


def _verdict(told: pb.GuardrailVerdict) -> Mapping[str, object]:
    return {
        "guardrail": told.guardrail,
        "stage": _name(pb.GuardrailStage.Name(told.stage)),
        "action": _name(pb.GuardrailAction.Name(told.action)),
        "findings": told.findings,
    }


@lru_cache(maxsize=256)
def _guarantee(message: bytes) -> Mapping[str, object]:
    """Returns the facts of a guarantee; most answers of a version have the same."""
    form = json_format.MessageToDict(
        answer_pb2.Guarantee.FromString(message), preserving_proto_field_name=True
    )
    return {
        name: _number(value) if isinstance(value, float) else value for name, value in form.items()
    }


def _number(value: float) -> float:
    """Returns a number as RFC 8785 writes it: 0, not 0.0.

    Python's encoder can then write all of the entry; the reference takes ten times as long.
    """
    return int(value) if value.is_integer() else value


def _model_digest(said: Said, *, is_providers: bool) -> str:
    if not is_providers:
        return said.chosen.response.model_digest if said.chosen is not None else ""
    name = f"{said.finished.provider}/{said.finished.provider_model}"
    return name if len(name) <= MAX_DIGEST else blake3(name.encode()).hexdigest()


def _conversation(messages: Sequence[message_pb2.Message]) -> str:
    turns = [{"role": _name(message_pb2.Role.Name(m.role)), "content": m.content} for m in messages]
    return _bounded(json.dumps(turns, ensure_ascii=False))


def _bounded(text: str, limit: int = MAX_TEXT_BYTES) -> str:
    """Returns the text, or what commits to it where the ledger would not take it."""
    encoded = text.encode()
    return text if len(encoded) <= limit else _digest_of(encoded)


def _digest_of(data: bytes) -> str:
    return json.dumps({"blake3": blake3(data).hexdigest(), "bytes": len(data)})


# What protobuf puts before the names of each enum's values.
_PREFIXES: Final = (
    "ROUTE_", "ROLE_", "VERDICT_", "STRATEGY_", "ANSWER_METHOD_", "GUARANTEE_KIND_",
    "GUARANTEE_SCOPE_", "REPHRASING_STATUS_", "GUARDRAIL_STAGE_", "GUARDRAIL_ACTION_",
)  # fmt: skip


@cache
def _name(value: str) -> str:
    prefix = next(each for each in _PREFIXES if value.startswith(each))
    return value.removeprefix(prefix).lower()
