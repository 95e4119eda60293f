"""The ledger over real gRPC: every method, every documented status and reason."""

import asyncio
import json
import resource
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from arenalab.api.common.v1 import scope_pb2
from arenalab.api.ledger.v1 import ledger_service_pb2 as pb
from arenalab.api.ledger.v1 import ledger_service_pb2_grpc as pb_grpc
from arenalab.ledger.config import LedgerConfig
from arenalab.ledger.log import Log
from arenalab.ledger.service import SERVICE_NAME, LedgerService
from arenalab.ledger.watching import Watchers
from arenalab.ledger.wiring import open_ledger, running_ledger
from arenalab.mesh import (
    BudgetSpentError,
    BusyError,
    ConfigError,
    DataLossError,
    InvalidInputError,
    MeshError,
    NotFoundError,
    PreconditionError,
    Reason,
    Telemetry,
    connect,
    read_config,
    running_server,
)
from arenalab.proof import (
    VerifierKey,
    open_checkpoint,
    verify_consistency,
    verify_receipt,
)
from arenalab.proof.proto_form import receipt_from_proto

OTHER = scope_pb2.Scope(tenant="other")


@dataclass(frozen=True)
class Running:
    stub: "pb_grpc.LedgerServiceAsyncStub"
    config: LedgerConfig
    telemetry: Telemetry
    address: str


def config_in(folder: Path, **changes: int) -> LedgerConfig:
    return LedgerConfig(
        address="127.0.0.1:0",
        directory=folder / "ledger",
        key_path=folder / "keys" / "ledger.ed25519",
        create_key=True,
        **changes,  # type: ignore[arg-type]
    )


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Running]:
    config, telemetry = config_in(tmp_path), Telemetry("ledger")
    async with (
        running_ledger(config, telemetry) as port,
        connect(f"127.0.0.1:{port}", Telemetry("test")) as channel,
    ):
        stub = pb_grpc.LedgerServiceStub(channel)
        yield Running(stub, config, telemetry, f"127.0.0.1:{port}")


def an_append(entry_id: str = "e1", **fields: object) -> pb.AppendRequest:
    values: dict[str, object] = {
        "entry_id": entry_id,
        "kind": pb.ENTRY_KIND_PREDICTION,
        "facts_json": '{"route":"memory","confidence":1.0}',
        "content": {"question": "Why?", "answer": "So."},
        **fields,
    }
    return pb.AppendRequest(**values)  # type: ignore[arg-type]


async def public_key(ledger: Running) -> str:
    return (await ledger.stub.GetCheckpoint(pb.GetCheckpointRequest())).log_public_key


async def test_an_appended_entry_comes_with_a_receipt_that_holds_offline(ledger: Running) -> None:
    reply = await ledger.stub.Append(an_append())
    receipt = receipt_from_proto(reply.receipt)
    verify_receipt(receipt, await public_key(ledger))
    leaf = json.loads(receipt.leaf)
    assert (leaf["entry_id"], leaf["kind"], leaf["scope"]) == ("e1", "prediction", "default")
    assert leaf["facts"] == {"route": "memory", "confidence": 1}
    assert "Why?" not in receipt.leaf.decode()


async def test_an_entry_is_got_by_index_and_by_id(ledger: Running) -> None:
    await ledger.stub.Append(an_append("e0"))
    appended = await ledger.stub.Append(an_append("e1"))
    for request in (pb.GetRequest(leaf_index=1), pb.GetRequest(entry_id="e1")):
        entry = await ledger.stub.Get(request)
        assert entry.leaf_index == 1
        assert entry.leaf == appended.receipt.leaf
        assert dict(entry.content) == {"question": "Why?", "answer": "So."}
        assert entry.content_state == pb.CONTENT_STATE_PRESENT
        assert entry.append_time.ToJsonString() == json.loads(entry.leaf)["time"]


