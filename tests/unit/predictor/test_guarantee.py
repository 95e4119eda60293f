import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from arenalab.predictor.guarantee import (
    START_ERRORS,
    START_SHARE,
    Kind,
    bound_of,
    fewest_that_can_pass,
    group_bounds,
    lower_bound,
    sequence_positions,
    upper_bound,
)

RISKS = st.floats(0.01, 0.5)
# Few different values, so that many are equal.
PAIRS = st.integers(0, 400).flatmap(
    lambda n: st.tuples(
        nps.arrays(np.float64, n, elements=st.sampled_from([0.0, 0.2, 0.5, 0.8, 0.9, 0.95, 1.0])),
        nps.arrays(np.bool_, n, elements=st.booleans()),
    )
)


def _tail(errors: int, trials: int, rate: Fraction) -> Fraction:
    return sum(
        (math.comb(trials, k) * rate**k * (1 - rate) ** (trials - k) for k in range(errors + 1)),
        Fraction(0),
    )


@given(st.integers(1, 40), st.integers(0, 40), st.floats(0.01, 0.5))
def test_the_upper_bound_inverts_the_binomial_tail(trials: int, errors: int, delta: float) -> None:
    errors = min(errors, trials)
    upper = float(upper_bound(np.array([float(errors)]), np.array([float(trials)]), delta)[0])
    if errors == trials:
        assert upper == 1.0
    else:
        assert float(_tail(errors, trials, Fraction(upper))) == pytest.approx(delta, rel=1e-6)


def test_textbook_numbers_hold() -> None:
    assert fewest_that_can_pass(0.05, 0.05) == 59
    assert fewest_that_can_pass(0.01, 0.05) == 299


@given(RISKS, RISKS, st.integers(0, 12))
def test_the_fewest_that_can_pass_are_the_fewest(alpha: float, delta: float, errors: int) -> None:
    fewest = fewest_that_can_pass(alpha, delta, errors)
    trials = np.array([fewest, max(fewest - 1, 1)], dtype=np.float64)
    passing, failing = upper_bound(np.full(2, float(errors)), trials, delta)
    # The tail and its inverse round differently where they meet.
    assert passing <= alpha + 1e-9
    assert failing > alpha - 1e-9 or fewest == errors + 1


@given(st.integers(0, 300), RISKS, RISKS)
def test_the_sequence_holds_where_one_more_error_may_pass(
    size: int, alpha: float, delta: float
) -> None:
    positions = sequence_positions(size, alpha, delta)
    assert positions is sequence_positions(size, alpha, delta)  # kept: it costs a millisecond
    if not len(positions):
        assert size < fewest_that_can_pass(alpha, delta)
        return
    every = [fewest_that_can_pass(alpha, delta, errors) for errors in range(len(positions) + 3)]
    begin = every.index(positions[0])
    assert begin <= START_ERRORS
    assert begin == 0 or START_SHARE * positions[0] <= size
    assert list(positions) == every[begin : begin + len(positions)]
    assert every[begin + len(positions)] > size


def test_without_errors_everything_is_served() -> None:
    bound = bound_of(np.linspace(0.1, 1.0, 100), np.ones(100, bool), 0.05, 0.05)
    assert (bound.threshold, bound.served, bound.errors) == (0.1, 100, 0)
    assert bound.coverage == 1.0


def test_one_question_too_few_is_void() -> None:
    assert bound_of(np.ones(58), np.ones(58, bool), 0.05, 0.05).threshold is None
    assert bound_of(np.ones(59), np.ones(59, bool), 0.05, 0.05).threshold == 1.0
    assert bound_of(np.zeros(0), np.zeros(0, bool), 0.05, 0.05).threshold is None


def test_an_early_error_does_not_cost_the_guarantee() -> None:
    correct = np.ones(1000, bool)
    correct[0] = False
    bound = bound_of(np.linspace(1.0, 0.1, 1000), correct, 0.05, 0.05)
    assert bound.served == 1000
    correct[:3] = False
    assert bound_of(np.linspace(1.0, 0.1, 1000), correct, 0.05, 0.05).threshold is None


def test_what_is_never_served_is_not_counted_as_served() -> None:
    confidences = np.concatenate([np.full(100, 0.9), np.zeros(50)])
    bound = bound_of(confidences, np.ones(150, bool), 0.05, 0.05)
    assert (bound.threshold, bound.served, bound.size) == (0.9, 100, 150)


