"""Counts of a collection out of the counts of its segments."""

from uuid import UUID

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from arenalab.atomic.instant import MAX_SECONDS, MIN_SECONDS
from arenalab.search.collection.stats import partial_of, stats_of
from arenalab.search.columns.columns import Columns
from arenalab.search.store.row import NO_OUTCOME, StoredRow

_seconds = st.one_of(st.integers(0, 3), st.integers(MIN_SECONDS, MAX_SECONDS))
_whens = st.tuples(_seconds, st.integers(0, 999_999_999))
_outcomes = st.integers(NO_OUTCOME, 6)
_segments = st.lists(st.lists(st.tuples(_whens, _outcomes), max_size=8), max_size=4)


def columns(known: list[tuple[tuple[int, int], int]]) -> Columns:
    like = StoredRow(1, 0, "", "a", "ask", 1, 0, 0, None, "", 0, "x", "", 1.0, 0)
    return Columns.of(
        [
            like._replace(
                span_id=str(UUID(int=number)), when_s=when_s, when_ns=when_ns, outcome_key=outcome
            )
            for number, ((when_s, when_ns), outcome) in enumerate(known)
        ]
    )


@given(_segments)
def test_times_and_outcomes_are_those_of_all_segments_together(
    segments: list[list[tuple[tuple[int, int], int]]],
) -> None:
    stats = stats_of([partial_of(columns(known)) for known in segments])
    whens = sorted(when for known in segments for when, _ in known)
    outcomes = {outcome for known in segments for _, outcome in known} - {NO_OUTCOME}
    assert stats.distinct_outcomes == len(outcomes)
    found = [(when.seconds, when.nanos) for when in stats.when_quantiles]
    assert len(found) == (101 if whens else 0)
    if whens:
        places = np.linspace(0, len(whens) - 1, 101).round().astype(int)
        assert found == [whens[place] for place in places.tolist()]
