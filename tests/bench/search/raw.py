"""The engine without a service around it, and what else the machine can do at best."""

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from arenalab.api.common.v1 import plan_pb2
from arenalab.planning import Engine
from arenalab.search.index import Effort, FloatArray, IntArray, Selection, VectorIndex
from arenalab.search.index.builders import build_index
from arenalab.vectors import load_faiss
from tests.bench.search.serving import K

CORES: Final = os.cpu_count() or 1
# Similarities of a true neighbour, computed twice, differ by less.
SLACK: Final = 2e-6
_BLOCK_ROWS: Final = 65_536
_RESCORED: Final = 2 * K


@dataclass(frozen=True, eq=False)
class Raw:
    """The kind of index that is served, over the same vectors, in this process."""

    index: VectorIndex
    vectors: FloatArray
    effort: Effort  # of the plan that the service follows
    build_s: float

    @classmethod
    def build(cls, vectors: FloatArray, engine: Engine, plan: plan_pb2.QueryPlan) -> "Raw":
        began_s = time.perf_counter()
        index = build_index(engine, vectors, threads=CORES)
        took_s = time.perf_counter() - began_s
        effort = Effort(plan.ef_search, plan.n_probe, plan.candidates)
        return cls(index, np.asarray(vectors), effort, took_s)

    def search(self, query: FloatArray) -> None:
        self.index.search(query, K, effort=self.effort)

    def search_all(self, queries: FloatArray) -> None:
        for query in queries:
            self.search(query)

    def batch(self, queries: FloatArray) -> None:
        self.index.search_batch(queries, K, effort=self.effort)

    def scan(self, query: FloatArray, rows: IntArray) -> FloatArray:
        """Returns the K largest similarities among rows, by the index's own scan."""
        return self.index.scan(query, K, rows).similarities.astype(np.float32)

    def faiss_scan(self, query: FloatArray, rows: IntArray) -> FloatArray:
        """As `scan`, by faiss over the float32 vectors."""
        faiss = load_faiss()
        faiss.omp_set_num_threads(1)
        similarities = np.empty(min(K, len(rows)), np.float32)
        faiss.knn_inner_products_by_idx(
            *map(faiss.swig_ptr, (query, self.vectors, rows)),
            *(self.vectors.shape[1], 1, len(self.vectors), len(rows), len(similarities)),
            *map(faiss.swig_ptr, (similarities, np.empty(len(similarities), np.int64))),
        )
        return similarities

    def walk(self, query: FloatArray, ef: int, wanted: int, allowed: Selection | None) -> IntArray:
        """Returns what faiss's own search returns: rows, best first, -1 for none."""
        faiss = load_faiss()
        faiss.omp_set_num_threads(1)
        parameters = faiss.SearchParametersHNSW(efSearch=ef)
        if allowed is not None:
            bits = allowed.bits
            selector = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))
            parameters.sel = selector
        graph: Any = self.index._graph  # type: ignore[attr-defined]  # faiss alone is wanted here
        _, rows = graph.search(query[None], wanted, params=parameters)
        found: IntArray = rows[0]
        return found

    def selected(self, query: FloatArray, ef: int, allowed: Selection) -> FloatArray:
        """Returns similarities of a walk that is handed the allowed rows."""
        rows = self.walk(query, max(ef, _RESCORED), _RESCORED, allowed)
        return self._best(query, rows[rows >= 0])

    def filtered_after(self, query: FloatArray, ef: int, allowed: Selection) -> FloatArray:
        """Returns similarities of an unfiltered walk of which the rest is dropped."""
        rows = self.walk(query, ef, ef, None)
        rows = rows[rows >= 0]
        return self._best(query, rows[allowed.mask[rows]][:_RESCORED])

    def _best(self, query: FloatArray, rows: IntArray) -> FloatArray:
        similarities = self.vectors[rows] @ query
        best: FloatArray = -np.sort(-similarities)[:K]
        return best


def searches_per_s(raw: Raw, queries: FloatArray, threads: int) -> float:
    """Returns the queries a second that some threads search one by one."""
    with ThreadPoolExecutor(threads) as pool:
        began_s = time.perf_counter()
        list(pool.map(raw.search_all, np.array_split(queries, threads)))
        return len(queries) / (time.perf_counter() - began_s)


def batches_per_s(raw: Raw, batches: Sequence[FloatArray], threads: int) -> float:
    """Returns the queries a second of batches searched by some threads."""
    with ThreadPoolExecutor(threads) as pool:
        began_s = time.perf_counter()
        list(pool.map(raw.batch, batches))
        return sum(map(len, batches)) / (time.perf_counter() - began_s)


def true_last(vectors: FloatArray, queries: FloatArray, rows: IntArray | None = None) -> FloatArray:
    """Returns the similarity of the last true neighbour of each query, by brute force."""
    count = len(vectors) if rows is None else len(rows)
    best = np.full((len(queries), K), -np.inf, np.float32)
    for start in range(0, count, _BLOCK_ROWS):
        stop = min(count, start + _BLOCK_ROWS)
        block = vectors[start:stop] if rows is None else vectors[rows[start:stop]]
        scores = np.concatenate([best, queries @ block.T], axis=1)
        best = -np.partition(-scores, K - 1, axis=1)[:, :K]
    last: FloatArray = best.min(axis=1) if count >= K else np.full(len(queries), -1, np.float32)
    return last


def recall(similarities: Sequence[FloatArray], last: FloatArray, wanted: int = K) -> float:
    """Returns the share of true neighbours that was found."""
    found = [
        min(wanted, int((one >= least - SLACK).sum()))
        for one, least in zip(similarities, last, strict=True)
    ]
    return sum(found) / (wanted * len(found)) if wanted else 1.0


def memory_gb_per_s() -> float:
    """Returns how fast one thread reads memory, by NumPy's sum of 256 MB."""
    block = np.ones(1 << 26, np.float32)
    took_s = []
    for _ in range(5):
        began_s = time.perf_counter()
        block.sum()
        took_s.append(time.perf_counter() - began_s)
    return block.nbytes / min(took_s) / 1e9
