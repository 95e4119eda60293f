"""What a plan is made from: counts of a collection, and the search to come."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

CONDITIONS: Final = (
    "domains",
    "actions",
    "statuses",
    "not_before",
    "before",
    "min_quality",
    "tags",
)


class Engine(StrEnum):
    """A way of finding nearest vectors."""

    EXACT = "exact"
    HNSW = "hnsw"


class Strategy(StrEnum):
    """How a filter and an engine work together."""

    NONE = "none"
    SCAN = "scan"
    SELECTOR = "selector"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Exact counts of a collection, as search reports them."""

    version: str
    spans: int
    engines: frozenset[Engine]
    domains: dict[str, int] = field(default_factory=dict)
    actions: dict[str, int] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)  # "completed", …
    tags: dict[str, int] = field(default_factory=dict)  # the most frequent ones
    all_tags: bool = True  # whether `tags` leaves none out
    quality_buckets: tuple[int, ...] = (0,) * 11  # [0, 10), …, [90, 100), and 100
    when_percentiles: tuple[int, ...] = ()  # 101 times in ns, or none


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The filter of the search; a field that is empty or None sets no condition."""

    domains: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    not_before: int | None = None  # ns since the epoch
    before: int | None = None
    min_quality: float | None = None  # in [0, 100]
    tags: tuple[str, ...] = ()

    @property
    def conditions(self) -> tuple[str, ...]:
        """The names of the conditions that are set."""
        return tuple(name for name in CONDITIONS if getattr(self, name) not in ((), None))
