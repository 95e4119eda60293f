"""faiss's inverted lists over 8-bit codes, re-scored in full precision.

The smallest index and the quickest to build: 0.4 kB a vector at 384 dimensions and a
fifth of a graph's build. At no size the fastest, so it is for a memory budget, or a time,
that a graph does not keep to.

Vectors are grouped around centroids, and a search looks into the lists of the nearest
centroids. These are scanned as bfloat16 codes themselves: faiss's flat index takes seven
times as long for one query, and a graph over them has a candidate list of its own, which
silently caps the number of lists.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from arenalab.planning import Engine
from arenalab.search.index.files import (
    IndexFile,
    IndexFileError,
    held_bytes,
    read_faiss,
    write_faiss,
)
from arenalab.search.index.protocol import (
    MAX_PROBES,
    BuildStoppedError,
    Effort,
    FloatArray,
    Nearest,
    check_vectors,
    nearest_each,
)
from arenalab.search.index.searching import InMemory
from arenalab.search.index.selection import IntArray, Selection
from arenalab.vectors import faiss_on_one_thread, load_faiss

# Lists for n vectors: this times the root of n, so that centroids and the lists that are
# looked into cost about the same.
_LISTS: Final = 4.0
_LIST_ROWS: Final = 40  # at least, on average: fewer train no centroid
_TRAINING_ROWS: Final = 40  # a list
_ROUNDS: Final = 8  # of k-means; more no longer change recall
_SEED: Final = 1
_CHUNK_ROWS: Final = 20_000
# Lists looked into by default: this times the root of how many there are. Measured for
# recall@10 of 0.985: 96 of 500 at 20,000 vectors, 128 of 1264 at 100,000.
_PROBED: Final = 4.2
# Rows re-scored for each wanted, and besides: codes take near duplicates for each other.
_RESCORED: Final = 2
_MORE_RESCORED: Final = 20
# A filtered search that finds too few looks into so many times more lists.
_WIDER: Final = 4

_FILE: Final = IndexFile(Engine.IVF, "faiss")


class IvfIndex(InMemory):
    """Lists of codes; the float32 vectors beside them may be a memory map."""

    engine = Engine.IVF
    library = "faiss"

    def __init__(self, vectors: FloatArray, lists: Any) -> None:
        """Keeps its arguments.

        Args:
            vectors: In full precision, as `check_form` returns them.
            lists: A faiss IndexIVFScalarQuantizer of 8-bit codes; None without vectors.
        """
        super().__init__(vectors)
        self._lists = lists

    @classmethod
    def build(
        cls,
        vectors: FloatArray,
        *,
        threads: int = 1,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Self:
        """Builds the lists; arguments and errors as of `HnswIndex.build`."""
        vectors = check_vectors(vectors)
        faiss = load_faiss()
        if not len(vectors):
            return cls(vectors, None)
        faiss.omp_set_num_threads(threads)  # of the calling thread only
        try:
            sample, centroids = _centroids(vectors, list_count(len(vectors)), stopped)
            lists = _empty_lists(centroids)
            lists.train(sample)
            for start in range(0, len(vectors), _CHUNK_ROWS):
                if stopped():
                    raise BuildStoppedError
                lists.add(np.ascontiguousarray(vectors[start : start + _CHUNK_ROWS]))
        finally:
            faiss.omp_set_num_threads(1)
        return cls(vectors, lists)

    @classmethod
    def load(cls, folder: Path, vectors: FloatArray) -> Self:
        """Returns the index of a folder that `save` wrote.

        Raises:
            IndexFileError: The folder is of other vectors, or damaged.
        """
        _FILE.read(folder, vectors)
        if not len(vectors):
            return cls(np.asarray(vectors), None)
        lists = read_faiss(_FILE.content(folder))
        faiss = load_faiss()
        if not isinstance(lists, faiss.IndexIVFScalarQuantizer) or lists.ntotal != len(vectors):
            raise IndexFileError("the file holds another index than it should")
        return cls(np.asarray(vectors), lists)

    @property
    def memory_bytes(self) -> int:
        if self._lists is None:
            return 0
        codes_and_ids: int = self.size * (self._lists.code_size + 8)
        centroids: int = self._lists.nlist * 2 * self.dimension
        return held_bytes(self._vectors) + codes_and_ids + centroids

    def save(self, folder: Path) -> None:
        write = None
        if self._lists is not None:
            write = lambda path: write_faiss(self._lists, path)  # noqa: E731 - else it has no name
        _FILE.write(folder, self._vectors, write)

    def _search(
        self, queries: FloatArray, limit: int, allowed: Selection | None, effort: Effort
    ) -> list[Nearest]:
        queries = np.ascontiguousarray(queries, np.float32)
        reachable = self.size if allowed is None else allowed.count
        default = _RESCORED * limit + _MORE_RESCORED
        wanted = min(reachable, max(limit, effort.candidates or default))
        if wanted == reachable:  # nothing to choose from
            return self._scanned(queries, limit, allowed)
        probes = self._probes(effort, 1.0 if allowed is None else allowed.share)
        if probes == self._lists.nlist:  # it would look at all: a scan costs less
            return self._scanned(queries, limit, allowed)
        found = self._probed(queries, wanted, probes, allowed)
        nearest = nearest_each(self._vectors, found, queries, limit)
        for number, one in enumerate(nearest):
            if len(one.rows) < min(limit, reachable):
                query = queries[number : number + 1]
                nearest[number] = self._widened(query, limit, wanted, probes, allowed)
        return nearest

    def _probes(self, effort: Effort, share: float) -> int:
        """Returns how many lists to look into.

        A filter that passes a share s of the rows leaves the nearest that pass about as
        far away as the nearest of k / s rows.
        """
        lists: int = self._lists.nlist
        default = math.ceil(_PROBED * math.sqrt(lists))
        probes: int = math.ceil((effort.n_probe or default) / math.sqrt(share))
        return min(probes, lists, MAX_PROBES)

    def _widened(
        self, query: FloatArray, limit: int, wanted: int, probes: int, allowed: Selection | None
    ) -> Nearest:
        """Looks into more lists until there are enough rows; there are enough to be found."""
        reachable = self.size if allowed is None else allowed.count
        while probes < self._lists.nlist:
            probes = min(self._lists.nlist, probes * _WIDER)
            found = self._probed(query, wanted, probes, allowed)
            [nearest] = nearest_each(self._vectors, found, query, limit)
            if len(nearest.rows) == min(limit, reachable):
                return nearest
        return self._scanned(query, limit, allowed)[0]

    def _probed(
        self, queries: FloatArray, wanted: int, probes: int, allowed: Selection | None
    ) -> IntArray:
        faiss = faiss_on_one_thread()
        parameters = faiss.SearchParametersIVF(nprobe=probes)
        if allowed is not None:
            # Both are read through bare pointers for as long as the search lasts.
            bits = allowed.bits
            parameters.sel = selector = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))
        _, rows = self._lists.search(queries, wanted, params=parameters)
        if allowed is not None:
            del selector, bits
        found: IntArray = rows
        return found


def list_count(size: int) -> int:
    """Returns how many lists an index of so many vectors has."""
    return max(1, min(int(_LISTS * math.sqrt(size)), size // _LIST_ROWS, MAX_PROBES))


def _centroids(
    vectors: FloatArray, count: int, stopped: Callable[[], bool]
) -> tuple[FloatArray, FloatArray]:
    """Returns a sample of the vectors and unit vectors in the middle of its groups."""
    rng = np.random.default_rng(_SEED)
    rows = rng.permutation(len(vectors))[: count * _TRAINING_ROWS]
    sample = vectors[np.sort(rows)]
    centroids = sample[rng.permutation(len(sample))[:count]]
    faiss = load_faiss()
    for _ in range(_ROUNDS):  # one at a time, to look at `stopped` in between
        if stopped():
            raise BuildStoppedError
        means = faiss.Kmeans(
            vectors.shape[1],
            count,
            niter=1,
            spherical=True,
            seed=_SEED,
            min_points_per_centroid=1,
            max_points_per_centroid=len(sample),
        )
        means.train(sample, init_centroids=centroids)
        centroids = means.centroids
    return sample, centroids


def _empty_lists(centroids: FloatArray) -> Any:
    faiss = load_faiss()
    count, dimension = centroids.shape
    bf16, metric = faiss.ScalarQuantizer.QT_bf16, faiss.METRIC_INNER_PRODUCT
    quantiser = faiss.IndexScalarQuantizer(dimension, bf16, metric)
    quantiser.is_trained = True  # bfloat16 has no codebook
    quantiser.add(centroids)
    lists = faiss.IndexIVFScalarQuantizer(
        quantiser, dimension, count, faiss.ScalarQuantizer.QT_8bit, metric
    )
    lists.own_fields = True  # it frees the quantiser
    quantiser.this.disown()
    return lists
