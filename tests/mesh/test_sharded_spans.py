"""Spans by id, changes and publications over shards, through real servers."""

from typing import TYPE_CHECKING, Any

import pytest

from arenalab.api.common.v1 import span_pb2
from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.api.search.v1 import search_service_pb2_grpc as pb_grpc
from arenalab.mesh import (
    InvalidInputError,
    NotFoundError,
    NotReadyError,
    Reason,
)
from tests.mesh.small_search import VERSION
from tests.mesh.small_shards import RULES, SPANS, Shards, fresh, vector_request

if TYPE_CHECKING:
    Stub = pb_grpc.SearchServiceAsyncStub


async def test_spans_come_in_the_order_asked_for_whoever_holds_them(
    sharded: "Stub",
) -> None:
    ids = [span.id for span in reversed(SPANS)]
    found = await sharded.GetSpans(pb.GetSpansRequest(span_ids=ids))
    assert [span.id for span in found.spans] == ids


async def test_the_first_span_that_nobody_holds_is_named(sharded: "Stub") -> None:
    ids = [SPANS[0].id, "0198aaaa-0000-7000-8000-000000000000", SPANS[1].id]
    with pytest.raises(NotFoundError) as caught:
        await sharded.GetSpans(pb.GetSpansRequest(span_ids=ids))
    assert caught.value.reason is Reason.UNKNOWN_SPAN
    assert caught.value.metadata == {"span_id": ids[1]}


async def test_spans_are_looked_up_with_one_call_to_each_shard(
    shards: Shards, sharded: "Stub"
) -> None:
    found = await sharded.GetSpans(pb.GetSpansRequest(span_ids=[span.id for span in SPANS]))
    assert list(found.spans) == SPANS
    unknown = [f"0198aaaa-0000-7000-8000-{number:012d}" for number in range(300)]
    with pytest.raises(NotFoundError):
        await sharded.GetSpans(pb.GetSpansRequest(span_ids=unknown))
    assert [server.calls for server in shards.servers.values()] == [["GetSpans"] * 2] * 3


async def test_spans_that_nobody_holds_may_be_left_out(shards: Shards, sharded: "Stub") -> None:
    lost = "0198aaaa-0000-7000-8000-000000000000"
    ids = [SPANS[0].id, lost, SPANS[2].id, SPANS[0].id]
    request = pb.GetSpansRequest(span_ids=ids, skip_missing=True)
    expected = [SPANS[0], SPANS[2], SPANS[0]]
    assert list((await sharded.GetSpans(request)).spans) == expected
    await shards.kill("cards")  # which might have had it
    with pytest.raises(NotReadyError):
        await sharded.GetSpans(request)


@pytest.mark.slow
async def test_the_time_given_is_for_finding_and_changing_spans_together(
    shards: Shards, sharded: "Stub"
) -> None:
    shards.servers["cards"].hangs = True
    request = pb.QuarantineSpansRequest(dataset="faq", span_ids=[SPANS[0].id])
    assert (await sharded.QuarantineSpans(request, timeout=1)).changed == 1
    bank = shards.servers["bank"]
    assert bank.calls == ["GetSpans", "QuarantineSpans"]
    left_s = bank.time_left_s[1]
    assert left_s is not None
    assert left_s < 0.6  # the rest went to waiting for the shard that hangs


async def test_a_span_may_be_on_the_shard_that_is_away(shards: Shards, sharded: "Stub") -> None:
    await shards.kill("cards")
    on_bank, on_cards = SPANS[0], SPANS[1]
    found = await sharded.GetSpans(pb.GetSpansRequest(span_ids=[on_bank.id]))
    assert list(found.spans) == [on_bank]
    with pytest.raises(NotReadyError):
        await sharded.GetSpans(pb.GetSpansRequest(span_ids=[on_cards.id]))


async def test_each_span_is_added_to_the_shard_of_its_domain(
    shards: Shards, sharded: "Stub"
) -> None:
    added = [fresh("banking/cards", 1), fresh("banking", 2), fresh("sports", 3)]
    request = pb.AddSpansRequest(dataset="faq", spans=[*added, SPANS[0]])
    response = await sharded.AddSpans(request)
    assert (response.added, response.unchanged) == (3, 1)
    for span, name in zip(added, RULES, strict=True):
        assert [n for n in RULES if span.id in shards.servers[n].spans] == [name]
    again = await sharded.AddSpans(request)
    assert (again.added, again.unchanged) == (0, 4)


