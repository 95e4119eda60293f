"""The vectors of texts: those kept from before, the others from search."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from arenalab.api.search.v1 import search_service_pb2 as search_pb
from arenalab.curator.background import in_thread
from arenalab.dataset import Embedder
from arenalab.mesh import BudgetSpentError, InvalidInputError, PreconditionError, Reason

Vectors: TypeAlias = NDArray[np.float32]
Embed: TypeAlias = Callable[[Sequence[str]], Awaitable[search_pb.EmbedResponse]]

MAX_TEXTS: Final = 256
# Search takes messages of 16 MiB; a text may have 32 KiB.
_MAX_BYTES: Final = 4 << 20
_PROBE: Final = "embedder"
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 2.0


class VectorCache(Protocol):
    """Where vectors are kept between publications."""

    def vectors(self, embedder: str, texts: Sequence[str]) -> Mapping[str, Vectors]: ...

    def keep_vectors(self, embedder: str, vectors: Sequence[tuple[str, Vectors]]) -> None: ...


class Embedding:
    """Embeds one dataset's texts. After `run` the results are in `found` and `embedder`."""

    def __init__(
        self,
        embed: Embed,
        cache: VectorCache,
        patience_s: float,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Takes its collaborators.

        Args:
            embed: Search's Embed.
            cache: Keeps what was embedded, batch by batch.
            patience_s: How long in all a batch waits while search's queue is full.
            pause: Waits so many seconds.
        """
        self._embed = embed
        self._cache = cache
        self._patience_s = patience_s
        self._pause = pause
        self._embedder: Embedder | None = None
        self.found: dict[str, Vectors] = {}  # a text that cannot be embedded is not in it
        self.embedded = 0  # how many came from search

    @property
    def embedder(self) -> Embedder:
        """Whose vectors these are, after `run`."""
        if self._embedder is None:
            raise RuntimeError("run has not ended")
        return self._embedder

    async def run(self, texts: Sequence[str]) -> AsyncGenerator[int]:
        """Embeds distinct texts, at least one; yields how many are done.

        Each batch is kept as soon as it is there, so a run that fails is not lost.

        Raises:
            BudgetSpentError: OVERLOADED; search's queue stayed full.
            PreconditionError: EMBEDDER_MISMATCH; search changed its embedder meanwhile.
        """
        # Search alone knows which embedder runs, and tells with a vector.
        await self._take(texts[:1])
        if self._embedder is None:  # the first text holds nothing that can be embedded
            await self._take([_PROBE])
            del self.found[_PROBE]
        digest = self.embedder.digest
        known = await in_thread(lambda: self._cache.vectors(digest, texts[1:]))
        self.found.update(known)
        yield len(known) + 1
        done = len(known) + 1
        missing = [text for text in texts[1:] if text not in known]
        for batch in batches(missing):
            await self._take(batch)
            done += len(batch)
            yield done

    async def _take(self, batch: Sequence[str]) -> None:
        try:
            response = await self._patiently(batch)
        except InvalidInputError as error:
            if error.reason is not Reason.EMPTY_TEXT:
                raise
            # One text holds nothing that can be embedded; the others must not pay for it.
            if len(batch) > 1:
                middle = len(batch) // 2
                await self._take(batch[:middle])
                await self._take(batch[middle:])
            return
        self._check(response)
        vectors = np.frombuffer(response.vectors, "<f4").reshape(len(batch), response.dimension)
        pairs = list(zip(batch, vectors, strict=True))
        digest = response.embedder_digest
        await in_thread(lambda: self._cache.keep_vectors(digest, pairs))
        self.found.update(pairs)
        self.embedded += len(pairs)

    async def _patiently(self, batch: Sequence[str]) -> search_pb.EmbedResponse:
        """Returns the vectors, asking again with growing pauses while search is full."""
        waited_s, pause_s = 0.0, _FIRST_PAUSE_S
        while True:
            try:
                return await self._embed(batch)
            except BudgetSpentError as error:
                if error.reason is not Reason.OVERLOADED or waited_s >= self._patience_s:
                    raise
            await self._pause(pause_s)
            waited_s += pause_s
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _check(self, response: search_pb.EmbedResponse) -> None:
        embedder = Embedder(response.embedder_id, response.embedder_digest, response.dimension)
        if self._embedder is None:
            self._embedder = embedder
        elif self._embedder != embedder:
            raise PreconditionError(
                "search changed its embedder while the dataset was embedded; publish again",
                Reason.EMBEDDER_MISMATCH,
                expected=f"{self._embedder.id}@{self._embedder.digest[:12]}",
                found=f"{embedder.id}@{embedder.digest[:12]}",
            )


def batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yields the texts in batches that fit a call: 256 of them, and 4 MiB."""
    batch: list[str] = []
    size = 0
    for text in texts:
        size += len(text.encode())
        if batch and (len(batch) == MAX_TEXTS or size > _MAX_BYTES):
            yield batch
            batch, size = [], len(text.encode())
        batch.append(text)
    if batch:
        yield batch
