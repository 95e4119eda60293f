"""faiss's HNSW graph over bfloat16 codes, re-scored in full precision.

Chosen by measurement among seven engines at recall@10 >= 0.99: the fastest at 100,000
and at 1,000,000 vectors, and half the memory of float32 graphs. bfloat16 alone costs
recall among near duplicates, hence the re-scoring. The codes serve scans as well, so the
vectors in full precision need not be in memory.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from arenalab.planning import Engine
from arenalab.search.index.codes import SUM_ERROR, Codes
from arenalab.search.index.files import (
    IndexFile,
    IndexFileError,
    held_bytes,
    read_faiss,
    write_faiss,
)
from arenalab.search.index.linking import lead_to_all
from arenalab.search.index.products import products
from arenalab.search.index.protocol import (
    DEFAULT_EF_SEARCH,
    BuildStoppedError,
    Effort,
    FloatArray,
    Nearest,
    check_vectors,
    nearest_each,
    nearest_of,
)
from arenalab.search.index.scanning import nearest_by
from arenalab.search.index.searching import InMemory
from arenalab.search.index.selection import BoolArray, IntArray, Selection
from arenalab.vectors import faiss_on_one_thread, load_faiss

LINKS: Final = 16  # M of the paper: Malkov & Yashunin, 2016
EF_CONSTRUCTION: Final = 150
# Rows that each thread adds between two looks at `stopped`, less than a second of work.
# Rows of one chunk link less well to each other: larger ones build faster, and recall less.
_CHUNK_ROWS: Final = 2000
# Rows fetched for each wanted, and besides: codes take near duplicates for each other.
_FETCHED: Final = 2
_MORE_FETCHED: Final = 50
# Standard deviations by which what rounding does to two scores may turn their order.
_DEVIATIONS: Final = 4.0
_SEED: Final = 29

_FILE: Final = IndexFile(Engine.HNSW, "faiss")


class HnswIndex(InMemory):
    """A graph over codes; the float32 vectors beside it may be a memory map."""

    engine = Engine.HNSW
    library = "faiss"
    _codes: Codes

    def __init__(self, vectors: FloatArray, graph: Any, rounding: float | None = None) -> None:
        """Keeps its arguments.

        Args:
            vectors: In full precision, as `check_form` returns them.
            graph: A faiss IndexHNSWSQ of bfloat16 codes.
            rounding: As of `Codes`; None: measured here.
        """
        codes = Codes(load_faiss().downcast_index(graph.storage), owner=graph)
        codes.rounding = codes.measured_rounding(vectors) if rounding is None else rounding
        super().__init__(vectors, codes)
        self._graph = graph

    @classmethod
    def build(
        cls,
        vectors: FloatArray,
        *,
        threads: int = 1,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Self:
        """Builds the graph.

        Args:
            vectors: Unit vectors, shape (n, d).
            threads: How many to build with; with one the graph is always the same.
            stopped: Asked about twice a second.

        Raises:
            ValueError: They are not unit vectors in float32.
            BuildStoppedError: `stopped` returned true.
        """
        vectors = check_vectors(vectors)
        faiss = load_faiss()
        graph = faiss.IndexHNSWSQ(
            vectors.shape[1], faiss.ScalarQuantizer.QT_bf16, LINKS, faiss.METRIC_INNER_PRODUCT
        )
        graph.hnsw.efConstruction = EF_CONSTRUCTION
        graph.is_trained = True  # bfloat16 has no codebook
        rows = _CHUNK_ROWS * threads
        faiss.omp_set_num_threads(threads)  # of the calling thread only
        # What is alike is often stored together, or long after what it is a copy of. Linked
        # in that order, rows get a third fewer links, and a walk needs twice the list:
        # measured on 200,000 vectors, real questions and then noisy copies of them, recall@10
        # with lists of 150, 300 and 600 is .961, .983 and .997 for held-out questions; in a
        # random order it is .988, .993 and .998, for a tenth more time to build.
        order = np.random.default_rng(_SEED).permutation(len(vectors))
        try:
            for start in range(0, len(vectors), rows):
                if stopped():
                    raise BuildStoppedError
                graph.add(vectors[order[start : start + rows]])
        finally:
            faiss.omp_set_num_threads(1)
        graph.permute_entries(np.argsort(order))  # by the place that each row was added at
        lead_to_all(graph, vectors)
        return cls(vectors, graph)

    @classmethod
    def load(cls, folder: Path, vectors: FloatArray) -> Self:
        """Returns the index of a folder that `save` wrote.

        Raises:
            IndexFileError: The folder is of other vectors, or damaged.
        """
        about = _FILE.read(folder, vectors)
        graph = read_faiss(_FILE.content(folder))
        faiss = load_faiss()
        if not isinstance(graph, faiss.IndexHNSWSQ) or graph.ntotal != len(vectors):
            raise IndexFileError("the file holds another index than it should")
        return cls(np.asarray(vectors), graph, float(about["rounding"]))

    @property
    def memory_bytes(self) -> int:
        hnsw = self._graph.hnsw
        links = 4 * hnsw.neighbors.size() + 8 * hnsw.offsets.size() + 4 * hnsw.levels.size()
        return held_bytes(self._vectors) + self._codes.nbytes + int(links)

    def save(self, folder: Path) -> None:
        _FILE.write(
            folder,
            self._vectors,
            lambda path: write_faiss(self._graph, path),
            rounding=self._codes.rounding,
        )

    def _search(
        self, queries: FloatArray, limit: int, allowed: Selection | None, effort: Effort
    ) -> list[Nearest]:
        queries = np.ascontiguousarray(queries, np.float32)
        reachable = self.size if allowed is None else allowed.count
        kept = max(limit, effort.candidates)
        ef_search = max(effort.ef_search or DEFAULT_EF_SEARCH, kept)
        if allowed is not None and reachable:
            # A filter thins out the candidate list: measured, a list that holds 2·k
            # passing rows besides its own length keeps the recall of an unfiltered walk.
            ef_search += 2 * kept * self.size // reachable
        if ef_search >= reachable:  # the list would hold every row: a scan costs less
            return self._scanned(queries, limit, allowed)
        fetched = effort.candidates or min(ef_search, _FETCHED * limit + _MORE_FETCHED)
        scores, rows = self._walked(queries, max(limit, fetched), ef_search, allowed)
        if len(queries) == 1:
            nearest = [self._nearest(queries[0], scores[0], rows[0], limit)]
        else:
            nearest = nearest_each(
                self._vectors, self._in_doubt(scores, rows, limit), queries, limit
            )
        confused = self._confused(scores, limit, _FETCHED * limit)
        for number, one in enumerate(nearest):
            query = queries[number : number + 1]
            # No links lead to the rest, or a filter hides what does.
            if len(one.rows) < min(limit, reachable):
                [nearest[number]] = self._scanned(query, limit, allowed)
            elif confused[number]:
                nearest[number] = self._told_apart(query, limit, ef_search, allowed)
        return nearest

    def _told_apart(
        self, query: FloatArray, limit: int, ef_search: int, allowed: Selection | None
    ) -> Nearest:
        """Returns the nearest where codes take more rows for each other than are fetched.

        All of the list is compared in full precision, unless those rows are more than a
        node has links: then their links lead to each other and not to all of them, as
        with equal vectors, and a scan is needed.
        """
        scores, rows = self._walked(query, ef_search, ef_search, allowed)
        if self._confused(scores, limit, max(_FETCHED * limit, limit + 2 * LINKS))[0]:
            return self._scanned(query, limit, allowed)[0]
        found = self._in_doubt(scores, rows, limit)
        return nearest_each(self._vectors, found, query, limit)[0]

    def _confused(self, scores: FloatArray, limit: int, held: int) -> BoolArray:
        """Returns for which queries the first `held` rows may not hold the `limit` nearest.

        The error of a score is the part of a code's rounding, at most `rounding` long, that
        points where the query does: in d dimensions its root of d-th part, but for chance.
        """
        held = min(held, scores.shape[1])
        if held <= limit:  # none was asked for but those wanted
            return np.zeros(len(scores), np.bool_)
        deviation = self._codes.rounding * math.sqrt(2 / self.dimension)
        doubt = min(_DEVIATIONS * deviation, 2 * self._codes.rounding) + SUM_ERROR
        # A missing row has the lowest score of all.
        confused: BoolArray = scores[:, held - 1] >= scores[:, limit - 1] - doubt
        return confused

    def _walked(
        self, queries: FloatArray, wanted: int, ef_search: int, allowed: Selection | None
    ) -> tuple[FloatArray, IntArray]:
        """Returns the scores and rows found for each query, best first, -1 for none."""
        faiss = faiss_on_one_thread()
        if allowed is None:
            unfiltered: tuple[FloatArray, IntArray]
            unfiltered = self._graph.search(queries, wanted, params=_parameters(ef_search))
            return unfiltered
        parameters = _new_parameters(ef_search)
        # Both are read through bare pointers for as long as the search lasts.
        bits = allowed.bits
        parameters.sel = selector = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))
        found: tuple[FloatArray, IntArray] = self._graph.search(queries, wanted, params=parameters)
        del selector, bits
        return found

    def _nearest(
        self, query: FloatArray, scores: FloatArray, rows: IntArray, limit: int
    ) -> Nearest:
        """Returns the nearest of what was found for one query."""
        least = scores[min(limit, len(scores)) - 1] - 2 * (self._codes.rounding + SUM_ERROR)
        # A missing row has the lowest score of all, and is -1.
        found = rows[(scores >= least) & (rows >= 0)]
        if len(found) <= limit:
            return nearest_of(self._vectors, found, query, limit)
        return nearest_by(self._vectors, query, limit, found, products(self._vectors, found, query))

    def _in_doubt(self, scores: FloatArray, rows: IntArray, limit: int) -> IntArray:
        """Returns the rows without those that cannot be among the `limit` nearest of them."""
        error = self._codes.rounding + SUM_ERROR
        # A missing row has the lowest score of all.
        is_out = scores < scores[:, limit - 1, None] - 2 * error
        width = max(limit, rows.shape[1] - int(is_out.sum(axis=1).min()))
        return np.where(is_out, -1, rows)[:, :width]


def _new_parameters(ef_search: int) -> Any:
    # `bounded_queue` stays true: without it a selector lets excluded rows through.
    return load_faiss().SearchParametersHNSW(efSearch=ef_search, bounded_queue=True)


# Without a selector they are only read, and to make them costs 30 us.
_parameters = lru_cache(_new_parameters)
