"""One question against its neighbourhood: who votes, with what weight, for what, and how it looks.

Serving and training call the same `appraise`, so that a confidence means in traffic what it
meant when it was fitted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from arenalab.predictor.context_match import ActionMatch, context_similarity, match_action
from arenalab.predictor.contrast import Contrast, find_group_clashes
from arenalab.predictor.inference import infer_situation
from arenalab.predictor.neighbourhood import (
    FloatArray,
    Neighbourhood,
    Query,
    Situation,
)
from arenalab.predictor.outcomes import Group, Method, group_outcomes, method_of
from arenalab.predictor.phrase import parse
from arenalab.predictor.vote import dual_weights, gram_of, similarity_weights

# What a clash leaves of a neighbour's reliability.
CLASH_RELIABILITY: Final = 0.05
# Above this share of clashing support, the best outcome rests on questions that say
# the opposite.
CLASH_SHARE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Appraisal:
    """What the neighbourhood says about a question."""

    query: Query
    situation: Situation  # the query's, completed by inference
    neighbourhood: Neighbourhood  # those whose action answers to the expected one
    gram: FloatArray
    context: FloatArray  # context similarity of each neighbour
    clashes: tuple[Contrast, ...]
    plain: FloatArray  # weights by similarity alone, summing to 1
    weights: FloatArray  # dual weights; may be negative
    groups: tuple[Group, ...]
    method: Method
    clash_share: float  # share of the best outcome's plain support that clashes

    @property
    def is_clash(self) -> bool:
        """Whether the best outcome's support says the opposite of the question."""
        return self.clash_share > CLASH_SHARE

    @property
    def is_admissible(self) -> bool:
        """Whether the output may be served at all, whatever its confidence."""
        return bool(self.groups) and not self.is_clash and self.method is not Method.UNCERTAIN


def appraise(query: Query, found: Neighbourhood) -> Appraisal:
    """Returns the appraisal of a question against the spans found for it."""
    hood = _answering(query, found)
    if not len(hood):
        return _empty(query, hood)
    plain = similarity_weights(hood.similarities)
    situation = infer_situation(query, [m.situation for m in hood.memories], plain)
    context = np.array(
        [
            context_similarity(situation, memory.situation, float(semantic))
            for memory, semantic in zip(hood.memories, hood.semantic, strict=True)
        ]
    )
    by_similarity = group_outcomes(hood.memories, plain)
    clashes = find_clashes(query, hood, by_similarity)
    factor = np.where([bool(clash) for clash in clashes], CLASH_RELIABILITY, 1.0)
    gram = gram_of(hood.vectors)
    weights = dual_weights(gram, hood.similarities, context * factor)
    groups = tuple(group_outcomes(hood.memories, weights))
    return Appraisal(
        query=query,
        situation=situation,
        neighbourhood=hood,
        gram=gram,
        context=context,
        clashes=clashes,
        plain=plain,
        weights=weights,
        groups=groups,
        method=method_of(groups),
        clash_share=clash_share(groups[0], clashes, plain),
    )


def find_clashes(
    query: Query, hood: Neighbourhood, groups: Sequence[Group]
) -> tuple[Contrast, ...]:
    """Returns how each neighbour's question clashes with the query.

    Ways in which an outcome's own questions differ from each other do not count; an outcome
    whose most similar wording clashes does so as a whole.
    """
    return tuple(
        find_group_clashes(
            parse(query.text),
            [memory.phrase for memory in hood.memories],
            [group.members for group in groups],
        )
    )


def clash_share(group: Group, clashes: Sequence[Contrast], plain: FloatArray) -> float:
    """Returns the share of a group's plain weight whose questions clash, in [0, 1]."""
    total = float(plain[list(group.members)].sum())
    clashing = float(sum(plain[at] for at in group.members if clashes[at]))
    return clashing / total if total > 0 else 0.0


def _answering(query: Query, found: Neighbourhood) -> Neighbourhood:
    if not query.action:
        return found
    kept = [
        at
        for at, memory in enumerate(found.memories)
        if memory.situation.actions
        and match_action(query.action, memory.situation.actions[-1]) is not ActionMatch.NONE
    ]
    return replace(
        found,
        memories=[found.memories[at] for at in kept],
        similarities=found.similarities[kept],
        semantic=found.semantic[kept],
        vectors=found.vectors[kept],
    )


def _empty(query: Query, hood: Neighbourhood) -> Appraisal:
    none = np.zeros(0)
    return Appraisal(
        query=query,
        situation=query.situation,
        neighbourhood=hood,
        gram=np.zeros((0, 0)),
        context=none,
        clashes=(),
        plain=none,
        weights=none,
        groups=(),
        method=Method.NONE,
        clash_share=0.0,
    )
