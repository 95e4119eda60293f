"""Spans added while searches go on.

The requests are serialised before, and sent over a channel of their own: what is measured
is the service, not this process.
"""

import asyncio
import time
from collections.abc import Iterator
from itertools import cycle
from typing import Any, Final

import grpc
import numpy as np

from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.atomic import Context, Status, derived_span, to_proto
from tests.bench.search.corpus import DATASET, Corpus, when_of
from tests.bench.search.rounds import Spread, asked_for, ms
from tests.bench.search.serving import Served
from tests.bench.search.sheet import Sheet

_ROUNDS: Final = 3
_SECONDS: Final = 3.0
_PACE_PER_S: Final = 2000
_SPANS: Final = 200  # of one call
_METHOD: Final = "/arenalab.api.search.v1.SearchService/"


class Adder:
    """Sends spans that were never there, as fast as they are taken or at a pace."""

    def __init__(self, channel: grpc.aio.Channel, corpus: Corpus) -> None:
        self._add: Any = channel.unary_unary(_METHOD + "AddSpans")
        self._embed: Any = channel.unary_unary(_METHOD + "Embed")
        self._corpus = corpus
        self._texts = cycle(corpus.asked_texts)
        self._next = len(corpus)

    async def per_s(self, seconds: float) -> float:
        """Returns the spans a second that are taken, one call after the other."""
        took_s: list[float] = []
        for request in [*self._requests(seconds)]:
            took_s.append(await _took_s(self._add, request))
            if sum(took_s) >= seconds:
                break
        return _SPANS / float(np.mean(took_s))

    async def beside_embedding(self, seconds: float) -> tuple[float, float]:
        """Returns spans added a second and texts embedded a second, in turn."""
        adds_s: list[float] = []
        embeds_s: list[float] = []
        for add in [*self._requests(seconds)]:
            texts = [self._text() for _ in range(_SPANS)]
            embed = pb.EmbedRequest(texts=texts).SerializeToString()
            adds_s.append(await _took_s(self._add, add))
            embeds_s.append(await _took_s(self._embed, embed))
            if sum(adds_s) + sum(embeds_s) >= seconds:
                break
        return _SPANS / float(np.mean(adds_s)), _SPANS / float(np.mean(embeds_s))

    async def paced(self, seconds: float) -> float:
        """Sends _PACE_PER_S spans a second; returns those that were taken."""
        began_s, taken = time.perf_counter(), 0
        for request in [*self._requests(seconds)][: int(seconds * _PACE_PER_S / _SPANS)]:
            due_s = began_s + taken / _PACE_PER_S
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            await self._add(request, timeout=60)
            taken += _SPANS
        return taken / max(seconds, time.perf_counter() - began_s)

    def _requests(self, seconds: float) -> Iterator[bytes]:
        for _ in range(_calls(seconds)):
            spans = [to_proto(self._span()) for _ in range(_SPANS)]
            yield pb.AddSpansRequest(dataset=DATASET, spans=spans).SerializeToString()

    def _span(self) -> Any:
        self._next += 1
        return derived_span(
            source="user_upload",
            who="bench",
            did="ask_question",
            this=self._text(),
            when=when_of(self._next),
            status=Status.COMPLETED,
            if_ok="added",
            context=Context(environment="added"),
        )

    def _text(self) -> str:
        self._next += 1
        return f"{next(self._texts)} {self._next}"


async def _took_s(method: Any, request: bytes) -> float:
    began_s = time.perf_counter()
    await method(request, timeout=60)
    return time.perf_counter() - began_s


def _calls(seconds: float) -> int:
    return int(seconds * 2.5 * _PACE_PER_S / _SPANS)


async def measure_adding(sheet: Sheet, served: Served, corpus: Corpus) -> None:
    """Puts what adding costs, and what it costs the readers, on the sheet."""

    async def read(number: int) -> None:
        await served.search(corpus.questions[number % len(corpus.questions)])

    alone, embedding, serving, paced = [], [], [], []
    idle, busy, held = [], [], []
    async with grpc.aio.insecure_channel(served.address) as channel:
        adder = Adder(channel, corpus)
        for _ in range(_ROUNDS):
            adds, embeds = await adder.beside_embedding(_SECONDS)
            alone.append(adds)
            embedding.append(embeds)
            await served.until_settled()
            idle.append(ms(await asked_for(read, _SECONDS), 99))
            taken, took_s = await asyncio.gather(adder.per_s(_SECONDS), asked_for(read, _SECONDS))
            serving.append(taken)
            busy.append(ms(took_s, 99))
            await served.until_settled()
            taken, took_s = await asyncio.gather(adder.paced(_SECONDS), asked_for(read, _SECONDS))
            paced.append(taken)
            held.append(ms(took_s, 99))
            await served.until_settled()
    _put(sheet, Spread(alone).median, Spread(embedding).median)
    section = "adding while searches go on"
    idle_ms, held_ms = Spread(idle).median, Spread(held).median
    sheet.put(section, "adds_paced_per_s", Spread(paced).median,
              f"asked for: {_PACE_PER_S:,}/s in calls of {_SPANS}")  # fmt: skip
    sheet.put(section, "read_p99_idle_ms", idle_ms, "one reader, nobody adds")
    sheet.put(section, "read_p99_adding_ms", held_ms, "one reader, beside the paced writer")
    sheet.put(section, "read_p99_ratio", held_ms / idle_ms, "of these two")
    sheet.put(section, "adds_flat_out_per_s", Spread(serving).median, "a writer that never rests")
    sheet.put(section, "read_p99_flat_out_ms", Spread(busy).median,
              f"{Spread(busy).median / idle_ms:.1f} times idle, beside that writer")  # fmt: skip


def _put(sheet: Sheet, adds: float, embeds: float) -> None:
    section = "adding alone"
    store_us = 1e6 / adds - 1e6 / embeds
    sheet.put(section, "adds_per_s", adds, "AddSpans: embedded, logged and synced, searchable")
    sheet.put(section, "add_embeds_per_s", embeds,
              "Embed of as many texts: the bound that the embedder sets")  # fmt: skip
    sheet.put(section, "add_rest_us_a_span", store_us,
              "the difference: parsing, log, sync, delta and its columns")  # fmt: skip
