"""Corrections learned from latencies: bounded, robust, and never on top of themselves."""

import random
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.planning import Correction
from arenalab.search.costs.latencies import MOST, Latencies

WAY = "hnsw/selector"


def test_what_was_never_searched_is_not_corrected() -> None:
    assert Latencies().corrections() == {}


@pytest.mark.parametrize("factor", [0.25, 1.0, 3.0])
def test_the_factor_of_a_way_is_found(factor: float) -> None:
    latencies = Latencies()
    for _ in range(500):
        latencies.observe(WAY, 100.0, 100.0 * factor)
    learned = latencies.corrections()[WAY]
    assert learned.factor == pytest.approx(factor, rel=0.05)
    assert learned.searches == 500


def test_a_factor_does_not_grow_on_itself() -> None:
    latencies = Latencies()
    factor = 1.0
    for _ in range(20):  # predictions contain what was published
        for _ in range(100):
            latencies.observe(WAY, 100.0 * factor, 200.0)
        factor = latencies.publish()[WAY].factor
    assert factor == pytest.approx(2.0, rel=0.05)


def test_what_was_not_published_is_not_taken_for_part_of_a_prediction() -> None:
    latencies = Latencies()
    for _ in range(2000):
        latencies.observe(WAY, 100.0, 200.0)
        latencies.corrections()
    assert latencies.corrections()[WAY].factor == pytest.approx(2.0, rel=0.05)


def test_a_search_that_waited_hardly_moves_the_factor() -> None:
    latencies, order = Latencies(), random.Random(1)
    for _ in range(1000):
        delay = 1000.0 if order.random() < 0.1 else 1.0
        latencies.observe(WAY, 100.0, 100.0 * delay)
    assert latencies.corrections()[WAY].factor < 1.4


def test_one_search_alone_is_hardly_trusted() -> None:
    latencies = Latencies()
    latencies.observe(WAY, 100.0, 800.0)
    assert latencies.corrections()[WAY].factor < 1.2


@given(st.lists(st.tuples(st.floats(allow_nan=True), st.floats(allow_nan=True)), max_size=50))
def test_a_factor_is_bounded_whatever_is_observed(times: list[tuple[float, float]]) -> None:
    latencies = Latencies()
    for predicted_us, measured_us in times:
        latencies.observe(WAY, predicted_us, measured_us)
    for correction in latencies.corrections().values():
        assert 0.999 / MOST <= correction.factor <= 1.001 * MOST


def test_what_was_known_is_where_learning_starts() -> None:
    latencies = Latencies({WAY: Correction(2.0, 1000)})
    assert latencies.corrections()[WAY].factor == pytest.approx(2.0, rel=0.02)
    for _ in range(100):
        latencies.observe(WAY, 200.0, 200.0)  # predictions contain the 2 already
    assert latencies.corrections()[WAY].factor == pytest.approx(2.0, rel=0.02)


def test_no_search_is_lost_between_threads() -> None:
    latencies = Latencies()

    def observe() -> None:
        for _ in range(2000):
            latencies.observe(WAY, 1.0, 1.0)

    threads = [Thread(target=observe) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert latencies.corrections()[WAY].searches == 8000
