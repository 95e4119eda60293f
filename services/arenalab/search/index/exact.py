"""The exact scan as an index: right by construction, and without anything to build."""

from pathlib import Path
from typing import Any, Final, Self

from arenalab.planning import Engine
from arenalab.search.index.codes import Codes
from arenalab.search.index.files import IndexFile, held_bytes
from arenalab.search.index.protocol import (
    Effort,
    FloatArray,
    Nearest,
    check_form,
    check_vectors,
)
from arenalab.search.index.scanning import scan_batch
from arenalab.search.index.searching import InMemory
from arenalab.search.index.selection import Selection

# Queries from which one pass over the vectors by BLAS costs less than one over the codes
# for each: measured 4.3 ms and 7.3 for 16 of them over 10,000 vectors, 3.0 and 1.9 for 4.
_SHARED_PASS: Final = 8
# Below so many vectors all of them fit the nearest caches, and codes save nothing.
_MIN_CODES: Final = 2000

_FILE: Final = IndexFile(Engine.EXACT, "faiss")


class ExactIndex(InMemory):
    """Compares every row that is allowed."""

    engine = Engine.EXACT
    library = "faiss"

    def __init__(self, vectors: FloatArray, codes: Any = None) -> None:
        """Keeps the vectors, and codes of them when they are many.

        Args:
            vectors: Unit vectors, shape (n, d); may be mapped from a file.
            codes: Their bfloat16 codes, a faiss IndexScalarQuantizer; None: made here.

        Raises:
            ValueError: They are not unit vectors in float32.
        """
        if codes is not None:
            super().__init__(check_form(vectors), Codes(codes))
            return
        checked = check_vectors(vectors)
        super().__init__(checked, Codes.of(checked) if len(checked) >= _MIN_CODES else None)

    @classmethod
    def load(cls, folder: Path, vectors: FloatArray) -> Self:
        """Returns the index of a folder that `save` wrote; its codes are made again.

        Raises:
            IndexFileError: The folder is of other vectors, or damaged.
        """
        _FILE.read(folder, vectors)
        return cls(vectors)

    @property
    def all_vectors(self) -> FloatArray:
        """The vectors that it was made from, not a copy: shape (size, dimension)."""
        return self._vectors

    @property
    def memory_bytes(self) -> int:
        codes = 0 if self._codes is None else self._codes.nbytes
        return held_bytes(self._vectors) + codes

    def save(self, folder: Path) -> None:
        _FILE.write(folder, self._vectors)

    def _search(
        self,
        queries: FloatArray,
        limit: int,
        allowed: Selection | None,
        effort: Effort,  # noqa: ARG002 - of the base
    ) -> list[Nearest]:
        is_batch = len(queries) >= _SHARED_PASS
        if is_batch and allowed is None and limit < self.size:
            return scan_batch(self._vectors, queries, limit)
        return self._scanned(queries, limit, allowed)
