"""The recall of approximate searches, estimated from repeated ones."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenalab.planning import Engine
from arenalab.search.recall.certificate import EXACT, Band, Certificates, Share, mean_lower_bound

UNFILTERED = Band("faq", Engine.HNSW, Share.UNFILTERED)


def measured(*recalls: float, band: Band = UNFILTERED, window: int = 1000) -> Certificates:
    certificates = Certificates(window=window)
    for recall in recalls:
        certificates.record(band, round(recall * 10), 10)
    return certificates


def test_an_exact_search_is_certain() -> None:
    assert Certificates().certificate(Engine.HNSW, exact=True, share=0.5) is EXACT


def test_nothing_is_claimed_before_anything_was_measured() -> None:
    found = Certificates().certificate(Engine.HNSW, exact=False, share=None)
    assert (found.recall, found.recall_low, found.samples) == (None, 0.0, 0)


def test_the_estimate_is_the_mean_of_the_queries() -> None:
    found = measured(1.0, 0.5, 0.9).certificate(Engine.HNSW, None, exact=False, index="faq")
    assert found.recall == pytest.approx(0.8)
    assert found.samples == 3
    assert found.band == "hnsw unfiltered"
    assert 0 < found.recall_low < 0.8


@pytest.mark.parametrize(
    ("share", "band"),
    [
        (None, "ivf unfiltered"),
        (1.0, "ivf 10-100 %"),
        (0.1, "ivf 10-100 %"),
        (0.0999, "ivf 1-10 %"),
        (0.01, "ivf 1-10 %"),
        (0.001, "ivf 0.1-1 %"),
        (0.0009, "ivf < 0.1 %"),
        (0.0, "ivf < 0.1 %"),
    ],
)
def test_a_band_is_named_after_engine_and_share(share: float | None, band: str) -> None:
    assert Certificates().certificate(Engine.IVF, exact=False, share=share).band == band


def test_bands_are_apart() -> None:
    certificates = measured(0.5)
    assert certificates.certificate(Engine.HNSW, 0.5, exact=False, index="faq").samples == 0
    assert certificates.certificate(Engine.IVF, None, exact=False, index="faq").samples == 0


def test_a_new_index_starts_anew() -> None:
    assert measured(0.5).certificate(Engine.HNSW, None, exact=False, index="next").samples == 0


def test_a_forgotten_index_has_no_samples() -> None:
    certificates = measured(0.5)
    certificates.forget("faq")
    assert certificates.certificate(Engine.HNSW, None, exact=False, index="faq").samples == 0


def test_old_searches_fade() -> None:
    found = measured(0.0, 0.0, 1.0, 1.0, window=2).certificate(
        Engine.HNSW, None, exact=False, index="faq"
    )
    assert (found.recall, found.samples) == (1.0, 2)


def test_a_search_with_nothing_to_find_says_nothing() -> None:
    certificates = Certificates()
    certificates.record(UNFILTERED, 0, 0)
    assert certificates.certificate(Engine.HNSW, None, exact=False, index="faq").samples == 0


def test_more_found_than_there_is_is_refused() -> None:
    with pytest.raises(ValueError, match=r"found must be in \[0, 10\]"):
        Certificates().record(UNFILTERED, 11, 10)


def test_traffic_takes_the_place_of_self_tests() -> None:
    certificates = Certificates()
    for _ in range(3):
        certificates.record(UNFILTERED, 10, 10, seed=True)
    certificates.record(UNFILTERED, 5, 10)
    certificates.record(UNFILTERED, 5, 10)
    found = certificates.certificate(Engine.HNSW, None, exact=False, index="faq")
    assert found.samples == 3
    assert found.recall == pytest.approx(2 / 3)
    for _ in range(2):
        certificates.record(UNFILTERED, 5, 10)
    found = certificates.certificate(Engine.HNSW, None, exact=False, index="faq")
    assert (found.samples, found.recall) == (4, 0.5)


def test_the_number_of_bands_is_bounded() -> None:
    certificates = Certificates(max_bands=2)
    for index in range(3):
        certificates.record(Band(index, Engine.HNSW, Share.FEW), 1, 1)
    samples = [
        certificates.certificate(Engine.HNSW, 0.005, exact=False, index=index).samples
        for index in range(3)
    ]
    assert samples == [0, 1, 1]


def test_perfect_self_tests_are_enough_for_a_bound_of_nine_tenths() -> None:
    assert mean_lower_bound(np.ones(64)) > 0.9
    assert mean_lower_bound(np.ones(1000)) > 0.995


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=50),
    st.randoms(use_true_random=False),
)
def test_the_bound_is_below_the_mean_and_ignores_the_order(
    values: list[float], random: Random
) -> None:
    bound = mean_lower_bound(np.array(values))
    assert 0 <= bound <= np.mean(values) + 1e-9
    random.shuffle(values)
    assert mean_lower_bound(np.array(values)) == pytest.approx(bound, abs=1e-5)


# Recalls as they come: all or nothing, a little short of all, spread widely, and queries
# in two groups, one of which an index serves badly.
_POPULATIONS = {
    "rarely lost": (np.array([0.0, 1.0]), np.array([0.02, 0.98])),
    "one in ten short": (np.array([0.8, 0.9, 1.0]), np.array([0.02, 0.08, 0.90])),
    "wide": (np.linspace(0, 1, 11), np.full(11, 1 / 11)),
    "two groups": (np.array([0.1, 0.2, 1.0]), np.array([0.1, 0.1, 0.8])),
}


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(
    population=st.sampled_from(sorted(_POPULATIONS)),
    samples=st.sampled_from([1, 8, 64, 400]),
    seed=st.integers(0, 1000),
)
def test_the_bound_covers_the_true_mean(population: str, samples: int, seed: int) -> None:
    values, chances = _POPULATIONS[population]
    random = np.random.default_rng(seed)
    runs = 200
    drawn = random.choice(values, p=chances, size=(runs, samples))
    true = float(values @ chances)
    covered = sum(mean_lower_bound(one) <= true for one in drawn)
    # 95 % of the runs, less three standard deviations of a count of 200 (3.1 each): a
    # right bound fails this once in some hundred thousand draws, as it is conservative.
    assert covered >= 0.95 * runs - 3 * 3.1
