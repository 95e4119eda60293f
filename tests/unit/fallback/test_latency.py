import math

import pytest

from arenalab.fallback.latency import MAX_AGE_S, MEASURING_S, SHARE, Latencies
from arenalab.fallback.recent import Recent

FAILURE_S = 30.0


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def latencies() -> tuple[Latencies, Clock]:
    clock = Clock()
    return Latencies(failure_s=FAILURE_S, now=clock), clock


def test_what_was_never_asked_comes_first() -> None:
    found, _ = latencies()
    assert found.expected_s("a", "m") == 0
    assert found.last_s("a", "m") == 0


def test_one_call_measures_and_the_others_go_elsewhere_meanwhile() -> None:
    found, clock = latencies()
    found.asked("a", "m")
    assert found.expected_s("a", "m") == math.inf
    clock.now_s += MEASURING_S + 1
    assert found.expected_s("a", "m") == 0


def test_the_mean_moves_a_fifth_of_the_way() -> None:
    found, _ = latencies()
    found.answered("a", "m", 1.0)
    assert found.expected_s("a", "m") == 1.0
    found.answered("a", "m", 2.0)
    assert found.expected_s("a", "m") == pytest.approx(1.0 + SHARE)
    assert found.last_s("a", "m") == found.expected_s("a", "m")


def test_models_and_providers_are_told_apart() -> None:
    found, _ = latencies()
    found.answered("a", "m", 1.0)
    assert found.expected_s("a", "n") == found.expected_s("b", "m") == 0


def test_a_failure_counts_as_the_longest_wait() -> None:
    found, _ = latencies()
    found.answered("a", "m", 1.0)
    found.failed("a", "m")
    assert found.expected_s("a", "m") == pytest.approx(1.0 + SHARE * (FAILURE_S - 1.0))


def test_what_is_old_is_measured_again_by_one_call() -> None:
    found, clock = latencies()
    found.answered("a", "m", 9.0)
    clock.now_s += MAX_AGE_S + 1
    assert found.expected_s("a", "m") == 0
    found.asked("a", "m")
    assert found.expected_s("a", "m") == 9.0


@pytest.mark.parametrize(("after_s", "mean_s"), [(0.5, 1.0), (3.0, 1.0 + SHARE * 2.0)])
def test_a_call_that_was_given_up_counts_only_when_it_was_slow(
    after_s: float, mean_s: float
) -> None:
    found, _ = latencies()
    found.answered("a", "m", 1.0)
    found.given_up("a", "m", after_s)
    assert found.expected_s("a", "m") == pytest.approx(mean_s)


def test_giving_up_says_nothing_of_a_model_that_was_never_measured() -> None:
    found, _ = latencies()
    found.given_up("a", "m", 5.0)
    assert found.expected_s("a", "m") == 0


def test_what_was_used_least_recently_is_forgotten() -> None:
    recent: Recent[str, list[str]] = Recent(2, lambda key: [key])
    recent.get("a").append("kept")
    for key in "bac":
        recent.get(key)
    assert recent.peek("b") is None
    assert list(recent.items()) == [("a", ["a", "kept"]), ("c", ["c"])]
    assert len(recent) == 2
