"""The certificate of a search over several parts, and which of them are repeated."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from arenalab.planning import DEFAULT_MODEL, Engine, Facts, Plan, choose
from arenalab.search.finding.retrieval import Found
from arenalab.search.recall.certificate import EXACT, Band, Certificates
from arenalab.search.recall.measuring import Measuring
from arenalab.search.recall.shadow import Shadows
from arenalab.testing.spans import make_span
from tests.unit.search.shelf import Shelf, scan, walk

WALK = walk(ef_search=64)
OTHER = 10**9


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    """A segment with a graph, and some spans that are scanned."""
    made = Shelf(tmp_path)
    made.publish([make_span(f"question {n}", f"answer {n}") for n in range(300)])
    made.upkeep.wait()
    made.add([make_span(f"later {n}", f"answer {n}") for n in range(5)])
    yield made
    made.close()


def of_two_graphs(found: Found) -> Found:
    """Returns the hits as if another segment with a graph had been searched too."""
    part = found.parts[0]
    other = replace(part, number=2, segment=replace(part.segment, serial=OTHER))
    return replace(found, parts=(*found.parts, other))


def bands(found: Found, plan: Plan = WALK) -> list[Band]:
    return [
        Band.of(part.segment.serial, plan, None, found.fetched)
        for part in found.parts
        if not part.exact
    ]


def test_scanned_parts_alone_are_certain(shelf: Shelf) -> None:
    measuring = Measuring(Certificates(), Shadows(Certificates()))
    assert measuring.certificate(shelf.nearest("question 7", scan())) is EXACT


def test_the_weakest_part_speaks_for_all(shelf: Shelf) -> None:
    certificates = Certificates()
    measuring = Measuring(certificates, Shadows(certificates))
    found = of_two_graphs(shelf.nearest("question 7", WALK))
    parts = bands(found)
    assert len(parts) == 2
    for band, hits in zip(parts, [10, 9], strict=True):
        for _ in range(200):
            certificates.record(band, hits, 10)
    known = measuring.certificate(found)
    assert known.recall == pytest.approx(0.9)
    assert (known.samples, known.exact) == (200, False)
    lows = [certificates.of(band).recall_low for band in parts]
    assert known.recall_low == pytest.approx(1 - sum(1 - low for low in lows))


def test_a_part_that_was_never_measured_leaves_the_whole_unknown(shelf: Shelf) -> None:
    certificates = Certificates()
    measuring = Measuring(certificates, Shadows(certificates))
    found = of_two_graphs(shelf.nearest("question 7", WALK))
    for _ in range(200):
        certificates.record(bands(found)[0], 10, 10)
    known = measuring.certificate(found)
    assert (known.recall, known.recall_low, known.samples) == (None, 0.0, 0)


def test_what_was_measured_of_one_effort_or_limit_says_nothing_of_another(shelf: Shelf) -> None:
    certificates = Certificates()
    measuring = Measuring(certificates, Shadows(certificates))
    for band in bands(shelf.nearest("question 7", WALK)):
        certificates.record(band, 10, 10)
    assert measuring.certificate(shelf.nearest("question 7", WALK)).samples == 1
    for found in (
        shelf.nearest("question 7", walk(ef_search=1)),
        shelf.nearest("question 7", WALK, limit=50),
    ):
        known = measuring.certificate(found)
        assert (known.recall, known.recall_low, known.samples) == (None, 0.0, 0)


def test_every_approximate_part_is_repeated(shelf: Shelf) -> None:
    certificates = Certificates()
    shadows = Shadows(certificates, rate=1.0, core_share=1.0)
    measuring = Measuring(certificates, shadows)
    found = of_two_graphs(shelf.nearest("question 7", WALK))
    shadows.start()
    try:
        measuring.offer(found, shelf.embed(["question 7"])[0])
        shadows.wait()
    finally:
        shadows.stop()
    assert [certificates.of(band).samples for band in bands(found)] == [1, 1]


def test_a_new_index_is_measured_for_searches_without_a_plan(shelf: Shelf) -> None:
    certificates = Certificates()
    shadows = Shadows(certificates, core_share=1.0)
    measuring = Measuring(certificates, shadows)
    shadows.start()
    try:
        for segment in shelf.now.segments:
            if not segment.is_scanned:
                measuring.indexed(segment)
        shadows.wait()
    finally:
        shadows.stop()
    for limit, samples in [(10, 64), (50, 32)]:
        facts = Facts(spans=300, matches=300, engines=frozenset({Engine.HNSW}))
        choice = choose(facts, limit=limit, recall_target=0.99, model=DEFAULT_MODEL)
        plan = next(one for one in (choice.plan, *choice.rejected) if not one.is_exact)
        found = shelf.nearest("question 7", plan, limit=limit)
        known = measuring.certificate(found)
        assert (known.exact, known.samples) == (False, samples)
        assert known.recall is not None
        assert known.recall > 0.9
