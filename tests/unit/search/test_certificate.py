"""The recall of approximate searches, estimated from repeated ones."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenalab.planning import Engine, Plan, Strategy
from arenalab.search.recall.certificate import Band, Certificates, mean_lower_bound


def walk(ef_search: int = 128, candidates: int = 20, strategy: Strategy = Strategy.NONE) -> Plan:
    return Plan(engine=Engine.HNSW, strategy=strategy, ef_search=ef_search, candidates=candidates)


def lists(n_probe: int, strategy: Strategy = Strategy.NONE) -> Plan:
    return Plan(engine=Engine.IVF, strategy=strategy, n_probe=n_probe, candidates=28)


UNFILTERED = Band.of("faq", walk(), None, 10)


def measured(*recalls: float, band: Band = UNFILTERED, window: int = 1000) -> Certificates:
    certificates = Certificates(window=window)
    for recall in recalls:
        certificates.record(band, round(recall * 10), 10)
    return certificates


def test_nothing_is_claimed_before_anything_was_measured() -> None:
    found = Certificates().of(UNFILTERED)
    assert (found.recall, found.recall_low, found.samples) == (None, 0.0, 0)


def test_the_estimate_is_the_mean_of_the_queries() -> None:
    found = measured(1.0, 0.5, 0.9).of(UNFILTERED)
    assert found.recall == pytest.approx(0.8)
    assert found.samples == 3
    assert found.band == "hnsw unfiltered, 1-10 hits, ef 128"
    assert 0 < found.recall_low < 0.8


@pytest.mark.parametrize(
    ("share", "band"),
    [
        (None, "ivf unfiltered, 1-10 hits, lists 64"),
        (1.0, "ivf 10-100 %, 1-10 hits, lists 64"),
        (0.1, "ivf 10-100 %, 1-10 hits, lists 64"),
        (0.0999, "ivf 1-10 %, 1-10 hits, lists 64"),
        (0.01, "ivf 1-10 %, 1-10 hits, lists 64"),
        (0.001, "ivf 0.1-1 %, 1-10 hits, lists 64"),
        (0.0009, "ivf < 0.1 %, 1-10 hits, lists 64"),
        (0.0, "ivf < 0.1 %, 1-10 hits, lists 64"),
    ],
)
def test_a_band_is_named_after_engine_and_share(share: float | None, band: str) -> None:
    assert Band.of("faq", lists(105, Strategy.SELECTOR), share, 10).name == band


@pytest.mark.parametrize(
    ("limit", "order"),
    [
        (1, "1-10 hits"),
        (10, "1-10 hits"),
        (11, "11-100 hits"),
        (100, "11-100 hits"),
        (101, "101-1000 hits"),
        (1000, "101-1000 hits"),
        (1001, "> 1000 hits"),
    ],
)
def test_a_band_is_named_after_the_order_of_its_limit(limit: int, order: str) -> None:
    assert Band.of("faq", lists(8), None, limit).name == f"ivf unfiltered, {order}, lists 8"


@pytest.mark.parametrize(
    ("plan", "limit", "effort"),
    [
        (walk(ef_search=127), 10, "ef 64"),
        (walk(ef_search=128), 10, "ef 128"),
        (walk(ef_search=255), 10, "ef 128"),
        (walk(ef_search=1, candidates=0), 10, "ef 8"),  # no list is shorter than the hits
        (walk(ef_search=1, candidates=20), 10, "ef 16"),  # nor than those compared once more
        (walk(ef_search=0), 10, "ef 128"),  # left to the engine
        (walk(ef_search=4096), 10, "ef 4096"),
        (lists(1), 10, "lists 1"),
        (lists(65_536), 10, "lists 65536"),
    ],
)
def test_a_band_is_named_after_what_was_looked_at(plan: Plan, limit: int, effort: str) -> None:
    assert Band.of("faq", plan, None, limit).name.endswith(f", {effort}")


def test_an_engine_that_takes_no_effort_has_none_in_its_name() -> None:
    plan = Plan(engine=Engine.MILVUS, strategy=Strategy.NONE, candidates=20)
    assert Band.of("faq", plan, None, 10).name == "milvus unfiltered, 1-10 hits"
    assert Band.of("faq", lists(0), None, 10).name == "ivf unfiltered, 1-10 hits"


@pytest.mark.parametrize(
    "other",
    [
        Band.of("next", walk(), None, 10),  # a new index starts anew
        Band.of("faq", lists(128), None, 10),
        Band.of("faq", walk(), 0.5, 10),
        Band.of("faq", walk(), None, 100),
        Band.of("faq", walk(ef_search=1), None, 10),
        Band.of("faq", walk(ef_search=1024), None, 10),
        Band.of("faq", walk(strategy=Strategy.POST), None, 10),
    ],
)
def test_no_band_borrows_the_recall_of_another(other: Band) -> None:
    certificates = measured(0.5)
    found = certificates.of(other)
    assert (found.recall, found.recall_low, found.samples) == (None, 0.0, 0)
    assert certificates.of(UNFILTERED).samples == 1


@given(
    st.sampled_from([Engine.HNSW, Engine.IVF]),
    st.sampled_from([Strategy.SELECTOR, Strategy.POST]),
    st.integers(0, 4096),
    st.integers(0, 65_536),
    st.none() | st.floats(0, 1),
    st.integers(1, 4096),
)
def test_efforts_are_few_whatever_a_client_asks_for(
    engine: Engine,
    strategy: Strategy,
    ef_search: int,
    n_probe: int,
    share: float | None,
    limit: int,
) -> None:
    plan = Plan(engine=engine, strategy=strategy, ef_search=ef_search, n_probe=n_probe)
    efforts = {0, *(2**power for power in range(17))}
    assert Band.of("faq", plan, share, limit).effort in efforts


def test_a_forgotten_index_has_no_samples() -> None:
    certificates = measured(0.5)
    certificates.forget("faq")
    assert certificates.of(UNFILTERED).samples == 0


def test_old_searches_fade() -> None:
    found = measured(0.0, 0.0, 1.0, 1.0, window=2).of(UNFILTERED)
    assert (found.recall, found.samples) == (1.0, 2)


def test_a_search_with_nothing_to_find_says_nothing() -> None:
    certificates = Certificates()
    certificates.record(UNFILTERED, 0, 0)
    assert certificates.of(UNFILTERED).samples == 0


def test_more_found_than_there_is_is_refused() -> None:
    with pytest.raises(ValueError, match=r"found must be in \[0, 10\]"):
        Certificates().record(UNFILTERED, 11, 10)


def test_traffic_takes_the_place_of_self_tests() -> None:
    certificates = Certificates()
    for _ in range(3):
        certificates.record(UNFILTERED, 10, 10, seed=True)
    certificates.record(UNFILTERED, 5, 10)
    certificates.record(UNFILTERED, 5, 10)
    found = certificates.of(UNFILTERED)
    assert found.samples == 3
    assert found.recall == pytest.approx(2 / 3)
    for _ in range(2):
        certificates.record(UNFILTERED, 5, 10)
    found = certificates.of(UNFILTERED)
    assert (found.samples, found.recall) == (4, 0.5)


def test_the_number_of_bands_is_bounded() -> None:
    certificates = Certificates(max_bands=2)
    bands = [Band.of(index, walk(), 0.005, 10) for index in range(3)]
    for band in bands:
        certificates.record(band, 1, 1)
    assert [certificates.of(band).samples for band in bands] == [0, 1, 1]


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