async def test_vectors_go_with_their_spans_to_the_shards(shards: Shards, sharded: "Stub") -> None:
    spans = [fresh(domain, at) for at, domain in enumerate(["sports", "banking", "sports"])]
    vectors = [bytes([at]) * 8 for at in range(3)]
    whole = b"".join(vectors)
    fields: dict[str, Any] = {
        "dataset": "faq",
        "spans": spans,
        "vectors": whole,
        "embedder_digest": "d1",
    }
    for sent in (
        sharded.AddSpans(pb.AddSpansRequest(**fields)),
        sharded.UpdateSpans(pb.UpdateSpansRequest(**fields)),
    ):
        for server in shards.servers.values():
            server.given.clear()
        await sent
        given = [server.given for server in shards.servers.values() if server.given]
        assert len(given) == 2
        assert {**given[0], **given[1]} == {
            span.id: (vector, "d1") for span, vector in zip(spans, vectors, strict=True)
        }


async def test_vectors_that_are_not_one_a_span_are_refused(shards: Shards, sharded: "Stub") -> None:
    spans = [fresh("sports", 1), fresh("banking", 2)]
    request = pb.AddSpansRequest(dataset="faq", spans=spans, vectors=bytes(15))
    with pytest.raises(InvalidInputError) as caught:
        await sharded.AddSpans(request)
    assert caught.value.reason is Reason.INVALID_VECTOR
    assert not any(server.calls for server in shards.servers.values())


async def test_spans_are_updated_where_their_domain_is(shards: Shards, sharded: "Stub") -> None:
    changed = span_pb2.Span()
    changed.CopyFrom(SPANS[1])
    changed.if_ok = "no"
    response = await sharded.UpdateSpans(
        pb.UpdateSpansRequest(dataset="faq", spans=[changed, SPANS[2]])
    )
    assert (response.updated, response.unchanged) == (1, 1)
    assert shards.servers["cards"].spans[changed.id].if_ok == "no"


async def test_an_update_cannot_move_a_span_to_another_shard(sharded: "Stub") -> None:
    moved = span_pb2.Span()
    moved.CopyFrom(SPANS[1])
    moved.context.environment = "travel"
    with pytest.raises(NotFoundError):
        await sharded.UpdateSpans(pb.UpdateSpansRequest(dataset="faq", spans=[moved]))


async def test_spans_are_deleted_hidden_and_weighed_where_they_are(
    shards: Shards, sharded: "Stub"
) -> None:
    ids = [span.id for span in SPANS[:3]]
    lost = "0198aaaa-0000-7000-8000-000000000000"
    weights = [pb.SpanWeight(span_id=span_id, weight=2) for span_id in ids]
    weighed = await sharded.ReweightSpans(pb.ReweightSpansRequest(dataset="faq", weights=weights))
    assert weighed.changed == 3
    assert [list(server.weights) for server in shards.servers.values()] == [
        [ids[1]], [ids[0]], [ids[2]],
    ]  # fmt: skip
    hide = pb.QuarantineSpansRequest(dataset="faq", span_ids=ids)
    assert (await sharded.QuarantineSpans(hide)).changed == 3
    assert (await sharded.QuarantineSpans(hide)).changed == 0
    assert (await sharded.Search(vector_request("a", 100))).matches == len(SPANS) - 3
    with pytest.raises(NotFoundError):
        await sharded.QuarantineSpans(
            pb.QuarantineSpansRequest(dataset="faq", span_ids=[ids[0], lost], release=True)
        )
    deleted = await sharded.DeleteSpans(pb.DeleteSpansRequest(dataset="faq", span_ids=[*ids, lost]))
    assert (deleted.deleted, deleted.missing) == (3, 1)


async def test_a_version_is_published_to_all_shards(shards: Shards, sharded: "Stub") -> None:
    request = pb.PublishRequest(dataset="faq", dataset_version="c" * 64)
    published = await sharded.Publish(request)
    assert published.previous_version == VERSION
    assert published.collection.spans == len(SPANS)
    assert {server.version for server in shards.servers.values()} == {"c" * 64}
    await shards.kill("rest")
    with pytest.raises(NotReadyError, match="shard rest"):
        await sharded.Publish(request)


async def test_indexes_of_all_shards_are_written(sharded: "Stub") -> None:
    written = await sharded.Snapshot(pb.SnapshotRequest(dataset="faq"))
    assert [one.spans for one in written.segments] == [36, 12, 12]


async def test_an_error_names_the_place_in_the_whole_request(
    shards: Shards, sharded: "Stub"
) -> None:
    shards.servers["rest"]._keeps = lambda domain: domain != "sports"
    spans = [fresh("banking", 1), fresh("travel", 2), fresh("banking", 3), fresh("sports", 4)]
    with pytest.raises(InvalidInputError, match=r"spans\[3\]\.context") as caught:
        await sharded.AddSpans(pb.AddSpansRequest(dataset="faq", spans=spans))
    assert caught.value.metadata["field"] == "spans[3].context.environment"
    assert caught.value.metadata["shard"] == "rest"
