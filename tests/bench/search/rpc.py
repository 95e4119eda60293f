"""Searches by vector over gRPC beside the raw engine and an RPC that does nothing."""

import time
from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np

from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.search.index import FloatArray
from tests.bench.search.corpus import DATASET, Corpus
from tests.bench.search.raw import (
    CORES,
    Raw,
    batches_per_s,
    recall,
    searches_per_s,
    true_last,
)
from tests.bench.search.rounds import ROUNDS, Ask, Spread, Took, asked, called, ms
from tests.bench.search.serving import K, Served, bare_stub, request_of
from tests.bench.search.sheet import Sheet

Vectors: TypeAlias = Callable[[int], FloatArray]

CLIENTS: Final = 16
BATCH: Final = 16
_BATCHING_CLIENTS: Final = 4
_ONE_BY_ONE: Final = 400
_AT_ONCE: Final = 1600
_BATCHES: Final = 50
_WARM: Final = 200
_RECALLED: Final = 1000


async def measure_recall(sheet: Sheet, served: Served, corpus: Corpus, raw: Raw) -> None:
    """Puts recall without a filter, by brute force, on the sheet."""
    questions = corpus.questions[:_RECALLED]
    last = true_last(corpus.vectors, questions)
    found = []
    for question in questions:
        reply = await served.search(question)
        rows = corpus.rows_of(reply.span_ids)
        # Of what the ids name, not of what the reply says.
        found.append(corpus.vectors[rows] @ question)
    of_raw = [
        raw.index.search(question, K, effort=raw.effort).similarities.astype(np.float32)
        for question in questions
    ]
    sheet.put("recall", "recall_at_10", recall(found, last),
              f"raw engine {recall(of_raw, last):.4f}; {len(questions):,} questions")  # fmt: skip


async def measure_single(sheet: Sheet, served: Served, corpus: Corpus, raw: Raw) -> None:
    """Puts searches one by one and by many clients on the sheet."""
    questions = corpus.questions

    def at(number: int) -> FloatArray:
        vector: FloatArray = questions[number % len(questions)]
        return vector

    async def empty(_: int) -> None:
        await served.empty()

    async with bare_stub(served.address) as bare:

        async def search(number: int) -> None:
            await served.search(at(number))

        async def search_bare(number: int) -> None:
            await bare.Search(request_of(at(number)))

        for ask in (search, search_bare, empty):
            await asked(ask, _WARM)
        await _one_client(sheet, {"mesh": search, "bare": search_bare, "empty": empty}, raw, at)
        await _many_clients(sheet, served, {"mesh": search, "bare": search_bare, "empty": empty})
    inside = [(await served.search(at(number))).search_us for number in range(_ONE_BY_ONE)]
    sheet.put("one client", "search_us_p50", float(np.median(inside)), "in the indexes, of that")


async def _one_client(sheet: Sheet, asks: dict[str, Ask], raw: Raw, at: Vectors) -> None:
    took: dict[str, list[Took]] = {name: [] for name in (*asks, "raw")}
    threaded = []
    queries = np.array([at(number) for number in range(2 * _ONE_BY_ONE)])
    for number in range(ROUNDS):
        first = number * _ONE_BY_ONE
        threaded.append(searches_per_s(raw, queries, CORES))
        for name, ask in asks.items():
            took[name].append(await asked(ask, _ONE_BY_ONE, first=first))
        took["raw"].append(called(lambda one: raw.search(at(one)), _ONE_BY_ONE, first))
    p50 = {name: Spread([ms(one.each_s) for one in rounds]).median for name, rounds in took.items()}
    p99 = Spread([ms(one.each_s, 99) for one in took["mesh"]]).median
    section = "one client"
    sheet.put(section, "rpc_p50_ms", p50["mesh"],
              f"an RPC that does nothing {p50['empty']:.3f} ms + raw engine {p50['raw']:.3f} ms"
              f" = {p50['empty'] + p50['raw']:.3f} ms")  # fmt: skip
    sheet.put(section, "rpc_p99_ms", p99)
    sheet.put(section, "bare_rpc_p50_ms", p50["bare"], "by a channel that traces nothing")
    sheet.put(section, "empty_rpc_p50_ms", p50["empty"], "the health check of the same process")
    sheet.put(section, "raw_p50_ms", p50["raw"], "the same engine in this process, one thread")
    raw_qps = Spread([one.per_s for one in took["raw"]]).median
    sheet.put(section, "raw_qps", raw_qps, "one query at a time, one thread")
    sheet.put(section, "raw_qps_threads", Spread(threaded).median, f"the same, {CORES} threads")


