"""Filters are remembered by whether they pass what is near the questions."""

from hypothesis import given
from hypothesis import strategies as st

from arenalab.planning import UNKNOWN_AGREEMENT
from arenalab.search.condition import Filter
from arenalab.search.finding.agreement import Agreements

RED, BLUE = Filter(tags=("red",)), Filter(tags=("blue",))


def outcomes(agreements: Agreements, *passing: int, share: float = 0.1) -> float:
    """Returns the agreement after probes of 64 hits."""
    for count in passing:
        agreements.probed(1, RED, passing=count, hits=64, share=share)
    return agreements.of(1, RED)


def test_nothing_is_known_before_the_first_probe() -> None:
    assert Agreements().of(1, RED) == UNKNOWN_AGREEMENT


def test_probes_that_pass_raise_it_and_probes_that_do_not_lower_it() -> None:
    assert outcomes(Agreements(), *[64] * 5) > 0.8
    assert outcomes(Agreements(), *[0] * 5) < 0.2


def test_what_a_filter_passes_anywhere_counts_as_agreement() -> None:
    # Half of all rows: 32 of 64 are what chance gives, 2 are not.
    assert outcomes(Agreements(), *[30] * 5, share=0.5) > 0.8
    assert outcomes(Agreements(), *[2] * 5, share=0.5) < 0.2


def test_filters_and_segments_are_told_apart() -> None:
    agreements = Agreements()
    outcomes(agreements, 0, 0, 0)
    assert agreements.of(1, BLUE) == agreements.of(2, RED) == UNKNOWN_AGREEMENT


def test_questions_that_change_are_followed() -> None:
    agreements = Agreements()
    before = outcomes(agreements, *[0] * 100)
    assert outcomes(agreements, *[64] * 60) > 0.8 > before


def test_the_first_scans_are_learned_from_and_then_some() -> None:
    agreements = Agreements()
    wanted = [agreements.scanned(1, RED) for _ in range(640)]
    assert all(wanted[:3])
    assert 15 <= sum(wanted) <= 30


@given(st.lists(st.tuples(st.integers(0, 64), st.floats(0.001, 1.0)), max_size=60))
def test_it_is_a_probability_in_few_steps(probes: list[tuple[int, float]]) -> None:
    agreements = Agreements()
    for passing, share in probes:
        agreements.probed(1, RED, passing=passing, hits=64, share=share)
    found = agreements.of(1, RED)
    assert 0 <= found <= 1
    assert (found * 16).is_integer()
