"""What every embedder promises, whoever computes the vectors.

The promise is stricter than "text in, vector out", because stored vectors outlive the process
that made them: a text's vector depends on nothing but the text and the embedder's identity. Two
embedders with the same digest may fill and query one store; with different digests never.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]


class EmptyTextError(ValueError):
    """The text holds nothing to embed: no letter, digit, sign or symbol.

    Args:
        message: For people.
        index: Of the text among those given together.
    """

    def __init__(self, message: str, index: int = 0) -> None:
        super().__init__(message)
        self.index = index


@dataclass(frozen=True, slots=True)
class EmbedderIdentity:
    """Names the exact computation behind stored vectors; part of every dataset version."""

    id: str
    digest: str
    dimension: int


@runtime_checkable
class Embedder(Protocol):
    """Turns texts into unit vectors. Safe to call from several threads."""

    @property
    def id(self) -> str:
        """A name for people, for example `minilm-l6-v2-int8-token`."""

    @property
    def digest(self) -> str:
        """Hex sha256 over everything that decides a vector; see `identity_digest`."""

    @property
    def dimension(self) -> int:
        """The length of every vector."""

    @property
    def max_tokens(self) -> int:
        """Tokens read from one text, the special ones included; the rest of a text is not read."""

    @property
    def identity(self) -> EmbedderIdentity:
        """Id, digest and dimension together."""

    def embed(self, text: str) -> Vectors:
        """Returns the vector of one text, shape (dimension,), length 1.

        Raises:
            EmptyTextError: The text is empty or blank.
        """

    def embed_many(self, texts: Sequence[str]) -> Vectors:
        """Returns one vector a row in the order of `texts`, each equal to that of `embed`.

        Raises:
            EmptyTextError: One of the texts is empty or blank; the error has its index.
        """

    def count_tokens(self, text: str) -> int:
        """Returns the tokens of the whole text, uncut, so it may exceed `max_tokens`."""

    def close(self) -> None:
        """Ends the worker threads. Calling it again does nothing."""


def identity_digest(facts: Mapping[str, str]) -> str:
    """Returns the hex sha256 of the facts as canonical JSON (sorted keys, no blanks, UTF-8)."""
    canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
