"""Measures what searching costs on this machine.

The measurement takes two seconds at most, with synthetic vectors of 31 MB of codes: more
than a processor's cache holds, since that is where a graph's reads come from as soon as
graphs are of use. Its graph is a hasty one; what one of its distances costs is the same.
Where time runs out, what was not measured is the default, slower or faster by as much as
what was.
"""

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from arenalab.planning import DEFAULT_MODEL, CostModel
from arenalab.search.index.exact import ExactIndex
from arenalab.search.index.protocol import FloatArray, rescore
from arenalab.search.index.selection import Selection
from arenalab.vectors import load_faiss

BUDGET_S: Final = 2.0
_COMPONENTS: Final = 40_000 * 384
_LEAST_ROWS: Final = 2000
_CHUNK_ROWS: Final = 4000
_LISTS: Final = 64
_LINKS: Final = 16  # as the real graph
_HASTY: Final = 8  # its efConstruction: a twentieth of the real one's work
_EF: Final = 64
_LIST_NS: Final = 0.32  # see planning/cost.py: kept apart from the distances
_HITS: Final = 10
_FEW: Final = 100
_DOUBT: Final = 70  # rows that a scan for so many hits compares once more
_QUERIES: Final = 48
_NS: Final = 1e9
# The build of the graph may take this part of the time.
_GRAPH_SHARE: Final = 0.55
_LEAST_NS: Final = 0.01


@dataclass
class _Bench:
    vectors: FloatArray
    queries: FloatArray
    deadline: float

    def is_over(self) -> bool:
        return time.perf_counter() > self.deadline

    def median_ns(self, work: Callable[[FloatArray], object]) -> float:
        """Returns the median time of some work over the queries, in nanoseconds."""
        work(self.queries[0])  # the first one loads
        times = []
        for query in self.queries:
            began = time.perf_counter_ns()
            work(query)
            times.append(time.perf_counter_ns() - began)
            if self.is_over():
                break
        return statistics.median(times)


def measure(
    dimension: int, budget_s: float = BUDGET_S, now: Callable[[], int] = time.time_ns
) -> CostModel:
    """Returns what searching costs on this machine. Works for about `budget_s` seconds.

    Args:
        dimension: Of the vectors.
        budget_s: Seconds that it may take.
        now: Tells nanoseconds since the epoch.
    """
    began = time.perf_counter()
    load_faiss().omp_set_num_threads(1)  # of the calling thread only
    bench = _bench(dimension, began + budget_s)
    found: dict[str, float] = {}
    for measured in (_scans, _graph, _lists, _selector):
        if bench.is_over():
            break
        found |= measured(bench, began + budget_s * _GRAPH_SHARE)
    return _model(dimension, found, now())


