"""Searches that are repeated exactly in the background."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.mesh import NotReadyError
from arenalab.planning import DEFAULT_MODEL, DEFAULT_RECALL, Engine, Facts, Plan, Strategy, choose
from arenalab.search.index.exact import ExactIndex
from arenalab.search.index.hnsw import HnswIndex
from arenalab.search.index.ivf import IvfIndex
from arenalab.search.index.protocol import Nearest, VectorIndex
from arenalab.search.recall.certificate import Band, Certificates
from arenalab.search.recall.shadow import Outcome, Repetition, Shadows, overlap, self_tests

BAND = Band.of("faq", Plan(engine=Engine.HNSW, strategy=Strategy.NONE), None, 10)


@dataclass
class Search:
    """A search whose truth is known."""

    overlap: tuple[int, int] = (9, 10)
    band: Band = BAND
    gate: threading.Event | None = None
    error: Exception | None = None
    until_stopped: Shadows | None = None
    began: threading.Event = field(default_factory=threading.Event)

    def run(self) -> tuple[int, int]:
        self.began.set()
        if self.gate is not None:
            self.gate.wait()
        if (shadows := self.until_stopped) is not None:
            with shadows._state:
                shadows._state.wait_for(lambda: shadows._is_stopped)
        if self.error is not None:
            raise self.error
        return self.overlap


@contextmanager
def working(certificates: Certificates, **settings: Any) -> Iterator[Shadows]:
    shadows = Shadows(certificates, **{"core_share": 1.0, **settings})
    shadows.start()
    try:
        yield shadows
    finally:
        shadows.stop()


def samples(certificates: Certificates) -> int:
    return certificates.of(BAND).samples


def nearest(*hits: tuple[int, float]) -> Nearest:
    return Nearest(np.array([row for row, _ in hits]), np.array([score for _, score in hits]))


def test_what_is_offered_is_measured() -> None:
    certificates = Certificates()
    with working(certificates) as shadows:
        assert shadows.offer(Search((9, 10)))
        assert shadows.offer(Search((7, 10)))
        shadows.wait()
    found = certificates.of(BAND)
    assert found.samples == 2
    assert found.recall == pytest.approx(0.8)


def test_a_full_queue_drops_and_counts() -> None:
    outcomes: Counter[Outcome] = Counter()
    gate = threading.Event()
    running = Search(gate=gate)
    with working(
        Certificates(), queue_limit=2, observe=lambda outcome, _: outcomes.update([outcome])
    ) as shadows:
        shadows.offer(running)
        running.began.wait()
        assert [shadows.offer(Search()) for _ in range(4)] == [True, True, False, False]
        gate.set()
        shadows.wait()
    assert outcomes == {Outcome.MEASURED: 3, Outcome.DROPPED: 2}


@pytest.mark.parametrize("error", [NotReadyError("away"), ZeroDivisionError()])
def test_a_search_that_fails_does_not_end_the_others(error: Exception) -> None:
    certificates, outcomes = Certificates(), Counter[Outcome]()
    with working(certificates, observe=lambda outcome, _: outcomes.update([outcome])) as shadows:
        shadows.offer(Search(error=error))
        shadows.offer(Search())
        shadows.wait()
    assert outcomes == {Outcome.FAILED: 1, Outcome.MEASURED: 1}
    assert samples(certificates) == 1


def test_it_stops_without_doing_what_waits() -> None:
    certificates = Certificates()
    with working(certificates) as shadows:
        running = Search(until_stopped=shadows)
        shadows.offer(running)
        running.began.wait()
        shadows.offer(Search())
    assert samples(certificates) == 1
    assert not shadows.offer(Search())


def test_it_stops_in_the_middle_of_a_long_rest() -> None:
    ticks = iter([0.0, 3600.0])
    with working(Certificates(), core_share=0.01, clock=lambda: next(ticks)) as shadows:
        shadows.offer(Search())
        shadows.wait()


def test_it_rests_in_proportion_to_its_work(monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float | None] = []
    shadows = Shadows(Certificates(), core_share=0.2)
    wait_for = shadows._state.wait_for

    def recorded(ready: Any, timeout: float | None = None) -> bool:
        rests.append(timeout)
        return bool(wait_for(ready, 0))

    monkeypatch.setattr(shadows._state, "wait_for", recorded)
    shadows._rest(2.0)
    assert rests == [8.0]  # two of ten seconds


def test_the_same_seed_picks_the_same_searches() -> None:
    def picked(seed: int) -> list[bool]:
        shadows = Shadows(Certificates(), rate=0.3, seed=seed)
        return [shadows.picks() for _ in range(100)]

    assert picked(1) == picked(1) != picked(2)


@pytest.mark.parametrize(
    ("rate", "least", "most"), [(0, 0, 0), (0.1, 900, 1100), (1, 10**4, 10**4)]
)
def test_the_rate_is_kept(rate: float, least: int, most: int) -> None:
    shadows = Shadows(Certificates(), rate=rate, seed=7)
    assert least <= sum(shadows.picks() for _ in range(10_000)) <= most


@pytest.mark.parametrize("wrong", [{"rate": 1.1}, {"queue_limit": 0}, {"core_share": 0.0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Shadows(Certificates(), **wrong)


def test_a_tie_at_the_last_place_counts_as_found() -> None:
    true = nearest((1, 0.9), (2, 0.5))
    assert overlap(nearest((1, 0.9), (7, 0.5)), true) == (2, 2)
    assert overlap(nearest((1, 0.9), (7, 0.4)), true) == (1, 2)
    assert overlap(nearest((1, 0.9), (2, 0.5), (7, 0.5)), true) == (2, 2)


def test_nothing_to_find_is_no_miss() -> None:
    assert overlap(nearest(), nearest()) == (0, 0)


@given(st.lists(st.integers(0, 5), max_size=12), st.integers(1, 6), st.randoms())
def test_finding_all_but_the_last_ones_is_counted_exactly(
    scores: list[int], limit: int, random: Any
) -> None:
    best = sorted(((row, score / 5) for row, score in enumerate(scores)), key=lambda hit: -hit[1])
    kept = best[: random.randint(0, min(limit, len(best)))]
    assert overlap(nearest(*kept), nearest(*best[:limit])) == (len(kept), min(limit, len(best)))


def unit_vectors(count: int, dimension: int = 8) -> Any:
    vectors = np.random.default_rng(0).standard_normal((count, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_a_repetition_looks_only_at_what_could_be_found() -> None:
    index = ExactIndex(unit_vectors(50))
    rows = np.arange(0, 50, 2)
    query = index.vectors(np.array([1]))[0]
    found = index.scan(query, 5, rows)
    repeated = Repetition(
        band=BAND, index=index, query=query, limit=5, rows=lambda: rows, found=found
    )
    assert repeated.run() == (5, 5)


def default_plan(index: VectorIndex, limit: int) -> Plan:
    facts = Facts(spans=index.size, matches=index.size, engines=frozenset({index.engine}))
    choice = choose(facts, limit=limit, recall_target=DEFAULT_RECALL, model=DEFAULT_MODEL)
    return next(plan for plan in (choice.plan, *choice.rejected) if not plan.is_exact)


def test_a_new_index_is_measured_by_questions_of_its_own() -> None:
    certificates = Certificates()
    index = HnswIndex.build(unit_vectors(300))
    with working(certificates, queue_limit=20) as shadows:
        shadows.seed(self_tests(index, "faq"))
        shadows.wait()
    for limit, count in [(10, 64), (50, 32)]:
        found = certificates.of(Band.of("faq", default_plan(index, limit), None, limit))
        assert found.samples == count
        assert found.recall is not None
        assert found.recall > 0.9


@pytest.mark.parametrize("build", [HnswIndex.build, IvfIndex.build])
def test_self_tests_look_as_hard_as_a_search_without_a_plan(build: Any) -> None:
    index = build(unit_vectors(300))
    tests = list(self_tests(index, "faq", counts={10: 2, 50: 1}))
    assert [test.limit for test in tests] == [10, 10, 50]
    for test in tests:
        assert test.band == Band.of("faq", default_plan(index, test.limit), None, test.limit)
        assert test.plan.recall_target == DEFAULT_RECALL
    assert len({test.band for test in tests}) == 2


def test_a_small_index_has_as_many_questions_as_rows() -> None:
    index = HnswIndex.build(unit_vectors(13))
    assert len(list(self_tests(index, "faq", counts={10: 64}))) == 13


def test_what_is_always_scanned_needs_no_questions() -> None:
    assert not list(self_tests(ExactIndex(unit_vectors(100)), "faq"))
    # All that there is cannot be missed either.
    assert not list(self_tests(HnswIndex.build(unit_vectors(10)), "faq"))
