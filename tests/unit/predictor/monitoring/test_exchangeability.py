"""The conformal test martingale: fair while questions are exchangeable. Seeds are fixed."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenalab.predictor.artefact import Pairs
from arenalab.predictor.monitoring.exchangeability import (
    ExchangeabilityTest,
    payoffs,
    strangeness,
)


def _pairs(confidences: np.ndarray, correct: np.ndarray) -> Pairs:
    size = len(confidences)
    return Pairs(confidences, correct, np.zeros(size), ("",) * size)


def _traffic(random: np.random.Generator, size: int, shift: float) -> Pairs:
    """Returns questions answered with calibrated confidences, then `shift` less often right."""
    confidences = random.beta(4, 1, size)
    return _pairs(confidences, random.random(size) < confidences - shift)


def _peak(random: np.random.Generator, shift: float, audits: int) -> float:
    test = ExchangeabilityTest(_traffic(random, 300, 0.0))
    later = _traffic(random, audits, shift)
    peak = 0.0
    for confidence, is_right in zip(later.confidences, later.correct, strict=True):
        test.observe(float(confidence), float(random.random()), is_right=bool(is_right))
        peak = max(peak, test.bets.log_e)
    return peak


def test_bets_on_a_rank_are_fair_and_never_negative() -> None:
    ranks = (np.arange(100_000) + 0.5) / 100_000
    paid = np.array([payoffs(p) for p in ranks.tolist()])
    assert paid.min() >= 0
    # The midpoints miss a little of what the power bets pay near 0.
    assert paid.mean(axis=0) == pytest.approx(np.ones(paid.shape[1]), abs=0.02)
    assert (paid.mean(axis=0) <= 1.0 + 1e-9).all()


def test_a_sure_mistake_is_the_strangest_and_a_sure_hit_the_least() -> None:
    sure, unsure = 0.99, 0.3
    order = [
        strangeness(sure, is_right=True),
        strangeness(unsure, is_right=True),
        strangeness(unsure, is_right=False),
        strangeness(sure, is_right=False),
    ]
    assert order == sorted(order)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.floats(0.2, 5.0))
def test_a_rising_curve_over_the_confidences_changes_nothing(seed: int, power: float) -> None:
    random = np.random.default_rng(seed)
    # Multiples of 1/64, so that the curve keeps ties and makes none.
    known, later = random.integers(1, 65, 60) / 64, random.integers(1, 65, 20) / 64
    right = random.random(80) < 0.8
    chances = random.random(20)
    plain = ExchangeabilityTest(_pairs(known, right[:60]))
    bent = ExchangeabilityTest(_pairs(known**power, right[:60]))
    for at in range(20):
        is_right = bool(right[60 + at])
        plain.observe(float(later[at]), float(chances[at]), is_right=is_right)
        bent.observe(float((later**power)[at]), float(chances[at]), is_right=is_right)
    assert bent.bets.log_e == pytest.approx(plain.bets.log_e, abs=1e-12)


def test_questions_that_are_never_served_are_no_baseline() -> None:
    confidences = np.concatenate([np.zeros(100), np.full(49, 0.5)])
    assert not ExchangeabilityTest(_pairs(confidences, np.ones(149, bool))).is_possible
    assert ExchangeabilityTest(_pairs(np.full(50, 0.5), np.ones(50, bool))).is_possible


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_exchangeable_questions_raise_a_false_alarm_in_at_most_one_of_twenty() -> None:
    random = np.random.default_rng(8)
    peaks = [_peak(random, 0.0, 300) for _ in range(500)]
    assert sum(peak >= math.log(20) for peak in peaks) / len(peaks) <= 0.05


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_answers_that_are_less_often_right_than_they_were_raise_an_alarm() -> None:
    random = np.random.default_rng(9)
    peaks = [_peak(random, 0.3, 150) for _ in range(100)]
    assert sum(peak >= math.log(20) for peak in peaks) / len(peaks) >= 0.95
