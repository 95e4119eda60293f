"""One response from those of several shards."""

from collections.abc import Sequence
from uuid import UUID

import numpy as np
import pytest
from google.protobuf import timestamp_pb2
from hypothesis import given
from hypothesis import strategies as st

from arenalab.api.common.v1 import plan_pb2, span_pb2
from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.mesh import NotReadyError
from arenalab.sharding import merging
from arenalab.sharding.merging import Answers

EXACT = plan_pb2.Certificate(exact=True, recall=1, recall_low=1)
V1, V2 = "1" * 64, "2" * 64
Hits = list[tuple[int, float]]  # span number and similarity


def best(hits: Hits, limit: int) -> Hits:
    return sorted(hits, key=lambda hit: (-hit[1], hit[0]))[:limit]


def search_response(hits: Hits, version: str = V1, matches: int | None = None) -> pb.SearchResponse:
    return pb.SearchResponse(
        span_ids=b"".join(UUID(int=number).bytes for number, _ in hits),
        similarities=np.array([score for _, score in hits], "<f4").tobytes(),
        dataset="faq",
        dataset_version=version,
        engine=plan_pb2.ENGINE_EXACT,
        certificate=EXACT,
        matches=len(hits) if matches is None else matches,
        search_us=10,
    )


def hits_of(response: pb.SearchResponse) -> Hits:
    ids = [response.span_ids[at : at + 16] for at in range(0, len(response.span_ids), 16)]
    scores = np.frombuffer(response.similarities, "<f4").tolist()
    return [(UUID(bytes=one).int, score) for one, score in zip(ids, scores, strict=True)]


def answers(*responses: pb.SearchResponse) -> Answers[pb.SearchResponse]:
    return Answers(responses={f"s{number}": one for number, one in enumerate(responses)})


# Few different similarities, so that ties abound; ids that differ in either half.
_ALL_HITS = st.dictionaries(
    st.integers(0, 30) | st.integers(2**64, 2**64 + 30) | st.integers(2**127, 2**127 + 30),
    st.sampled_from([-1.0, -0.25, 0.0, 0.25, 0.5, 1.0]),
    max_size=40,
).map(lambda hits: list(hits.items()))


@given(_ALL_HITS, st.integers(1, 4), st.integers(1, 12))
def test_merging_the_best_of_shards_gives_the_best_of_all(
    hits: Hits, shards: int, limit: int
) -> None:
    parts = [hits[number::shards] for number in range(shards)]
    merged = merging.merged_search(
        answers(*(search_response(best(part, limit), matches=len(part)) for part in parts)), limit
    )
    assert hits_of(merged) == best(hits, limit)
    assert merged.matches == len(hits)
    assert merged.certificate == EXACT
    assert not merged.missing_shards


@given(st.lists(_ALL_HITS, min_size=1, max_size=3), st.integers(1, 3), st.integers(1, 6))
def test_a_batch_is_merged_query_by_query(queries: list[Hits], shards: int, limit: int) -> None:
    responses = {}
    for number in range(shards):
        parts = [search_response(best(hits[number::shards], limit)) for hits in queries]
        responses[f"s{number}"] = pb.BatchSearchResponse(
            counts=[len(hits_of(part)) for part in parts],
            span_ids=b"".join(part.span_ids for part in parts),
            similarities=b"".join(part.similarities for part in parts),
            certificate=EXACT,
        )
    merged = merging.merged_batch(Answers(responses=responses), limit)
    found = hits_of(pb.SearchResponse(span_ids=merged.span_ids, similarities=merged.similarities))
    assert list(merged.counts) == [min(limit, len(hits)) for hits in queries]
    assert found == [hit for hits in queries for hit in best(hits, limit)]


@given(
    st.lists(
        st.tuples(st.integers(0, 99), st.sampled_from([0.1, 0.5, 0.9])),
        unique_by=lambda hit: hit[0],
    )
)
def test_texts_are_merged_by_score_not_by_similarity(hits: Hits) -> None:
    def response(part: Hits) -> pb.SearchTextResponse:
        return pb.SearchTextResponse(
            hits=[
                pb.Hit(span=span_pb2.Span(id=f"{number:02}"), similarity=1 - score, score=score)
                for number, score in part
            ],
            certificate=EXACT,
        )

    parts = {name: response(best(hits[at::2], 5)) for at, name in enumerate("ab")}
    merged = merging.merged_text(Answers(responses=parts), 5)
    assert [(int(hit.span.id), hit.score) for hit in merged.hits] == best(hits, 5)


def test_a_failed_shard_is_named_and_nothing_is_certified() -> None:
    merged = merging.merged_search(
        Answers(responses={"a": search_response([(1, 0.5)])}, errors={"b": NotReadyError("down")}),
        10,
    )
    assert list(merged.missing_shards) == ["b"]
    assert hits_of(merged) == [(1, 0.5)]
    assert not merged.certificate.exact
    assert not merged.certificate.HasField("recall")


def test_hits_of_two_versions_are_not_mixed() -> None:
    merged = merging.merged_search(
        answers(
            search_response([(1, 0.9)], V2),
            search_response([(2, 0.5)]),
            search_response([(3, 0.25)]),
        ),
        10,
    )
    assert merged.dataset_version == V1
    assert hits_of(merged) == [(2, 0.5), (3, 0.25)]
    assert list(merged.missing_shards) == ["s0"]


def test_the_approximate_engine_is_named() -> None:
    graph = search_response([(1, 0.5)])
    graph.engine = plan_pb2.ENGINE_HNSW
    merged = merging.merged_search(answers(search_response([]), graph), 1)
    assert merged.engine == plan_pb2.ENGINE_HNSW


