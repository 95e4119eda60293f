import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from arenalab.contrast import ContrastKind, ContrastPair, contrast_certificate
from arenalab.contrast.certificate import rate

PAIRS = [
    ContrastPair(ContrastKind.NEGATION, "is it", "is it not", "yes"),
    ContrastPair(ContrastKind.NEGATION, "was it", "was it not", "yes"),
    ContrastPair(ContrastKind.NUMBER, "5 of it", "6 of it", "five"),
]


def test_false_accepts_are_counted_by_kind_and_shown() -> None:
    certificate = contrast_certificate(PAIRS, lambda texts: ["yes", "", "six"][: len(texts)])
    assert certificate.total.value == pytest.approx(1 / 3)
    assert certificate.by_kind[ContrastKind.NEGATION].false_accepts == 1
    assert certificate.by_kind[ContrastKind.NUMBER].value == 0.0
    assert set(certificate.by_kind) == {ContrastKind.NEGATION, ContrastKind.NUMBER}
    assert certificate.otherwise == 1
    assert certificate.examples == (PAIRS[0],)
    assert certificate.exceeds(0.3)
    assert not certificate.exceeds(0.4)


def test_without_pairs_nothing_is_measured() -> None:
    certificate = contrast_certificate([], lambda _: [])
    assert not certificate.is_measured
    assert certificate.total.value is None
    assert (certificate.total.lower, certificate.total.upper) == (0.0, 1.0)
    assert not certificate.exceeds(0.0)


@given(st.integers(1, 400), st.data())
def test_the_interval_is_that_of_clopper_and_pearson(trials: int, data: st.DataObject) -> None:
    events = data.draw(st.integers(0, trials))
    found = rate(trials, events, 0.05)
    exact = binomtest(events, trials).proportion_ci(0.95, method="exact")
    assert found.lower == pytest.approx(exact.low, abs=1e-9)
    assert found.upper == pytest.approx(exact.high, abs=1e-9)
    assert found.lower <= events / trials <= found.upper
