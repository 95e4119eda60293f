"""From a checked chat request to the ensemble's protobuf. Pure."""

from collections.abc import Sequence
from typing import Final

from arenalab.api.common.v1 import answer_pb2, message_pb2, routing_pb2, span_pb2
from arenalab.api.common.v1.credential_pb2 import ProviderCredential
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.gateway.openai import ChatRequest, Sampling
from arenalab.gateway.policy import Context, Policy
from arenalab.mesh import scope_for

_ROLES: Final = {
    "system": message_pb2.ROLE_SYSTEM,
    "user": message_pb2.ROLE_USER,
    "assistant": message_pb2.ROLE_ASSISTANT,
    "tool": message_pb2.ROLE_TOOL,
}
_STRATEGIES: Final = {
    "single_best": pb.STRATEGY_SINGLE_BEST,
    "cascade": pb.STRATEGY_CASCADE,
    None: pb.STRATEGY_UNSPECIFIED,
}
_FALLBACKS: Final = {
    "llm": pb.FALLBACK_POLICY_LLM,
    "never": pb.FALLBACK_POLICY_NEVER,
    None: pb.FALLBACK_POLICY_UNSPECIFIED,
}
_LEDGERS: Final = {
    "required": pb.LEDGER_POLICY_REQUIRED,
    "best_effort": pb.LEDGER_POLICY_BEST_EFFORT,
    None: pb.LEDGER_POLICY_UNSPECIFIED,
}
_KINDS: Final = {
    "high_probability": answer_pb2.GUARANTEE_KIND_HIGH_PROBABILITY,
    "expectation": answer_pb2.GUARANTEE_KIND_EXPECTATION,
    None: answer_pb2.GUARANTEE_KIND_UNSPECIFIED,
}
_SCOPES: Final = {
    "all": answer_pb2.GUARANTEE_SCOPE_ALL,
    "group": answer_pb2.GUARANTEE_SCOPE_GROUP,
    None: answer_pb2.GUARANTEE_SCOPE_UNSPECIFIED,
}
_REPHRASES: Final = {
    "never": pb.REPHRASE_POLICY_NEVER,
    "llm": pb.REPHRASE_POLICY_LLM,
    None: pb.REPHRASE_POLICY_UNSPECIFIED,
}
_ROUTINGS: Final = {
    "ordered": routing_pb2.ROUTING_ORDERED,
    "weighted": routing_pb2.ROUTING_WEIGHTED,
    "cheapest": routing_pb2.ROUTING_CHEAPEST,
    "fastest": routing_pb2.ROUTING_FASTEST,
    None: routing_pb2.ROUTING_UNSPECIFIED,
}
_CACHES: Final = {
    "use": pb.CACHE_POLICY_USE,
    "bypass": pb.CACHE_POLICY_BYPASS,
    None: pb.CACHE_POLICY_UNSPECIFIED,
}
_STAKES: Final = {
    "": span_pb2.STAKES_UNSPECIFIED,
    "low": span_pb2.STAKES_LOW,
    "medium": span_pb2.STAKES_MEDIUM,
    "high": span_pb2.STAKES_HIGH,
}


def answer_request(
    chat: ChatRequest,
    tenant: str,
    request_id: str,
    credentials: Sequence[ProviderCredential] = (),
) -> pb.AnswerRequest:
    """Returns what the ensemble is asked."""
    request = pb.AnswerRequest(
        scope=scope_for(tenant),
        model=chat.model,
        messages=[
            message_pb2.Message(role=_ROLES[message.role], content=message.content)
            for message in chat.messages
        ],
        policy=_policy(chat.policy),
        sampling=_sampling(chat.sampling),
        unsupported=chat.unsupported,
        request_id=request_id,
        user=chat.user,
        messages_json=chat.messages_json,
        instructions=chat.instructions,
        credentials=credentials,
    )
    if chat.policy.max_cost_usd is not None:
        # Rounded down, and at least one: 0 sets no limit.
        request.max_cost_usd_micros = max(1, int(round(chat.policy.max_cost_usd * 1e6, 3)))
    if chat.policy.context is not None:
        request.context.CopyFrom(_context(chat.policy.context))
    if chat.passthrough:
        request.passthrough.update(chat.passthrough)
    return request


def _policy(policy: Policy) -> pb.AnswerPolicy:
    told = pb.AnswerPolicy(
        strategy=_STRATEGIES[policy.strategy],
        fallback=_FALLBACKS[policy.fallback],
        ledger=_LEDGERS[policy.ledger],
        alpha=policy.alpha or 0,
        delta=policy.delta or 0,
        guarantee_kind=_KINDS[policy.guarantee_kind],
        guarantee_scope=_SCOPES[policy.guarantee_scope],
        creatures=policy.creatures,
        max_evidence=policy.max_evidence or 0,
        rephrase=_REPHRASES[policy.rephrase],
        routing=_ROUTINGS[policy.routing],
        cache=_CACHES[policy.cache],
    )
    if policy.max_age_s is not None:
        # At least one: less is 0 on the wire, and that would be refused.
        told.max_age.FromNanoseconds(max(1, round(policy.max_age_s * 1e9)))
    return told


def _sampling(sampling: Sampling) -> pb.Sampling:
    return pb.Sampling(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        max_tokens=sampling.max_tokens,
        stop=sampling.stop,
        seed=sampling.seed,
    )


def _context(context: Context) -> span_pb2.SpanContext:
    return span_pb2.SpanContext(
        environment=context.environment,
        stakes=_STAKES[context.stakes],
        emotional_state=context.emotional_state,
    )
