"""The responses of SearchService, from what the domain found."""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from google.protobuf import timestamp_pb2

from arenalab.api.common.v1 import plan_pb2, span_pb2
from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.planning import CostModel, Engine
from arenalab.planning.proto_form import cost_model_to_proto, engine_to_proto, plan_to_proto
from arenalab.search.collection.segment import Segment
from arenalab.search.collection.snapshot import Snapshot
from arenalab.search.collection.stats import Counts
from arenalab.search.finding.finder import Answer
from arenalab.search.finding.query import Query
from arenalab.search.finding.retrieval import Found
from arenalab.search.ranking import ranking_to_proto
from arenalab.search.recall.certificate import Certificate

_NS_PER_S: Final = 1_000_000_000


def search_response(
    found: Found, certificate: Certificate, took_us: int, plan: plan_pb2.QueryPlan | None
) -> pb.SearchResponse:
    """Returns the message of what was found for a vector."""
    record = found.snapshot.record
    return pb.SearchResponse(
        span_ids=found.ids.tobytes(),
        similarities=found.similarities.astype("<f4").tobytes(),
        dataset=record.dataset,
        dataset_version=record.version,
        engine=_engine(found),
        certificate=certificate_of(certificate),
        matches=found.matches,
        search_us=took_us,
        plan=plan,
    )


def batch_response(
    found: Sequence[Found], certificate: Certificate, took_us: int
) -> pb.BatchSearchResponse:
    """Returns the message of what was found for several vectors, one at least."""
    record = found[0].snapshot.record
    return pb.BatchSearchResponse(
        counts=[len(one.rows) for one in found],
        span_ids=np.concatenate([one.ids for one in found]).tobytes(),
        similarities=np.concatenate([one.similarities for one in found]).astype("<f4").tobytes(),
        dataset=record.dataset,
        dataset_version=record.version,
        engine=_engine_of_all(found),
        certificate=certificate_of(certificate),
        matches=found[0].matches,
        search_us=took_us,
    )


def text_response(
    answer: Answer, certificate: Certificate, plan: plan_pb2.QueryPlan
) -> pb.SearchTextResponse:
    """Returns the message of what was found for a text."""
    found = answer.found
    record = found.snapshot.record
    return pb.SearchTextResponse(
        hits=[
            pb.Hit(
                span=span,
                similarity=similarity,
                trajectory=trajectory,
                extra_similarity=extra,
                score=score,
                lexical_score=lexical,
                weight=weight,
                online=online,
            )
            for span, similarity, trajectory, extra, score, lexical, weight, online in zip(
                answer.spans,
                found.similarities.tolist(),
                answer.trajectories,
                answer.extra_similarities,
                found.scores.tolist(),
                found.lexical_scores.tolist(),
                found.weights,
                found.online,
                strict=True,
            )
        ],
        dataset=record.dataset,
        dataset_version=record.version,
        engine=_engine(found),
        certificate=certificate_of(certificate),
        matches=found.matches,
        embed_us=(answer.embedded_ns - answer.started_ns) // 1000,
        search_us=(answer.searched_ns - answer.embedded_ns) // 1000,
        plan=plan,
        vector=np.ascontiguousarray(answer.vector, dtype="<f4").tobytes(),
    )


def plan_of(found: Found, query: Query) -> plan_pb2.QueryPlan:
    """Returns the plan that ran on the part that matters most."""
    if found.main is None:
        message = plan_pb2.QueryPlan(
            engine=plan_pb2.ENGINE_EXACT,
            filter_strategy=plan_pb2.FILTER_STRATEGY_SCAN,
            explanation="No span passes the filter.",
        )
    else:
        message = plan_to_proto(found.main.plan, found.snapshot.record.version)
        message.expected_matches = found.matches
    if found.ranking is not None:
        message.ranking.CopyFrom(ranking_to_proto(found.ranking))
        if query.ranking != found.ranking:
            message.explanation += " Words are being indexed, and do not count yet."
    return message


def certificate_of(certificate: Certificate) -> plan_pb2.Certificate:
    """Returns the message of a certificate."""
    return plan_pb2.Certificate(
        exact=certificate.exact,
        recall=certificate.recall,
        recall_low=certificate.recall_low,
        band=certificate.band,
        samples=certificate.samples,
    )


def _engine(found: Found) -> plan_pb2.Engine.ValueType:
    return plan_pb2.ENGINE_EXACT if found.main is None else engine_to_proto(found.main.plan.engine)


def _engine_of_all(found: Sequence[Found]) -> plan_pb2.Engine.ValueType:
    """Returns the engine of a batch; of several, an approximate one."""
    engines = {part.plan.engine for one in found for part in one.parts}
    return max(map(engine_to_proto, engines), default=plan_pb2.ENGINE_EXACT)


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


def stats_response(snapshot: Snapshot, model: CostModel, store_bytes: int) -> pb.StatsResponse:
    """Returns the message of a collection's counts."""
    stats = snapshot.stats
    engines = {segment.index.engine for segment in snapshot.segments} | {Engine.EXACT}
    return pb.StatsResponse(
        collection=collection_of(snapshot),
        domains=_counts(stats.domains),
        actions=_counts(stats.actions),
        statuses=_counts((_status_name(number), count) for number, count in stats.statuses),
        tags=_counts(stats.tags),
        quality_buckets=stats.quality_buckets,
        when_quantiles=[_timestamp(when.seconds, when.nanos) for when in stats.when_quantiles],
        engines=sorted(engine_to_proto(engine) for engine in engines),
        distinct_outcomes=stats.distinct_outcomes,
        segments=segments_of(snapshot),
        cost_model=cost_model_to_proto(model),
        quarantined=snapshot.hidden,
        store_bytes=store_bytes,
    )


def segments_of(snapshot: Snapshot) -> list[pb.SegmentStats]:
    """Returns the messages of the segments, the largest first."""
    largest_first = sorted(snapshot.segments, key=len, reverse=True)
    return [_segment(segment) for segment in largest_first]


def count_response(
    snapshot: Snapshot, matches: int, conditions: Iterable[tuple[str, int]]
) -> pb.CountResponse:
    """Returns the message of how many spans pass a filter."""
    return pb.CountResponse(
        matches=matches,
        conditions=[pb.ConditionCount(condition=name, matches=count) for name, count in conditions],
        collection=collection_of(snapshot),
    )


def _segment(segment: Segment) -> pb.SegmentStats:
    return pb.SegmentStats(
        engine=engine_to_proto(segment.index.engine),
        spans=len(segment),
        removed=len(segment.removed),
        memory_bytes=segment.index.memory_bytes,
        disk_bytes=segment.made.disk_bytes,
        build_seconds=segment.made.build_s,
        library=segment.index.library,
        effort=segment.tuning.effort,
    )


def _counts(counts: Counts | Iterable[tuple[str, int]]) -> list[pb.ValueCount]:
    return [pb.ValueCount(value=value, count=count) for value, count in counts]


def _status_name(number: int) -> str:
    return span_pb2.SpanStatus.Name(number).removeprefix("SPAN_STATUS_").lower()  # type: ignore[arg-type]


def _timestamp(seconds: int, nanos: int) -> timestamp_pb2.Timestamp:
    return timestamp_pb2.Timestamp(seconds=seconds, nanos=nanos)
