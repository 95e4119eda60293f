"""How hard a new index must be searched, measured by questions made of its own rows.

What a list finds depends on the collection: among many near copies of few texts a walk
needs several times the list that it needs among as many different ones. So an index is
asked questions whose answers a scan tells, harder and harder, before it is served.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence
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
from arenalab.search.recall.questions import questions_of
from arenalab.search.recall.shadow import default_plan, overlap

_logger = logging.getLogger(__name__)

# The time goes into the scans that tell the truth, one for each question: some 30 ms in a
# million vectors, a thirtieth of what the graph over them took.
QUESTIONS: Final = 256
# What is asked for most, and what a prediction asks for.
LIMITS: Final = (10, 50)
_SEED: Final = 17
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

    The mean recall must be a standard error above the target: of indexes that just reach
    it, the questions find half to be above.

    Args:
        index: What was built.
        recall_target: Share of the true nearest to be found, in (0, 1).
        questions: How many to ask; no more than the index has rows.
        seed: Of the questions: the same index gives the same effort.
        stopped: Asked before each scan.

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
    questions = questions_of(index, count, seed)
    truth = []
    for question in questions:
        if stopped():
            raise BuildStoppedError
        truth.append(index.scan(question, max(LIMITS), None))
    return _Asked(questions, truth)


def _reaches(index: VectorIndex, asked: _Asked, effort: float, recall_target: float) -> bool:
    return all(
        _is_above(_recalls(index, asked, limit, effort, recall_target), recall_target)
        for limit in LIMITS
        if limit < index.size  # else nothing can be missed
    )


def _recalls(
    index: VectorIndex, asked: _Asked, limit: int, effort: float, recall_target: float
) -> Sequence[float]:
    """Returns the recall of each question; none at all where no list is long enough."""
    plan = default_plan(index, limit, effort=effort, recall_target=recall_target)
    if plan is None:
        return []
    looked = Effort(plan.ef_search, plan.n_probe, plan.candidates)
    found = index.search_batch(asked.questions, limit, effort=looked)
    overlaps = (
        overlap(one, Nearest(true.rows[:limit], true.similarities[:limit]))
        for one, true in zip(found, asked.truth, strict=True)
    )
    return [hits / true for hits, true in overlaps]


def _is_above(recalls: Sequence[float], target: float) -> bool:
    if not recalls:
        return False
    error = float(np.std(recalls)) / math.sqrt(len(recalls))
    return float(np.mean(recalls)) - error >= target
