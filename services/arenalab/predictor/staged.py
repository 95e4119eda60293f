"""A staged version as the corpus that calibration is trained on."""

from collections.abc import Sequence

import numpy as np

from arenalab.atomic import Span
from arenalab.atomic.instant import split_when
from arenalab.dataset import StagedVersion
from arenalab.predictor.holdout import Corpus
from arenalab.predictor.neighbourhood import (
    TRAJECTORY_DEPTH,
    UNMEASURED_QUALITY,
    Memory,
    situation_with,
)

# Nobody confirmed what these say, so a guarantee must not rest on them.
UNCONFIRMED_SOURCES = frozenset({"synthetic", "fallback"})


def read_corpus(staged: StagedVersion) -> Corpus:
    """Returns the spans with an outcome and their vectors.

    Raises:
        DataLossError: A file of the version is damaged.
    """
    spans = list(staged.spans())
    by_id = {span.id: span for span in spans}
    rows = [row for row, span in enumerate(spans) if span.outcome is not None]
    memories = [memory_of(spans[row], walk_back(spans[row], by_id)) for row in rows]
    eligible = [spans[row].source not in UNCONFIRMED_SOURCES for row in rows]
    vectors = np.ascontiguousarray(staged.embeddings()[rows]) if rows else np.zeros((0, 1))
    return Corpus(memories, vectors.astype(np.float32), np.array(eligible, dtype=bool))


def memory_of(span: Span, trajectory: Sequence[Span]) -> Memory:
    """Returns what the predictor keeps of a span and the spans before it, nearest first."""
    context, quality = span.context, span.metadata.quality_score
    seconds, nanos = split_when(span.when)
    return Memory(
        span_id=span.id,
        question=span.this,
        outcome=span.outcome or "",
        situation=situation_with(
            context.environment,
            context.emotional_state,
            context.stakes.rank if context.stakes else None,
            (*(earlier.did for earlier in reversed(trajectory)), span.did),
        ),
        trajectory_depth=len(trajectory),
        when_s=seconds + nanos / 1e9,
        earlier=tuple(one.this for one in trajectory),
        quality=UNMEASURED_QUALITY if quality is None else quality / 100,
        is_measured=quality is not None,
    )


def walk_back(span: Span, by_id: dict[str, Span]) -> list[Span]:
    """Returns the spans before a span, nearest first, at most `TRAJECTORY_DEPTH`; as search walks.

    From each step, the walk goes on with the earliest span that it found.
    """
    seen = {span.id}
    found: list[Span] = []
    at: Span | None = span
    while at is not None and len(found) < TRAJECTORY_DEPTH:
        fresh = [i for i in reversed(at.context.previous_spans) if i not in seen]
        seen.update(fresh)
        step = [by_id[i] for i in fresh if i in by_id][: TRAJECTORY_DEPTH - len(found)]
        found += step
        at = step[-1] if step else None
    return found
