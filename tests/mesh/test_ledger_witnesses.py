"""A served ledger has its checkpoints cosigned by a real witness over HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from arenalab.api.ledger.v1 import ledger_service_pb2 as pb
from arenalab.api.ledger.v1 import ledger_service_pb2_grpc as pb_grpc
from arenalab.ledger.config import LedgerConfig
from arenalab.ledger.wiring import running_ledger
from arenalab.mesh import ConfigError, Telemetry, connect
from arenalab.proof import WitnessPolicy, open_checkpoint
from tests.mesh.witnessing import ORIGIN, SIGNER, witness_in

NOBODY = "http://127.0.0.1:9"  # the discard port: nothing listens


def config_in(folder: Path, *witnesses: str) -> LedgerConfig:
    return LedgerConfig(
        address="127.0.0.1:0",
        directory=folder / "ledger",
        signing_key=bytes(32).hex(),
        key_path=folder / "keys" / "ledger.ed25519",
        origin=ORIGIN,
        witnesses=witnesses,
        witness_every_s=0.01,
    )


@asynccontextmanager
async def served(config: LedgerConfig) -> AsyncIterator[Any]:
    async with (
        running_ledger(config, Telemetry("ledger")) as port,
        connect(f"127.0.0.1:{port}", Telemetry("test")) as channel,
    ):
        yield pb_grpc.LedgerServiceStub(channel)


async def cosigned(stub: Any, size: int) -> str:
    """Returns the cosigned checkpoint of a size, once there is one."""
    while True:  # the test's own timeout ends it
        reply = await stub.GetCheckpoint(pb.GetCheckpointRequest())
        note = reply.cosigned_checkpoint
        if note and open_checkpoint(note, SIGNER.verifier_key).size >= size:
            return str(note)


def an_append(name: str) -> pb.AppendRequest:
    return pb.AppendRequest(entry_id=name, kind=pb.ENTRY_KIND_PREDICTION, content={"answer": "So."})


async def test_a_checkpoint_is_cosigned_and_kept_while_a_witness_is_down(tmp_path: Path) -> None:
    with witness_in(tmp_path / "witness") as witness:
        down = replace(witness.key, name="witness.example/down")
        config = config_in(tmp_path, f"{witness.url} {witness.key}", f"{NOBODY} {down}")
        policy = WitnessPolicy((witness.key,), 1)
        async with served(config) as stub:
            for size in (1, 2):
                await stub.Append(an_append(f"e{size}"))
                note = await cosigned(stub, size)
                assert list(policy.verify(note)) == [witness.key.name]
        async with served(config_in(tmp_path)) as stub:  # no witness any more
            assert await cosigned(stub, 2) == note


@pytest.mark.parametrize("line", ["http://127.0.0.1:1", "ftp://x y", "http://x not-a-key"])
def test_a_malformed_witness_stops_the_start(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError):
        config_in(tmp_path, line)
