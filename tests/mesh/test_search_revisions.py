"""Revisions of collections: other ones after every change, the same ones without."""

import shutil
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.atomic import Span, to_proto
from arenalab.mesh import NotFoundError, NotReadyError, PreconditionError, Reason, Telemetry
from arenalab.mesh import scope_for as scope
from arenalab.sharding import connect_search
from tests.mesh.search_desk import BALANCE, CARD, FLIGHT, SPANS, WEATHER, Desk
from tests.mesh.small_shards import Shards
from tests.mesh.test_sharded_routes import Replicas

if TYPE_CHECKING:
    from arenalab.api.search.v1 import search_service_pb2_grpc as pb_grpc

    Stub = pb_grpc.SearchServiceAsyncStub

OTHER = "01890000-0000-7000-8000-000000000000"


async def revision(search: "Stub", dataset: str = "faq", tenant: str = "default") -> bytes:
    request = pb.GetRevisionRequest(scope=scope(tenant), dataset=dataset)
    return (await search.GetRevision(request)).revision


def changes(search: "Stub", desk: Desk) -> list[Callable[[], Awaitable[Any]]]:
    changed = to_proto(replace(CARD, this="How do I sharpen a chisel?"))
    weight = pb.SpanWeight(span_id=BALANCE.id, weight=2.0)
    quarantine = {"dataset": "faq", "span_ids": [WEATHER.id]}
    version = desk.build(SPANS[:2])
    return [
        lambda: search.AddSpans(pb.AddSpansRequest(dataset="faq", spans=[to_proto(FLIGHT)])),
        lambda: search.UpdateSpans(pb.UpdateSpansRequest(dataset="faq", spans=[changed])),
        lambda: search.ReweightSpans(pb.ReweightSpansRequest(dataset="faq", weights=[weight])),
        lambda: search.QuarantineSpans(pb.QuarantineSpansRequest(**quarantine)),  # type: ignore[arg-type]
        lambda: search.QuarantineSpans(pb.QuarantineSpansRequest(**quarantine, release=True)),  # type: ignore[arg-type]
        lambda: search.DeleteSpans(pb.DeleteSpansRequest(dataset="faq", span_ids=[FLIGHT.id])),
        lambda: search.Publish(pb.PublishRequest(dataset="faq", dataset_version=version)),
    ]


async def test_every_change_makes_another_revision_and_repeating_it_does_not(desk: Desk) -> None:
    async with desk.serving() as search:
        await desk.publish(search, [BALANCE, CARD, WEATHER])
        seen = [await revision(search)]
        for change in changes(search, desk):
            await change()
            seen.append(await revision(search))
            # Releasing and quarantining undo each other; each alone, twice, is once.
            await change()
            await search.SearchText(pb.SearchTextRequest(text="a card", limit=3))
            assert await revision(search) == seen[-1]
        assert len(set(seen)) == len(seen)
        await search.Snapshot(pb.SnapshotRequest(dataset="faq"))
        assert await revision(search) == seen[-1]
        assert await revision(search, dataset="") == seen[-1]
    async with desk.serving() as search:  # what is known of it is good after a restart
        assert await revision(search) == seen[-1]


async def test_a_restored_store_never_has_a_revision_of_other_spans(
    desk: Desk, tmp_path: Path
) -> None:
    store = desk.config.store_path.parent
    async with desk.serving() as search:
        await desk.publish(search, [BALANCE])
        before = await revision(search)
    shutil.copytree(store, tmp_path / "copy")
    seen = set[bytes]()
    for added in (CARD, FLIGHT):
        shutil.rmtree(store)
        shutil.copytree(tmp_path / "copy", store)
        async with desk.serving() as search:
            assert await revision(search) == before  # it holds the same spans
            await search.AddSpans(pb.AddSpansRequest(dataset="faq", spans=[to_proto(added)]))
            seen.add(await revision(search))
    assert len(seen) == 2


