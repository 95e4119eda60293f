"""Outcomes clustered by what they mean: two wordings of one answer are one outcome.

Texts are compared by the cosine of their embeddings and by their words, and clustered by complete
linkage: every two members are near, so that a pair that contradicts each other ("yes, it can" and
"no, it cannot" have almost one embedding) is never joined through a third. How many clusters there
are follows from the distance alone.

The vote, and with it the confidence and the guarantee, stay with the exact outcomes that they were
calibrated on; what is said of agreement and of alternatives follows the clusters. So texts are
compared only when several compete for the vote, a few of them, and never labels ("freeze_account"):
whoever names outcomes so says by the names which of them differ.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from rapidfuzz import fuzz, utils

from arenalab.contrast.phrase import parse
from arenalab.predictor.contrast import compare
from arenalab.predictor.neighbourhood import FloatArray, Vectors
from arenalab.predictor.outcomes import Group, Method, method_of, vote_shares

# Outcomes that are compared: those with the largest votes.
MAX_TEXTS: Final = 8
# Outcomes with less of the vote are noise, whatever they mean.
NOTICEABLE: Final = 0.01
# Only the head of an outcome is compared, as the embedder reads no more of it.
MAX_CHARS: Final = 1_500
# Texts of fewer words are labels.
LABEL_BELOW: Final = 3
# What the words count beside the embedding.
LEXICAL_WEIGHT: Final = 0.3
# Similarity from which two texts are one outcome. Of questions on Stack Exchange that stand among
# each other's eleven nearest, 98 % of those that it joined asked the same, and the contrast guard
# has become stricter since.
ONE_FROM: Final = 0.75
# Without embeddings, words alone must agree nearly all.
ONE_BY_WORDS: Final = 0.9


class Cluster(NamedTuple):
    """Outcomes that mean the same; plain tuples, as `Group`."""

    groups: tuple[int, ...]  # positions among the exact groups, the best first
    members: tuple[int, ...]  # positions in the neighbourhood: of the best group first
    score: float  # sum of their votes; may be negative
    share: float  # of the vote, or of the mixed views, in [0, 1]


def competing(groups: Sequence[Group]) -> list[str]:
    """Returns the outcomes to embed: none where one has the majority, or fewer than two vie.

    They are the first with a `NOTICEABLE` share that are no labels, cut to `MAX_CHARS`.
    """
    if method_of(groups) in (Method.NONE, Method.MAJORITY):
        return []
    texts = [g.outcome[:MAX_CHARS] for g in groups[:MAX_TEXTS] if g.share >= NOTICEABLE]
    texts = [text for text in texts if not is_label(text)]
    return texts if len(texts) > 1 else []


def is_label(text: str) -> bool:
    """Whether an outcome is a name rather than a sentence."""
    return len(text.split()) < LABEL_BELOW


def cluster(
    groups: Sequence[Group],
    texts: Sequence[str],
    vectors: Vectors | None,
    *,
    is_mixed: bool = False,
) -> list[Cluster]:
    """Returns the clusters of exact groups by descending share, then score, then as the groups.

    Args:
        groups: By descending share.
        texts: What `competing` returned for them.
        vectors: Unit vectors of `texts`, or None: then words alone decide.
        is_mixed: Shares are probabilities of vote and views, which add up, not of the vote.
    """
    if not texts:
        return [Cluster((at,), g.members, g.score, g.share) for at, g in enumerate(groups)]
    labels = same_by_meaning(_apart(texts, vectors))
    label_of = {text: int(label) for text, label in zip(texts, labels, strict=True)}
    joined: dict[int, list[int]] = {}
    for at, group in enumerate(groups):
        text = group.outcome[:MAX_CHARS]
        key = label_of[text] if at < MAX_TEXTS and text in label_of else -1 - at
        joined.setdefault(key, []).append(at)
    return _ranked(groups, list(joined.values()), is_mixed=is_mixed)


def similarity(left: str, right: str) -> float:
    """Returns how alike two texts are word by word, in any order, in [0, 1]."""
    return float(fuzz.token_sort_ratio(left, right, processor=utils.default_process)) / 100.0


def _apart(texts: Sequence[str], vectors: Vectors | None) -> FloatArray:
    """Returns distances, shape (n, n): up to 1 may be joined, 2 never is."""
    size = len(texts)
    apart = np.zeros((size, size))
    cosines = None if vectors is None else (vectors @ vectors.T).astype(np.float64)
    phrases = [parse(text) for text in texts]
    for at in range(size):
        for other in range(at):
            words = similarity(texts[at], texts[other])
            if compare(phrases[at], phrases[other]):
                near = False
            elif cosines is None:
                near = words >= ONE_BY_WORDS
            else:
                mean = (1 - LEXICAL_WEIGHT) * cosines[at, other] + LEXICAL_WEIGHT * words
                near = bool(mean >= ONE_FROM)
            gap = 1.0 - (words if cosines is None else float(cosines[at, other]))
            apart[at, other] = apart[other, at] = min(1.0, max(0.0, gap)) if near else 2.0
    return apart


def same_by_meaning(apart: FloatArray) -> Sequence[int]:
    """Returns a label for each text, the same for those that are one.

    Complete linkage: texts are joined where all of them are at most 1 apart. `apart` holds their
    distances, shape (n, n).
    """
    if len(apart) < 2:  # noqa: PLR2004 - nothing to join
        return [0] * len(apart)
    # scipy's clustering takes a third of a second to import, and most questions need none.
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    tree = linkage(squareform(apart, checks=False), method="complete")
    return [int(label) for label in fcluster(tree, t=1.0, criterion="distance")]


def _ranked(
    groups: Sequence[Group], joined: Sequence[Sequence[int]], *, is_mixed: bool
) -> list[Cluster]:
    scores = [sum(groups[at].score for at in cluster) for cluster in joined]
    if is_mixed:
        shares = [sum(groups[at].share for at in cluster) for cluster in joined]
    else:
        shares = vote_shares(np.array(scores)).tolist()
    order = sorted(range(len(joined)), key=lambda n: (-shares[n], -scores[n], joined[n][0]))
    return [
        Cluster(
            groups=tuple(joined[n]),
            members=tuple(member for at in joined[n] for member in groups[at].members),
            score=scores[n],
            share=min(1.0, shares[n]),
        )
        for n in order
    ]
