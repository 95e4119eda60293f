"""The responses of SearchService, from what the domain found."""

from collections.abc import Iterable
from typing import Final

from google.protobuf import timestamp_pb2

from arenalab.api.common.v1 import plan_pb2, span_pb2
from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.search.finding import Answer
from arenalab.search.index import Engine
from arenalab.search.snapshot import Snapshot
from arenalab.search.stats import Counts

_NS_PER_S: Final = 1_000_000_000
_ENGINES: Final = {
    Engine.EXACT: plan_pb2.ENGINE_EXACT,
    Engine.HNSW: plan_pb2.ENGINE_HNSW,
}


def search_response(answer: Answer) -> pb.SearchTextResponse:
    """Returns the message of an answer."""
    found, record = answer.found, answer.snapshot.record
    return pb.SearchTextResponse(
        hits=[
            pb.Hit(span=span, similarity=similarity, trajectory=trajectory, extra_similarity=extra)
            for span, similarity, trajectory, extra in zip(
                answer.spans,
                found.similarities,
                answer.trajectories,
                answer.extra_similarities,
                strict=True,
            )
        ],
        dataset=record.dataset,
        dataset_version=record.version,
        engine=_ENGINES[found.engine],
        certificate=plan_pb2.Certificate(exact=found.exact),
        matches=found.matches,
        embed_us=(answer.embedded_ns - answer.started_ns) // 1000,
        search_us=(answer.searched_ns - answer.embedded_ns) // 1000,
    )


def collection_of(snapshot: Snapshot) -> pb.Collection:
    """Returns the message of a collection."""
    record = snapshot.record
    return pb.Collection(
        dataset=record.dataset,
        dataset_version=record.version,
        spans=len(snapshot),
        added_spans=snapshot.added,
        publish_time=_timestamp(*divmod(record.published_at_ns, _NS_PER_S)),
        embedder_id=record.embedder_id,
        embedder_digest=record.embedder_digest,
        generation=record.generation,
    )


def stats_response(snapshot: Snapshot) -> pb.StatsResponse:
    """Returns the message of a collection's counts."""
    stats = snapshot.stats
    engines = [plan_pb2.ENGINE_EXACT]
    if snapshot.base.graph is not None:
        engines.append(_ENGINES[snapshot.base.graph.engine])
    return pb.StatsResponse(
        collection=collection_of(snapshot),
        domains=_counts(stats.domains),
        actions=_counts(stats.actions),
        statuses=_counts((_status_name(number), count) for number, count in stats.statuses),
        tags=_counts(stats.tags),
        quality_buckets=stats.quality_buckets,
        when_quantiles=[_timestamp(when.seconds, when.nanos) for when in stats.when_quantiles],
        engines=engines,
        distinct_outcomes=stats.distinct_outcomes,
    )


def _counts(counts: Counts | Iterable[tuple[str, int]]) -> list[pb.ValueCount]:
    return [pb.ValueCount(value=value, count=count) for value, count in counts]


def _status_name(number: int) -> str:
    return span_pb2.SpanStatus.Name(number).removeprefix("SPAN_STATUS_").lower()  # type: ignore[arg-type]


def _timestamp(seconds: int, nanos: int) -> timestamp_pb2.Timestamp:
    return timestamp_pb2.Timestamp(seconds=seconds, nanos=nanos)
