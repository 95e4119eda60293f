"""Appraisals of a few spans given by hand."""

import numpy as np

from arenalab.predictor.appraisal import Appraisal, appraise
from arenalab.predictor.neighbourhood import Memory, Neighbourhood, Query


def appraisal_of(
    query: str,
    *memories: tuple[Memory, float],
    action: str = "",
    accepted: frozenset[str] = frozenset(),
) -> Appraisal:
    """Returns the appraisal of a question against spans with these similarities, nearest first.

    The spans are unlike each other, so that each votes by its own similarity.
    """
    similarities = np.array([similarity for _, similarity in memories])
    vectors = np.eye(len(memories), max(8, len(memories)), dtype=np.float32)
    hood = Neighbourhood([memory for memory, _ in memories], similarities, similarities, vectors)
    return appraise(Query(query, action=action, accepted=accepted), hood)


def span(at: int, question: str, outcome: str, **fields: object) -> Memory:
    """Returns a span with the id `s<at>`."""
    return Memory(f"s{at}", question, outcome, **fields)  # type: ignore[arg-type]
