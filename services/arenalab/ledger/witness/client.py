"""Asks witnesses to cosign a checkpoint, over c2sp.org/tlog-witness.

A witness that is down, slow or wrong costs its cosignature and nothing else: the
note comes back with the cosignatures that were given.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Final, Self

import httpx

from arenalab.ledger.witness.submission import CALL, MAX_BYTES, Submission
from arenalab.mesh import ConfigError
from arenalab.proof import NoteError, WitnessKey, add_cosignatures, parse_checkpoint, split_note

# Returns the consistency path between two sizes of the log.
Consistency = Callable[[int, int], list[bytes]]

_MAX_SIZE_DIGITS: Final = 20
_BACKOFF_S: Final = 0.2
_logger = logging.getLogger(__name__)


class WitnessError(Exception):
    """A witness did not cosign."""


class WitnessForkError(WitnessError):
    """A witness saw a tree that this log does not continue: two logs share one name."""


class _UnavailableError(WitnessError):
    """The same submission may work later."""


def read_witnesses(lines: Iterable[str]) -> dict[str, WitnessKey]:
    """Reads "URL VERIFIER-KEY", as a witness prints it when it starts.

    Raises:
        ConfigError: A line is malformed, or a URL is there twice.
    """
    found: dict[str, WitnessKey] = {}
    for line in lines:
        prefix, _, key = line.strip().partition(" ")
        if not prefix.startswith(("http://", "https://")) or prefix in found:
            raise ConfigError(f"a witness must be a URL of its own and a key, got {line!r}")
        try:
            found[prefix] = WitnessKey.parse(key.strip())
        except NoteError as error:
            raise ConfigError(f"the key of the witness {prefix}: {error}") from error
    return found


class Witnesses:
    """Every witness of one log. Use as an async context manager; not across event loops."""

    def __init__(
        self,
        witnesses: Mapping[str, WitnessKey],
        *,
        timeout_s: float = 5.0,
        attempts: int = 3,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Knows the witnesses; asks nobody yet.

        Args:
            witnesses: Submission prefix, e.g. "https://witness.example/log", and key.
            timeout_s: For one submission, from connecting to the end of the answer.
            attempts: Tries while a witness is unavailable, at least 1.
            sleep: Waits between them, in seconds.
        """
        self._keys = dict(witnesses)
        self._timeout_s = timeout_s
        self._attempts = attempts
        self._sleep = sleep
        self._sizes = dict.fromkeys(witnesses, 0)  # of the tree that each saw last
        self._lock = asyncio.Lock()
        self._client = httpx.AsyncClient(timeout=timeout_s)
        self.failures: dict[str, WitnessError] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def cosign(self, note: str, consistency: Consistency) -> str:
        """Returns the note with the cosignatures of the witnesses that gave theirs.

        What the others failed with is in `failures`, by their prefix, and logged.
        Checkpoints are submitted one after another.

        Args:
            note: A checkpoint that the log signed.
            consistency: Called on another thread, for sizes up to the checkpoint's.
        """
        async with self._lock:  # out of order, an older one would look like a fork
            prefixes = list(self._keys)
            answers = await asyncio.gather(
                *(self._submit(prefix, note, consistency) for prefix in prefixes),
                return_exceptions=True,
            )
            self.failures = {}
            grown = note
            for prefix, answer in zip(prefixes, answers, strict=True):
                if isinstance(answer, WitnessError):
                    self.failures[prefix] = answer
                    _logger.warning("no cosignature from %s: %s", prefix, answer)
                elif isinstance(answer, BaseException):
                    raise answer
                else:
                    grown = add_cosignatures(grown, answer, [self._keys[prefix]])
            return grown

    async def _submit(self, prefix: str, note: str, consistency: Consistency) -> str:
        """Returns the lines of one witness; tries again while it is unavailable."""
        for attempt in range(self._attempts):
            try:
                return await self._submit_once(prefix, note, consistency)
            except _UnavailableError:
                if attempt + 1 == self._attempts:
                    raise
                await self._sleep(_BACKOFF_S * 2**attempt)
        raise AssertionError(self._attempts)

    async def _submit_once(self, prefix: str, note: str, consistency: Consistency) -> str:
        size = parse_checkpoint(split_note(note)[0]).size
        status, body = await self._post(prefix, note, size, consistency)
        if status == HTTPStatus.CONFLICT:
            self._sizes[prefix] = _size_in(body, size, self._sizes[prefix])
            status, body = await self._post(prefix, note, size, consistency)
        if status == HTTPStatus.CONFLICT:
            self._sizes[prefix] = _size_in(body, size, self._sizes[prefix])
            raise _UnavailableError("it saw another checkpoint meanwhile")
        if status == HTTPStatus.UNPROCESSABLE_ENTITY:
            raise WitnessForkError(f"it saw a tree that this one does not continue: {_line(body)}")
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
            raise _UnavailableError(f"it answered {status}: {_line(body)}")
        if status != HTTPStatus.OK:
            raise WitnessError(f"it answered {status}: {_line(body)}")
        try:
            add_cosignatures(note, body, [self._keys[prefix]])
        except NoteError as error:
            raise WitnessError(f"its cosignature does not hold: {error}") from error
        self._sizes[prefix] = size
        return body

    async def _post(
        self, prefix: str, note: str, size: int, consistency: Consistency
    ) -> tuple[int, str]:
        old = self._sizes[prefix]
        if old > size:
            raise WitnessError(f"it saw {old} leaves already, the checkpoint has {size}")
        path = await asyncio.to_thread(consistency, old, size) if 0 < old < size else []
        content = Submission(old, tuple(path), note).to_bytes()
        url = f"{prefix.rstrip('/')}/{CALL}"
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._client.stream("POST", url, content=content) as response,
            ):
                body = b""
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > MAX_BYTES:
                        raise WitnessError(f"its answer is longer than {MAX_BYTES} bytes")
                return response.status_code, body.decode("utf-8", "replace")
        except (httpx.HTTPError, TimeoutError) as error:
            raise _UnavailableError(str(error) or type(error).__name__) from error


def _size_in(body: str, size: int, asked: int) -> int:
    """Returns the size that a witness says it saw."""
    digits = body.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _MAX_SIZE_DIGITS):
        raise WitnessError(f"it refused the size {asked} and named no other: {_line(body)}")
    seen = int(digits)
    if seen == asked:
        raise WitnessForkError(f"it saw another tree of {asked} leaves")
    if seen > size:
        raise WitnessForkError(f"it saw {seen} leaves, more than the {size} of the checkpoint")
    return seen


def _line(body: str) -> str:
    return repr(body.strip()[:200])
