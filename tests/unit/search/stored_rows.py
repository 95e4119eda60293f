"""Random rows as the span store gives them, from few values so that they meet."""

from hypothesis import strategies as st

from arenalab.atomic.instant import MAX_SECONDS, MIN_SECONDS
from arenalab.search.store.row import StoredRow

domains = st.sampled_from(["", "a", "a/b", "a/b/c", "a0", "ab", "b", "a-b"])
actions = st.sampled_from(["ask", "ask_question", "ask-for.question", "question2", "a"])
tokens = st.sampled_from(["x", "y", "z"])
creatures = st.sampled_from(["", "owl", "fox"])
seconds = st.integers(0, 3) | st.sampled_from([MIN_SECONDS, -1, MAX_SECONDS])
nanos = st.sampled_from([0, 1, 2, 999_999_999])
qualities = st.integers(0, 100).map(float) | st.sampled_from([0.0, 9.5, 10.0, 99.5, 100.0, 1e-300])

stored_rows = st.lists(
    st.builds(
        StoredRow,
        rowid=st.integers(1, 1 << 40),
        ordinal=st.none() | st.integers(0, 100),
        span_id=st.uuids().map(str),
        domain=domains,
        action=actions,
        status=st.integers(1, 3),
        when_s=seconds,
        when_ns=nanos,
        quality=st.none() | qualities,
        tags=st.sets(tokens).map(lambda tags: " ".join(sorted(tags))),
        outcome_key=st.integers(0, (1 << 63) - 1),
        source=tokens,
        creature=creatures,
        weight=st.sampled_from([0.0, 0.5, 1.0, 10.0]),
        hidden=st.integers(0, 1),
    ),
    max_size=30,
    unique_by=lambda row: row.span_id,
).map(lambda rows: sorted(rows, key=lambda row: row.span_id))
