"""vCache's rule, re-implemented from the description in its paper, for comparison.

Every cached question has a model of its own: the probability that its outcome is right for a
question at similarity s is the logistic function 1 / (1 + exp(-gamma (s - t))), with t and gamma
fitted by maximum likelihood to what was observed at that cached question. The cache must be wrong
in at most a share alpha of all requests, so a request is passed on ("explored") with at least the
probability

    tau = 1 - alpha / (1 - p),  p = (1 - eps) L(s; t'(eps), gamma)

where t'(eps) is the upper end of a one-sided confidence interval of t at level 1 - eps; tau is the
least over eps. What is explored teaches: it is an observation of the cached question, and where
the cached outcome was wrong it is cached itself.

Choices of ours, where the description leaves room: traffic is replayed in seeded order, and every
request of it is explored (as if all were labelled); each cached question starts with two
observations, wrong at similarity 0 and right at 1; t and gamma lie on a grid, and the interval of
t is that of the profile likelihood ratio, which also holds where right and wrong do not overlap.

The promise differs from ArenaLab's: errors among all requests, not among served answers. Hence
two comparisons. The rule as it is learns from the dataset and then from labelled questions: one
half of them teaches it for the other, which is more labels than calibration has. As a ranking
under the same bound as the others, p is learnt from the dataset alone.

Source: Schroeder et al. (2025), vCache: Verified Semantic Prompt Caching, arXiv:2502.03771.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import log_expit, ndtri

from arenalab.local.evaluation.contender import Asked, Memory, OwnRule, Proposals, Scored
from arenalab.predictor.guarantee import IntArray
from arenalab.predictor.neighbourhood import FloatArray, Vectors

_T: Final = np.linspace(0.0, 1.0, 101)
_GAMMA: Final = np.geomspace(1.0, 200.0, 24)
_EPSILON: Final = np.linspace(0.01, 0.99, 50)
_BLOCK: Final = 512


@dataclass(frozen=True)
class Traffic:
    """Requests with the keys of the outcomes that are right for each; none: no cache can know."""

    vectors: Vectors  # (n, d)
    right: Sequence[frozenset[str]]

    def answers(self, cached: int, request: int) -> bool:
        """Whether what was answered to one request is right for another."""
        return bool(self.right[cached] & self.right[request])


@dataclass(frozen=True)
class Observations:
    """What was seen at cached questions: rows of equal length, one observation each."""

    entry: IntArray  # position among the cached questions
    similarity: FloatArray
    right: FloatArray  # 1.0 or 0.0


@dataclass(frozen=True)
class Models:
    """The logistic model of each cached question, with its interval."""

    t: FloatArray  # (e,)
    gamma: FloatArray  # (e,)
    t_upper: FloatArray  # (e, n_epsilon)

    def probability(self, entry: IntArray, similarity: FloatArray) -> FloatArray:
        """Returns the estimated probability of being right, shape (m,)."""
        margin = self.gamma[entry] * (similarity - self.t[entry])
        return np.asarray(np.exp(log_expit(margin)))

    def lower(self, entry: IntArray, similarity: FloatArray) -> FloatArray:
        """Returns the largest (1 - eps) L(s; t'(eps), gamma) over eps, shape (m,)."""
        distance = similarity[:, None] - self.t_upper[entry]
        inside = np.exp(log_expit(self.gamma[entry][:, None] * distance))
        return np.asarray(((1.0 - _EPSILON) * inside).max(axis=1))


def serving_probability(lower: FloatArray, alpha: float) -> FloatArray:
    """Returns 1 - tau: how often an answer is served so that errors stay below alpha, (m,)."""
    return np.minimum(1.0, alpha / np.maximum(1.0 - lower, 1e-12))


def fit_models(entries: int, seen: Observations) -> Models:
    """Returns the models of so many cached questions."""
    margins = _GAMMA[None, :] * (0.0 - _T[:, None]), _GAMMA[None, :] * (1.0 - _T[:, None])
    prior = log_expit(-margins[0]) + log_expit(margins[1])
    order = np.argsort(seen.entry, kind="stable")
    bounds = np.searchsorted(seen.entry[order], np.arange(entries + 1))
    t, gamma = np.zeros(entries), np.zeros(entries)
    upper = np.zeros((entries, len(_EPSILON)))
    z = ndtri(1.0 - _EPSILON)
    for entry in range(entries):
        rows = order[bounds[entry] : bounds[entry + 1]]
        likelihood = prior + _log_likelihood(seen.similarity[rows], seen.right[rows])
        profile = likelihood.max(axis=1)
        best = int(profile.argmax())
        t[entry], gamma[entry] = _T[best], _GAMMA[int(likelihood[best].argmax())]
        drop = np.sqrt(np.maximum(0.0, 2.0 * (profile[best] - profile)))
        signed = np.maximum.accumulate(np.where(np.arange(len(_T)) < best, -drop, drop))
        last = np.searchsorted(signed, z, side="right") - 1
        upper[entry] = _T[np.maximum(last, 0)]
    return Models(t, gamma, upper)


def _log_likelihood(similarity: FloatArray, right: FloatArray) -> FloatArray:
    if not len(similarity):
        return np.zeros((len(_T), len(_GAMMA)))
    margin = _GAMMA[None, :, None] * (similarity[None, None, :] - _T[:, None, None])
    sign = np.where(right > 0.0, 1.0, -1.0)
    return np.asarray(log_expit(margin * sign).sum(axis=2))


def replay(traffic: Traffic, order: IntArray) -> tuple[IntArray, Observations]:
    """Returns the positions that are cached and what was observed at them."""
    cached: list[int] = []
    seen: list[tuple[int, float, bool]] = []
    for start in range(0, len(order), _BLOCK):
        _replay_block(traffic, order[start : start + _BLOCK], cached, seen)
    observations = Observations(
        np.array([one[0] for one in seen], dtype=np.intp),
        np.array([one[1] for one in seen], dtype=np.float64),
        np.array([one[2] for one in seen], dtype=np.float64),
    )
    return np.array(cached, dtype=np.intp), observations


def _replay_block(
    traffic: Traffic, block: IntArray, cached: list[int], seen: list[tuple[int, float, bool]]
) -> None:
    """Asks a block of requests in order, adding to what is cached and seen."""
    vectors, before = traffic.vectors[block], len(cached)
    at, close = _closest(vectors, traffic.vectors[np.array(cached, dtype=np.intp)])
    among = (vectors @ vectors.T).astype(np.float64)
    fresh: list[int] = []  # positions in the block that were cached since it began
    for i, request in enumerate(block):
        found, similarity = int(at[i]), float(close[i])
        if fresh:
            newest = int(among[i, fresh].argmax())
            if among[i, fresh[newest]] > similarity:
                found, similarity = before + newest, float(among[i, fresh[newest]])
        is_right = found >= 0 and traffic.answers(cached[found], int(request))
        if found >= 0:
            seen.append((found, similarity, is_right))
        if not is_right:
            cached.append(int(request))
            fresh.append(i)


def _closest(vectors: Vectors, cached: Vectors) -> tuple[IntArray, FloatArray]:
    if not len(cached):
        return np.full(len(vectors), -1, dtype=np.intp), np.full(len(vectors), -np.inf)
    found = vectors @ cached.T
    at = found.argmax(axis=1)
    return at, np.take_along_axis(found, at[:, None], axis=1)[:, 0].astype(np.float64)


@dataclass(frozen=True)
class _VCacheFitted:
    memory: Memory
    cached: IntArray
    models: Models

    def score(self, asked: Asked) -> Proposals:
        at, close = _closest(asked.vectors, self.memory.vectors[self.cached])
        return Proposals(
            outcomes=[self.memory.known[self.cached[one]].outcome for one in at],
            confidence=self.models.probability(at, close),
            score=self.models.lower(at, close),
        )


class VCache:
    """vCache's rule over the dataset replayed as its traffic."""

    name = "vcache"
    described = (
        "vCache's rule, re-implemented from its paper (arXiv:2502.03771): a logistic model for "
        "each cached question, fitted to the dataset replayed as traffic; its lower bound ranks. "
        "Kind `vcache` is its own rule, taught by half of the labelled questions for the other; "
        "it bounds errors among all requests (`error_rate`), not among served answers."
    )

    def __init__(self, alphas: Sequence[float]) -> None:
        self._alphas = tuple(alphas)

    def fit(self, memory: Memory, seed: int) -> _VCacheFitted:
        """Returns the cache after the replay of the dataset."""
        traffic = Traffic(memory.vectors, [frozenset({key}) for key in memory.keys])
        order = np.random.default_rng([seed, 3]).permutation(len(memory.known))
        cached, seen = replay(traffic, order)
        return _VCacheFitted(memory, cached, fit_models(len(cached), seen))

    def finish(self, scored: Scored, seed: int) -> Scored:
        """Returns the scores as they are."""
        del seed
        return scored

    def rule(
        self, memory: Memory, asked: Asked, right: Sequence[frozenset[str]], seed: int
    ) -> OwnRule:
        """Returns the rule's choices: each half of the questions is asked after the other."""
        size, rng = len(memory.known), np.random.default_rng([seed, 13])
        keys = [*(frozenset({key}) for key in memory.keys), *right]
        traffic = Traffic(np.concatenate([memory.vectors, asked.vectors]), keys)
        history, order = rng.permutation(size), rng.permutation(len(right))
        halves = order[: len(order) // 2], order[len(order) // 2 :]
        lower, correct = np.zeros(len(right)), np.zeros(len(right), dtype=bool)
        for taught, judged in (halves, halves[::-1]):
            cached, seen = replay(traffic, np.concatenate([history, size + taught]))
            models = fit_models(len(cached), seen)
            at, close = _closest(asked.vectors[judged], traffic.vectors[cached])
            lower[judged] = models.lower(at, close)
            correct[judged] = [
                traffic.answers(int(cached[one]), int(size + request))
                for one, request in zip(at, judged, strict=True)
            ]
        serving = {alpha: serving_probability(lower, alpha) for alpha in self._alphas}
        return OwnRule(serving, correct)
