"""The span: one past question, what was done, and what came of it.

A span that exists is valid: every rule is checked when one is built, so nothing
downstream checks again. Spans are values; change one with `with_metadata`,
`with_quality` or `dataclasses.replace`, which check the result.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Self

from arenalab.atomic import validate
from arenalab.atomic.canonical import JSON
from arenalab.atomic.errors import SpanError, shown
from arenalab.atomic.instant import NS_PER_S, canonical_when, split_when


class Status(StrEnum):
    """The state of a span's action."""

    PENDING = "pending"
    COMPLETED = "completed"
    FAILED = "failed"


class Stakes(StrEnum):
    """How much depends on the outcome."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"

    @property
    def rank(self) -> int:
        """1 for low, 2 for medium, 3 for high; 0 is left for stakes not known."""
        return _RANK[self]


_RANK = {Stakes.LOW: 1, Stakes.MEDIUM: 2, Stakes.HIGH: 3}


@dataclass(frozen=True, slots=True)
class Context:
    """The situation of an action, of a past span or of a live question."""

    previous_spans: tuple[str, ...] = ()  # ids, oldest first
    environment: str = ""  # domain; empty: not known
    stakes: Stakes | None = None
    emotional_state: str = ""  # empty: not known

    def __post_init__(self) -> None:
        if self.previous_spans != ():
            validate.check_previous_spans(self.previous_spans, "context.previous_spans")
        if self.environment != "":
            validate.check_environment(self.environment, "context.environment")
        if self.stakes is not None and not isinstance(self.stakes, Stakes):
            raise _not_one_of(self.stakes, Stakes, "context.stakes")
        if self.emotional_state != "":
            validate.check_token(self.emotional_state, "context.emotional_state")


@dataclass(frozen=True, slots=True)
class Metadata:
    """What is known about the record; it may change without changing the span."""

    quality_score: float | None = None  # in [0, 100]; None: not measured
    provider: str = ""  # empty: no model produced the outcome
    model: str = ""
    tags: tuple[str, ...] = ()  # sorted, each once
    attributes: Mapping[str, JSON] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.quality_score is not None:
            score = validate.quality(self.quality_score, "metadata.quality_score")
            object.__setattr__(self, "quality_score", score)
        if self.provider != "":
            validate.check_name(self.provider, "metadata.provider")
        if self.model != "":
            validate.check_name(self.model, "metadata.model")
        if self.tags != ():
            validate.check_tags(self.tags, "metadata.tags")
        object.__setattr__(self, "attributes", validate.attributes(self.attributes, "metadata"))


@dataclass(frozen=True, slots=True)
class Span:
    """One JSON✯Atomic object; arenalab/api/common/v1/span.proto documents the fields.

    Raises:
        SpanError: A field breaks its rule.
    """

    id: str
    source: str
    who: str
    did: str
    this: str
    when: str  # canonical: see arenalab.atomic.instant
    status: Status
    if_ok: str | None = None
    if_not: str | None = None
    confirmed_by: str | None = None
    context: Context = Context()
    metadata: Metadata = Metadata()

    def __post_init__(self) -> None:
        validate.check_id(self.id, "id")
        validate.check_token(self.source, "source")
        validate.check_name(self.who, "who")
        validate.check_token(self.did, "did")
        validate.check_text(self.this, "this", validate.MAX_THIS_BYTES)
        if canonical_when(self.when) != self.when:
            raise SpanError("when", f"when must be in canonical form, got {shown(self.when)}")
        self._check_outcome()
        if not isinstance(self.context, Context):
            raise SpanError("context", f"context must be a Context, got {shown(self.context)}")
        if not isinstance(self.metadata, Metadata):
            raise SpanError("metadata", f"metadata must be a Metadata, got {shown(self.metadata)}")

    def _check_outcome(self) -> None:
        if not isinstance(self.status, Status):
            raise _not_one_of(self.status, Status, "status")
        if self.if_ok is not None:
            validate.check_text(self.if_ok, "if_ok", validate.MAX_OUTCOME_BYTES)
        elif self.status is Status.COMPLETED:
            raise SpanError("if_ok", "if_ok must be present when status is completed, got none")
        if self.if_not is not None:
            validate.check_text(self.if_not, "if_not", validate.MAX_OUTCOME_BYTES)
        elif self.status is Status.FAILED:
            raise SpanError("if_not", "if_not must be present when status is failed, got none")
        if self.confirmed_by is not None:
            validate.check_name(self.confirmed_by, "confirmed_by")

    @property
    def outcome(self) -> str | None:
        """What came of the action; None while it is pending."""
        if self.status is Status.COMPLETED:
            return self.if_ok
        return self.if_not if self.status is Status.FAILED else None

    @property
    def when_ns(self) -> int:
        """The time of the action in nanoseconds since the epoch."""
        seconds, nanos = split_when(self.when)
        return seconds * NS_PER_S + nanos

    def with_metadata(self, metadata: Metadata) -> Self:
        """Returns this span with other metadata; its content hash stays."""
        return replace(self, metadata=metadata)

    def with_quality(self, score: float | None) -> Self:
        """Returns this span with a quality score in [0, 100], or without one."""
        return replace(self, metadata=replace(self.metadata, quality_score=score))


def _not_one_of(value: object, kind: type[StrEnum], name: str) -> SpanError:
    return SpanError(name, f"{name} must be one of {', '.join(kind)}, got {shown(value)}")
