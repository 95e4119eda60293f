import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from arenalab.predictor.guarantee import Kind
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


def test_more_labels_buy_coverage_where_the_bound_is_loose() -> None:
    rng = np.random.default_rng(1)
    confidences = rng.random(600)
    correct = rng.random(600) >= (1 - confidences) / 4
    needed = labels_for(confidences, correct, 0.05, 0.05, 0.02)
    assert needed is not None
    assert needed % 600 == 0
    assert labels_for(confidences, correct, 0.05, 0.05, 0.99) is None
    assert labels_for(np.zeros(0), np.zeros(0, bool), 0.05, 0.05, 0.1, Kind.EXPECTATION) is None
