"""Filtered searches beside the best that could have been done for each.

Compared is time spent in the indexes: the service's own `search_us` (planning, bitmaps,
probe, search and merging, without gRPC) with the best raw method, in microseconds. Both
are asked in turn, question by question, so that both suffer the same noise and the same
cold caches. The raw methods get their allowed rows ready-made. A second ratio is what a
client sees: the whole RPC, beside an RPC that does nothing and the best raw method.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

import numpy as np

from arenalab.api.common.v1 import filter_pb2
from arenalab.planning import Engine
from arenalab.search.index import FloatArray
from tests.bench.search.cases import Case, cases_of
from tests.bench.search.corpus import Corpus
from tests.bench.search.raw import Raw, recall
from tests.bench.search.rounds import ROUNDS
from tests.bench.search.serving import Served
from tests.bench.search.sheet import Sheet

_EFS: Final = (32, 64, 128, 256, 512, 1024, 2048)
# What the best method is chosen from costs too much where it is slow.
_TRIED: Final = 30
# Below this Python around the engine decides, not the way of searching.
_LONG_US: Final = 200.0

Method = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class _Best:
    name: str
    method: Method
    took_us: float


@dataclass(frozen=True)
class Outcome:
    """What one case came to."""

    recall: float
    service_us: float
    raw_us: float
    scan_us: float  # of the same index, all rows that pass
    ratio: float
    rpc_ratio: float


class _Round(NamedTuple):
    service_us: float
    raw_us: float
    scan_us: float
    rpc_us: float
    empty_us: float
    found: list[FloatArray]


async def measure_filtered(sheet: Sheet, served: Served, corpus: Corpus, raw: Raw) -> None:
    """Puts every case and the worst of them on the sheet."""
    least = 0.985 if len(corpus) >= 1_000_000 else 0.99
    outcomes = []
    for case in cases_of(corpus):
        best = _best(raw, case, least)
        outcome = await _outcome(served, case, raw, best)
        outcomes.append(outcome)
        sheet.put(
            "filtered: microseconds in the indexes, p50",
            f"filtered_{case.name}_us",
            outcome.service_us,
            f"{best.name} {outcome.raw_us:.0f} µs: ratio {outcome.ratio:.2f}; recall"
            f" {outcome.recall:.4f}; {len(case.rows):,} pass, scan {outcome.scan_us:.0f} µs",
        )
    section = "filtered: all cases"
    sheet.put(section, "filtered_min_recall", min(one.recall for one in outcomes))
    sheet.put(section, "filtered_worst_ratio", max(one.ratio for one in outcomes),
              "search_us of the service over the best raw method at that recall")  # fmt: skip
    long = [one.ratio for one in outcomes if one.raw_us >= _LONG_US]
    sheet.put(section, "filtered_worst_ratio_long", max(long, default=0.0),
              f"the same, where the raw method takes {_LONG_US:.0f} µs or more")  # fmt: skip
    sheet.put(
        section,
        "filtered_worst_rpc_ratio",
        max(one.rpc_ratio for one in outcomes),
        "the whole RPC over an RPC that does nothing and the best raw method",
    )
    added = [one.service_us - one.raw_us for one in outcomes]
    sheet.put(section, "filtered_median_added_us", float(np.median(added)),
              "what the service adds: planning, probe, bitmaps, merging")  # fmt: skip
    sheet.put(section, "filtered_fresh_us", await _fresh_us(served, corpus),
              "a filter of half of all spans that was never asked before")  # fmt: skip


async def _outcome(served: Served, case: Case, raw: Raw, best: _Best) -> Outcome:
    rounds = [await _round(served, case, raw, best) for _ in range(ROUNDS)]
    return Outcome(
        recall=recall(rounds[-1].found, case.last, case.hits),
        service_us=_median([one.service_us for one in rounds]),
        raw_us=_median([one.raw_us for one in rounds]),
        scan_us=_median([one.scan_us for one in rounds]),
        ratio=_median([one.service_us / one.raw_us for one in rounds]),
        rpc_ratio=_median([one.rpc_us / (one.empty_us + one.raw_us) for one in rounds]),
    )


async def _round(served: Served, case: Case, raw: Raw, best: _Best) -> _Round:
    service_us, raw_us, scan_us, rpc_us, empty_us = [], [], [], [], []
    found = []
    for question in case.questions:
        began_s = time.perf_counter()
        reply = await served.search(question, case.wanted)
        rpc_us.append((time.perf_counter() - began_s) * 1e6)
        service_us.append(reply.search_us)
        found.append(np.frombuffer(reply.similarities, "<f4"))
        raw_us.append(_took_us(best.method, question))
        scan_us.append(_took_us(lambda query: raw.scan(query, case.rows), question))
        began_s = time.perf_counter()
        await served.empty()
        empty_us.append((time.perf_counter() - began_s) * 1e6)
    service, best_us, scan, rpc, empty = (
        _median(some) for some in (service_us, raw_us, scan_us, rpc_us, empty_us)
    )
    return _Round(service, best_us, scan, rpc, empty, found)


def _median(values: Sequence[float]) -> float:
    return float(np.median(values))


def _best(raw: Raw, case: Case, least: float) -> _Best:
    """Returns the fastest method that reaches the recall; a scan always does."""
    methods = [
        _timed("scan", lambda query: raw.scan(query, case.rows), case),
        _timed("faiss scan", lambda query: raw.faiss_scan(query, case.rows), case),
    ]
    if raw.index.engine is Engine.HNSW:
        for name, method in (("selector", raw.selected), ("post-filter", raw.filtered_after)):
            for ef in _EFS:
                walk = partial(_walked, method, ef, case)
                one = _timed(f"{name}, ef {ef}", walk, case)
                if one.took_us > 2 * methods[0].took_us:
                    break  # harder looking only costs more
                if _recall_of(one, case) >= least:
                    methods.append(one)
                    break
    return min(methods, key=lambda one: one.took_us)


def _walked(
    method: Callable[..., FloatArray], ef: int, case: Case, query: FloatArray
) -> FloatArray:
    found: FloatArray = method(query, ef, case.allowed)
    return found


def _timed(name: str, method: Method, case: Case) -> _Best:
    took_us = [_took_us(method, question) for question in case.questions[:_TRIED]]
    return _Best(name, method, float(np.median(took_us)))


def _recall_of(best: _Best, case: Case) -> float:
    found = [best.method(question) for question in case.questions]
    return recall(found, case.last, case.hits)


def _took_us(method: Method, question: FloatArray) -> float:
    began_s = time.perf_counter()
    method(question)
    return (time.perf_counter() - began_s) * 1e6


async def _fresh_us(served: Served, corpus: Corpus) -> float:
    took_us = []
    for number, question in enumerate(corpus.questions[:100]):
        wanted = filter_pb2.SpanFilter(min_quality=50 + number / 1000 + 1e-4)
        took_us.append((await served.search(question, wanted)).search_us)
    return float(np.median(took_us))
