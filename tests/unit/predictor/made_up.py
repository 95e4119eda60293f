"""Appraisals of a few spans given by hand."""

from collections.abc import Sequence

import numpy as np

from arenalab.predictor.appraisal import Appraisal, appraise
from arenalab.predictor.neighbourhood import FloatArray, Memory, Neighbourhood, Query
from arenalab.predictor.outcomes import Group, members_of, ranked_groups, scores_of, vote_shares


def groups_by_vote(memories: Sequence[Memory], weights: FloatArray) -> list[Group]:
    """Returns the groups as where the vote decides alone."""
    members = members_of(memories)
    scores = scores_of(members, weights)
    return ranked_groups(memories, members, scores, vote_shares(scores), by=scores)


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
