"""A served ledger in a real cluster: what one machine sealed, the next one goes on with."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from arenalab.api.common.v1 import scope_pb2
from arenalab.api.ledger.v1 import ledger_service_pb2 as pb
from arenalab.api.ledger.v1 import ledger_service_pb2_grpc as pb_grpc
from arenalab.ledger.config import LedgerConfig
from arenalab.ledger.wiring import open_ledger, running_ledger
from arenalab.mesh import ConfigError, Telemetry, connect
from arenalab.proof import verify_receipt
from arenalab.proof.proto_form import receipt_from_proto

from .cluster import Cluster

STREAM = "SERVED"


def config_in(folder: Path, machine: str, servers: tuple[str, ...], **fields: Any) -> LedgerConfig:
    return LedgerConfig(
        address="127.0.0.1:0",
        directory=folder / machine,
        key_path=folder / "keys" / "ledger.ed25519",  # every machine has the signing keys
        create_key=True,
        nats_servers=servers,
        nats_stream=STREAM,
        **fields,
    )


@asynccontextmanager
async def served(config: LedgerConfig) -> AsyncIterator[Any]:
    async with (
        running_ledger(config, Telemetry("ledger")) as port,
        connect(f"127.0.0.1:{port}", Telemetry("test")) as channel,
    ):
        yield pb_grpc.LedgerServiceStub(channel)


def an_append(name: str, tenant: str) -> pb.AppendRequest:
    return pb.AppendRequest(
        scope=scope_pb2.Scope(tenant=tenant),
        entry_id=name,
        kind=pb.ENTRY_KIND_PREDICTION,
        content={"answer": f"of {name}"},
        subject="ann",
    )


async def test_another_machine_takes_every_scopes_log_over(
    tmp_path: Path, cluster: Cluster
) -> None:
    receipts = {}
    async with served(config_in(tmp_path, "one", cluster.urls, logs="scope")) as stub:
        for tenant in ("acme", "other"):
            for n in range(3):
                request = an_append(f"e{n}", tenant)
                receipts[tenant, n] = (await stub.Append(request, timeout=60)).receipt
    async with served(config_in(tmp_path, "two", cluster.urls, logs="scope")) as stub:
        logs = (await stub.ListLogs(pb.ListLogsRequest(), timeout=60)).logs
        assert [log.tree_size for log in logs] == [3, 3]
        for (tenant, n), receipt in receipts.items():
            scope = scope_pb2.Scope(tenant=tenant)
            stored = await stub.Get(pb.GetRequest(scope=scope, entry_id=f"e{n}"), timeout=60)
            assert (stored.leaf, dict(stored.content)) == (receipt.leaf, {"answer": f"of e{n}"})
            verify_receipt(receipt_from_proto(receipt), receipt.log_public_key)
        erased = await stub.Erase(
            pb.EraseRequest(scope=scope_pb2.Scope(tenant="acme"), subject="ann"), timeout=60
        )
        assert erased.entries == 3
        again = await stub.Append(an_append("e1", "other"), timeout=60)
        assert again.receipt.leaf_index == 1


def test_a_server_that_is_no_url_stops_the_start(tmp_path: Path) -> None:
    config = config_in(tmp_path, "one", ("localhost:4222",))
    with pytest.raises(ConfigError, match="must be URLs"):
        open_ledger(config)
