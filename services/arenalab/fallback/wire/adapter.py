"""What every wire format must offer. The HTTP itself is `arenalab.fallback.provider`'s.

A request comes in the terms of the OpenAI API, and the answer leaves in them. An adapter
translates both, and refuses what its format has no words for: left out in silence, it
would give another answer than the one that was asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from arenalab.fallback.chunks import Chunk
from arenalab.fallback.sse import SseEvent


class UntellableError(ValueError):
    """The request says something that the wire format has no words for.

    The message completes "cannot be told to NAME: …".
    """


@dataclass(frozen=True, slots=True)
class WireRequest:
    """What to POST. The key is not in it: `Adapter.key_headers` adds it at the last moment."""

    path: str  # below the base URL, with the query if there is one
    body: Mapping[str, Any]
    headers: Mapping[str, str]


class StreamReader(Protocol):
    """Reads the events of one stream, in order."""

    @property
    def is_done(self) -> bool:
        """Whether the answer is whole and nothing that matters can follow."""

    @property
    def may_end(self) -> bool:
        """Whether the answer is whole if the stream ends here."""

    def read(self, event: SseEvent) -> Chunk | None:
        """Returns what an event says; None when it says nothing.

        Raises:
            MalformedError: It is not what the format promises.
            ReportedError: It says that the provider failed.
        """


class Adapter(Protocol):
    """One wire format. Holds settings, and no state of a call."""

    def request(self, body: Mapping[str, Any]) -> WireRequest:
        """Returns the request for a streamed answer.

        Args:
            body: Of a chat completion of the OpenAI API, as `order.body_of` makes it.

        Raises:
            UntellableError: It cannot be said in this format.
        """

    def key_headers(self, key: str) -> Mapping[str, str]:
        """Returns the headers that carry a key."""

    def reader(self) -> StreamReader:
        """Returns a reader for one stream."""

    def whole(self, data: str) -> Sequence[Chunk]:
        """Returns what an answer says that is one JSON text, from a server that does not stream.

        Raises:
            MalformedError: As `StreamReader.read`.
            ReportedError: As `StreamReader.read`.
        """

    def refuses_key(self, error: object) -> bool:
        """Returns whether an error body says, in any status, that the key is not good."""