async def test_collections_have_revisions_of_their_own(desk: Desk) -> None:
    async with desk.serving() as search:
        with pytest.raises(PreconditionError) as none:
            await revision(search, dataset="")
        assert none.value.reason is Reason.NO_DATASET
        for tenant in ("ada", "bob"):
            version = desk.build(SPANS, tenant=tenant)
            request = pb.PublishRequest(scope=scope(tenant), dataset="faq", dataset_version=version)
            await search.Publish(request)
        of_ada = await revision(search, tenant="ada")
        of_bob = await revision(search, tenant="bob")
        assert of_ada != of_bob
        with pytest.raises(NotFoundError):
            await revision(search, dataset="other", tenant="ada")
        with pytest.raises(PreconditionError):
            await revision(search, dataset="", tenant="eve")
        removed = pb.DeleteSpansRequest(scope=scope("bob"), dataset="faq", span_ids=[CARD.id])
        await search.DeleteSpans(removed)
        assert await revision(search, tenant="bob") != of_bob
        assert await revision(search, tenant="ada") == of_ada


async def test_walks_are_remembered_until_something_changes(desk: Desk) -> None:
    first, second = BALANCE, _after(CARD, BALANCE)
    third = _after(FLIGHT, second)
    spans = [first, second, third]

    async def walk(tenant: str = "ada") -> list[str]:
        request = pb.SearchTextRequest(
            scope=scope(tenant), dataset="faq", text=third.this, limit=1, trajectory_depth=5
        )
        [hit] = (await search.SearchText(request)).hits
        return [span.id for span in hit.trajectory]

    def looks(outcome: str) -> float:
        labels = {"cache": "walk", "layer": "memory", "outcome": outcome}
        sample = desk.telemetry.metrics.registry.get_sample_value
        return sample("arenalab_cache_requests_total", labels) or 0.0

    async with desk.serving() as search:
        for tenant in ("ada", "bob"):
            version = desk.build(spans, tenant=tenant)
            request = pb.PublishRequest(scope=scope(tenant), dataset="faq", dataset_version=version)
            await search.Publish(request)
        for _ in range(3):
            assert await walk() == [second.id, first.id]
        assert (looks("miss"), looks("hit")) == (1, 2)
        assert await walk("bob") == [second.id, first.id]
        assert looks("miss") == 2
        hiding = pb.QuarantineSpansRequest(scope=scope("ada"), dataset="faq", span_ids=[first.id])
        await search.QuarantineSpans(hiding)
        assert await walk() == [second.id]
        assert await walk("bob") == [second.id, first.id]
        hiding.release = True
        await search.QuarantineSpans(hiding)
        assert await walk() == [second.id, first.id]
        removed = pb.DeleteSpansRequest(scope=scope("ada"), dataset="faq", span_ids=[second.id])
        await search.DeleteSpans(removed)
        assert await walk() == []


def _after(span: Span, earlier: Span) -> Span:
    context = replace(span.context, previous_spans=(earlier.id,))
    return replace(span, context=context)


async def test_over_shards_a_change_of_any_of_them_counts(shards: Shards, sharded: "Stub") -> None:
    seen = [await revision(sharded)]
    assert await revision(sharded) == seen[0]
    for server in shards.servers.values():
        server.revision += b" changed"
        seen.append(await revision(sharded))
    assert len(set(seen)) == 4
    await shards.kill("bank")
    with pytest.raises(NotReadyError, match="shard bank"):
        await revision(sharded)


async def test_over_replicas_every_one_counts_and_must_be_there(shards: Shards) -> None:
    replicas = Replicas(shards)
    addresses = ",".join(await replicas.addresses())
    async with connect_search(addresses, Telemetry("test")) as search:
        seen = [await revision(search) for _ in range(3)]
        assert len(set(seen)) == 1
        # One took a change, the other not yet.
        replicas.servers[1].revision = b"second"
        half = await revision(search)
        replicas.servers[0].revision = b"second"
        assert len({seen[0], half, await revision(search)}) == 3
        await shards.kill("replica 0")
        with pytest.raises(NotReadyError):
            await revision(search)
