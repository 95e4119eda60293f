"""What goes into a version: no copies, good enough, capped, in an order of its own."""

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.atomic import Span
from arenalab.curator.build import choose, without_copies
from arenalab.curator.meter import Scores
from arenalab.testing.spans import make_span


def scored(total: float) -> Scores:
    return Scores(total, total, total, total, total)


def test_of_copies_the_one_of_best_provenance_stays() -> None:
    plain = make_span("Is it open?", "Yes.")
    confirmed = make_span("is it  open", "Yes.", confirmed_by="the shop")
    later = make_span("IS IT OPEN", "Yes.", when="2027-01-01T00:00:00Z")
    assert without_copies([plain, confirmed, later]) == [confirmed]
    assert without_copies([later, plain]) == [plain]


def test_another_outcome_action_or_context_is_no_copy() -> None:
    spans = [
        make_span("Is it open?", "Yes."),
        make_span("Is it open?", "No."),
        make_span("Is it open?", "Yes.", did="call"),
        make_span("Is it open?", "Yes.", domain="shop"),
        make_span("Is it open?", "Yes.", emotional_state="angry"),
        make_span("Is it open now?", "Yes."),
    ]
    assert without_copies(spans) == spans


def test_spans_below_the_quality_are_left_out_and_the_others_carry_theirs() -> None:
    spans = [make_span(f"question {n}", "o") for n in range(3)]
    chosen = choose(spans, [scored(59.9), scored(60), scored(90)], min_quality=60, max_per_domain=0)
    assert {one.span.this: one.span.metadata.quality_score for one in chosen} == {
        "question 1": 60,
        "question 2": 90,
    }
    assert all(spans[one.row].id == one.span.id for one in chosen)


def test_a_cap_keeps_the_best_of_each_domain() -> None:
    spans = [make_span(f"q {n}", "o", domain="ab"[n % 2]) for n in range(8)]
    scores = [scored(60 + n) for n in range(8)]
    chosen = choose(spans, scores, min_quality=0, max_per_domain=2)
    assert {one.span.this for one in chosen} == {"q 4", "q 5", "q 6", "q 7"}


FEW = st.builds(
    make_span,
    st.sampled_from(["Is it open?", "is it open", "Where is it?"]),
    st.sampled_from(["Yes.", "No."]),
    domain=st.sampled_from(["", "shop"]),
    when=st.sampled_from(
        ["2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", "1990-05-05T00:00:00Z"]
    ),
    confirmed_by=st.sampled_from([None, "me"]),
)


@pytest.mark.slow
@given(st.lists(FEW, max_size=12), st.randoms(use_true_random=False), st.integers(0, 3))
def test_the_order_of_arrival_changes_nothing(
    spans: Sequence[Span], shuffler: random.Random, cap: int
) -> None:
    shuffled = list(spans)
    shuffler.shuffle(shuffled)

    def built(arrived: Sequence[Span]) -> list[Span]:
        distinct = without_copies(arrived)
        scores = [scored(len(span.this) * 5.0) for span in distinct]
        chosen = choose(distinct, scores, min_quality=0, max_per_domain=cap)
        return [one.span for one in chosen]

    first = built(spans)
    assert first == built(shuffled)
    assert [(s.when_ns, s.id) for s in first] == sorted((s.when_ns, s.id) for s in first)
    if cap:
        assert max(Counter(s.context.environment for s in first).values(), default=0) <= cap
