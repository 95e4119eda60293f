"""The conditions that a search sets on spans, as a value that can be compared and hashed."""

from collections.abc import Iterator
from dataclasses import dataclass, fields


@dataclass(frozen=True, order=True, kw_only=True, slots=True)
class Instant:
    """A point in time; ordered as its two numbers are."""

    seconds: int
    nanos: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """The conditions of a SpanFilter; a field that is empty or None sets none.

    All that are set must hold. Texts of one field are alternatives, except those of
    `tags` and `action_words`, which must all be there.
    """

    domains: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    statuses: tuple[int, ...] = ()  # numbers of span_pb2.SpanStatus
    not_before: Instant | None = None
    before: Instant | None = None
    min_quality: float | None = None
    tags: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    action_words: tuple[str, ...] = ()
    creatures: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()  # dataset versions, or ONLINE
    all_of: tuple["Filter", ...] = ()
    any_of: tuple["Filter", ...] = ()
    none_of: tuple["Filter", ...] = ()

    def conditions(self) -> Iterator[str]:
        """Yields the names of the fields that are set."""
        for field in fields(self):
            if getattr(self, field.name) not in ((), None):
                yield field.name


ONLINE = "online"  # the origin of a span that was added, not published
EVERYTHING = Filter()
