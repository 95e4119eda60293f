"""A made-up corpus: outcomes as clusters on the sphere, questions as words and a number."""

import numpy as np

from arenalab.predictor.holdout import Corpus
from arenalab.predictor.neighbourhood import Memory, Neighbourhood, Situation

DIMENSION = 24


def corpus_of(outcomes: int, spans: int, *, noise: float = 0.15, seed: int = 1) -> Corpus:
    """Returns `outcomes` clusters of `spans` each, with deterministic ids."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(outcomes, DIMENSION))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    which = np.repeat(np.arange(outcomes), spans)
    vectors = centres[which] + noise * rng.normal(size=(len(which), DIMENSION))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    memories = [
        Memory(
            span_id=f"span-{n}",
            question=f"matter{outcome} word{n % 7}",
            outcome=f"Outcome {outcome}",
            situation=Situation(domain=f"area{outcome % 3}", actions=("ask_question",)),
        )
        for n, outcome in enumerate(which)
    ]
    return Corpus(memories, vectors.astype(np.float32), np.ones(len(which), dtype=bool))


def hood_of(corpus: Corpus, vector: np.ndarray, k: int = 50) -> Neighbourhood:
    """Returns the k nearest spans of the corpus to a unit vector."""
    similarities = (corpus.vectors @ vector).astype(np.float64)
    top = np.argsort(-similarities, kind="stable")[:k]
    found = similarities[top]
    memories = [corpus.memories[int(at)] for at in top]
    return Neighbourhood(memories, found, found, corpus.vectors[top])
