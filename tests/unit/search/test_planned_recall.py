"""What the planner's lists find in a graph of many wordings of a few questions.

A graph links wordings of one question to each other first, so that a walk may begin among
the wrong ones and stay there: real collections ask less of a list.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from arenalab.planning import recall
from arenalab.search.index.hnsw import HnswIndex
from arenalab.search.index.protocol import Effort, FloatArray

QUESTIONS, WORDINGS, DIMENSION, LATENT = 400, 30, 48, 20


def unit(vectors: npt.NDArray[Any]) -> FloatArray:
    scaled: FloatArray = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("f4")
    return scaled


def collection(random: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Returns wordings in a random order, and questions between two of those worded."""
    latent = random.standard_normal((QUESTIONS, LATENT))
    questions = unit(latent @ random.standard_normal((LATENT, DIMENSION)))
    noise = unit(random.standard_normal((QUESTIONS * WORDINGS, DIMENSION)))
    wordings = unit(np.repeat(questions, WORDINGS, axis=0) + 0.4 * noise)
    one, other = (questions[random.integers(0, QUESTIONS, 300)] for _ in range(2))
    return random.permutation(wordings), unit(one + 0.85 * other)


@pytest.fixture(scope="module")
def asked() -> tuple[HnswIndex, FloatArray]:
    wordings, questions = collection(np.random.default_rng(1))
    return HnswIndex.build(wordings), questions


@pytest.mark.slow
@pytest.mark.parametrize("target", [0.95, 0.99, 0.999])
@pytest.mark.parametrize("limit", [10, 50, 100, 300])
def test_the_planned_list_reaches_the_wanted_recall(
    asked: tuple[HnswIndex, FloatArray], limit: int, target: float
) -> None:
    index, questions = asked
    ef_search = recall.ef_for(target, limit, index.size)
    assert ef_search is not None
    effort = Effort(ef_search, candidates=recall.candidates_of(limit))
    found = index.search_batch(questions, limit, effort=effort)
    recalls = []
    for question, near in zip(questions, found, strict=True):
        last = index.scan(question, limit, None).similarities[-1]
        recalls.append(np.count_nonzero(near.similarities >= last) / limit)
    assert np.mean(recalls) >= target
