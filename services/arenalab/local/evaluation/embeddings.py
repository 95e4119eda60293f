"""Vectors of texts, each embedded once however many rounds ask for it."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import numpy as np

from arenalab.predictor.neighbourhood import Vectors

_BLOCK: Final = 512


class Embedder(Protocol):
    """What is needed of an embedder."""

    @property
    def id(self) -> str:
        """A name for people."""

    @property
    def dimension(self) -> int:
        """The length of every vector."""

    def embed_many(self, texts: Sequence[str]) -> Vectors:
        """Returns one unit vector a row, in the order of `texts`."""


class Embeddings:
    """An embedder that remembers."""

    def __init__(self, embedder: Embedder, progress: Callable[[str, int, int], None]) -> None:
        self._embedder = embedder
        self._progress = progress
        self._known: dict[str, Vectors] = {}

    @property
    def name(self) -> str:
        """The embedder's."""
        return self._embedder.id

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """Returns the vectors, shape (n, d)."""
        fresh = [text for text in dict.fromkeys(texts) if text not in self._known]
        for start in range(0, len(fresh), _BLOCK):
            block = fresh[start : start + _BLOCK]
            self._known.update(zip(block, self._embedder.embed_many(block), strict=True))
            self._progress("embedding", start + len(block), len(fresh))
        if not texts:
            return np.zeros((0, self._embedder.dimension), dtype=np.float32)
        return np.stack([self._known[text] for text in texts])