def rough(recall: float | None, low: float, band: str = "hnsw unfiltered") -> plan_pb2.Certificate:
    return plan_pb2.Certificate(exact=False, recall=recall, recall_low=low, band=band, samples=100)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([EXACT, EXACT], EXACT),
        ([EXACT, rough(0.98, 0.95)], rough(0.98, 0.95)),
        (
            [rough(0.98, 0.95), rough(0.97, 0.9)],
            plan_pb2.Certificate(recall=0.97, recall_low=0.85, band="hnsw unfiltered", samples=200),
        ),
        (
            [rough(None, 0.0), rough(0.97, 0.9, "ivf 1-10 %")],
            plan_pb2.Certificate(band="hnsw unfiltered, ivf 1-10 %", samples=200),
        ),
    ],
)
def test_certificates_claim_no_more_than_all_of_them_do(
    parts: Sequence[plan_pb2.Certificate], expected: plan_pb2.Certificate
) -> None:
    merged = merging.merged_certificate(parts, is_partial=False)
    assert merged.recall_low == pytest.approx(expected.recall_low)
    expected.recall_low = merged.recall_low
    assert merged == expected


@given(st.lists(st.sets(st.integers(0, 9)), min_size=1, max_size=4))
def test_the_lower_bound_holds_whichever_hits_are_missed(missed: list[set[int]]) -> None:
    """Of ten hits a shard misses some; the best ten of all may hold any of those."""
    certificates = [rough(None, 1 - len(ranks) / 10) for ranks in missed]
    low = merging.merged_certificate(certificates, is_partial=False).recall_low
    # The best ten of all take the first `share` of each shard, as the worst case may have it.
    share = 10 // len(missed)
    lost = sum(len([rank for rank in ranks if rank < share]) for ranks in missed)
    assert low <= 1 - lost / 10 + 1e-9


def test_counts_add_up() -> None:
    def part(matches: int, domains: int, tags: int) -> pb.CountResponse:
        return pb.CountResponse(
            matches=matches,
            conditions=[
                pb.ConditionCount(condition="tags", matches=tags),
                pb.ConditionCount(condition="domains", matches=domains),
            ],
            collection=pb.Collection(dataset="faq", dataset_version=V1, spans=10),
        )

    merged = merging.merged_count([part(1, 2, 9), part(3, 4, 1)])
    assert merged.matches == 4
    assert [(one.condition, one.matches) for one in merged.conditions] == [
        ("domains", 6), ("tags", 10),
    ]  # fmt: skip
    assert merged.collection.spans == 20


def stats(spans: int, times: Sequence[int], **counts: int) -> pb.StatsResponse:
    return pb.StatsResponse(
        collection=pb.Collection(dataset="faq", dataset_version=V1, spans=spans),
        domains=[pb.ValueCount(value=value, count=count) for value, count in counts.items()],
        quality_buckets=[spans] * 11,
        when_quantiles=[timestamp_pb2.Timestamp(seconds=second) for second in times],
        engines=[plan_pb2.ENGINE_EXACT],
        segments=[pb.SegmentStats(spans=spans)],
        distinct_outcomes=2,
        quarantined=1,
        store_bytes=100,
    )


def test_stats_add_up() -> None:
    merged = merging.merged_stats([stats(5, [], x=1, y=4), stats(7, [], y=2, z=5)])
    assert [(one.value, one.count) for one in merged.domains] == [("y", 6), ("z", 5), ("x", 1)]
    assert list(merged.quality_buckets) == [12] * 11
    assert [one.spans for one in merged.segments] == [7, 5]
    assert (merged.quarantined, merged.store_bytes, merged.collection.spans) == (2, 200, 12)
    assert list(merged.engines) == [plan_pb2.ENGINE_EXACT]
    assert not merged.when_quantiles


@given(st.lists(st.lists(st.integers(0, 1000), min_size=1, max_size=300), min_size=1, max_size=3))
def test_percentiles_of_all_are_off_by_one_or_two_ranks_in_a_hundred(
    shards: list[list[int]],
) -> None:
    def percentiles(times: Sequence[int]) -> list[int]:
        order = np.sort(np.array(times))
        places = np.linspace(0, len(order) - 1, 101).round().astype(int)
        return [int(time) for time in order[places]]

    merged = merging.merged_stats([stats(len(one), percentiles(one)) for one in shards])
    found = np.array([when.seconds for when in merged.when_quantiles])
    times = np.sort(np.concatenate([np.array(one) for one in shards]))
    assert (found[0], found[-1]) == (times[0], times[-1])
    assert np.all(np.diff(found) >= 0)
    for percent, time in enumerate(found.tolist()):
        below = np.searchsorted(times, time, "left") / len(times)
        reached = np.searchsorted(times, time, "right") / len(times)
        slack = 0.02 + 1 / min(len(one) for one in shards)
        assert below - slack <= percent / 100 <= reached + slack


def test_collections_are_listed_once_in_the_order_of_the_first_shard() -> None:
    def listed(*names: str) -> pb.ListCollectionsResponse:
        return pb.ListCollectionsResponse(
            collections=[
                pb.Collection(dataset=name, dataset_version=V1, spans=3, generation=2)
                for name in names
            ]
        )

    merged = merging.merged_collections([listed("new", "old"), listed("old", "new", "alone")])
    assert [(one.dataset, one.spans, one.generation) for one in merged.collections] == [
        ("new", 6, 4), ("old", 6, 4), ("alone", 3, 2),
    ]  # fmt: skip
