"""The embedder behind its queues: bounded, shared, and never asked twice for one text."""

import asyncio
import threading
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from arenalab.mesh import BudgetSpentError, InvalidInputError, Reason
from arenalab.search.embedder.protocol import EmbedderIdentity, EmptyTextError, Vectors
from arenalab.search.embedding import Embedding
from tests.unit.caching.parts import Clock, Shelf, cache_over


class CountingEmbedder:
    """Embeds a text as its length, when the gate is open."""

    id = "counting"
    digest = "c0"
    dimension = 2
    max_tokens = 8
    identity = EmbedderIdentity("counting", "c0", 2)

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.started = threading.Semaphore(0)
        self.texts: list[str] = []

    def embed(self, text: str) -> Vectors:
        self.texts.append(text)
        self.started.release()
        assert self.gate.wait(10)
        if text == "nothing":
            raise EmptyTextError(text)
        return np.array([len(text), 1], np.float32)

    def embed_many(self, texts: Sequence[str]) -> Vectors:
        if "nothing" in texts:
            raise EmptyTextError("nothing", texts.index("nothing"))
        return np.stack([self.embed(text) for text in texts])

    def count_tokens(self, text: str) -> int:
        return len(text)

    def close(self) -> None:
        self.gate.set()


@pytest.fixture
def embedder() -> CountingEmbedder:
    return CountingEmbedder()


@pytest.fixture
def shelf() -> Shelf:
    return Shelf(Clock())


@pytest.fixture
def embedding(embedder: CountingEmbedder, shelf: Shelf) -> Iterator[Embedding]:
    kept = cache_over(shelf, clock=Clock())
    made = Embedding(embedder, kept, ttl_s=100.0, workers=2, queue_limit=3)
    yield made
    embedder.close()
    made.close()


async def ask(embedding: Embedding, text: str, scope: str = "ada") -> float:
    return await embedding.run(scope, text, lambda: float(embedding.vector(scope, text)[0]))


async def test_a_text_is_embedded_on_a_worker(embedding: Embedding) -> None:
    assert await ask(embedding, "hello") == 5


async def test_a_text_asked_again_is_not_embedded_again(
    embedding: Embedding, embedder: CountingEmbedder
) -> None:
    assert [await ask(embedding, "hello") for _ in range(3)] == [5, 5, 5]
    assert embedder.texts == ["hello"]


async def test_one_tenants_text_is_embedded_again_for_another(
    embedding: Embedding, embedder: CountingEmbedder
) -> None:
    asked = [ask(embedding, "hello", scope) for scope in ("ada", "bob") * 2]
    assert await asyncio.gather(*asked) == [5] * 4
    assert embedder.texts == ["hello", "hello"]


async def test_what_another_process_embedded_is_not_embedded_again(
    embedding: Embedding, embedder: CountingEmbedder, shelf: Shelf
) -> None:
    await ask(embedding, "hello")
    await embedding._kept.flush()
    kept = cache_over(shelf, clock=Clock())
    other = Embedding(embedder, kept, ttl_s=100.0, workers=2, queue_limit=3)
    assert [await ask(other, "hello"), await ask(other, "hello", "bob")] == [5, 5]
    assert embedder.texts == ["hello"] * 2
    other.close()


async def test_those_who_ask_for_one_text_together_share_its_vector(
    embedding: Embedding, embedder: CountingEmbedder
) -> None:
    embedder.gate.clear()
    waiting = [asyncio.create_task(ask(embedding, "hello")) for _ in range(4)]
    await asyncio.to_thread(embedder.started.acquire)
    embedder.gate.set()
    assert await asyncio.gather(*waiting) == [5, 5, 5, 5]
    assert embedder.texts == ["hello"]


async def test_who_asked_first_may_give_up(
    embedding: Embedding, embedder: CountingEmbedder
) -> None:
    embedder.gate.clear()
    first = asyncio.create_task(ask(embedding, "hello"))
    await asyncio.to_thread(embedder.started.acquire)
    second = asyncio.create_task(ask(embedding, "hello"))
    await asyncio.sleep(0)
    first.cancel()
    embedder.gate.set()
    assert await second == 5


async def test_a_full_queue_refuses_and_recovers(
    embedding: Embedding, embedder: CountingEmbedder
) -> None:
    embedder.gate.clear()
    waiting = [asyncio.create_task(ask(embedding, f"text {n}")) for n in range(5)]
    await asyncio.sleep(0)
    with pytest.raises(BudgetSpentError) as caught:
        await ask(embedding, "one too many")
    assert caught.value.reason is Reason.OVERLOADED
    assert caught.value.metadata == {"queue": "embed"}
    embedder.gate.set()
    assert await asyncio.gather(*waiting) == [6] * 5
    await asyncio.sleep(0)  # the last worker reports that it is free
    assert await ask(embedding, "now there is room") == 17


async def test_callers_who_give_up_still_count_while_a_worker_is_busy(
    embedding: Embedding, embedder: CountingEmbedder
) -> None:
    embedder.gate.clear()
    waiting = [asyncio.create_task(ask(embedding, f"text {n}")) for n in range(5)]
    for _ in range(2):
        await asyncio.to_thread(embedder.started.acquire)
    for one in waiting[:2]:
        one.cancel()
    await asyncio.sleep(0)
    with pytest.raises(BudgetSpentError):
        await ask(embedding, "one too many")


async def test_batches_do_not_stand_before_questions(
    embedding: Embedding, embedder: CountingEmbedder
) -> None:
    embedder.gate.clear()
    batch = asyncio.create_task(embedding.batch(["a", "b"]))
    await asyncio.to_thread(embedder.started.acquire)
    question = asyncio.create_task(ask(embedding, "hello"))
    await asyncio.to_thread(embedder.started.acquire)  # it runs beside the batch
    embedder.gate.set()
    assert await question == 5
    assert (await batch).tolist() == [[1, 1], [1, 1]]


async def test_a_batch_keeps_its_order_over_its_pieces(embedding: Embedding) -> None:
    texts = ["x" * (n % 50 + 1) for n in range(1000)]
    vectors = await embedding.batch(texts)
    assert vectors[:, 0].tolist() == [len(text) for text in texts]
    assert (await embedding.batch([])).shape == (0, 2)


async def test_tokens_are_counted_as_far_as_they_are_read(embedding: Embedding) -> None:
    assert await embedding.count_tokens(["abc", "x" * 100]) == [3, 8]


async def test_a_text_that_holds_nothing_is_the_callers_fault(embedding: Embedding) -> None:
    for call in (ask(embedding, "nothing"), embedding.batch(["a", "nothing"])):
        with pytest.raises(InvalidInputError) as caught:
            await call
        assert caught.value.reason is Reason.EMPTY_TEXT
    assert await ask(embedding, "something") == 9


async def test_the_text_of_a_batch_that_holds_nothing_is_named(embedding: Embedding) -> None:
    texts = ["something"] * 600
    texts[517] = "nothing"  # in the third piece that is embedded
    with pytest.raises(InvalidInputError, match=r"texts\[517\]") as caught:
        await embedding.batch(texts)
    assert caught.value.metadata["field"] == "texts[517]"
