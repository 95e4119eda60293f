"""Callers' provider keys pass through the ensemble, and stay nowhere in it."""

from pathlib import Path

import pytest

from arenalab.api.common.v1.credential_pb2 import ProviderCredential
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.mesh import InvalidInputError
from tests.mesh.test_ensemble_service import World, _abstains, traced, world

__all__ = ["traced", "world"]  # fixtures

BROUGHT = [ProviderCredential(provider="local", api_key="sk-brought")]


async def test_they_reach_the_fallback_and_not_the_ledger(world: World, tmp_path: Path) -> None:
    world.predictor.says["faq"] = _abstains()
    for model in ("arenalab", "local/tiny"):
        await world.ask(model=model, credentials=BROUGHT)
    assert [list(asked.credentials) for asked in world.fallback.requests] == [BROUGHT, BROUGHT]
    sealed = [str(entry) for entry in world.ledger.entries]
    assert len(sealed) == 2
    assert not [entry for entry in sealed if "sk-brought" in entry]
    assert not _files_with(tmp_path, b"sk-brought")
    assert "sk-brought" not in str(world.predictor.requests)


def _files_with(folder: Path, data: bytes) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and data in path.read_bytes()]


async def test_what_waits_to_be_sealed_is_without_them(world: World, tmp_path: Path) -> None:
    world.ledger.down = True
    await world.ask(
        credentials=BROUGHT, policy=pb.AnswerPolicy(ledger=pb.LEDGER_POLICY_BEST_EFFORT)
    )
    assert _files_with(tmp_path, b"How?")
    assert not _files_with(tmp_path, b"sk-brought")


async def test_who_rewords_an_answer_is_paid_with_them_too(traced: World) -> None:
    await traced.ask(credentials=BROUGHT, policy=pb.AnswerPolicy(rephrase=pb.REPHRASE_POLICY_LLM))
    [asked] = traced.fallback.requests
    assert list(asked.credentials) == BROUGHT


async def test_too_many_are_refused(world: World) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await world.ask(credentials=BROUGHT * 17)
    assert caught.value.metadata["field"] == "credentials"
    assert "sk-brought" not in str(caught.value)
