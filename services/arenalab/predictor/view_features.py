"""What the version's views say of the proposed outcome, as numbers; all 0 where it has none.

Each view is asked how sure it is, how far the next outcome lies, and whether it would have
proposed the same: three ways to be wrong seldom agree.
"""

from typing import Final

import numpy as np

from arenalab.predictor.appraisal import Appraisal
from arenalab.predictor.neighbourhood import FloatArray
from arenalab.predictor.views import Opinion

NAMES: Final = (
    "mixed_log_probability",
    "mixed_margin",
    "mixed_entropy",
    "has_views",
    "head_log_probability",
    "head_logit",
    "head_margin",
    "head_mass",
    "head_entropy",
    "head_agrees",
    "cloud_distance",
    "cloud_margin",
    "cloud_agrees",
    "word_score",
    "word_margin",
    "words_agree",
    "outcome_coverage",
    "coverage_margin",
    "outcome_often",
    "rarity_known",
    "rarity_mass",
)
_FEW: Final = 1e-12
_FAR: Final = 50.0  # log units beyond which a margin says no more
_SURE: Final = 20.0


def view_features(appraisal: Appraisal) -> list[float]:
    """Returns the values of `NAMES` for an appraisal that has at least one group."""
    shares = np.array([group.share for group in appraisal.groups])
    logs = np.log(np.maximum(shares, _FEW))
    second = float(logs[1]) if len(logs) > 1 else -_SURE
    mixed = [float(logs[0]), min(float(logs[0]) - second, _SURE), float(-(shares @ logs))]
    opinion = appraisal.opinion
    memories = appraisal.neighbourhood.memories
    code = (
        -1
        if opinion is None
        else opinion.code(memories[appraisal.groups[0].members[0]].outcome_key)
    )
    if opinion is None or code < 0:
        return [*mixed, *[0.0] * (len(NAMES) - len(mixed))]
    return [*mixed, 1.0, *_head(opinion, code), *_clouds(opinion, code), *_words(opinion, code)]


def _head(opinion: Opinion, code: int) -> list[float]:
    logits, logs = opinion.logits, opinion.log_probabilities
    margin = _margin(logits, code)
    return [
        float(logs[code]),
        float(logits[code]),
        margin,
        float(logits[code] - logs[code]),  # log of the sum of all powers
        float(-(np.exp(logs) @ logs)),
        float(margin > 0),
    ]


def _clouds(opinion: Opinion, code: int) -> list[float]:
    margin = _margin(-opinion.distances, code)
    return [float(opinion.distances[code]), margin, float(margin > 0)]


def _words(opinion: Opinion, code: int) -> list[float]:
    heard = opinion.heard
    margin = _margin(heard.scores, code)
    return [
        min(max(float(heard.scores[code]), -2 * _FAR), 2 * _FAR),
        margin,
        float(margin > 0),
        float(heard.coverage[code]),
        _margin(heard.coverage, code),
        float(heard.often[code]),
        heard.known,
        heard.mass,
    ]


def _margin(values: FloatArray, code: int) -> float:
    """Returns how far a value lies above the largest of the others, within +-50."""
    best = int(values.argmax())
    if best != code:
        return max(float(values[code] - values[best]), -_FAR)
    rest = values.copy()
    rest[code] = -np.inf
    return min(float(values[code] - rest[rest.argmax()]), _FAR)
