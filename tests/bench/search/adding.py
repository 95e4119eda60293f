"""Spans added while searches go on: with vectors of their own, and by their texts.

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
_MOST_PER_S: Final = 4 * _PACE_PER_S  # requests that are prepared for a writer that never rests
_NOISE: Final = 0.3  # how far a new vector is from one of the corpus, before it is scaled
_METHOD: Final = "/arenalab.api.search.v1.SearchService/"


class Adder:
    """Sends spans that were never there, as fast as they are taken or at a pace."""

    def __init__(self, channel: grpc.aio.Channel, corpus: Corpus, digest: str) -> None:
        """Keeps its arguments; `digest` is that of the embedder of the corpus."""
        self._add: Any = channel.unary_unary(_METHOD + "AddSpans")
        self._embed: Any = channel.unary_unary(_METHOD + "Embed")
        self._corpus = corpus
        self._digest = digest
        self._texts = cycle(corpus.asked_texts)
        self._next = len(corpus)
        self._random = np.random.default_rng(1)

    async def per_s(self, seconds: float) -> float:
        """Returns the spans a second that are taken, one call after the other."""
        took_s: list[float] = []
        for request in [*self._requests(int(seconds * _MOST_PER_S / _SPANS))]:
            took_s.append(await _took_s(self._add, request))
            if sum(took_s) >= seconds:
                break
        return _SPANS / float(np.mean(took_s))

    async def by_text_beside_embedding(self, seconds: float) -> tuple[float, float]:
        """Returns spans added a second by their texts and texts embedded a second, in turn."""
        adds_s: list[float] = []
        embeds_s: list[float] = []
        while sum(adds_s) + sum(embeds_s) < seconds:
            add = pb.AddSpansRequest(dataset=DATASET, spans=self._spans()).SerializeToString()
            texts = [self._text() for _ in range(_SPANS)]
            embed = pb.EmbedRequest(texts=texts).SerializeToString()
            adds_s.append(await _took_s(self._add, add))
            embeds_s.append(await _took_s(self._embed, embed))
        return _SPANS / float(np.mean(adds_s)), _SPANS / float(np.mean(embeds_s))

    async def paced(self, seconds: float) -> float:
        """Sends _PACE_PER_S spans a second; returns those that were taken."""
        requests = [*self._requests(int(seconds * _PACE_PER_S / _SPANS))]
        began_s, taken = time.perf_counter(), 0
        for request in requests:
            due_s = began_s + taken / _PACE_PER_S
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            await self._add(request, timeout=60)
            taken += _SPANS
        return taken / max(seconds, time.perf_counter() - began_s)

    def _requests(self, count: int) -> Iterator[bytes]:
        for _ in range(count):
            yield pb.AddSpansRequest(
                dataset=DATASET,
                spans=self._spans(),
                vectors=self._vectors(),
                embedder_digest=self._digest,
            ).SerializeToString()

    def _spans(self) -> list[Any]:
        return [to_proto(self._span()) for _ in range(_SPANS)]

    def _vectors(self) -> bytes:
        """Returns packed vectors near those of the corpus."""
        rows = self._random.integers(0, len(self._corpus), _SPANS)
        vectors = np.array(self._corpus.vectors[rows])
        noise = self._random.standard_normal(vectors.shape, np.float32)
        vectors += noise * (_NOISE / np.sqrt(vectors.shape[1]))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors.astype("<f4").tobytes()

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


async def measure_adding(sheet: Sheet, served: Served, corpus: Corpus) -> None:
    """Puts what adding costs, and what it costs the readers, on the sheet."""

    async def read(number: int) -> None:
        await served.search(corpus.questions[number % len(corpus.questions)])

    digest = (await served.stub.Embed(pb.EmbedRequest(texts=["whose vectors"]))).embedder_digest
    alone, by_text, embedding, serving, paced = [], [], [], [], []
    idle, busy, held = [], [], []
    async with grpc.aio.insecure_channel(served.address) as channel:
        adder = Adder(channel, corpus, digest)
        for _ in range(_ROUNDS):
            adds, embeds = await adder.by_text_beside_embedding(_SECONDS)
            by_text.append(adds)
            embedding.append(embeds)
            await served.until_settled()
            alone.append(await adder.per_s(_SECONDS))
            await served.until_settled()
            idle.append(ms(await asked_for(read, _SECONDS), 99))
            taken, took_s = await asyncio.gather(adder.paced(_SECONDS), asked_for(read, _SECONDS))
            paced.append(taken)
            held.append(ms(took_s, 99))
            await served.until_settled()
            taken, took_s = await asyncio.gather(adder.per_s(_SECONDS), asked_for(read, _SECONDS))
            serving.append(taken)
            busy.append(ms(took_s, 99))
            await served.until_settled()
    _put_alone(sheet, *(Spread(one).median for one in (alone, by_text, embedding)))
    section = "adding with vectors while searches go on"
    idle_ms, held_ms = Spread(idle).median, Spread(held).median
    sheet.put(section, "adds_paced_per_s", Spread(paced).median,
              f"asked for: {_PACE_PER_S:,}/s in calls of {_SPANS}")  # fmt: skip
    sheet.put(section, "read_p99_idle_ms", idle_ms, "one reader, nobody adds")
    sheet.put(section, "read_p99_adding_ms", held_ms, "one reader, beside the paced writer")
    sheet.put(section, "read_p99_ratio", held_ms / idle_ms, "of these two")
    sheet.put(section, "adds_flat_out_per_s", Spread(serving).median, "a writer that never rests")
    sheet.put(section, "read_p99_flat_out_ms", Spread(busy).median,
              f"{Spread(busy).median / idle_ms:.1f} times idle, beside that writer")  # fmt: skip


def _put_alone(sheet: Sheet, adds: float, by_text: float, embeds: float) -> None:
    section = "adding alone"
    sheet.put(section, "adds_per_s", adds,
              f"AddSpans of {_SPANS} spans with vectors: logged, synced, searchable")  # fmt: skip
    sheet.put(section, "text_adds_per_s", by_text, "the same without vectors: embedded too")
    sheet.put(section, "add_embeds_per_s", embeds,
              "Embed of as many texts: the bound that the embedder sets")  # fmt: skip
    sheet.put(section, "text_add_rest_us_a_span", 1e6 / by_text - 1e6 / embeds,
              "the difference of these two: all but the embedding")  # fmt: skip