@given(PAIRS, RISKS, RISKS)
def test_a_bound_describes_exactly_what_its_threshold_admits(
    pairs: tuple[np.ndarray, np.ndarray], alpha: float, delta: float
) -> None:
    confidences, correct = pairs
    bound = bound_of(confidences, correct, alpha, delta)
    if bound.threshold is None:
        assert (bound.served, bound.errors) == (0, 0)
        return
    served = confidences >= bound.threshold
    assert bound.threshold > 0
    assert bound.served == served.sum()
    assert bound.errors == (~correct[served]).sum()
    assert bound.upper <= alpha + 1e-9


@given(PAIRS, RISKS, RISKS, st.randoms(use_true_random=False))
def test_the_order_of_the_questions_does_not_matter(
    pairs: tuple[np.ndarray, np.ndarray], alpha: float, delta: float, random: object
) -> None:
    confidences, correct = pairs
    order = list(range(len(confidences)))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = bound_of(confidences[order], correct[order], alpha, delta)
    assert shuffled == bound_of(confidences, correct, alpha, delta)


@given(PAIRS, RISKS)
def test_conformal_selection_serves_the_most_that_its_rule_allows(
    pairs: tuple[np.ndarray, np.ndarray], alpha: float
) -> None:
    confidences, correct = pairs
    bound = bound_of(confidences, correct, alpha, 0.3, Kind.EXPECTATION)
    allowed = [
        int(served.sum())
        for level in set(confidences[confidences > 0].tolist())
        if (1 + (~correct[served := confidences >= level]).sum()) <= alpha * served.sum()
    ]
    assert bound.served == max(allowed, default=0)
    assert (bound.threshold is None) == (not allowed)
    assert (bound.delta, bound.kind) == (0.0, Kind.EXPECTATION)


@given(PAIRS, RISKS, RISKS, st.sampled_from(Kind))
def test_only_the_order_of_confidences_decides(
    pairs: tuple[np.ndarray, np.ndarray], alpha: float, delta: float, kind: Kind
) -> None:
    confidences, correct = pairs
    bent = np.where(confidences > 0, 0.1 + confidences**3 / 2, 0.0)
    first = bound_of(confidences, correct, alpha, delta, kind)
    again = bound_of(bent, correct, alpha, delta, kind)
    assert (first.served, first.errors) == (again.served, again.errors)


def test_a_confidence_that_is_no_number_is_never_served() -> None:
    confidences = np.concatenate([np.full(100, 0.9), np.full(50, np.nan)])
    for kind in Kind:
        bound = bound_of(confidences, np.ones(150, bool), 0.05, 0.05, kind)
        assert (bound.threshold, bound.served, bound.size) == (0.9, 100, 150)
        only = bound_of(np.full(90, np.nan), np.ones(90, bool), 0.05, 0.05, kind)
        assert only.threshold is None


@given(st.integers(1, 60), st.integers(0, 60), RISKS)
def test_the_lower_bound_mirrors_the_upper_one(trials: int, errors: int, delta: float) -> None:
    errors = min(errors, trials)
    wrong, of = np.array([float(errors)]), np.array([float(trials)])
    assert lower_bound(wrong, of, delta) == 1.0 - upper_bound(of - wrong, of, delta)
    assert lower_bound(wrong, of, delta)[0] <= errors / trials <= upper_bound(wrong, of, delta)[0]


def test_groups_share_delta_and_small_ones_have_no_bound() -> None:
    groups = ["bank"] * 400 + ["travel"] * 400 + ["rare"] * 20 + [""] * 400
    correct = np.ones(1220, bool)
    correct[400:500] = False
    bounds = group_bounds(np.linspace(1, 0.1, 1220), correct, groups, 0.05, 0.05)
    assert set(bounds) == {"bank", "travel"}
    assert all(bound.delta == 0.025 for bound in bounds.values())
    assert bounds["bank"].served == 400
    assert bounds["travel"].threshold is None
    averaged = group_bounds(
        np.linspace(1, 0.1, 1220), correct, groups, 0.05, 0.05, Kind.EXPECTATION
    )
    assert set(averaged) == {"bank", "travel", "rare"}
    assert averaged["rare"].threshold is not None
    assert group_bounds(np.zeros(0), np.zeros(0, bool), [], 0.05, 0.05) == {}


@pytest.mark.slow
@pytest.mark.parametrize("kind", Kind)
def test_no_group_has_enough_questions_for_the_smallest_alpha(kind: Kind) -> None:
    alpha = math.ulp(0.0)
    assert group_bounds(np.ones(9), np.ones(9, np.bool_), ["a"] * 9, alpha, 0.3, kind) == {}


