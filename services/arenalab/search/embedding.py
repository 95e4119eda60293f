"""The embedder behind bounded queues: texts in, unit vectors out.

Two lanes, because a batch of thousands must not stand before a question: a pool of at
most one worker a core for single questions, each embedded and searched in one hop, and
one thread that takes batches piece by piece (the embedder spreads each over its own).
"""

import asyncio
from collections.abc import Callable, Sequence
from importlib.metadata import version as release_of
from typing import Final, TypeVar

import numpy as np

from arenalab.caching import Cache, cache_key
from arenalab.mesh import BudgetSpentError, InvalidInputError, Reason
from arenalab.search.embedder.protocol import Embedder, EmptyTextError, Vectors
from arenalab.search.lane import Lane

_T = TypeVar("_T")

# Texts embedded between two looks at who else waits for the batch lane.
_BATCH_TEXTS: Final = 256
_FORM: Final = "embedding 1"
# Another release may normalise texts otherwise, or run the model in another library.
_RELEASE: Final = release_of("arenalab")


class Embedding:
    """Runs an embedder for many callers at once. Its methods belong to one event loop."""

    def __init__(
        self, embedder: Embedder, kept: Cache, *, ttl_s: float, workers: int, queue_limit: int
    ) -> None:
        """Starts without threads; they come with the first calls.

        Args:
            embedder: What computes the vectors. Not closed here.
            kept: Vectors of the questions asked last, each for the scope that asked: how long an
                answer took must not tell one tenant what another one asks. Not closed here.
            ttl_s: How long a vector is kept.
            workers: Questions embedded at the same time.
            queue_limit: Questions, and apart from them batches, that may wait; one
                more is refused.
        """
        self.embedder = embedder
        self._questions = Lane("embed", workers, queue_limit)
        self._batches = Lane("batch", 1, queue_limit)
        self._kept = kept
        self._ttl_s = ttl_s
        self._queue_limit = queue_limit
        self._following = 0  # calls that wait for another one's vector
        self._leaders: dict[bytes, asyncio.Future[None]] = {}

    def close(self) -> None:
        """Waits for what is running and refuses the rest."""
        self._questions.close()
        self._batches.close()

    async def run(self, scope: str, text: str, work: Callable[[], _T]) -> _T:
        """Returns what `work` returns on a worker, where it may call `vector`.

        While a text is being embedded, others of the scope that ask for the same wait for its
        vector.

        Raises:
            BudgetSpentError: OVERLOADED; the queue is full.
        """
        key = self._key(scope, text)
        while (leader := self._leaders.get(key)) is not None:
            if self._following >= self._queue_limit:
                raise BudgetSpentError(
                    f"{self._following} calls wait for texts that are being embedded",
                    queue="embed",
                )
            self._following += 1
            try:
                await asyncio.shield(leader)
            finally:
                self._following -= 1
        if self._kept.get_near(key) is not None:
            return await self._questions.run(work)
        done = asyncio.get_running_loop().create_future()
        self._leaders[key] = done
        try:
            return await self._run_first(key, work)
        finally:
            del self._leaders[key]
            done.set_result(None)

    async def _run_first(self, key: bytes, work: Callable[[], _T]) -> _T:
        """Runs `work` with the vector of shared layers, or leaves there what it made."""
        is_known = bool(await self._kept.get_far([key]))
        result = await self._questions.run(work)
        if not is_known and (made := self._kept.near.get(key)) is not None:
            self._kept.share(key, made)
        return result

    def vector(self, scope: str, text: str, field: str = "text") -> Vectors:
        """Returns the vector of one text; called on a worker.

        Raises:
            InvalidInputError: EMPTY_TEXT; nothing in the text can be embedded.
        """
        key = self._key(scope, text)
        known = self._kept.near.get(key)
        if known is not None and len(known) == self.embedder.dimension * np.float32().nbytes:
            return np.frombuffer(known, "<f4")
        try:
            found = self.embedder.embed(text)
        except EmptyTextError as error:
            raise InvalidInputError(
                f"{field} must not be blank", Reason.EMPTY_TEXT, field=field
            ) from error
        self._kept.near.put(key, found.astype("<f4").tobytes(), self._ttl_s)
        return found

    def _key(self, scope: str, text: str) -> bytes:
        return cache_key(_FORM, _RELEASE, self.embedder.digest, scope, text)

    async def batch(self, texts: Sequence[str], field: str = "texts") -> Vectors:
        """Returns one vector a row.

        Raises:
            InvalidInputError: EMPTY_TEXT; nothing in one of the texts can be embedded. Its
                field is that text's: "texts[17]".
            BudgetSpentError: OVERLOADED; the queue is full.
        """
        pieces = [
            await self._batches.run(lambda start=start: self._piece(texts, start, field))  # type: ignore[misc]
            for start in range(0, len(texts), _BATCH_TEXTS)
        ]
        return np.concatenate(pieces) if pieces else self.no_vectors

    def batch_now(self, texts: Sequence[str], field: str) -> Vectors:
        """As `batch`, on the calling thread."""
        pieces = [self._piece(texts, start, field) for start in range(0, len(texts), _BATCH_TEXTS)]
        return np.concatenate(pieces) if pieces else self.no_vectors

    @property
    def no_vectors(self) -> Vectors:
        """An array of no rows."""
        return np.empty((0, self.embedder.dimension), np.float32)

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Returns the tokens the embedder reads of each text."""
        most = self.embedder.max_tokens
        count = self.embedder.count_tokens
        return await self._batches.run(lambda: [min(most, count(text)) for text in texts])

    def _piece(self, texts: Sequence[str], start: int, field: str) -> Vectors:
        piece = texts[start : start + _BATCH_TEXTS]
        try:
            return self.embedder.embed_many(piece)
        except EmptyTextError as error:
            place = f"{field}[{start + error.index}]"
            raise InvalidInputError(
                f"{place}: nothing in the text can be embedded", Reason.EMPTY_TEXT, field=place
            ) from error