def fingerprint(dimension: int) -> dict[str, Any]:
    """Returns what a measurement is only good for."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count() or 1,
        "faiss": str(load_faiss().__version__),
        "numpy": np.__version__,
        "dimension": dimension,
        "form": 1,  # of the measurement itself
    }


def _bench(dimension: int, deadline: float) -> _Bench:
    rows = max(_LEAST_ROWS, _COMPONENTS // dimension)
    random = np.random.default_rng(0)
    # Uniform numbers cost a third of normal ones, and make the same reads.
    centres = random.random((max(1, rows // 50), dimension), np.float32) - np.float32(0.5)
    vectors = random.random((rows, dimension), np.float32)
    vectors -= np.float32(0.5)
    vectors += centres[random.integers(0, len(centres), rows)]
    vectors /= np.sqrt(np.vecdot(vectors, vectors))[:, None]
    queries = vectors[random.integers(0, rows, _QUERIES)].copy()
    return _Bench(vectors, queries, deadline)


def _scans(bench: _Bench, until: float) -> dict[str, float]:
    del until
    vectors = bench.vectors
    rows = len(vectors)
    index = ExactIndex(vectors)
    shuffled = np.random.default_rng(1).permutation(rows)
    many, few = np.sort(shuffled[: rows // 20]), np.sort(shuffled[:_FEW])
    scored = shuffled[:_FEW]
    rescore_ns = bench.median_ns(lambda query: rescore(vectors, scored, query)) / _FEW
    all_ns = bench.median_ns(lambda query: index.scan(query, _HITS, None))
    many_ns = bench.median_ns(lambda query: index.scan(query, _HITS, many))
    few_ns = bench.median_ns(lambda query: index.scan(query, _HITS, few))
    gather_ns = (many_ns - few_ns) / (len(many) - _FEW)
    # What a scan of few costs beside comparing them, and at least what one of none does.
    one_ns = bench.median_ns(lambda query: index.scan(query, _HITS, few[:1]))
    call_ns = max(one_ns, few_ns - _FEW * gather_ns - _DOUBT * rescore_ns)
    return {
        "call_us": call_ns / 1e3,
        "scan_ns": (all_ns - call_ns - _DOUBT * rescore_ns) / rows,
        "gather_ns": gather_ns,
        "rescore_ns": rescore_ns,
    }


def _graph(bench: _Bench, until: float) -> dict[str, float]:
    faiss = load_faiss()
    graph = faiss.IndexHNSWSQ(
        bench.vectors.shape[1],
        faiss.ScalarQuantizer.QT_bf16,
        _LINKS,
        faiss.METRIC_INNER_PRODUCT,
    )
    graph.hnsw.efConstruction = _HASTY
    graph.is_trained = True  # bfloat16 has no codebook
    for start in range(0, len(bench.vectors), _CHUNK_ROWS):
        graph.add(bench.vectors[start : start + _CHUNK_ROWS])
        if time.perf_counter() > until:
            break
    parameters = faiss.SearchParametersHNSW(efSearch=_EF)
    walk_ns = bench.median_ns(lambda query: graph.search(query[None], _HITS, params=parameters))
    compared = _compared(graph, bench.queries, parameters)  # afterwards: it loads the caches
    idle_ns = _idle_ns(bench)
    return {"graph_ns": (walk_ns - idle_ns - _LIST_NS * _EF**2) / max(1.0, compared)}


def _compared(graph: Any, queries: FloatArray, parameters: Any) -> float:
    """Returns how many distances one walk computes, by the library's own count."""
    total = load_faiss().cvar.hnsw_stats
    before = total.ndis
    graph.search(queries, _HITS, params=parameters)
    return float(total.ndis - before) / len(queries)


def _idle_ns(bench: _Bench) -> float:
    faiss = load_faiss()
    empty = faiss.IndexFlatIP(bench.vectors.shape[1])
    empty.add(bench.vectors[:1])
    return bench.median_ns(lambda query: empty.search(query[None], 1))


def _lists(bench: _Bench, until: float) -> dict[str, float]:
    del until
    faiss = load_faiss()
    dimension = bench.vectors.shape[1]
    centres = faiss.IndexFlatIP(dimension)
    centres.add(bench.vectors[:_LISTS])
    lists = faiss.IndexIVFScalarQuantizer(
        centres, dimension, _LISTS, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
    )
    rows = bench.vectors[: len(bench.vectors) // 4]
    lists.train(rows[: _LISTS * 40])
    lists.add(rows)
    few, many = (faiss.SearchParametersIVF(nprobe=probes) for probes in (1, _LISTS))
    few_ns = bench.median_ns(lambda query: lists.search(query[None], _HITS, params=few))
    many_ns = bench.median_ns(lambda query: lists.search(query[None], _HITS, params=many))
    return {"list_ns": (many_ns - few_ns) / (len(rows) * (1 - 1 / _LISTS))}


def _selector(bench: _Bench, until: float) -> dict[str, float]:
    del until
    rows = len(bench.vectors)
    half = np.arange(0, rows, 2)
    selections = [Selection.of_rows(half, rows) for _ in range(_QUERIES + 1)]
    select_ns = bench.median_ns(lambda _: selections.pop().bits if selections else None)
    return {"select_ns": select_ns / rows}


def _model(dimension: int, found: dict[str, float], measured_at_ns: int) -> CostModel:
    names = ("scan_ns", "gather_ns", "graph_ns", "list_ns", "rescore_ns", "select_ns", "call_us")
    scale = DEFAULT_MODEL.scaled(dimension)
    usual = {
        name: getattr(DEFAULT_MODEL, name) * (1 if name in ("select_ns", "call_us") else scale)
        for name in names
    }
    speeds = [max(_LEAST_NS, cost) / usual[name] for name, cost in found.items()]
    speed = statistics.median(speeds) if speeds else 1.0
    costs: dict[str, Any] = {
        name: max(_LEAST_NS, found[name]) if name in found else usual[name] * speed
        for name in names
    }
    return CostModel(dimension=dimension, measured_at_ns=measured_at_ns, **costs)


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
