"""A stream that one process at a time appends to, and that can never fork.

Every message is published with the sequence number that the stream must end with. A
second writer's message takes that number, and the first one's next is refused: it
then knows that it lost the stream, and stops.

A publish may time out and have been kept. It is in doubt then, and comes before
anything else: the very same message is published until it is known to be there, or
to have lost its place. It cannot be there twice, whatever the servers remember of
message ids: its place in the stream is part of what it asks for.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeVar

import nats.errors
from blake3 import blake3
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    PubAck,
    RetentionPolicy,
    StorageType,
    StreamConfig,
    StreamInfo,
    StreamState,
)
from nats.js.errors import APIError, NotFoundError

from arenalab.ledger.jetstream.connection import Connection
from arenalab.ledger.jetstream.settings import JetStreamSettings
from arenalab.mesh import BudgetSpentError, BusyError, ConfigError, NotReadyError, Reason

_T = TypeVar("_T")
# The servers' error codes (server/errors.json of nats-server).
_WRONG_LAST_SEQUENCE: Final = frozenset({10071, 10164})
_FULL: Final = frozenset({10023, 10028, 10047, 10077})
_IN_PROCESS: Final = 10158  # a message with this id
_NO_MESSAGE: Final = frozenset({10037, 10043})
_ID: Final = "Nats-Msg-Id"
_EXPECTED: Final = "Nats-Expected-Last-Sequence"
_HEADER_BYTES: Final = 512  # more than the headers of one message take
_FIRST_WAIT_S: Final = 0.02
_LONGEST_WAIT_S: Final = 0.5
# Of one try. An answer that was lost is noticed by nothing else than its time.
_STEP_S: Final = 2.0
_STEPS: Final = 4  # the least number of tries in the time of one append
_KEEP_READER_S: Final = 60.0


@dataclass(frozen=True)
class Message:
    """What goes into the stream."""

    subject: str
    payload: bytes

    @cached_property
    def id(self) -> str:
        """Its name: the hash of what it says."""
        return blake3(self.subject.encode() + b"\0" + self.payload).hexdigest(16)


@dataclass(frozen=True, slots=True)
class Kept:
    """A message that is in the stream."""

    sequence: int
    message: Message


class Stream:
    """An open stream; one thread at a time uses it."""

    def __init__(
        self, connection: Connection, settings: JetStreamSettings, name: str, *, erasable: bool
    ) -> None:
        """Opens the stream, or makes it.

        Args:
            connection: To the cluster.
            settings: Of the log.
            name: The stream's.
            erasable: Whether messages may be erased one by one.

        Raises:
            NotReadyError: The cluster did not answer in time.
            ConfigError: There is a stream of this name that would lose messages.
        """
        self.name = name
        self._connection = connection
        self._timeout_s = settings.timeout_s
        self._step_s = min(_STEP_S, settings.timeout_s / _STEPS)
        self._js = connection.jetstream(self._step_s)
        self._config = _config_of(name, settings.replicas, erasable=erasable)
        self._doubtful: deque[Message] = deque()
        self._settled: list[Kept] = []  # not told yet
        self._forgotten_ids = 0  # of the first message in doubt
        state = self._run(self._open())
        self.last = state.last_seq  # of what is known to be there
        self.missing = state.last_seq - state.messages

    @property
    def max_bytes(self) -> int:
        """The most that a message's payload may have."""
        limit = self._config.max_msg_size or -1
        payload = self._connection.max_payload
        return (min(payload, limit) if limit > 0 else payload) - _HEADER_BYTES

    def subject(self, *parts: str) -> str:
        """Returns a subject of this stream."""
        return ".".join((self.name, *parts))

    def publish(self, messages: Sequence[Message]) -> list[Kept]:
        """Appends messages, after those in doubt; returns all that are known to be there.

        Raises:
            BusyError: Another process appended in their place; these are nowhere.
            NotReadyError: It is not known whether they are there; they are in doubt.
            BudgetSpentError: STORAGE_FULL; as above.
        """
        self._doubtful.extend(messages)
        return self.settle()

    def settle(self) -> list[Kept]:
        """Publishes what is in doubt; returns what is known to be there since the last call.

        Raises:
            MeshError: As for `publish`.
        """
        if self._doubtful:
            self._run(self._settle_all())
        settled, self._settled = self._settled, []
        return settled

    @property
    def in_doubt(self) -> tuple[Message, ...]:
        """The messages that were published and may be there or not."""
        return tuple(self._doubtful)

    def get(self, sequence: int) -> Message | None:
        """Returns a message, or None where there is none.

        Raises:
            NotReadyError: The cluster did not answer in time.
        """
        return self._run(self._again(lambda: self._get(sequence), "send a message"))

    def erase(self, sequence: int) -> None:
        """Overwrites a message on every replica, if it is there.

        Raises:
            NotReadyError: The cluster did not answer in time; ask again.
        """
        self._run(self._again(lambda: self._erase(sequence), "erase a message"))

    def read(self, first: int, at_once: int) -> Iterator[Kept]:
        """Yields the messages from a number to the last one, in order.

        Args:
            first: Sequence number.
            at_once: Messages to have in memory.

        Raises:
            NotReadyError: None came for the time of an append.
        """
        while first <= self.last:
            some = self._run(self._read_some(first, at_once))
            yield from some
            first = some[-1].sequence + 1

    def _run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        # What is awaited keeps to the time itself, and says more of what stood in the way.
        return self._connection.call(coroutine, self._timeout_s + self._step_s)

    async def _again(
        self, attempt: Callable[[], Awaitable[_T]], what: str, step_s: float = 0.0
    ) -> _T:
        """Tries something that can be done twice until it is done, for the time there is."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_s
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                return await asyncio.wait_for(attempt(), step_s or self._step_s)
            except (nats.errors.Error, TimeoutError, OSError) as error:
                self._refuse_if_full(error)
                if loop.time() + wait_s >= deadline:
                    raise NotReadyError(
                        f"the NATS stream {self.name} did not {what} in {self._timeout_s} s,"
                        f" last: {type(error).__name__}: {error}",
                        service="nats",
                    ) from error
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def _refuse_if_full(self, error: Exception) -> None:
        if isinstance(error, APIError) and error.err_code in _FULL:
            raise BudgetSpentError(
                f"the NATS stream {self.name} has no space: {error.description}",
                Reason.STORAGE_FULL,
                path=self.name,
            ) from error

    async def _open(self) -> StreamState:
        info = await self._again(self._find_or_make, "open")
        if problems := _problems_of(info.config, self._config):
            raise ConfigError(f"the NATS stream {self.name} {'; '.join(problems)}")
        self._config = info.config
        return info.state

    async def _find_or_make(self) -> StreamInfo:
        try:
            return await self._js.stream_info(self.name)
        except NotFoundError:
            return await self._js.add_stream(self._config)

    async def _settle_all(self) -> None:
        if len(self._doubtful) > 1:
            await self._publish_together()
        while self._doubtful:
            await self._again(self._settle_first, "take a message")

    async def _publish_together(self) -> None:
        """Publishes all without waiting for each; what fails is left to be done one by one."""
        tries = [
            self._publish(message, self.last + number)
            for number, message in enumerate(self._doubtful)
        ]
        for outcome in await asyncio.gather(*tries, return_exceptions=True):
            if not isinstance(outcome, PubAck) or outcome.seq != self.last + 1:
                return
            self._take_first()

    async def _settle_first(self) -> None:
        message = self._doubtful[0]
        try:
            acknowledged = await self._publish(message, self.last)
            is_there = acknowledged.seq == self.last + 1
        except APIError as error:
            if error.err_code == _IN_PROCESS:
                # Servers of 2.11 say so for two minutes of a message that they refused.
                # Under another id, its place still keeps it from being there twice.
                self._forgotten_ids += 1
            if error.err_code not in _WRONG_LAST_SEQUENCE:
                raise
            there = await self._get(self.last + 1)
            if there is None:  # a new leader that does not know all yet
                raise
            is_there = there.id == message.id
        if not is_there:
            self._doubtful.clear()
            raise BusyError(
                f"another process appended to the NATS stream {self.name} after {self.last}"
                " messages: it took the log over",
                job="ledger",
            )
        self._take_first()

    async def _publish(self, message: Message, after: int) -> PubAck:
        # The place is part of the id: what is said twice on purpose is kept twice.
        name = f"{message.id}-{after}-{self._forgotten_ids}"
        headers = {_ID: name, _EXPECTED: str(after)}
        return await self._js.publish(
            message.subject, message.payload, stream=self.name, headers=headers
        )

    def _take_first(self) -> None:
        self.last += 1
        self._forgotten_ids = 0
        self._settled.append(Kept(self.last, self._doubtful.popleft()))

    async def _get(self, sequence: int) -> Message | None:
        try:
            raw = await self._js.get_msg(self.name, sequence)
        except APIError as error:
            if error.err_code in _NO_MESSAGE:
                return None
            raise
        return Message(raw.subject or "", raw.data or b"")

    async def _erase(self, sequence: int) -> None:
        try:
            # The servers overwrite the message with random bytes unless told not to.
            await self._js.delete_msg(self.name, sequence)
        except APIError as error:
            if error.err_code not in _NO_MESSAGE:
                raise

    async def _read_some(self, first: int, at_once: int) -> list[Kept]:
        # Some megabytes may take longer than one message does.
        step_s = self._timeout_s / 2
        return await self._again(
            lambda: self._fetch(first, at_once, step_s / 2), "send its messages", step_s
        )

    async def _fetch(self, first: int, at_once: int, wait_s: float) -> list[Kept]:
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=first,
            ack_policy=AckPolicy.NONE,
            mem_storage=True,
            num_replicas=1,
            inactive_threshold=_KEEP_READER_S,
        )
        reader = await self._js.pull_subscribe(self.subject(">"), stream=self.name, config=config)
        try:
            info = await reader.consumer_info()
            # The replica that reads may be behind: then it is asked again.
            count = min(at_once, info.num_pending or 0)
            found = await reader.fetch(count, wait_s) if count else []
        finally:
            await reader.unsubscribe()
        await self._js.delete_consumer(self.name, info.name)
        if not found:
            raise TimeoutError("a replica is behind")
        return [
            Kept(message.metadata.sequence.stream, Message(message.subject, message.data))
            for message in found
        ]


def stream_names(connection: Connection, timeout_s: float) -> list[str]:
    """Returns the names of all streams that this user can see.

    Raises:
        NotReadyError: The cluster did not answer in time.
    """
    jetstream = connection.jetstream(timeout_s)

    async def names() -> list[str]:
        found: list[str] = []
        try:
            while some := await jetstream.streams_info(offset=len(found)):
                found += [info.config.name or "" for info in some]
        except (nats.errors.Error, OSError) as error:
            raise NotReadyError(
                f"NATS did not list its streams: {type(error).__name__}", service="nats"
            ) from error
        return found

    return connection.call(names(), timeout_s)


def _config_of(name: str, replicas: int, *, erasable: bool) -> StreamConfig:
    return StreamConfig(
        name=name,
        description="ArenaLab's ledger",
        subjects=[f"{name}.>"],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        num_replicas=replicas,
        # Nothing is ever dropped to make room.
        discard=DiscardPolicy.NEW,
        max_msgs=-1,
        max_bytes=-1,
        max_age=0,
        deny_delete=not erasable,
        deny_purge=True,
    )


def _problems_of(found: StreamConfig, wanted: StreamConfig) -> list[str]:
    """Returns why a stream that is there cannot hold a log."""
    rules = {
        f"has {found.num_replicas} replicas, fewer than {wanted.num_replicas}": (
            (found.num_replicas or 1) >= (wanted.num_replicas or 1)
        ),
        "is not in files": found.storage == StorageType.FILE,
        "drops messages that were read": found.retention == RetentionPolicy.LIMITS,
        "drops old messages": found.discard == DiscardPolicy.NEW,
        f"drops messages after {found.max_age} s": not found.max_age,
        "keeps only some messages of a subject": (found.max_msgs_per_subject or -1) < 0,
        "can be purged": found.deny_purge,
        "lets messages be deleted": found.deny_delete or not wanted.deny_delete,
        "lets no message be erased": wanted.deny_delete or not found.deny_delete,
        f"takes other subjects than {wanted.subjects}": found.subjects == wanted.subjects,
    }
    return [problem for problem, holds in rules.items() if not holds]