async def test_appends_at_once_share_checkpoints_and_all_hold(ledger: Running) -> None:
    replies = await asyncio.gather(*(ledger.stub.Append(an_append(f"e{n}")) for n in range(64)))
    key = await public_key(ledger)
    for reply in replies:
        verify_receipt(receipt_from_proto(reply.receipt), key)
    assert sorted(reply.receipt.leaf_index for reply in replies) == list(range(64))
    found = await ledger.stub.Verify(pb.VerifyRequest())
    assert (found.valid, found.entries, list(found.problems)) == (True, 64, [])
    assert 1 <= found.checkpoints <= 64
    assert ledger.telemetry.metrics.registry.get_sample_value("arenalab_ledger_entries") == 64


async def test_appending_again_returns_the_leaf_that_is_there(ledger: Running) -> None:
    first, second = [await ledger.stub.Append(an_append()) for _ in range(2)]
    assert first.receipt.leaf == second.receipt.leaf
    with pytest.raises(InvalidInputError) as caught:
        await ledger.stub.Append(an_append(content={"answer": "No."}))
    assert caught.value.reason is Reason.INVALID_ARGUMENT
    assert caught.value.metadata == {"field": "entry_id"}


@pytest.mark.parametrize(
    ("request_", "field", "reason"),
    [
        (an_append(""), "entry_id", Reason.INVALID_ARGUMENT),
        (an_append(kind=pb.ENTRY_KIND_UNSPECIFIED), "kind", Reason.INVALID_ARGUMENT),
        (an_append(kind=pb.ENTRY_KIND_ERASURE), "kind", Reason.INVALID_ARGUMENT),
        (an_append(kind=99), "kind", Reason.INVALID_ARGUMENT),
        (an_append(trace_id="xyz"), "trace_id", Reason.INVALID_ARGUMENT),
        (an_append(evidence_ids=["a", "a"]), "evidence_ids", Reason.INVALID_ARGUMENT),
        (an_append(facts_json="[1]"), "facts_json", Reason.INVALID_ARGUMENT),
        (an_append(facts_json='"' + "x" * 32_768 + '"'), "facts_json", Reason.TOO_LARGE),
        (an_append(content={"a": "x" * 1_048_577}), "content", Reason.TOO_LARGE),
        (an_append(subject="x" * 257), "subject", Reason.INVALID_ARGUMENT),
        (
            an_append(scope=scope_pb2.Scope(tenant="A B")),
            "scope.tenant",
            Reason.INVALID_ARGUMENT,
        ),
    ],
)
async def test_an_entry_outside_its_limits_is_refused(
    ledger: Running, request_: pb.AppendRequest, field: str, reason: Reason
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await ledger.stub.Append(request_)
    assert caught.value.reason is reason
    assert caught.value.metadata["field"] == field
    assert (await ledger.stub.GetCheckpoint(pb.GetCheckpointRequest())).tree_size == 0


async def test_a_leaf_of_another_scope_is_not_there(ledger: Running) -> None:
    await ledger.stub.Append(an_append())
    key = pb.GetRequest(scope=OTHER, leaf_index=0), pb.GetRequest(scope=OTHER, entry_id="e1")
    calls = [ledger.stub.Get(request) for request in (*key, pb.GetRequest(leaf_index=1))]
    calls.append(ledger.stub.Prove(pb.ProveRequest(scope=OTHER, leaf_index=0)))  # type: ignore[arg-type]
    for call in calls:
        with pytest.raises(NotFoundError) as caught:
            await call
        assert caught.value.reason is Reason.UNKNOWN_LEAF


async def test_a_get_without_a_key_is_refused(ledger: Running) -> None:
    with pytest.raises(InvalidInputError):
        await ledger.stub.Get(pb.GetRequest())


async def test_an_old_leaf_is_proved_against_the_newest_checkpoint(ledger: Running) -> None:
    first = await ledger.stub.Append(an_append("e0"))
    for n in range(1, 6):
        await ledger.stub.Append(an_append(f"e{n}"))
    key = VerifierKey.parse(await public_key(ledger))
    proved = await ledger.stub.Prove(pb.ProveRequest(leaf_index=0))
    verify_receipt(receipt_from_proto(proved.receipt), str(key))
    old = open_checkpoint(first.receipt.checkpoint, key)
    new = open_checkpoint(proved.receipt.checkpoint, key)
    assert (old.size, new.size) == (1, 6)
    proof = await ledger.stub.GetConsistency(pb.GetConsistencyRequest(first_size=1))
    assert proof.second_size == 6
    verify_consistency(1, 6, old.root, new.root, list(proof.path))
    with pytest.raises(InvalidInputError):
        await ledger.stub.GetConsistency(pb.GetConsistencyRequest(first_size=2, second_size=7))
    with pytest.raises(InvalidInputError):
        await ledger.stub.GetConsistency(pb.GetConsistencyRequest(first_size=0))


async def test_the_checkpoint_of_an_empty_log_is_empty(ledger: Running) -> None:
    reply = await ledger.stub.GetCheckpoint(pb.GetCheckpointRequest())
    assert (reply.checkpoint, reply.tree_size, reply.segment_bytes) == ("", 0, 0)
    assert VerifierKey.parse(reply.log_public_key).name == ledger.config.origin


async def test_erasing_a_subject_leaves_proofs_valid(ledger: Running) -> None:
    for n in range(4):
        await ledger.stub.Append(an_append(f"e{n}", subject="ann" if n < 3 else "bob"))
    erased = await ledger.stub.Erase(pb.EraseRequest(subject="ann"))
    key = await public_key(ledger)
    assert erased.entries == 3
    verify_receipt(receipt_from_proto(erased.receipt), key)
    for n in range(4):
        entry = await ledger.stub.Get(pb.GetRequest(leaf_index=n))
        state = pb.CONTENT_STATE_ERASED if n < 3 else pb.CONTENT_STATE_PRESENT
        assert (entry.content_state, bool(entry.content)) == (state, n == 3)
        assert (entry.subject, len(entry.content_salt)) == (("", 0) if n < 3 else ("bob", 32))
        proved = await ledger.stub.Prove(pb.ProveRequest(leaf_index=n))
        verify_receipt(receipt_from_proto(proved.receipt), key)
    assert (await ledger.stub.Verify(pb.VerifyRequest())).valid


async def test_only_a_subject_with_content_can_be_erased(ledger: Running) -> None:
    await ledger.stub.Append(an_append(subject="ann"))
    for request in (
        pb.EraseRequest(subject="bob"),
        pb.EraseRequest(subject="ann", scope=OTHER),
    ):
        with pytest.raises(NotFoundError) as caught:
            await ledger.stub.Erase(request)
        assert caught.value.reason is Reason.UNKNOWN_LEAF
    with pytest.raises(InvalidInputError):
        await ledger.stub.Erase(pb.EraseRequest())


async def test_a_full_disk_refuses_and_keeps_nothing(ledger: Running) -> None:
    await ledger.stub.Append(an_append("e0"))
    size = (await ledger.stub.GetCheckpoint(pb.GetCheckpointRequest())).segment_bytes
    lines = (ledger.config.directory / "00000000.ndjson").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (lines + 100, before[1]))
    try:
        with pytest.raises(BudgetSpentError) as caught:
            await ledger.stub.Append(an_append("e1"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.reason is Reason.STORAGE_FULL
    found = await ledger.stub.GetCheckpoint(pb.GetCheckpointRequest())
    assert (found.tree_size, found.segment_bytes) == (1, size)
    await ledger.stub.Append(an_append("e1"))
    assert (await ledger.stub.Verify(pb.VerifyRequest())).valid


async def test_a_full_queue_is_overload(tmp_path: Path) -> None:
    busy, let = threading.Event(), threading.Event()

    def slowed(log: Log, entries: int) -> None:
        busy.set()
        assert let.wait(10)
        assert entries
        assert log.head.size

    config = replace(config_in(tmp_path), max_queued=1)
    opened = await asyncio.to_thread(open_ledger, config, slowed)
    service = LedgerService(opened, Watchers(1))
    async with (
        running_server(SERVICE_NAME, service.register, "127.0.0.1:0", Telemetry("ledger")) as port,
        connect(f"127.0.0.1:{port}", Telemetry("test")) as channel,
    ):
        stub = pb_grpc.LedgerServiceStub(channel)
        first = asyncio.ensure_future(stub.Append(an_append("e0")))
        await asyncio.to_thread(busy.wait, 10)
        others = [asyncio.ensure_future(stub.Append(an_append(f"e{n}"))) for n in (1, 2)]
        done, waiting = await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
        with pytest.raises(BudgetSpentError) as caught:
            await done.pop()
        assert caught.value.reason is Reason.OVERLOADED
        let.set()
        key = (await stub.GetCheckpoint(pb.GetCheckpointRequest())).log_public_key
        for task in (first, *waiting):
            verify_receipt(receipt_from_proto((await task).receipt), key)
    await asyncio.to_thread(opened.close)


async def test_a_tampered_line_stops_the_log_and_is_reported_in_place(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    async with (
        running_ledger(config, Telemetry("ledger")) as port,
        connect(f"127.0.0.1:{port}", Telemetry("test")) as channel,
    ):
        for n in range(3):
            await pb_grpc.LedgerServiceStub(channel).Append(an_append(f"e{n}"))
    path = config.directory / "00000000.ndjson"
    lines = path.read_bytes().splitlines(keepends=True)
    offset = len(lines[0]) + len(lines[1])
    lines[2] = lines[2].replace(b"memory", b"forged")
    path.write_bytes(b"".join(lines))
    async with (
        running_ledger(config, Telemetry("ledger")) as port,
        connect(f"127.0.0.1:{port}", Telemetry("test")) as channel,
    ):
        stub = pb_grpc.LedgerServiceStub(channel)
        for call in (
            stub.Append(an_append("e9")),
            stub.Prove(pb.ProveRequest(leaf_index=0)),
        ):
            with pytest.raises(DataLossError) as caught:
                await call
            assert caught.value.reason is Reason.CORRUPT_LEDGER
            assert caught.value.metadata == {"file": path.name, "offset": str(offset)}
        found = await stub.Verify(pb.VerifyRequest())
        assert not found.valid
        problem = found.problems[0]
        assert (problem.file, problem.offset, problem.leaf_index) == (path.name, offset, 1)
    assert path.read_bytes() == b"".join(lines)


async def test_a_missing_key_stops_the_start(tmp_path: Path) -> None:
    config = LedgerConfig(
        address="127.0.0.1:0", directory=tmp_path / "ledger", key_path=tmp_path / "none"
    )
    with pytest.raises(PreconditionError) as caught:
        async with running_ledger(config, Telemetry("ledger")):
            pass
    assert caught.value.reason is Reason.MISSING_KEY
    assert caught.value.metadata == {"key": str(tmp_path / "none")}


async def test_two_ledgers_do_not_share_a_directory(ledger: Running) -> None:
    with pytest.raises(BusyError):
        async with running_ledger(ledger.config, Telemetry("ledger")):
            pass


async def test_a_port_that_is_taken_lets_go_of_the_log(ledger: Running, tmp_path: Path) -> None:
    config = config_in(tmp_path / "second")
    with pytest.raises(MeshError, match="taken"):
        async with running_ledger(replace(config, address=ledger.address), Telemetry("ledger")):
            pass
    async with running_ledger(config, Telemetry("ledger")) as port:
        assert port


def test_settings_outside_their_range_stop_the_start() -> None:
    assert read_config(LedgerConfig, "ledger", {"LEDGER_CREATE_KEY": "1"}).create_key
    for variable, value in (
        ("LEDGER_ORIGIN", "two words"),
        ("LEDGER_ORIGIN", "x" * 129),
        ("LEDGER_MAX_QUEUED", "0"),
        ("LEDGER_SEGMENT_BYTES", "many"),
        ("LEDGER_LOGS", "shards:0"),
        ("LEDGER_LOGS", "shards:2000"),
        ("LEDGER_PERIOD", "week"),
        ("LEDGER_BATCH_WAIT_MS", "-1"),
    ):
        with pytest.raises(ConfigError, match=variable):
            read_config(LedgerConfig, "ledger", {variable: value})
