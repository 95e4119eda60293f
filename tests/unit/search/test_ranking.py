"""What a ranking does to the order of hits."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenalab.api.common.v1 import plan_pb2
from arenalab.mesh import InvalidInputError
from arenalab.search.index.protocol import MAX_CANDIDATES
from arenalab.search.ranking import (
    Candidates,
    Ranking,
    rank,
    ranking_of,
    ranking_to_proto,
    useful_candidates,
)
from arenalab.search.ranking.diversity import diversified

_NOW_S = 1.8e9
_SIMILARITY = st.integers(-4, 4).map(lambda fourths: fourths / 4)  # with ties
_LEXICAL = st.integers(0, 3).map(float)


@st.composite
def _candidates(draw: st.DrawFn) -> Candidates:
    count = draw(st.integers(0, 12))

    def drawn(one: st.SearchStrategy[float]) -> Any:
        return np.array(draw(st.lists(one, min_size=count, max_size=count)), np.float64)

    vectors = np.random.default_rng(draw(st.integers(0, 9))).normal(size=(count, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Candidates(
        similarities=-np.sort(-drawn(_SIMILARITY)),
        lexical_scores=drawn(_LEXICAL),
        when_s=drawn(st.integers(-62_135_596_800, 253_402_300_799).map(float)),
        qualities=drawn(st.just(math.nan) | st.integers(0, 100).map(float)),
        weights=drawn(st.floats(0, 10)),
        vectors=vectors.astype(np.float32),
    )


_RANKINGS = st.builds(
    Ranking,
    lexical_weight=st.floats(0, 1),
    rrf_constant=st.integers(1, 1000),
    half_life_s=st.just(0.0) | st.floats(1, 3_153_600_000),
    quality_weight=st.floats(0, 1),
    diversity=st.floats(0, 1),
    use_weights=st.booleans(),
)


@settings(max_examples=40, deadline=None)
@given(hits=_candidates(), ranking=_RANKINGS)
def test_a_ranking_orders_every_hit_by_scores_that_never_rise(
    hits: Candidates, ranking: Ranking
) -> None:
    order, scores = rank(hits, ranking, _NOW_S)
    assert sorted(order.tolist()) == list(range(len(hits.similarities)))
    assert np.isfinite(scores).all()
    assert (np.diff(scores) <= 0).all()


@settings(max_examples=40, deadline=None)
@given(hits=_candidates(), ranking=_RANKINGS, limit=st.integers(1, 5))
def test_a_limit_cuts_the_order_and_changes_nothing(
    hits: Candidates, ranking: Ranking, limit: int
) -> None:
    order, scores = rank(hits, ranking, _NOW_S)
    first, first_scores = rank(hits, ranking, _NOW_S, limit)
    assert first.tolist() == order[:limit].tolist()
    assert first_scores.tolist() == scores[:limit].tolist()


@settings(max_examples=40, deadline=None)
@given(hits=_candidates())
def test_a_default_ranking_leaves_order_and_scores(hits: Candidates) -> None:
    order, scores = rank(hits, Ranking(), _NOW_S)
    assert order.tolist() == list(range(len(order)))
    assert scores.tolist() == hits.similarities.tolist()


@settings(max_examples=40, deadline=None)
@given(hits=_candidates(), constant=st.integers(1, 1000))
def test_lexical_weight_one_is_the_lexical_order(hits: Candidates, constant: int) -> None:
    order, _ = rank(hits, Ranking(lexical_weight=1, rrf_constant=constant), _NOW_S)
    assert hits.lexical_scores is not None
    assert order.tolist() == np.argsort(-hits.lexical_scores, kind="stable").tolist()


@settings(max_examples=40, deadline=None)
@given(hits=_candidates(), constant=st.integers(1, 1000))
def test_next_to_no_lexical_weight_is_the_dense_order(hits: Candidates, constant: int) -> None:
    order, _ = rank(hits, Ranking(lexical_weight=1e-9, rrf_constant=constant), _NOW_S)
    assert (np.diff(hits.similarities[order]) <= 0).all()


def test_fusion_is_the_weighted_sum_of_reciprocal_ranks() -> None:
    hits = Candidates(
        similarities=np.array([0.9, 0.8, 0.8, 0.1]), lexical_scores=np.array([0.0, 2.0, 7.0, 2.0])
    )
    order, scores = rank(hits, Ranking(lexical_weight=0.25, rrf_constant=10), _NOW_S)
    expected = [
        11 * 0.75 / 11,  # first by similarity, and in no lexical list
        11 * (0.75 / 12 + 0.25 / 12),  # equal ones share the better rank
        11 * (0.75 / 12 + 0.25 / 11),
        11 * (0.75 / 14 + 0.25 / 12),
    ]
    assert order.tolist() == [2, 1, 3, 0]
    assert scores == pytest.approx([expected[place] for place in order])


def test_the_first_of_both_lists_scores_one() -> None:
    hits = Candidates(similarities=np.array([0.3, 0.2]), lexical_scores=np.array([5.0, 0.0]))
    for constant in (1, 60, 1000):
        _, scores = rank(hits, Ranking(lexical_weight=0.4, rrf_constant=constant), _NOW_S)
        assert scores[0] == pytest.approx(1)


def test_a_span_as_old_as_the_half_life_counts_half() -> None:
    hits = Candidates(
        similarities=np.array([0.8, 0.8, 0.8]),
        when_s=np.array([_NOW_S - 2000, _NOW_S, _NOW_S - 1000]),
    )
    order, scores = rank(hits, Ranking(half_life_s=1000), _NOW_S)
    assert order.tolist() == [1, 2, 0]
    assert scores == pytest.approx([0.8, 0.4, 0.2])


def test_a_span_from_the_future_has_no_age() -> None:
    hits = Candidates(
        similarities=np.array([0.8, 0.8]), when_s=np.array([_NOW_S + 1e9, _NOW_S], np.int64)
    )
    order, scores = rank(hits, Ranking(half_life_s=1), _NOW_S)
    assert order.tolist() == [0, 1]
    assert scores.tolist() == [0.8, 0.8]


def test_quality_multiplies_and_unmeasured_counts_as_fifty() -> None:
    hits = Candidates(
        similarities=np.array([0.8, 0.8, 0.8]), qualities=np.array([0.0, math.nan, 100.0])
    )
    order, scores = rank(hits, Ranking(quality_weight=0.5), _NOW_S)
    assert order.tolist() == [2, 1, 0]
    assert scores == pytest.approx([0.8, 0.6, 0.4])


def test_weights_multiply() -> None:
    hits = Candidates(
        similarities=np.array([0.8, 0.5, 0.4]), weights=np.array([0, 1, 10], np.float32)
    )
    order, scores = rank(hits, Ranking(use_weights=True), _NOW_S)
    assert order.tolist() == [2, 1, 0]
    assert scores == pytest.approx([4, 0.5, 0])


@settings(max_examples=40, deadline=None)
@given(hits=_candidates(), ranking=_RANKINGS)
def test_no_factor_moves_a_negative_score(hits: Candidates, ranking: Ranking) -> None:
    ranking = replace(ranking, lexical_weight=0, diversity=0)
    order, scores = rank(hits, ranking, _NOW_S)
    is_negative = hits.similarities < 0
    assert scores[is_negative[order]].tolist() == hits.similarities[is_negative].tolist()


@settings(max_examples=40, deadline=None)
@given(hits=_candidates(), ranking=_RANKINGS, place=st.integers(0, 11), more=st.floats(0, 10))
def test_more_weight_never_lowers_a_hit(
    hits: Candidates, ranking: Ranking, place: int, more: float
) -> None:
    assert hits.weights is not None
    if place >= len(hits.weights):
        return
    ranking = replace(ranking, use_weights=True, diversity=0)
    heavier = hits.weights.copy()
    heavier[place] += more
    before = rank(hits, ranking, _NOW_S)[0].tolist().index(place)
    after = rank(replace(hits, weights=heavier), ranking, _NOW_S)[0].tolist().index(place)
    assert after <= before


@settings(max_examples=40, deadline=None)
@given(hits=_candidates())
def test_no_diversity_is_the_order_by_score(hits: Candidates) -> None:
    assert hits.vectors is not None
    count = len(hits.similarities)
    order, values = diversified(hits.similarities, hits.vectors, 0, count)
    assert order.tolist() == list(range(count))
    assert values.tolist() == hits.similarities.tolist()


@settings(max_examples=40, deadline=None)
@given(hits=_candidates(), diversity=st.floats(0.01, 1))
def test_diversity_takes_what_the_definition_says(hits: Candidates, diversity: float) -> None:
    order, values = rank(hits, Ranking(diversity=diversity), _NOW_S)
    assert hits.vectors is not None
    likeness = np.vecdot(hits.vectors[:, None], hits.vectors[None])
    taken: list[int] = []
    for place, value in zip(order.tolist(), values.tolist(), strict=True):
        by_place = {
            other: (1 - diversity) * hits.similarities[other]
            - diversity * max(0.0, *likeness[other, taken], 0.0)
            for other in range(len(order))
            if other not in taken
        }
        assert value == pytest.approx(max(by_place.values()), abs=1e-6)
        assert by_place[place] == pytest.approx(value, abs=1e-6)
        taken.append(place)


def test_a_repeated_hit_gives_way_to_another() -> None:
    vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    hits = Candidates(similarities=np.array([0.9, 0.9, 0.5]), vectors=vectors)
    assert rank(hits, Ranking(diversity=0.1), _NOW_S)[0].tolist() == [0, 1, 2]
    assert rank(hits, Ranking(diversity=0.5), _NOW_S)[0].tolist() == [0, 2, 1]


@pytest.mark.parametrize(
    ("ranking", "missing"),
    [
        (Ranking(lexical_weight=0.5), "lexical_scores"),
        (Ranking(half_life_s=5), "when_s"),
        (Ranking(quality_weight=0.5), "qualities"),
        (Ranking(use_weights=True), "weights"),
        (Ranking(diversity=0.5), "vectors"),
    ],
)
def test_what_a_ranking_uses_must_be_given(ranking: Ranking, missing: str) -> None:
    with pytest.raises(ValueError, match=f"needs the {missing} of the candidates"):
        rank(Candidates(similarities=np.array([0.5])), ranking, _NOW_S)


def test_a_default_message_is_no_ranking() -> None:
    assert ranking_of(plan_pb2.Ranking()) is None
    assert ranking_of(plan_pb2.Ranking(rrf_constant=60)) is None
    # A constant without a fusion to use it in.
    assert ranking_of(plan_pb2.Ranking(rrf_constant=7)) is None


def test_a_message_leaves_the_constant_to_its_default() -> None:
    ranking = ranking_of(plan_pb2.Ranking(lexical_weight=0.5))
    assert ranking == Ranking(lexical_weight=0.5, rrf_constant=60)


@settings(max_examples=40, deadline=None)
@given(ranking=_RANKINGS)
def test_a_ranking_survives_its_message(ranking: Ranking) -> None:
    again = ranking_of(ranking_to_proto(ranking))
    if not ranking.lexical_weight:
        ranking = replace(ranking, rrf_constant=60)
    assert (again or Ranking()) == ranking


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[
            (field, value)
            for field in ("lexical_weight", "quality_weight", "diversity")
            for value in (-0.1, 1.1, math.nan, math.inf, -math.inf)
        ],
        ("rrf_constant", 1001),
        *[("half_life_s", value) for value in (-1, 0.5, 3.2e9, math.nan, math.inf)],
    ],
)
def test_a_field_outside_its_range_is_refused(field: str, value: float) -> None:
    message = plan_pb2.Ranking(**{field: value})  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match=f"ranking.{field} must be in") as refused:
        ranking_of(message)
    assert refused.value.metadata == {"field": f"ranking.{field}"}


@settings(max_examples=40, deadline=None)
@given(ranking=_RANKINGS | st.none(), limit=st.integers(1, 1000))
def test_at_least_the_limit_is_fetched(ranking: Ranking | None, limit: int) -> None:
    assert limit <= useful_candidates(limit, ranking) <= MAX_CANDIDATES


def test_nothing_more_is_fetched_without_a_ranking() -> None:
    assert useful_candidates(7, None) == 7
    assert useful_candidates(7, Ranking()) == 7
    assert useful_candidates(7, Ranking(diversity=0.1)) > 7
