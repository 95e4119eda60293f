"""Filtered searches beside the best that could have been done for each.

Three ratios, each of medians. What a client sees: the whole RPC beside an RPC that does
nothing with the best raw method behind it, which no service can be faster than. The
indexes alone: the service's own `search_us` (planning, bitmaps, probe, search and merging,
without gRPC) beside the best raw method; where that takes 40 us, any line of Python shows.
And the planner's choice: `search_us` beside that of the best plan forced on the service.

All are asked in turn, question by question, so that all suffer the same noise and the same
cold caches. The raw methods get their allowed rows ready-made, and the effort that was just
enough for these very questions.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from arenalab.api.common.v1 import filter_pb2
from arenalab.search.index import FloatArray
from tests.bench.search.cases import Case, cases_of
from tests.bench.search.corpus import Corpus
from tests.bench.search.forced import Forced, best_forced, ways_of
from tests.bench.search.methods import RawMethod, best_method, took_us
from tests.bench.search.raw import Raw, recall
from tests.bench.search.rounds import ROUNDS
from tests.bench.search.serving import Served
from tests.bench.search.sheet import Sheet

# Below this Python around the engine decides, not the way of searching.
_LONG_US: Final = 200.0


@dataclass(frozen=True)
class Outcome:
    """What one case came to."""

    recall: float
    service_us: float
    raw_us: float
    scan_us: float  # of the same index, all rows that pass
    ratio: float
    rpc_ratio: float
    choice_ratio: float


class _Round(NamedTuple):
    service_us: float
    raw_us: float
    scan_us: float
    rpc_us: float
    empty_us: float
    forced_us: float
    found: list[FloatArray]


async def measure_filtered(sheet: Sheet, served: Served, corpus: Corpus, raw: Raw) -> None:
    """Puts every case and the worst of them on the sheet."""
    least = 0.985 if len(corpus) >= 1_000_000 else 0.99
    outcomes = []
    for case in cases_of(corpus):
        best = best_method(raw, case, least)
        forced = await best_forced(served, case, least, raw.index.engine)
        outcome = await _outcome(served, case, raw, best, forced)
        outcomes.append(outcome)
        sheet.put(
            "filtered: microseconds in the indexes, p50",
            f"filtered_{case.name}_us",
            outcome.service_us,
            f"{await _chosen(served, case)}, best {forced.name} ({outcome.choice_ratio:.2f}),"
            f" raw {best.name} {outcome.raw_us:.0f} µs ({outcome.ratio:.2f}; of RPCs"
            f" {outcome.rpc_ratio:.2f}), scan {outcome.scan_us:.0f} µs; recall"
            f" {outcome.recall:.4f}; {len(case.rows):,} pass",
        )
    section = "filtered: all cases"
    sheet.put(section, "filtered_min_recall", min(one.recall for one in outcomes))
    sheet.put(section, "filtered_worst_ratio", max(one.rpc_ratio for one in outcomes),
              "the whole RPC over an RPC that does nothing and the best raw method")  # fmt: skip
    sheet.put(section, "filtered_worst_inside_ratio", max(one.ratio for one in outcomes),
              "search_us of the service over the best raw method at that recall")  # fmt: skip
    long = [one.ratio for one in outcomes if one.raw_us >= _LONG_US]
    sheet.put(section, "filtered_worst_inside_ratio_long", max(long, default=0.0),
              f"the same, where the raw method takes {_LONG_US:.0f} µs or more")  # fmt: skip
    sheet.put(section, "filtered_worst_choice_ratio", max(one.choice_ratio for one in outcomes),
              "search_us of the service over that of the best plan forced on it")  # fmt: skip
    added = [one.service_us - one.raw_us for one in outcomes]
    sheet.put(section, "filtered_median_added_us", float(np.median(added)),
              "what the service adds: planning, probe, bitmaps, merging")  # fmt: skip
    sheet.put(section, "filtered_fresh_us", await _fresh_us(served, corpus),
              "a filter of half of all spans that was never asked before")  # fmt: skip


async def _outcome(
    served: Served, case: Case, raw: Raw, best: RawMethod, forced: Forced
) -> Outcome:
    rounds = [await _round(served, case, raw, best, forced) for _ in range(ROUNDS)]
    return Outcome(
        recall=recall(rounds[-1].found, case.last, case.hits),
        service_us=_median([one.service_us for one in rounds]),
        raw_us=_median([one.raw_us for one in rounds]),
        scan_us=_median([one.scan_us for one in rounds]),
        ratio=_median([one.service_us / one.raw_us for one in rounds]),
        rpc_ratio=_median([one.rpc_us / (one.empty_us + one.raw_us) for one in rounds]),
        choice_ratio=_median([one.service_us / one.forced_us for one in rounds]),
    )


async def _round(served: Served, case: Case, raw: Raw, best: RawMethod, forced: Forced) -> _Round:
    service_us, raw_us, scan_us, rpc_us, empty_us, forced_us = [], [], [], [], [], []
    found = []
    for question in case.questions:
        began_s = time.perf_counter()
        reply = await served.search(question, case.wanted)
        rpc_us.append((time.perf_counter() - began_s) * 1e6)
        service_us.append(reply.search_us)
        found.append(np.frombuffer(reply.similarities, "<f4"))
        reply = await served.search(question, case.wanted, plan=forced.plan)
        forced_us.append(reply.search_us)
        raw_us.append(took_us(best.method, question))
        scan_us.append(took_us(lambda query: raw.scan(query, case.rows), question))
        began_s = time.perf_counter()
        await served.empty()
        empty_us.append((time.perf_counter() - began_s) * 1e6)
    service, best_us, scan, rpc, empty, forced_p50 = (
        _median(some) for some in (service_us, raw_us, scan_us, rpc_us, empty_us, forced_us)
    )
    return _Round(service, best_us, scan, rpc, empty, forced_p50, found)


def _median(values: Sequence[float]) -> float:
    return float(np.median(values))


async def _chosen(served: Served, case: Case) -> str:
    reply = await served.search(case.questions[0], case.wanted, explain=True)
    return ways_of(reply.plan)


async def _fresh_us(served: Served, corpus: Corpus) -> float:
    took_us = []
    for number, question in enumerate(corpus.questions[:100]):
        wanted = filter_pb2.SpanFilter(min_quality=50 + number / 1000 + 1e-4)
        took_us.append((await served.search(question, wanted)).search_us)
    return float(np.median(took_us))
