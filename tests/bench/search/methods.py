"""The raw methods that a filtered search is judged by, and the fastest of them."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

import numpy as np

from arenalab.planning import Engine
from arenalab.search.index import FloatArray
from tests.bench.search.cases import Case
from tests.bench.search.raw import Raw, recall

EFS: Final = (32, 64, 128, 256, 512, 1024, 2048)
# What the best method is chosen from costs too much where it is slow.
TRIED: Final = 30

Method: TypeAlias = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class RawMethod:
    """One way of searching without a service."""

    name: str
    method: Method
    p50_us: float


def best_method(raw: Raw, case: Case, least: float) -> RawMethod:
    """Returns the fastest method that reaches the recall; a scan always does."""
    methods = [
        _timed("scan", lambda query: raw.scan(query, case.rows), case),
        _timed("faiss scan", lambda query: raw.faiss_scan(query, case.rows), case),
    ]
    if raw.index.engine is Engine.HNSW:
        for name, method in (("selector", raw.selected), ("post-filter", raw.filtered_after)):
            for ef in EFS:
                walk = partial(_walked, method, ef, case)
                one = _timed(f"{name}, ef {ef}", walk, case)
                if one.p50_us > 2 * methods[0].p50_us:
                    break  # harder looking only costs more
                if _recall_of(one, case) >= least:
                    methods.append(one)
                    break
    return min(methods, key=lambda one: one.p50_us)


def _walked(
    method: Callable[..., FloatArray], ef: int, case: Case, query: FloatArray
) -> FloatArray:
    found: FloatArray = method(query, ef, case.allowed)
    return found


def _timed(name: str, method: Method, case: Case) -> RawMethod:
    each_us = [took_us(method, question) for question in case.questions[:TRIED]]
    return RawMethod(name, method, float(np.median(each_us)))


def _recall_of(best: RawMethod, case: Case) -> float:
    found = [best.method(question) for question in case.questions]
    return recall(found, case.last, case.hits)


def took_us(method: Method, question: FloatArray) -> float:
    """Returns how long a method takes for a question."""
    began_s = time.perf_counter()
    method(question)
    return (time.perf_counter() - began_s) * 1e6
