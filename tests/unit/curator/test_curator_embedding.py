"""Embedding asks only for what is new, waits for a full queue, and loses no batch."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from arenalab.api.search.v1 import search_service_pb2 as search_pb
from arenalab.curator.embedding import MAX_TEXTS, Embedding, Vectors, batches
from arenalab.mesh import BudgetSpentError, InvalidInputError, PreconditionError, Reason


class Search:
    """An embedder of two dimensions behind a queue."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.full = 0  # calls that will find the queue full
        self.digest = "d1"

    async def embed(self, texts: Sequence[str]) -> search_pb.EmbedResponse:
        if self.full:
            self.full -= 1
            raise BudgetSpentError("full")
        if not all(any(map(str.isalnum, text)) for text in texts):
            raise InvalidInputError("blank", Reason.EMPTY_TEXT)
        self.asked.append(list(texts))
        rows = [[len(text), 1.0] for text in texts]
        return search_pb.EmbedResponse(
            vectors=np.array(rows, "<f4").tobytes(),
            dimension=2,
            embedder_id="e",
            embedder_digest=self.digest,
        )


class Cache:
    """Vectors in memory."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Vectors] = {}

    def vectors(self, embedder: str, texts: Sequence[str]) -> Mapping[str, Vectors]:
        return {text: self.kept[embedder, text] for text in texts if (embedder, text) in self.kept}

    def keep_vectors(self, embedder: str, vectors: Sequence[tuple[str, Vectors]]) -> None:
        self.kept.update(((embedder, text), vector) for text, vector in vectors)


class Clock:
    """Pauses that take no time."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


def embedding(search: Search, cache: Cache, clock: Clock, patience_s: float = 60) -> Embedding:
    return Embedding(search.embed, cache, patience_s, clock.pause)


async def test_the_second_time_only_what_is_new_is_embedded() -> None:
    search, cache, clock = Search(), Cache(), Clock()
    texts = [f"text {n}" for n in range(600)]
    first = embedding(search, cache, clock)
    steps = [step async for step in first.run(texts)]
    assert steps == [1, 257, 513, 600]
    assert [len(batch) for batch in search.asked] == [1, 256, 256, 87]
    assert first.embedder.id == "e"
    search.asked.clear()
    second = embedding(search, cache, clock)
    assert [step async for step in second.run([*texts, "new"])] == [600, 601]
    assert search.asked == [["text 0"], ["new"]]
    assert second.found.keys() == {*texts, "new"}


async def test_vectors_of_another_embedder_are_not_used() -> None:
    search, cache, clock = Search(), Cache(), Clock()
    await anext(embedding(search, cache, clock).run(["a", "b"]))
    search.digest = "d2"
    again = embedding(search, cache, clock)
    _ = [step async for step in again.run(["a", "b"])]
    assert again.embedder.digest == "d2"
    assert again.embedded == 2


async def test_a_full_queue_is_waited_for_with_growing_pauses() -> None:
    search, clock = Search(), Clock()
    search.full = 4
    job = embedding(search, Cache(), clock)
    _ = [step async for step in job.run(["a", "b"])]
    assert clock.pauses == [0.05, 0.1, 0.2, 0.4]
    assert job.found.keys() == {"a", "b"}


async def test_patience_ends() -> None:
    search, clock = Search(), Clock()
    search.full = 1000
    with pytest.raises(BudgetSpentError):
        await anext(embedding(search, Cache(), clock, patience_s=10).run(["a"]))
    assert 10 <= sum(clock.pauses) <= 12


@pytest.mark.parametrize("blank", [0, 1, 5, 9])
async def test_a_text_that_cannot_be_embedded_costs_no_other_its_vector(blank: int) -> None:
    texts = [f"text {n}" for n in range(10)]
    texts[blank] = "🙂"
    search = Search()
    job = embedding(search, Cache(), Clock())
    steps = [step async for step in job.run(texts)]
    assert steps[-1] == 10
    assert job.found.keys() == {*texts} - {"🙂"}
    assert job.embedder.dimension == 2


async def test_an_embedder_that_changes_midway_is_noticed() -> None:
    search = Search()
    steps = embedding(search, Cache(), Clock()).run(["a", "b"])
    await anext(steps)
    search.digest = "d2"
    with pytest.raises(PreconditionError) as caught:
        await anext(steps)
    assert caught.value.reason is Reason.EMBEDDER_MISMATCH


def test_batches_fit_a_call() -> None:
    long = "x" * 32_768
    found = list(batches([long] * 300 + ["short"] * 300))
    assert sum(map(len, found)) == 600
    assert max(map(len, found)) <= MAX_TEXTS
    assert max(sum(map(len, batch)) for batch in found) <= 4 << 20
