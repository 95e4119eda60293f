"""Spans for tests: one by hand, or any that the rules allow."""

from typing import TYPE_CHECKING

from arenalab.atomic import (
    Context,
    Metadata,
    Span,
    Stakes,
    Status,
    derived_span,
    uuid7,
    when_from_ns,
)
from arenalab.atomic.canonical import JSON, MAX_SAFE_INTEGER
from arenalab.atomic.instant import MAX_SECONDS, MIN_SECONDS, NS_PER_S
from arenalab.atomic.validate import METADATA_KEYS

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


def make_span(
    question: str,
    outcome: str,
    *,
    domain: str = "",
    previous_spans: tuple[str, ...] = (),
    stakes: Stakes | None = None,
    emotional_state: str = "",
    source: str = "user_upload",
    who: str = "tester",
    did: str = "ask_question",
    when: str = "2026-01-05T10:00:00Z",
    status: Status = Status.COMPLETED,
    confirmed_by: str | None = None,
    quality: float | None = None,
    tags: tuple[str, ...] = (),
) -> Span:
    """Returns a span about `question`; the same arguments give the same id.

    `outcome` becomes `if_not` when `status` is FAILED, else `if_ok`.
    """
    failed = status is Status.FAILED
    return derived_span(
        source=source,
        who=who,
        did=did,
        this=question,
        when=when,
        status=status,
        if_ok=None if failed else outcome,
        if_not=outcome if failed else None,
        confirmed_by=confirmed_by,
        context=Context(previous_spans, domain, stakes, emotional_state),
        metadata=Metadata(quality_score=quality, tags=tags),
    )


def span_strategy() -> "SearchStrategy[Span]":
    """Returns a hypothesis strategy of valid spans, from plain to strange."""
    from hypothesis import strategies as st

    def build(outcomes: tuple[Status, str | None, str | None], **fields: object) -> Span:
        status, if_ok, if_not = outcomes
        return Span(status=status, if_ok=if_ok, if_not=if_not, **fields)  # type: ignore[arg-type]

    maybe_text = st.none() | _text()
    outcomes = st.one_of(
        st.tuples(st.just(Status.COMPLETED), _text(), maybe_text),
        st.tuples(st.just(Status.FAILED), maybe_text, _text()),
        st.tuples(st.just(Status.PENDING), maybe_text, maybe_text),
    )
    return st.builds(
        build,
        outcomes,
        id=id_strategy(),
        source=_token(),
        who=_text(),
        did=_token(),
        this=_text(),
        when=st.integers(MIN_SECONDS * NS_PER_S, MAX_SECONDS * NS_PER_S).map(when_from_ns)
        | st.integers(0, 4_000_000_000).map(lambda s: when_from_ns(s * NS_PER_S)),
        confirmed_by=maybe_text,
        context=context_strategy(),
        metadata=metadata_strategy(),
    )


def id_strategy() -> "SearchStrategy[str]":
    """Returns a strategy of span ids."""
    from hypothesis import strategies as st

    return st.builds(uuid7, st.integers(0, (1 << 48) - 1), st.binary(min_size=10, max_size=10))


def context_strategy() -> "SearchStrategy[Context]":
    """Returns a strategy of contexts."""
    from hypothesis import strategies as st

    return st.builds(
        Context,
        previous_spans=st.lists(id_strategy(), max_size=3).map(tuple),
        environment=st.just("") | st.lists(_token(), min_size=1, max_size=3).map("/".join),
        stakes=st.none() | st.sampled_from(Stakes),
        emotional_state=st.just("") | _token(),
    )


def metadata_strategy() -> "SearchStrategy[Metadata]":
    """Returns a strategy of metadata."""
    from hypothesis import strategies as st

    keys = _characters(min_size=0).filter(lambda key: key not in METADATA_KEYS)
    return st.builds(
        Metadata,
        quality_score=st.none() | st.floats(0, 100) | st.integers(0, 100),
        provider=st.just("") | _text(),
        model=st.just("") | _text(),
        tags=st.lists(_token(), unique=True, max_size=3).map(lambda tags: tuple(sorted(tags))),
        attributes=st.dictionaries(keys, json_strategy(), max_size=3),
    )


def json_strategy() -> "SearchStrategy[JSON]":
    """Returns a strategy of the JSON values that metadata may hold."""
    from hypothesis import strategies as st

    text = _characters(min_size=0)
    leaves: SearchStrategy[JSON] = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER),
        st.floats(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER),
        text,
    )
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
        max_leaves=6,
    )


def _characters(*, min_size: int) -> "SearchStrategy[str]":
    from hypothesis import strategies as st

    alphabet = st.characters(codec="utf-8", exclude_characters="\0")
    return st.text(alphabet, min_size=min_size, max_size=12)


def _text() -> "SearchStrategy[str]":
    return _characters(min_size=1).filter(lambda text: not text.isspace())


def _token() -> "SearchStrategy[str]":
    from hypothesis import strategies as st

    return st.from_regex(r"[a-z0-9][a-z0-9_.:-]{0,15}", fullmatch=True)
