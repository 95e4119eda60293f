import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from arenalab.predictor.guarantee import Kind, bound_of
from arenalab.predictor.risk_coverage import labels_for, risk_coverage

PAIRS = st.integers(0, 200).flatmap(
    lambda n: st.tuples(
        nps.arrays(np.float64, n, elements=st.sampled_from([0.0, 0.2, 0.5, 0.8, 0.9, 1.0])),
        nps.arrays(np.bool_, n, elements=st.booleans()),
    )
)


@given(PAIRS, st.integers(1, 50))
def test_a_curve_counts_what_its_thresholds_admit(
    pairs: tuple[np.ndarray, np.ndarray], points: int
) -> None:
    confidences, correct = pairs
    curve = risk_coverage(confidences, correct, 0.1, points)
    assert len(curve) <= points
    assert bool(curve) == bool((confidences > 0).any())
    for point in curve:
        served = confidences >= point.threshold
        assert (point.served, point.errors) == (served.sum(), (~correct[served]).sum())
        assert point.lower <= point.risk <= point.upper
        assert point.coverage == point.served / len(confidences)
    if curve:
        assert curve[-1].served == (confidences > 0).sum()
        coverages = [point.coverage for point in curve]
        assert coverages == sorted(set(coverages))


def _ranked(size: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    confidences = rng.random(size)
    return confidences, rng.random(size) >= (1 - confidences) / 4


@pytest.mark.parametrize(
    ("kind", "gain"), [(Kind.HIGH_PROBABILITY, 0.02), (Kind.EXPECTATION, 0.003)]
)
def test_more_labels_buy_coverage_where_the_bound_is_loose(kind: Kind, gain: float) -> None:
    pairs = _ranked(600)
    needed = labels_for(*pairs, 0.05, 0.05, gain, kind)
    assert needed is not None
    now = bound_of(*pairs, 0.05, 0.05, kind).coverage
    times = 1 + -(-needed // 600)
    many = (np.tile(pairs[0], times), np.tile(pairs[1], times))
    assert bound_of(*many, 0.05, 0.05, kind).coverage >= now + gain
    less = labels_for(*pairs, 0.05, 0.05, gain / 3, kind)
    assert less is not None
    assert less <= needed


def test_an_estimate_is_finer_than_twice_as_many() -> None:
    confidences = np.linspace(1.0, 0.1, 100)
    # 59 right answers pass at 5 %, and 58 do not.
    assert labels_for(confidences[:50], np.ones(50, bool), 0.05, 0.05, 0.9) in range(9, 12)


def test_what_more_labels_cannot_buy_has_no_number() -> None:
    assert labels_for(*_ranked(600), 0.05, 0.05, 0.99) is None
    few = np.full(29, 0.9), np.ones(29, bool)
    assert labels_for(*few, 0.05, 0.05, 0.1) is None
    assert labels_for(np.zeros(0), np.zeros(0, bool), 0.05, 0.05, 0.1, Kind.EXPECTATION) is None
