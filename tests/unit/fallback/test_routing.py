import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenalab.fallback.routing import Candidate, Strategy, in_order, serves

EXAMPLES = 40
_candidates = st.lists(
    st.builds(
        Candidate,
        st.sampled_from(["a", "b", "c", "d"]),
        st.sampled_from(["m", "n"]),
        weight=st.floats(0, 100),
        cost_usd_micros=st.none() | st.integers(0, 100),
        first_token_s=st.floats(0),
    ),
    max_size=8,
)


@settings(max_examples=EXAMPLES)
@given(_candidates, st.sampled_from(Strategy), st.randoms(use_true_random=False))
def test_every_candidate_is_asked_once(
    candidates: list[Candidate], strategy: Strategy, rng: random.Random
) -> None:
    found = in_order(candidates, strategy, rng)
    assert sorted(map(id, found)) == sorted(map(id, candidates))


@settings(max_examples=EXAMPLES)
@given(_candidates, st.integers())
def test_the_same_chance_gives_the_same_order(candidates: list[Candidate], seed: int) -> None:
    first, second = (in_order(candidates, Strategy.WEIGHTED, random.Random(seed)) for _ in range(2))
    assert first == second


@settings(max_examples=EXAMPLES)
@given(_candidates)
def test_ordered_keeps_the_order(candidates: list[Candidate]) -> None:
    assert in_order(candidates, Strategy.ORDERED, random.Random(0)) == candidates


@settings(max_examples=EXAMPLES)
@given(_candidates)
def test_cheapest_goes_up_in_cost_and_ends_with_the_unknown(candidates: list[Candidate]) -> None:
    costs = [c.cost_usd_micros for c in in_order(candidates, Strategy.CHEAPEST, random.Random(0))]
    known = [cost for cost in costs if cost is not None]
    assert costs == sorted(known) + [None] * (len(costs) - len(known))


@settings(max_examples=EXAMPLES)
@given(_candidates)
def test_fastest_goes_up_in_time(candidates: list[Candidate]) -> None:
    waits = [c.first_token_s for c in in_order(candidates, Strategy.FASTEST, random.Random(0))]
    assert waits == sorted(waits)


@pytest.mark.parametrize("strategy", [Strategy.CHEAPEST, Strategy.FASTEST])
def test_ties_keep_the_configured_order(strategy: Strategy) -> None:
    candidates = [Candidate(name, "m", cost_usd_micros=7) for name in "cab"]
    assert in_order(candidates, strategy, random.Random(0)) == candidates


def test_the_first_and_the_second_are_drawn_by_their_weights() -> None:
    weights = {"a": 6.0, "b": 3.0, "c": 1.0}
    candidates = [Candidate(name, "m", weight=weight) for name, weight in weights.items()]
    rng, draws = random.Random(7), 20_000
    orders = Counter(
        "".join(c.provider for c in in_order(candidates, Strategy.WEIGHTED, rng))
        for _ in range(draws)
    )
    for order, count in orders.items():
        first, second = weights[order[0]], weights[order[1]]
        share = first / 10 * second / (10 - first)
        # Four standard deviations of a binomial share.
        assert abs(count / draws - share) < 4 * (share * (1 - share) / draws) ** 0.5
    assert len(orders) == 6


def test_those_of_weight_0_come_last_as_configured() -> None:
    candidates = [Candidate(n, "m", weight=w) for n, w in zip("abcd", (0, 1, 0, 1), strict=True)]
    for seed in range(50):
        order = [c.provider for c in in_order(candidates, Strategy.WEIGHTED, random.Random(seed))]
        assert set(order[:2]) == {"b", "d"}
        assert order[2:] == ["a", "c"]


@pytest.mark.parametrize("model", ["gpt-4o-mini", "o3-mini", "small"])
def test_a_provider_claims_its_default_and_what_its_patterns_match(model: str) -> None:
    assert serves(model, ("gpt-*", "o[134]*"), "small")


@pytest.mark.parametrize("model", ["claude-x", "GPT-4o", "large", ""])
def test_a_provider_claims_nothing_else(model: str) -> None:
    assert not serves(model, ("gpt-*", "o[134]*"), "small")
    assert not serves(model, (), "small")