def test_the_bounds_of_all_groups_hold_at_once() -> None:
    alpha, delta, draws = 0.1, 0.1, 300
    rng = np.random.default_rng(5)
    groups = np.repeat(["a", "b", "c"], 250)
    broken = 0
    for _ in range(draws):
        confidences = rng.random(len(groups))
        correct = rng.random(len(groups)) >= (1 - confidences) / 2
        bounds = group_bounds(confidences, correct, groups.tolist(), alpha, delta)
        # Mean of (1 - u) / 2 over u in [threshold, 1].
        broken += any(
            b.threshold is not None and (1 - b.threshold) / 4 > alpha for b in bounds.values()
        )
    assert broken / draws <= delta + 3 * math.sqrt(delta * (1 - delta) / draws)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [0.5, 1.0, 3.0])
def test_on_average_conformal_selection_keeps_the_risk(shape: float) -> None:
    alpha, size, draws = 0.1, 300, 600
    rng = np.random.default_rng(11)
    risks = []
    for _ in range(draws):
        confidences = rng.random(size)
        correct = rng.random(size) >= (1 - confidences) ** shape / 2
        threshold = bound_of(confidences, correct, alpha, 0.1, Kind.EXPECTATION).threshold
        risks.append(0.0 if threshold is None else (1 - threshold) ** shape / (2 * (shape + 1)))
    assert np.mean(risks) <= alpha + 3 * np.std(risks) / math.sqrt(draws)
    assert np.mean(risks) > alpha / 2


@pytest.mark.slow
@pytest.mark.parametrize("shape", [0.5, 1.0, 3.0])
def test_the_bound_holds_in_all_but_delta_of_the_draws(shape: float) -> None:
    """Of confidence u, 1 - (1 - u) ** shape / 2 are right: so the true risk is known."""
    alpha, delta, size, draws = 0.1, 0.1, 500, 600
    rng = np.random.default_rng(7)
    broken = 0
    for _ in range(draws):
        confidences = rng.random(size)
        correct = rng.random(size) >= (1 - confidences) ** shape / 2
        threshold = bound_of(confidences, correct, alpha, delta).threshold
        if threshold is not None:
            # Mean of (1 - u) ** shape / 2 over u in [threshold, 1].
            risk = (1 - threshold) ** shape / (2 * (shape + 1))
            broken += risk > alpha
    # Three standard deviations above delta.
    assert broken / draws <= delta + 3 * math.sqrt(delta * (1 - delta) / draws)


LEVELS = 3


def _outcomes(size: int, alpha: float, delta: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns every calibration set as counts, and the level down to which its bound serves.

    Counts are of right and wrong questions at each of three confidences, the highest first; -1
    for a bound that is void.
    """
    counts = [c for c in product(range(size + 1), repeat=2 * LEVELS - 1) if sum(c) <= size]
    every = [(*c, size - sum(c)) for c in counts]
    levels = []
    for each in every:
        confidences = np.repeat(np.repeat([0.9, 0.6, 0.3], 2), each)
        correct = np.repeat([True, False] * LEVELS, each)
        threshold = bound_of(confidences, correct, alpha, delta).threshold
        levels.append(-1 if threshold is None else [0.9, 0.6, 0.3].index(threshold))
    return np.array(every), np.array(levels)


@pytest.mark.parametrize(("alpha", "delta"), [(0.5, 0.26), (0.4, 0.37), (0.3, 0.35)])
def test_the_true_risk_is_above_alpha_with_probability_delta_at_most(
    alpha: float, delta: float
) -> None:
    """All calibration sets of a small size, each with its exact probability: no simulation."""
    size = 7
    counts, level = _outcomes(size, alpha, delta)
    ways = np.array([math.factorial(size) / math.prod(map(math.factorial, c)) for c in counts])
    rng = np.random.default_rng(13)
    worst = 0.0
    for spread in np.geomspace(0.3, 0.001, 1000):
        share = rng.dirichlet(np.ones(LEVELS))
        # Near alpha, where the bound is put to the test.
        risk = np.clip(alpha + rng.normal(0.0, spread, LEVELS), 0.0, 1.0)
        true_risk = np.cumsum(share * risk) / np.cumsum(share)
        chances = np.column_stack([share * (1 - risk), share * risk]).ravel()
        probability = ways * np.prod(chances**counts, axis=1)
        assert probability.sum() == pytest.approx(1.0)
        broken = np.append(true_risk > alpha, False)[level]
        worst = max(worst, float(probability[broken].sum()))
    assert delta / 2 < worst <= delta  # and the bound is not kept by serving nothing