async def _many_clients(sheet: Sheet, served: Served, asks: dict[str, Ask]) -> None:
    rounds: dict[str, list[Took]] = {name: [] for name in asks}
    ours_s = theirs_s = 0.0
    for number in range(ROUNDS):
        for name, ask in asks.items():
            before = time.process_time(), served.cpu_s()
            took = await asked(ask, _AT_ONCE, CLIENTS, first=number * _AT_ONCE)
            rounds[name].append(took)
            if name == "mesh":
                ours_s += time.process_time() - before[0]
                theirs_s += served.cpu_s() - before[1]
    per_s = {name: Spread([one.per_s for one in took]).median for name, took in rounds.items()}
    p50 = Spread([ms(one.each_s) for one in rounds["mesh"]]).median
    p99 = Spread([ms(one.each_s, 99) for one in rounds["mesh"]]).median
    section = f"{CLIENTS} clients"
    searches = ROUNDS * _AT_ONCE
    sheet.put(section, "qps_c16", per_s["mesh"],
              f"an RPC that does nothing: {per_s['empty']:,.0f}/s;"
              f" by a bare channel {per_s['bare']:,.0f}/s")  # fmt: skip
    sheet.put(section, "qps_c16_p50_ms", p50)
    sheet.put(section, "qps_c16_p99_ms", p99)
    sheet.put(section, "qps_c16_bare", per_s["bare"])
    sheet.put(section, "empty_qps_c16", per_s["empty"])
    sheet.put(section, "server_cpu_us_a_search", theirs_s / searches * 1e6,
              f"of the client: {ours_s / searches * 1e6:.0f} µs; {CORES} cores in all")  # fmt: skip


async def measure_batches(sheet: Sheet, served: Served, corpus: Corpus, raw: Raw) -> None:
    """Puts BatchSearch and the raw engine's batches on the sheet."""
    batches = [
        np.ascontiguousarray(np.take(corpus.questions, range(at, at + BATCH), 0, mode="wrap"))
        for at in range(0, _BATCHES * BATCH, BATCH)
    ]

    inside_us: list[int] = []

    async def ask(number: int) -> None:
        vectors = batches[number % _BATCHES].tobytes()
        request = pb.BatchSearchRequest(dataset=DATASET, vectors=vectors, limit=K)
        inside_us.append((await served.stub.BatchSearch(request)).search_us)

    await asked(ask, _BATCHES)
    rpc, rpc_many, one, many, alone_us = [], [], [], [], []
    for _ in range(ROUNDS):
        inside_us.clear()
        rpc.append(BATCH * (await asked(ask, _BATCHES)).per_s)
        alone_us.append(float(np.median(inside_us)))
        one.append(batches_per_s(raw, batches, 1))
        rpc_many.append(BATCH * (await asked(ask, 2 * _BATCHES, _BATCHING_CLIENTS)).per_s)
        many.append(batches_per_s(raw, batches, CORES))
    ratio = Spread([a / b for a, b in zip(rpc, one, strict=True)]).median
    ratio_many = Spread([a / b for a, b in zip(rpc_many, many, strict=True)]).median
    section = f"batches of {BATCH}"
    sheet.put(section, "batch16_qps", Spread(rpc).median, "BatchSearch, one client")
    sheet.put(section, "raw_batch16_qps", Spread(one).median, "the raw engine, one thread")
    sheet.put(section, "ratio_batch16", ratio, "of these two")
    raw_us = BATCH / Spread(one).median * 1e6
    sheet.put(section, "batch16_search_us", Spread(alone_us).median,
              f"in the indexes, of one batch; the raw engine takes {raw_us:,.0f} µs")  # fmt: skip
    sheet.put(section, "batch16_qps_c4", Spread(rpc_many).median,
              f"BatchSearch, {_BATCHING_CLIENTS} clients")  # fmt: skip
    sheet.put(section, "raw_batch16_qps_threads", Spread(many).median,
              f"the raw engine, {CORES} threads, no server at work")  # fmt: skip
    sheet.put(section, "ratio_batch16_threads", ratio_many, "of these two")
