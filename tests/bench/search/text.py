"""Searches by text over gRPC beside the embedder that they wait for."""

from itertools import count
from typing import Final

import numpy as np

from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.search.embedder.protocol import Embedder
from tests.bench.search.corpus import DATASET, Corpus
from tests.bench.search.rounds import ROUNDS, Spread, asked, called, ms
from tests.bench.search.serving import Served
from tests.bench.search.sheet import Sheet

_LIMIT: Final = 50
_CALLS: Final = 100
_CLIENTS: Final = 16


async def measure_text(sheet: Sheet, served: Served, corpus: Corpus, embedder: Embedder) -> None:
    """Puts SearchText and the embedder on the sheet."""
    texts = corpus.asked_texts
    numbers = count()
    inside: list[tuple[int, int]] = []

    def fresh() -> str:
        # A text that is asked again costs no embedding.
        number = next(numbers)
        return f"{texts[number % len(texts)]} {number // len(texts) or ''}".strip()

    async def ask(_: int) -> None:
        request = pb.SearchTextRequest(dataset=DATASET, text=fresh(), limit=_LIMIT)
        reply = await served.stub.SearchText(request)
        inside.append((reply.embed_us, reply.search_us))

    async def ask_again(_: int) -> None:
        text = "one and the same text"
        await served.stub.SearchText(pb.SearchTextRequest(dataset=DATASET, text=text, limit=_LIMIT))

    await asked(ask, _CALLS)
    one, kept, embedded = [], [], []
    embed_us, search_us = [], []
    for _ in range(ROUNDS):
        inside.clear()
        one.append(await asked(ask, _CALLS))
        medians = np.median(np.array(inside), axis=0)
        embed_us.append(float(medians[0]))
        search_us.append(float(medians[1]))
        kept.append(await asked(ask_again, _CALLS))
        embedded.append(called(lambda _: embedder.embed(fresh()), _CALLS))
    many = [await asked(ask, 4 * _CALLS, _CLIENTS) for _ in range(ROUNDS)]
    embed_ms = Spread([ms(took.each_s) for took in embedded]).median
    section = f"text in, {_LIMIT} spans out"
    sheet.put(section, "text_p50_ms", Spread([ms(took.each_s) for took in one]).median,
              f"embedding alone, in this process: {embed_ms:.3f} ms")  # fmt: skip
    sheet.put(section, "text_p99_ms", Spread([ms(took.each_s, 99) for took in one]).median)
    sheet.put(section, "embed_p50_ms", embed_ms)
    sheet.put(section, "text_embed_inside_ms", Spread(embed_us).median / 1e3)
    sheet.put(section, "text_search_inside_ms", Spread(search_us).median / 1e3)
    sheet.put(section, "kept_text_p50_ms", Spread([ms(took.each_s) for took in kept]).median,
              "a text whose vector is known")  # fmt: skip
    sheet.put(section, "text_qps_c16", Spread([took.per_s for took in many]).median,
              f"one thread that only embeds: {1e3 / embed_ms:,.0f}/s")  # fmt: skip
