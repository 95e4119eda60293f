"""One question against its neighbourhood: who votes, with what weight, for what, and how it looks.

Serving and training call the same `appraise`, so that a confidence means in traffic what it
meant when it was fitted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from arenalab.contrast.phrase import parse
from arenalab.predictor.context_match import (
    FIXED,
    ActionMatch,
    Weights,
    context_similarities,
    match_action,
)
from arenalab.predictor.contrast import Contrast, find_group_clashes
from arenalab.predictor.inference import infer_situation
from arenalab.predictor.mixing import Mixing, witnesses_of
from arenalab.predictor.neighbourhood import (
    FloatArray,
    Neighbourhood,
    Query,
    Situation,
)
from arenalab.predictor.outcomes import (
    Group,
    Method,
    members_of,
    method_of,
    ranked_groups,
    scores_of,
    vote_shares,
)
from arenalab.predictor.views import Opinion
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
    opinion: Opinion | None = None  # of the version's views
    is_mixed: bool = False  # shares are probabilities of vote and views, not of the vote alone

    @property
    def is_clash(self) -> bool:
        """Whether the best outcome's support says the opposite of the question."""
        return self.clash_share > CLASH_SHARE

    @property
    def is_admissible(self) -> bool:
        """Whether the output may be served at all, whatever its confidence."""
        return bool(self.groups) and not self.is_clash and self.method is not Method.UNCERTAIN


def appraise(
    query: Query,
    found: Neighbourhood,
    opinion: Opinion | None = None,
    mixing: Mixing | None = None,
    weights: Weights = FIXED,
) -> Appraisal:
    """Returns the appraisal of a question against the spans found for it.

    Args:
        query: The question.
        found: The spans nearest to it.
        opinion: What the version's views say of it; None where it has none.
        mixing: Weights of vote and views; None: the vote decides alone.
        weights: Of the factors of the context similarity.
    """
    hood = _answering(query, found)
    if not len(hood):
        return _empty(query, hood)
    plain = similarity_weights(hood.similarities)
    situations = [memory.situation for memory in hood.memories]
    situation = infer_situation(query, situations, plain)
    context = context_similarities(situation, situations, hood.semantic, weights)
    members = members_of(hood.memories)
    clashes = find_clashes(query, hood, members)
    gram = gram_of(hood.vectors)
    reliability = context
    none = Contrast.NONE
    clashing = [at for at, clash in enumerate(clashes) if clash is not none]
    if clashing:
        reliability = context.copy()
        reliability[clashing] *= CLASH_RELIABILITY
    votes = dual_weights(gram, hood.similarities, reliability)
    groups = _ranked(hood, members, scores_of(members, votes), opinion, mixing)
    return Appraisal(
        query=query,
        situation=situation,
        neighbourhood=hood,
        gram=gram,
        context=context,
        clashes=clashes,
        plain=plain,
        weights=votes,
        groups=groups,
        method=method_of(groups),
        clash_share=clash_share(groups[0], clashes, plain),
        opinion=opinion,
        is_mixed=opinion is not None and mixing is not None,
    )


def witnesses_for(appraisal: Appraisal) -> FloatArray:
    """Returns what each witness says of each of the groups, shape (m, w); needs an opinion."""
    groups, opinion = appraisal.groups, appraisal.opinion
    if opinion is None:
        raise ValueError("an appraisal without opinion has no witnesses but the vote")
    hood = appraisal.neighbourhood
    return _witnesses(
        hood, [g.members for g in groups], np.array([g.score for g in groups]), opinion
    )


def _ranked(
    hood: Neighbourhood,
    members: list[list[int]],
    scores: FloatArray,
    opinion: Opinion | None,
    mixing: Mixing | None,
) -> tuple[Group, ...]:
    if opinion is None or mixing is None:
        shares, by = vote_shares(scores), scores
    else:
        by = mixing.log_probabilities(_witnesses(hood, members, scores, opinion))
        shares = np.exp(by)
    return tuple(ranked_groups(hood.memories, members, scores, shares, by=by))


def _witnesses(
    hood: Neighbourhood, members: Sequence[Sequence[int]], scores: FloatArray, opinion: Opinion
) -> FloatArray:
    first = [own[0] for own in members]
    codes = [opinion.code(hood.memories[at].outcome_key) for at in first]
    return witnesses_of(opinion, codes, scores, hood.similarities[first])


def find_clashes(
    query: Query, hood: Neighbourhood, groups: Sequence[Sequence[int]]
) -> tuple[Contrast, ...]:
    """Returns how each neighbour's question clashes with the query.

    Ways in which an outcome's own questions differ from each other do not count; an outcome
    whose most similar wording clashes does so as a whole. `groups` are the positions of each
    outcome's spans.
    """
    phrases = [memory.phrase for memory in hood.memories]
    return tuple(find_group_clashes(parse(query.text), phrases, groups))


def clash_share(group: Group, clashes: Sequence[Contrast], plain: FloatArray) -> float:
    """Returns the share of a group's plain weight whose questions clash, in [0, 1]."""
    none = Contrast.NONE
    clashing = float(sum([plain[at] for at in group.members if clashes[at] is not none]))
    if not clashing:
        return 0.0
    total = float(plain[list(group.members)].sum())
    return clashing / total if total > 0 else 0.0


def _answering(query: Query, found: Neighbourhood) -> Neighbourhood:
    if not query.action:
        return found
    kept = [
        at
        for at, memory in enumerate(found.memories)
        if memory.situation.actions and _answers(query, memory.situation.actions[-1])
    ]
    return replace(
        found,
        memories=[found.memories[at] for at in kept],
        similarities=found.similarities[kept],
        semantic=found.semantic[kept],
        vectors=found.vectors[kept],
    )


def _answers(query: Query, action: str) -> bool:
    return action in query.accepted or match_action(query.action, action) is not ActionMatch.NONE


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
