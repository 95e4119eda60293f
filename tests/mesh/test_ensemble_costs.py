"""What answers of providers cost, how they are grounded, and which provider is asked."""

import json

import pytest

from arenalab.api.common.v1 import answer_pb2, routing_pb2
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from tests.mesh.test_ensemble_service import World, _abstains, world

__all__ = ["world"]


@pytest.mark.parametrize("model", ["gpt-4o-mini", "lab/model"])
async def test_a_model_that_providers_claim_needs_no_providers_name(
    world: World, model: str
) -> None:
    _, finished, _ = await world.ask(model=model)
    assert (finished.route, finished.model) == (pb.ROUTE_PROVIDER, model)
    asked = world.fallback.requests[0]
    assert (asked.provider, asked.model) == ("", model)
    assert not world.predictor.asked


async def test_what_an_answer_may_cost_and_its_routing_reach_the_fallback(world: World) -> None:
    world.predictor.says["faq"] = _abstains()
    policy = pb.AnswerPolicy(routing=routing_pb2.ROUTING_CHEAPEST)
    await world.ask(policy=policy, max_cost_usd_micros=99)
    asked = world.fallback.requests[0]
    assert (asked.routing, asked.max_cost_usd_micros) == (routing_pb2.ROUTING_CHEAPEST, 99)


@pytest.mark.parametrize("cost", [None, 0, 42])
async def test_an_answer_tells_what_its_provider_charged(world: World, cost: int | None) -> None:
    world.predictor.says["faq"] = _abstains()
    world.fallback.cost_usd_micros = cost
    _, finished, _ = await world.ask()
    told = finished.cost_usd_micros if finished.HasField("cost_usd_micros") else None
    assert told == cost
    assert finished.grounding == answer_pb2.GROUNDING_CITED
    facts = json.loads(world.ledger.entries[-1].facts_json)
    assert facts.get("cost_usd_micros") == cost
    assert facts["grounding"] == "cited"


async def test_memorys_answers_cost_nothing(world: World) -> None:
    _, finished, _ = await world.ask()
    assert finished.route == pb.ROUTE_MEMORY
    assert finished.HasField("cost_usd_micros")
    assert finished.cost_usd_micros == 0
    assert "cost_usd_micros" not in json.loads(world.ledger.entries[-1].facts_json)
