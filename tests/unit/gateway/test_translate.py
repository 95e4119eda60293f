from google.protobuf.json_format import MessageToDict

from arenalab.api.common.v1 import answer_pb2, routing_pb2, span_pb2
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.gateway.openai import parse_chat
from arenalab.gateway.translate import answer_request

USER = {"role": "user", "content": "How?"}


def test_what_is_not_said_is_left_to_the_ensemble() -> None:
    request = answer_request(parse_chat({"messages": [USER]}), "acme", "r1")
    assert MessageToDict(request, preserving_proto_field_name=True) == {
        "scope": {"tenant": "acme"},
        "model": "arenalab",
        "messages": [{"role": "ROLE_USER", "content": "How?"}],
        "policy": {},
        "sampling": {},
        "request_id": "r1",
    }


def test_what_is_said_arrives() -> None:
    body = {
        "model": "arenalab/faq",
        "messages": [USER],
        "temperature": 0,
        "seed": 7,
        "stop": ["a", "b"],
        "safety_identifier": "ann",
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "arenalab": {
            "strategy": "cascade",
            "ledger": "best_effort",
            "creatures": ["faq"],
            "max_evidence": 3,
            "guarantee_kind": "expectation",
            "guarantee_scope": "group",
            "max_age_s": 1.5,
            "rephrase": "llm",
            "routing": "cheapest",
            "cache": "bypass",
            "max_cost_usd": 0.000029,
            "context": {"environment": "banking", "stakes": "low"},
        },
    }
    request = answer_request(parse_chat(body), "default", "r1")
    assert request.sampling.HasField("temperature")
    assert not request.sampling.HasField("top_p")
    assert request.sampling.seed == 7
    assert request.user == "ann"
    assert request.policy.routing == routing_pb2.ROUTING_CHEAPEST
    assert request.policy.cache == pb.CACHE_POLICY_BYPASS
    assert request.max_cost_usd_micros == 29
    assert request.unsupported == []
    assert set(request.passthrough) == {"tools", "safety_identifier"}
    assert request.policy.strategy == pb.STRATEGY_CASCADE
    assert request.policy.ledger == pb.LEDGER_POLICY_BEST_EFFORT
    assert request.policy.fallback == pb.FALLBACK_POLICY_UNSPECIFIED
    assert request.policy.creatures == ["faq"]
    assert request.policy.max_evidence == 3
    assert request.policy.guarantee_kind == answer_pb2.GUARANTEE_KIND_EXPECTATION
    assert request.policy.guarantee_scope == answer_pb2.GUARANTEE_SCOPE_GROUP
    assert request.policy.max_age.ToMilliseconds() == 1500
    assert request.policy.rephrase == pb.REPHRASE_POLICY_LLM
    assert request.context.environment == "banking"
    assert request.context.stakes == span_pb2.STAKES_LOW


def test_the_deepest_request_that_is_accepted_can_be_read_again() -> None:
    schema: object = {}
    for _ in range(25):
        schema = {"a": schema}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    request = answer_request(parse_chat({"messages": [USER], "tools": [tool]}), "default", "r1")
    assert pb.AnswerRequest.FromString(request.SerializeToString()) == request
