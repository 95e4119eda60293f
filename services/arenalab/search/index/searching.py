"""What engines have in common: how a search is checked, and vectors that are in memory."""

from abc import ABC, abstractmethod

from arenalab.search.index.codes import Codes
from arenalab.search.index.protocol import (
    DEFAULT_EFFORT,
    Effort,
    FloatArray,
    Nearest,
    check_batch,
    check_search,
)
from arenalab.search.index.scanning import scan
from arenalab.search.index.selection import IntArray, Selection


class Searching(ABC):
    """The searches of a VectorIndex, checked and handed on as one or more queries."""

    @property
    @abstractmethod
    def size(self) -> int: ...

    @property
    @abstractmethod
    def dimension(self) -> int: ...

    def search(
        self,
        query: FloatArray,
        limit: int,
        *,
        allowed: Selection | None = None,
        effort: Effort = DEFAULT_EFFORT,
    ) -> Nearest:
        check_search(self, query, limit, allowed)
        return self._search(query[None], limit, allowed, effort)[0]

    def search_batch(
        self,
        queries: FloatArray,
        limit: int,
        *,
        allowed: Selection | None = None,
        effort: Effort = DEFAULT_EFFORT,
    ) -> list[Nearest]:
        check_batch(self, queries, limit, allowed)
        return self._search(queries, limit, allowed, effort) if len(queries) else []

    @abstractmethod
    def _search(
        self, queries: FloatArray, limit: int, allowed: Selection | None, effort: Effort
    ) -> list[Nearest]:
        """Returns the nearest of each query; there is one at least, and all is in range."""


class InMemory(Searching):
    """An index beside its vectors in full precision, which may be a memory map."""

    def __init__(self, vectors: FloatArray, codes: Codes | None = None) -> None:
        """Keeps its arguments.

        Args:
            vectors: As `check_form` returns them.
            codes: Of the vectors, to scan by; None: there are none.
        """
        self._vectors = vectors
        self._codes = codes

    @property
    def size(self) -> int:
        return len(self._vectors)

    @property
    def dimension(self) -> int:
        return int(self._vectors.shape[1])

    def scan(self, query: FloatArray, limit: int, rows: IntArray | None) -> Nearest:
        return scan(self._vectors, self._codes, query[None], limit, rows)[0]

    def vectors(self, rows: IntArray) -> FloatArray:
        return self._vectors[rows]

    def _scanned(self, queries: FloatArray, limit: int, allowed: Selection | None) -> list[Nearest]:
        """Returns the true nearest of each query among the rows that are allowed."""
        rows = None if allowed is None else allowed.rows
        return scan(self._vectors, self._codes, queries, limit, rows)
