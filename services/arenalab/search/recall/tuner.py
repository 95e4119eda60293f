"""How hard a new index must be searched, measured by questions made of its own rows.

What a list finds depends on the collection: among many near copies of few texts a walk
needs several times the list that it needs among as many different ones. So an index is
asked questions whose answers a scan tells, harder and harder, before it is served.
"""

import logging
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from arenalab.planning import DEFAULT_RECALL, EFFORTS, Engine
from arenalab.search.collection.segment import Segment
from arenalab.search.index.protocol import (
    BuildStoppedError,
    Effort,
    FloatArray,
    Nearest,
    VectorIndex,
)
from arenalab.search.index.scanning import scan_batch
from arenalab.search.recall.questions import questions_of
from arenalab.search.recall.shadow import default_plan, overlap

_logger = logging.getLogger(__name__)

QUESTIONS: Final = 256
# What is asked for most, and what a prediction asks for.
LIMITS: Final = (10, 50)
_SEED: Final = 17
# Rows compared between two looks at `stopped`: 25 MB.
_PASS_ROWS: Final = 16_384
# Engines that are searched as hard as a plan says.
_TUNED: Final = frozenset({Engine.HNSW, Engine.IVF})


class _Asked(NamedTuple):
    """Questions, shape (q, d), and their true nearest, as many as the largest limit."""

    questions: FloatArray
    truth: list[Nearest]


def measure_effort(
    index: VectorIndex,
    *,
    recall_target: float = DEFAULT_RECALL,
    questions: int = QUESTIONS,
    seed: int = _SEED,
    stopped: Callable[[], bool] = lambda: False,
) -> float:
    """Returns the least of EFFORTS by which an index reaches a recall, at every limit.

    The mean over the questions decides: where it is above the recall of what people ask by
    chance, their searches raise the effort.

    Args:
        index: What was built.
        recall_target: Share of the true nearest to be found, in (0, 1).
        questions: How many to ask; no more than the index has rows.
        seed: Of the questions: the same index gives the same effort.
        stopped: Asked several times a second.

    Returns:
        UNREACHABLE where no list is long enough, 1 for an index that is not searched by
        efforts.

    Raises:
        BuildStoppedError: `stopped` returned true.
    """
    if index.engine not in _TUNED or not index.size:
        return 1.0
    asked = _asked(index, questions, seed, stopped)
    too_little, enough = -1, len(EFFORTS) - 1
    trial = 0  # what suffices for most
    while enough - too_little > 1:
        if _reaches(index, asked, EFFORTS[trial], recall_target):
            enough = trial
        else:
            too_little = trial
        trial = (too_little + enough) // 2
    return EFFORTS[enough]


def tune(segment: Segment, stopped: Callable[[], bool]) -> None:
    """Measures how hard the index of a segment must be searched.

    Raises:
        BuildStoppedError: `stopped` returned true.
    """
    began_s = time.perf_counter()
    segment.tuning.measured(measure_effort(segment.index, stopped=stopped))
    _logger.info(
        "%s over %d spans is searched with an effort of %g; measured in %.1f s",
        segment.index.engine.value, len(segment), segment.tuning.effort,
        time.perf_counter() - began_s,
    )  # fmt: skip


def _asked(index: VectorIndex, count: int, seed: int, stopped: Callable[[], bool]) -> _Asked:
    """Returns questions and their truth, from one pass over the rows that serves all of them."""
    questions = questions_of(index, count, seed)
    wanted = min(max(LIMITS), index.size)
    truth = [Nearest(np.empty(0, np.int64), np.empty(0))] * len(questions)
    for start in range(0, index.size, _PASS_ROWS):
        if stopped():
            raise BuildStoppedError
        rows = np.arange(start, min(index.size, start + _PASS_ROWS))
        vectors = np.ascontiguousarray(index.vectors(rows))
        found = scan_batch(vectors, questions, min(wanted, len(rows)))
        truth = [_nearer(one, more, start, wanted) for one, more in zip(truth, found, strict=True)]
    return _Asked(questions, truth)


def _nearer(one: Nearest, more: Nearest, start: int, wanted: int) -> Nearest:
    """Returns the nearest of two parts; rows of the second are counted from `start`."""
    similarities = np.concatenate([one.similarities, more.similarities])
    rows = np.concatenate([one.rows, more.rows + start])
    order = np.lexsort((rows, -similarities))[:wanted]
    return Nearest(rows[order], similarities[order])


def _reaches(index: VectorIndex, asked: _Asked, effort: float, recall_target: float) -> bool:
    return all(
        _recall(index, asked, limit, effort, recall_target) >= recall_target
        for limit in LIMITS
        if limit < index.size  # else nothing can be missed
    )


def _recall(
    index: VectorIndex, asked: _Asked, limit: int, effort: float, recall_target: float
) -> float:
    """Returns the mean recall of the questions; 0 where no list is long enough."""
    plan = default_plan(index, limit, effort=effort, recall_target=recall_target)
    if plan is None:
        return 0.0
    looked = Effort(plan.ef_search, plan.n_probe, plan.candidates)
    found = index.search_batch(asked.questions, limit, effort=looked)
    overlaps = (
        overlap(one, Nearest(true.rows[:limit], true.similarities[:limit]))
        for one, true in zip(found, asked.truth, strict=True)
    )
    return float(np.mean([hits / true for hits, true in overlaps]))
