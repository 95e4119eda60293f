"""What answers of providers cost, how they are grounded, and which provider is asked."""

import json
from pathlib import Path

import pytest

from arenalab.api.common.v1 import answer_pb2, routing_pb2
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.api.predictor.v1 import predictor_service_pb2 as predictor_pb
from arenalab.mesh import NotReadyError
from tests.mesh.test_ensemble_service import World, _abstains, running_world, world

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


def _unsure(pieces: int) -> predictor_pb.PredictResponse:
    said = _abstains()
    del said.evidence[:]
    said.evidence.extend(answer_pb2.Evidence(span_id=f"s{n}") for n in range(pieces))
    return said


@pytest.mark.parametrize(
    ("pieces", "told", "asked"), [(4, 4, [0]), (7, 7, [0, 8]), (30, 8, [0, 8])]
)
async def test_a_prompt_may_be_made_of_more_evidence_than_the_caller_wants(
    tmp_path: Path, pieces: int, told: int, asked: list[int]
) -> None:
    async with running_world(tmp_path, rag_evidence=8) as world:
        world.predictor.says["faq"] = _unsure(pieces)
        _, finished, _ = await world.ask()
        (request,) = world.fallback.requests
        # The n-th piece is what [n] stands for.
        ids = [item.span_id for item in request.evidence]
        assert ids == [item.span_id for item in finished.evidence]
        assert len(ids) == told
        assert [each.max_evidence for each in world.predictor.requests] == asked


async def test_an_abstention_returns_as_much_as_the_caller_wants(tmp_path: Path) -> None:
    async with running_world(tmp_path, rag_evidence=8) as world:
        world.predictor.says["faq"] = _unsure(9)
        world.fallback.fails = NotReadyError("down")
        _, finished, _ = await world.ask()
        assert finished.route == pb.ROUTE_ABSTAIN
        assert len(finished.evidence) == 5


async def test_memory_that_answers_is_not_asked_for_more(tmp_path: Path) -> None:
    async with running_world(tmp_path, rag_evidence=8) as world:
        world.predictor.says["faq"].evidence.extend(  # type: ignore[union-attr]
            answer_pb2.Evidence(span_id=f"s{n}") for n in range(9)
        )
        _, finished, _ = await world.ask()
        assert finished.route == pb.ROUTE_MEMORY
        assert len(finished.evidence) == 5
        assert len(world.predictor.requests) == 1


async def test_a_provider_without_memory_gets_no_evidence(tmp_path: Path) -> None:
    async with running_world(tmp_path, rag_evidence=8) as world:
        world.predictor.says["faq"] = NotReadyError("down")
        await world.ask(model="local/tiny")
        assert not world.fallback.requests[0].evidence
        assert not world.predictor.requests
