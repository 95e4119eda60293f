"""What a ledger can be asked over real gRPC: lists, streams, recalls, exports."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace

from arenalab.api.common.v1 import scope_pb2
from arenalab.api.ledger.v1 import ledger_service_pb2 as pb
from arenalab.api.ledger.v1 import ledger_service_pb2_grpc as pb_grpc
from arenalab.ledger.config import LedgerConfig
from arenalab.ledger.wiring import running_ledger
from arenalab.mesh import (
    BudgetSpentError,
    DataLossError,
    InvalidInputError,
    MeshError,
    NotFoundError,
    Reason,
    Telemetry,
    connect,
)
from arenalab.proof import (
    TileReader,
    VerifierKey,
    open_checkpoint,
    verify_consistency,
    verify_receipt,
)
from arenalab.proof.proto_form import receipt_from_proto

OTHER = scope_pb2.Scope(tenant="other")
TRACE = "0123456789abcdef" * 2

Stub = Any  # grpc's stubs of streams have no common type


@pytest.fixture
def config(tmp_path: Path) -> LedgerConfig:
    return LedgerConfig(
        address="127.0.0.1:0",
        directory=tmp_path / "ledger",
        key_path=tmp_path / "keys" / "ledger.ed25519",
        create_key=True,
        segment_bytes=4000,
        max_watchers=2,
    )


@pytest.fixture
async def stub(config: LedgerConfig) -> AsyncIterator[Stub]:
    async with (
        running_ledger(config, Telemetry("ledger")) as port,
        connect(f"127.0.0.1:{port}", Telemetry("test")) as channel,
    ):
        yield pb_grpc.LedgerServiceStub(channel)


def an_append(entry_id: str, **fields: Any) -> pb.AppendRequest:
    return pb.AppendRequest(
        **{
            "entry_id": entry_id,
            "kind": pb.ENTRY_KIND_PREDICTION,
            "content": {"answer": "So."},
            **fields,
        }
    )


async def streamed(call: Any) -> list[Any]:
    return [each async for each in call]


def names(entries: list[Any]) -> list[str]:
    return [json.loads(each.entry.leaf)["entry_id"] for each in entries]


async def test_a_stream_is_sealed_in_order_under_one_checkpoint_at_last(stub: Stub) -> None:
    entries = [pb.AppendStreamRequest(entry=an_append(f"e{n}")) for n in range(1200)]
    reply = await stub.AppendStream(iter(entries))
    assert reply.entries == 1200
    assert list(reply.leaf_indexes) == list(range(1200))
    key = VerifierKey.parse((await stub.GetCheckpoint(pb.GetCheckpointRequest())).log_public_key)
    assert open_checkpoint(reply.checkpoint, key).size >= 1200
    again = await stub.AppendStream(iter(entries[:3]))
    assert list(again.leaf_indexes) == [0, 1, 2]


async def test_a_stream_stops_at_the_entry_that_is_refused_and_says_which(stub: Stub) -> None:
    entries = [an_append("e0"), an_append("e1"), an_append(""), an_append("e3")]
    with pytest.raises(InvalidInputError) as caught:
        await stub.AppendStream(iter([pb.AppendStreamRequest(entry=e) for e in entries]))
    assert caught.value.metadata == {"field": "entry_id", "position": "2"}
    reply = await stub.AppendStream(iter([]))
    assert (reply.entries, reply.checkpoint) == (0, "")


async def test_entries_are_found_by_their_trace(stub: Stub) -> None:
    for n, trace_id in enumerate((TRACE, "f" * 32, TRACE)):
        await stub.Append(an_append(f"e{n}", trace_id=trace_id))
    await stub.Append(an_append("theirs", trace_id=TRACE, scope=OTHER))
    found = await stub.GetByTrace(pb.GetByTraceRequest(trace_id=TRACE))
    assert [entry.leaf_index for entry in found.entries] == [0, 2]
    none = await stub.GetByTrace(pb.GetByTraceRequest(trace_id="1" * 32))
    assert not none.entries
    for wrong in ("", TRACE.upper(), TRACE[:-1]):
        with pytest.raises(InvalidInputError):
            await stub.GetByTrace(pb.GetByTraceRequest(trace_id=wrong))


async def test_a_scan_filters_by_kind_time_and_scope(stub: Stub) -> None:
    for n in range(40):
        kind = pb.ENTRY_KIND_FALLBACK if n % 4 == 0 else pb.ENTRY_KIND_PREDICTION
        await stub.Append(an_append(f"e{n}", kind=kind))
    await stub.Append(an_append("theirs", scope=OTHER))
    everything = await streamed(stub.Scan(pb.ScanRequest()))
    assert names(everything) == [f"e{n}" for n in range(40)]
    fallbacks = await streamed(stub.Scan(pb.ScanRequest(kinds=[pb.ENTRY_KIND_FALLBACK])))
    assert names(fallbacks) == [f"e{n}" for n in range(0, 40, 4)]
    some = await streamed(stub.Scan(pb.ScanRequest(first_leaf=10, limit=5)))
    assert names(some) == [f"e{n}" for n in range(10, 15)]
    assert names(await streamed(stub.Scan(pb.ScanRequest(scope=OTHER)))) == ["theirs"]
    middle = pb.GetRequest(leaf_index=17)
    when = (await stub.Get(middle)).append_time
    later = await streamed(stub.Scan(pb.ScanRequest(start_time=when)))
    earlier = await streamed(stub.Scan(pb.ScanRequest(end_time=when)))
    assert names(later)[0] == "e17"
    assert names(earlier) + names(later) == names(everything)
    with pytest.raises(InvalidInputError):
        await streamed(stub.Scan(pb.ScanRequest(kinds=[pb.ENTRY_KIND_UNSPECIFIED])))


async def test_times_before_the_log_and_after_it_find_nothing_or_all(stub: Stub) -> None:
    await stub.Append(an_append("e0"))
    request = pb.ScanRequest()
    request.start_time.FromDatetime(datetime(2200, 1, 1, tzinfo=UTC))
    assert not await streamed(stub.Scan(request))
    request = pb.ScanRequest()
    request.start_time.FromDatetime(datetime(1900, 1, 1, tzinfo=UTC))  # before the epoch
    assert names(await streamed(stub.Scan(request))) == ["e0"]


async def test_every_answer_that_leaned_on_a_span_is_listed(stub: Stub) -> None:
    for n in range(60):
        spans = [f"s{n % 7}", "s-all"] if n % 2 else [f"s{n % 7}"]
        await stub.Append(an_append(f"e{n}", evidence_ids=spans))
    await stub.Append(an_append("theirs", evidence_ids=["s3"], scope=OTHER))
    found = await streamed(stub.ListAffected(pb.ListAffectedRequest(span_id="s3")))
    assert names(found) == [f"e{n}" for n in range(60) if n % 7 == 3]
    assert {each.log for each in found} == {"arenalab.local/ledger"}
    assert len(await streamed(stub.ListAffected(pb.ListAffectedRequest(span_id="s-all")))) == 30
    few = pb.ListAffectedRequest(span_id="s-all", limit=4)
    assert len(await streamed(stub.ListAffected(few))) == 4
    assert not await streamed(stub.ListAffected(pb.ListAffectedRequest(span_id="none")))
    with pytest.raises(InvalidInputError):
        await streamed(stub.ListAffected(pb.ListAffectedRequest()))


async def test_a_superseded_span_shows_on_the_receipts_that_leaned_on_it(stub: Stub) -> None:
    await stub.Append(an_append("e0", evidence_ids=["s1", "s2"]))
    await stub.Append(an_append("e1", evidence_ids=["s3"]))
    request = pb.SupersedeSpanRequest(span_id="s2", reason="outdated", replacement_id="s9")
    said = await stub.SupersedeSpan(request)
    assert said.affected == 1
    again = await stub.SupersedeSpan(request)
    assert again.receipt.leaf_index == said.receipt.leaf_index
    key = (await stub.GetCheckpoint(pb.GetCheckpointRequest())).log_public_key
    touched = await stub.GetReceipt(pb.GetReceiptRequest(entry_id="e0"))
    verify_receipt(receipt_from_proto(touched.receipt), key)
    (shown,) = touched.supersessions
    assert (shown.span_id, shown.reason, shown.replacement_id) == ("s2", "outdated", "s9")
    assert shown.leaf_index == said.receipt.leaf_index
    assert shown.append_time.seconds
    assert not (await stub.GetReceipt(pb.GetReceiptRequest(leaf_index=1))).supersessions
    theirs = pb.SupersedeSpanRequest(span_id="s3", reason="wrong", scope=OTHER)
    await stub.SupersedeSpan(theirs)
    assert not (await stub.GetReceipt(pb.GetReceiptRequest(leaf_index=1))).supersessions


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.SupersedeSpanRequest(reason="x"), "span_id"),
        (pb.SupersedeSpanRequest(span_id="s"), "reason"),
        (pb.SupersedeSpanRequest(span_id="s", reason="x" * 1025), "reason"),
        (
            pb.SupersedeSpanRequest(span_id="s", reason="x", replacement_id="y" * 65),
            "replacement_id",
        ),
    ],
)
async def test_a_supersession_outside_its_limits_is_refused(
    stub: Stub, request_: pb.SupersedeSpanRequest, field: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await stub.SupersedeSpan(request_)
    assert caught.value.metadata["field"] == field


async def test_a_receipt_needs_a_name_that_is_there(stub: Stub) -> None:
    with pytest.raises(InvalidInputError):
        await stub.GetReceipt(pb.GetReceiptRequest())
    with pytest.raises(NotFoundError):
        await stub.GetReceipt(pb.GetReceiptRequest(entry_id="none"))


async def test_watchers_see_checkpoints_grow_and_no_more_may_watch_than_set(stub: Stub) -> None:
    await stub.Append(an_append("e0"))
    calls = [stub.WatchCheckpoints(pb.WatchCheckpointsRequest()) for _ in range(2)]
    first, second = (aiter(call) for call in calls)
    assert [(await anext(call)).tree_size for call in (first, second)] == [1, 1]
    with pytest.raises(BudgetSpentError) as caught:
        await streamed(stub.WatchCheckpoints(pb.WatchCheckpointsRequest()))
    assert caught.value.reason is Reason.OVERLOADED
    sizes = [1]
    appending = asyncio.gather(*(stub.Append(an_append(f"e{n}")) for n in range(1, 30)))
    while sizes[-1] < 30:
        sizes.append((await anext(first)).tree_size)
    await appending
    assert sizes == sorted(set(sizes))
    for call in calls:
        call.cancel()


async def test_a_range_is_verified_by_itself(stub: Stub, config: LedgerConfig) -> None:
    for n in range(40):
        await stub.Append(an_append(f"e{n}"))
    segments = sorted(config.directory.glob("*.ndjson"))
    assert len(segments) > 3
    found = await stub.Verify(pb.VerifyRequest(first_leaf=2, end_leaf=4))
    assert found.valid
    assert 2 <= found.entries < 40
    with pytest.raises(InvalidInputError):
        await stub.Verify(pb.VerifyRequest(first_leaf=2, end_leaf=41))
    segments[-1].chmod(0o600)
    segments[-1].write_bytes(segments[-1].read_bytes().replace(b"prediction", b"predictiom", 1))
    assert (await stub.Verify(pb.VerifyRequest(first_leaf=2, end_leaf=4))).valid
    damaged = await stub.Verify(pb.VerifyRequest(first_leaf=39))
    assert not damaged.valid
    assert damaged.problems[0].file == segments[-1].name
    assert not (await stub.Verify(pb.VerifyRequest())).valid


async def test_an_export_proves_every_leaf_without_the_service(stub: Stub, tmp_path: Path) -> None:
    for n in range(300):
        await stub.Append(an_append(f"e{n}"))
    folder = tmp_path / "static"

    async def export(first_size: int) -> list[str]:
        written = []
        async for file in stub.Export(pb.ExportRequest(first_size=first_size)):
            path = folder / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.data)
            written.append(file.path)
        return written

    paths = await export(0)
    assert paths[-1] == "checkpoint"
    assert {"tile/0/000", "tile/entries/000"} <= set(paths)
    old = open_checkpoint((folder / "checkpoint").read_text(), await _key(stub))
    await stub.Append(an_append("e300"))
    assert "tile/0/000" not in await export(300)
    new = open_checkpoint((folder / "checkpoint").read_text(), await _key(stub))
    assert (old.size, new.size) == (300, 301)
    reader = TileReader(lambda path: (folder / path).read_bytes(), new)
    path = reader.consistency_path(old.size, new.size)
    verify_consistency(old.size, new.size, old.root, new.root, path)
    receipt = await stub.Prove(pb.ProveRequest(leaf_index=7))
    assert reader.inclusion_path(7, new.size) == list(receipt.receipt.inclusion_path)
    with pytest.raises(InvalidInputError):
        await export(302)


async def _key(stub: Stub) -> VerifierKey:
    reply = await stub.GetCheckpoint(pb.GetCheckpointRequest())
    return VerifierKey.parse(reply.log_public_key)


async def test_the_trace_of_a_call_is_sealed_when_it_names_none(stub: Stub) -> None:
    context = trace.SpanContext(int(TRACE, 16), 1, is_remote=False, trace_flags=trace.TraceFlags(1))
    with trace.use_span(trace.NonRecordingSpan(context)):
        reply = await stub.Append(an_append("e0"))
    assert json.loads(reply.receipt.leaf)["trace_id"] in (TRACE, "")


async def test_logs_are_listed_and_one_that_is_not_kept_is_unknown(stub: Stub) -> None:
    await stub.Append(an_append("e0"))
    (log,) = (await stub.ListLogs(pb.ListLogsRequest())).logs
    assert (log.log, log.is_open, log.tree_size) == ("arenalab.local/ledger", True, 1)
    assert (await stub.Get(pb.GetRequest(leaf_index=0, log=log.log))).leaf_index == 0
    for call in (
        stub.Get(pb.GetRequest(leaf_index=0, log="none")),
        stub.Prove(pb.ProveRequest(log="none")),
        stub.GetCheckpoint(pb.GetCheckpointRequest(log="none")),
        stub.Verify(pb.VerifyRequest(log="none")),
    ):
        with pytest.raises(NotFoundError) as caught:
            await call
        assert caught.value.reason is Reason.UNKNOWN_LOG


async def test_a_large_log_is_verified_by_a_process_of_its_own(stub: Stub) -> None:
    content = {"answer": "x" * 60_000}
    await asyncio.gather(*(stub.Append(an_append(f"e{n}", content=content)) for n in range(80)))
    reply = await stub.GetCheckpoint(pb.GetCheckpointRequest())
    assert reply.segment_bytes > 4 * 1024 * 1024
    found = await stub.Verify(pb.VerifyRequest())
    assert (found.valid, found.entries) == (True, 80)


async def test_a_scan_over_a_changed_line_ends_as_data_loss(
    stub: Stub, config: LedgerConfig
) -> None:
    await stub.Append(an_append("e0"))
    path = config.directory / "00000000.ndjson"
    path.write_bytes(path.read_bytes().replace(b"prediction", b"predictiom"))
    with pytest.raises(MeshError) as caught:
        await streamed(stub.Scan(pb.ScanRequest()))
    assert isinstance(caught.value, DataLossError)
