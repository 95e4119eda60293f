"""Every engine beside the exact scan: `python -m tests.bench.search.engines`.

Real questions, then near duplicates of them, and questions that are not among them. What
the defaults of arenalab.search.index.policy follow from. Ratios are to the exact scan in
the same run; memory is beside the vectors in full precision, which are served from a file.
"""

import argparse
import gc
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from arenalab.planning import Engine
from arenalab.search.embedder.factory import open_embedder
from arenalab.search.index import FloatArray, VectorIndex
from arenalab.search.index.builders import FAISS, HNSWLIB, build_index, load_index
from arenalab.search.index.hnswlib import is_installed
from tests.bench.search.texts import read_texts

SIZES: Final = (10_000, 100_000)
LIMIT: Final = 10
ASKED: Final = 1000
BATCH: Final = 16
ROUNDS: Final = 5  # of each measurement, interleaved; the median counts
TIMED: Final = 160  # searches a round and a thread
# As far from its text as a near duplicate is: cosines of .98 to .86.
NOISE: Final = (0.2, 0.6)

KINDS: Final = ((Engine.EXACT, FAISS), (Engine.HNSW, FAISS), (Engine.IVF, FAISS)) + (
    ((Engine.HNSW, HNSWLIB),) if is_installed() else ()
)


class Figures(NamedTuple):
    """What was measured of one engine at one size."""

    engine: str
    size: int
    build_s: float
    build_cpu_s: float
    load_s: float
    bytes_per_vector: float
    recall: float
    p50_us: float
    per_s_1: float
    per_s_2: float
    batch_per_s: float
    of_exact: float  # its p50 over that of the exact scan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--threads", type=int, default=2, help="to build with")
    arguments = parser.parse_args()
    real, asked = _embedded()
    figures = []
    for size in arguments.sizes:
        figures += _measured(_grown(real, size), asked, arguments.threads)
    _show(figures)
    print(json.dumps([one._asdict() for one in figures]))


def _embedded() -> tuple[FloatArray, FloatArray]:
    texts = read_texts()
    embedder = open_embedder()
    try:
        return embedder.embed_many(texts.stored), embedder.embed_many(texts.asked[:ASKED])
    finally:
        embedder.close()


def _grown(real: FloatArray, size: int) -> FloatArray:
    """Returns so many vectors: the real ones, then near duplicates of them."""
    if size <= len(real):
        return real[:size]
    rng = np.random.default_rng(7)
    grown = np.empty((size, real.shape[1]), np.float32)
    grown[: len(real)] = real
    for start in range(len(real), size, 16_384):
        block = grown[start : start + 16_384]
        noise = rng.standard_normal(block.shape, np.float32)
        noise *= rng.uniform(*NOISE, (len(block), 1)) / np.linalg.norm(noise, axis=1, keepdims=True)
        block[:] = real[rng.integers(0, len(real), len(block))] + noise
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    return grown


def _measured(vectors: FloatArray, asked: FloatArray, threads: int) -> list[Figures]:
    with tempfile.TemporaryDirectory(prefix="arenalab-bench-") as folder:
        np.save(Path(folder) / "vectors.npy", vectors)
        mapped: FloatArray = np.load(Path(folder) / "vectors.npy", mmap_mode="r")
        built = [_built(kind, mapped, threads, Path(folder)) for kind in KINDS]
        indexes = [index for index, _ in built]
        truth = [one.rows for one in indexes[0].search_batch(asked, LIMIT)]
        rounds = [[_round(index, asked) for index in indexes] for _ in range(ROUNDS)]
        figures: list[Figures] = []
        for number, (index, made) in enumerate(built):
            p50_us, per_s_1, per_s_2, batch_per_s = (
                statistics.median(part)
                for part in zip(*(one[number] for one in rounds), strict=True)
            )
            exact_us = figures[0].p50_us if figures else p50_us
            figures.append(
                Figures(
                    engine=f"{index.engine.value}, {index.library}",
                    size=len(vectors),
                    **made,
                    bytes_per_vector=index.memory_bytes / len(vectors),
                    recall=_recall(index, asked, truth),
                    p50_us=p50_us,
                    per_s_1=per_s_1,
                    per_s_2=per_s_2,
                    batch_per_s=batch_per_s,
                    of_exact=p50_us / exact_us,
                )
            )
        return figures


def _built(
    kind: tuple[Engine, str], vectors: FloatArray, threads: int, root: Path
) -> tuple[VectorIndex, dict[str, float]]:
    engine, library = kind
    folder = root / f"{engine.value}-{library}"
    folder.mkdir()
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    index = build_index(engine, vectors, threads=threads, library=library)
    made = {
        "build_s": time.perf_counter() - began_s,
        "build_cpu_s": time.process_time() - began_cpu_s,
    }
    index.save(folder)
    del index
    gc.collect()
    began_s = time.perf_counter()
    loaded = load_index(engine, folder, vectors, library=library)
    return loaded, {**made, "load_s": time.perf_counter() - began_s}


def _recall(index: VectorIndex, asked: FloatArray, truth: Sequence[np.ndarray]) -> float:
    found = sum(
        len(np.intersect1d(index.search(query, LIMIT).rows, rows))
        for query, rows in zip(asked, truth, strict=True)
    )
    return found / (LIMIT * len(asked))


def _round(index: VectorIndex, asked: FloatArray) -> tuple[float, float, float, float]:
    """Returns the median in microseconds, and searches a second: by 1 and 2 threads, batched."""
    took_s = []
    for query in asked[:TIMED]:
        began_s = time.perf_counter()
        index.search(query, LIMIT)
        took_s.append(time.perf_counter() - began_s)

    def one_by_one() -> None:
        for query in asked[:TIMED]:
            index.search(query, LIMIT)

    def batched() -> None:
        for start in range(0, TIMED, BATCH):
            index.search_batch(asked[start : start + BATCH], LIMIT)

    return (
        statistics.median(took_s) * 1e6,
        TIMED / sum(took_s),
        2 * TIMED / _together([one_by_one] * 2),
        TIMED / _together([batched]),
    )


def _together(works: Sequence[Callable[[], None]]) -> float:
    threads = [threading.Thread(target=work) for work in works]
    began_s = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began_s


def _show(figures: Sequence[Figures]) -> None:
    table = Table(title="Engines, 384 dimensions, recall@10")
    for column in (
        "engine", "vectors", "build s", "CPU s", "load s", "bytes/vector", "recall", "p50 µs",
        "of exact", "1 thread/s", "2 threads/s", f"batch of {BATCH}/s",
    ):  # fmt: skip
        table.add_column(column, justify="left" if column == "engine" else "right")
    for one in figures:
        table.add_row(
            one.engine,
            f"{one.size:,}",
            f"{one.build_s:.2f}",
            f"{one.build_cpu_s:.2f}",
            f"{one.load_s:.3f}",
            f"{one.bytes_per_vector:,.0f}",
            f"{one.recall:.4f}",
            f"{one.p50_us:,.0f}",
            f"{one.of_exact:.3f}",
            f"{one.per_s_1:,.0f}",
            f"{one.per_s_2:,.0f}",
            f"{one.batch_per_s:,.0f}",
        )
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
