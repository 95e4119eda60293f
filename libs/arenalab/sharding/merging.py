"""One response from those of several shards.

Shards share no span, so that counts add up, and the best of all are among the best of
each. A shard returns hits of one dataset version; hits of two versions are never mixed.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from arenalab.api.common.v1 import plan_pb2
from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.mesh import MeshError
from arenalab.sharding.shard_map import Shard, ShardMap

_REVISION_BYTES: Final = 16
_ID_BYTES: Final = 16
_PARTIAL: Final = "partial"
_MAX_TAGS: Final = 1000  # as in StatsResponse
_PERCENTILES: Final = 101

R = TypeVar("R")
F = TypeVar("F", pb.SearchResponse, pb.BatchSearchResponse, pb.SearchTextResponse)


@dataclass(frozen=True, kw_only=True)
class Answers(Generic[R]):
    """What shards said, by their names and in the order of the map."""

    responses: Mapping[str, R]  # one at least
    errors: Mapping[str, MeshError] = field(default_factory=dict)  # of those that failed


def merged_search(answers: Answers[pb.SearchResponse], limit: int) -> pb.SearchResponse:
    """Returns the best of all shards by similarity, ties by span id."""
    found, missing = _of_one_version(answers)
    merged = _outline(pb.SearchResponse, found, missing)
    ids, similarities = _best(
        [_ids(one.span_ids) for one in found], [_floats(one.similarities) for one in found], limit
    )
    merged.span_ids, merged.similarities = ids.tobytes(), similarities.tobytes()
    if found[0].HasField("plan"):
        merged.plan.CopyFrom(found[0].plan)
    return merged


def merged_batch(answers: Answers[pb.BatchSearchResponse], limit: int) -> pb.BatchSearchResponse:
    """Returns the best of all shards for each vector, as `merged_search`."""
    found, missing = _of_one_version(answers)
    merged = _outline(pb.BatchSearchResponse, found, missing)
    ends = [np.cumsum(one.counts)[:-1] for one in found]
    ids = [np.split(_ids(one.span_ids), at) for one, at in zip(found, ends, strict=True)]
    similarities = [
        np.split(_floats(one.similarities), at) for one, at in zip(found, ends, strict=True)
    ]
    best = [
        _best(of_query, nearness, limit)
        for of_query, nearness in zip(
            zip(*ids, strict=True), zip(*similarities, strict=True), strict=True
        )
    ]
    merged.counts.extend(len(one) for one, _ in best)
    merged.span_ids = b"".join(one.tobytes() for one, _ in best)
    merged.similarities = b"".join(nearness.tobytes() for _, nearness in best)
    return merged


def merged_text(answers: Answers[pb.SearchTextResponse], limit: int) -> pb.SearchTextResponse:
    """Returns the best of all shards by score, ties by span id."""
    found, missing = _of_one_version(answers)
    merged = _outline(pb.SearchTextResponse, found, missing)
    hits = sorted(
        (hit for one in found for hit in one.hits), key=lambda hit: (-hit.score, hit.span.id)
    )
    merged.hits.extend(hits[:limit])
    merged.embed_us = max(one.embed_us for one in found)
    merged.vector = found[0].vector
    if found[0].HasField("plan"):
        merged.plan.CopyFrom(found[0].plan)
    return merged


def merged_certificate(
    parts: Sequence[plan_pb2.Certificate], *, is_partial: bool
) -> plan_pb2.Certificate:
    """Returns what all certificates together say.

    What one shard misses may all have been among the best of all, so that the shortfalls
    of the lower bounds add up. The estimate is the lowest: it is right when a shard misses
    near and far hits alike. Where a shard is missing, nothing is known.
    """
    if is_partial:
        return plan_pb2.Certificate(exact=False, band=_PARTIAL)
    rough = [part for part in parts if not part.exact]
    if not rough:
        return parts[0]
    bands = sorted({part.band for part in rough})
    merged = plan_pb2.Certificate(
        exact=False,
        recall_low=max(0.0, 1.0 - sum(1.0 - part.recall_low for part in rough)),
        band=", ".join(bands),
        samples=sum(part.samples for part in rough),
    )
    if all(part.HasField("recall") for part in rough):
        merged.recall = min(part.recall for part in rough)
    return merged


def merged_count(parts: Sequence[pb.CountResponse]) -> pb.CountResponse:
    """Returns the sums, the most selective condition first."""
    conditions = Counter[str]()
    for part in parts:
        conditions.update({one.condition: one.matches for one in part.conditions})
    return pb.CountResponse(
        matches=sum(part.matches for part in parts),
        conditions=[
            pb.ConditionCount(condition=name, matches=matches)
            for name, matches in sorted(conditions.items(), key=lambda one: (one[1], one[0]))
        ],
        collection=merged_collection([part.collection for part in parts]),
    )


def merged_stats(parts: Sequence[pb.StatsResponse]) -> pb.StatsResponse:
    """Returns the sums; of what does not add up, the nearest to it.

    `distinct_outcomes` counts an outcome once for each shard that has it. The percentiles
    of `when` are off by one at most, the first and the last by nothing. The cost model is
    that of the first shard.
    """
    segments = [segment for part in parts for segment in part.segments]
    return pb.StatsResponse(
        collection=merged_collection([part.collection for part in parts]),
        domains=_summed(part.domains for part in parts),
        actions=_summed(part.actions for part in parts),
        statuses=_summed(part.statuses for part in parts),
        tags=_summed(part.tags for part in parts)[:_MAX_TAGS],
        quality_buckets=[
            sum(scores) for scores in zip(*(part.quality_buckets for part in parts), strict=True)
        ],
        when_quantiles=_when_quantiles(parts),
        engines=sorted({engine for part in parts for engine in part.engines}),
        distinct_outcomes=sum(part.distinct_outcomes for part in parts),
        segments=sorted(segments, key=lambda segment: -segment.spans),
        cost_model=parts[0].cost_model if parts[0].HasField("cost_model") else None,
        quarantined=sum(part.quarantined for part in parts),
        store_bytes=sum(part.store_bytes for part in parts),
    )


def merged_collections(parts: Sequence[pb.ListCollectionsResponse]) -> pb.ListCollectionsResponse:
    """Returns each dataset once, in the order of the first shard that has it."""
    by_dataset: dict[str, list[pb.Collection]] = {}
    for part in parts:
        for collection in part.collections:
            by_dataset.setdefault(collection.dataset, []).append(collection)
    return pb.ListCollectionsResponse(
        collections=[merged_collection(same) for same in by_dataset.values()]
    )


def merged_collection(parts: Sequence[pb.Collection]) -> pb.Collection:
    """Returns the collection that the parts are of; its version is that of most."""
    merged = pb.Collection()
    version = _most(part.dataset_version for part in parts)
    merged.CopyFrom(next(part for part in parts if part.dataset_version == version))
    merged.spans = sum(part.spans for part in parts)
    merged.added_spans = sum(part.added_spans for part in parts)
    merged.generation = sum(part.generation for part in parts)
    return merged


def merged_revision(
    shard_map: ShardMap,
    shards: Sequence[Shard],
    answers: Sequence[Sequence[pb.GetRevisionResponse]],
) -> pb.GetRevisionResponse:
    """Returns one token for the states of all replicas, in the order of `shards`.

    Where a version is being published, replicas have different ones: most of them count.
    """
    digest = blake3(shard_map.version.to_bytes(8, "little"))
    for shard, replicas in zip(shards, answers, strict=True):
        for address, one in zip(shard.addresses, replicas, strict=True):
            for part in (shard.name.encode(), address.encode(), one.revision):
                digest.update(len(part).to_bytes(4, "little") + part)
    everyone = [one for replicas in answers for one in replicas]
    dataset, version = _most((one.dataset, one.dataset_version) for one in everyone)
    return pb.GetRevisionResponse(
        revision=digest.digest(_REVISION_BYTES), dataset=dataset, dataset_version=version
    )


def _of_one_version(answers: Answers[F]) -> tuple[list[F], list[str]]:
    """Returns the responses of the version that most have, and the names of other shards."""
    versions = {
        name: (response.dataset, response.dataset_version)
        for name, response in answers.responses.items()
    }
    version = _most(versions.values())
    found = [one for name, one in answers.responses.items() if versions[name] == version]
    stale: list[str] = [name for name in versions if versions[name] != version]
    return found, [*answers.errors, *stale]


def _most(values: Iterable[Any]) -> Any:
    # Of equally frequent ones a Counter returns the first.
    return Counter(values).most_common(1)[0][0]


def _outline(kind: type[F], found: Sequence[F], missing: Sequence[str]) -> F:
    """Returns what the three searches have in common."""
    all_missing = sorted({*missing, *(name for one in found for name in one.missing_shards)})
    engines = [one.engine for one in found]
    return kind(
        dataset=found[0].dataset,
        dataset_version=found[0].dataset_version,
        engine=next((one for one in engines if one != plan_pb2.ENGINE_EXACT), engines[0]),
        certificate=merged_certificate(
            [one.certificate for one in found], is_partial=bool(all_missing)
        ),
        matches=sum(one.matches for one in found),
        search_us=max(one.search_us for one in found),
        missing_shards=all_missing,
    )


def _ids(packed: bytes) -> npt.NDArray[np.uint64]:
    # Two big-endian halves sort as the ids do.
    return np.frombuffer(packed, ">u8").reshape(-1, 2)


def _floats(packed: bytes) -> npt.NDArray[np.float32]:
    return np.frombuffer(packed, "<f4")


def _best(
    ids: Sequence[npt.NDArray[np.uint64]],
    similarities: Sequence[npt.NDArray[np.float32]],
    limit: int,
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.float32]]:
    all_ids, nearness = np.concatenate(ids), np.concatenate(similarities)
    order = np.lexsort((all_ids[:, 1], all_ids[:, 0], -nearness))[:limit]
    # Concatenating made them native.
    return all_ids[order].astype(">u8"), nearness[order].astype("<f4")


def _summed(parts: Iterable[Iterable[pb.ValueCount]]) -> list[pb.ValueCount]:
    counts = Counter[str]()
    for part in parts:
        counts.update({one.value: one.count for one in part})
    by_count = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    return [pb.ValueCount(value=value, count=count) for value, count in by_count]


def _when_quantiles(parts: Sequence[pb.StatsResponse]) -> list[Any]:
    """Returns 101 times, each percentile standing for a hundredth of its shard's spans."""
    weighed = sorted(
        (
            (when.seconds, when.nanos, part.collection.spans, when)
            for part in parts
            for when in part.when_quantiles
        ),
        key=lambda one: one[:2],
    )
    if not weighed:
        return []
    reached = np.cumsum([spans for _, _, spans, _ in weighed], dtype=np.float64)
    wanted = np.linspace(0, reached[-1], _PERCENTILES)
    places = np.searchsorted(reached, wanted).clip(0, len(weighed) - 1)
    return [weighed[place][3] for place in places.tolist()]
