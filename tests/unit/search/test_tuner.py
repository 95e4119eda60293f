"""Indexes over collections that are harder than most, searched as hard as they must be."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from arenalab.planning import EFFORTS, UNREACHABLE
from arenalab.search.finding.query import Query
from arenalab.search.finding.retrieval import Found
from arenalab.search.index.exact import ExactIndex
from arenalab.search.index.hnsw import HnswIndex
from arenalab.search.index.ivf import IvfIndex
from arenalab.search.index.protocol import BuildStoppedError, FloatArray
from arenalab.search.recall.questions import questions_of
from arenalab.search.recall.tuner import measure_effort, tune
from arenalab.testing.spans import make_span
from tests.unit.search.shelf import Shelf

DIMENSION, ALIKE, COPIED, COPIES = 64, 1500, 150, 20
LIMIT = 10


def unit(vectors: npt.NDArray[Any]) -> FloatArray:
    scaled: FloatArray = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("f4")
    return scaled


def noise(random: np.random.Generator, rows: int) -> FloatArray:
    return unit(random.standard_normal((rows, DIMENSION)))


def near_duplicates(random: np.random.Generator) -> FloatArray:
    """Returns rows that are closer to each other than their codes can tell."""
    return unit(noise(random, 1) + 0.004 * noise(random, ALIKE))


def noisy_copies(random: np.random.Generator) -> FloatArray:
    texts = np.repeat(noise(random, COPIED), COPIES, axis=0)
    return unit(texts + 0.5 * noise(random, len(texts)))


@pytest.fixture(scope="module")
def hard() -> FloatArray:
    random = np.random.default_rng(3)
    return random.permutation(np.concatenate([near_duplicates(random), noisy_copies(random)]))


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory, hard: FloatArray) -> Iterator[Shelf]:
    made = opened(tmp_path_factory.mktemp("hard"))
    spans = [make_span(f"question {n}", f"answer {n}") for n in range(len(hard))]
    made.publish(spans, hard)
    made.upkeep.wait()
    yield made
    made.close()


def opened(root: Path) -> Shelf:
    return Shelf(root, dimension=DIMENSION, tune=tune)


def found(shelf: Shelf, question: FloatArray) -> Found:
    return shelf.retrieval.nearest(shelf.now, question, Query(limit=LIMIT), LIMIT)


def recall_of(shelf: Shelf, questions: FloatArray) -> float:
    index = shelf.now.base.index
    recalls = []
    for question in questions:
        last = index.scan(question, LIMIT, None).similarities[-1]
        hits = found(shelf, question).similarities
        recalls.append(np.count_nonzero(hits >= last) / LIMIT)
    return float(np.mean(recalls))


def test_a_hard_collection_is_served_with_the_wanted_recall(shelf: Shelf, hard: FloatArray) -> None:
    random = np.random.default_rng(8)
    assert not shelf.now.base.is_scanned
    assert shelf.now.base.tuning.is_measured
    for length in (0.02, 0.3, 0.8):
        rows = hard[random.integers(0, len(hard), 100)]
        assert recall_of(shelf, unit(rows + length * noise(random, 100))) >= 0.99


def test_what_codes_cannot_tell_apart_is_found_all_the_same() -> None:
    random = np.random.default_rng(3)
    alike = near_duplicates(random)
    # So few of all that no mean recall shows them.
    index = HnswIndex.build(np.concatenate([alike[:200], noise(random, 6000)]))
    for question in unit(alike[:50] + 0.3 * noise(random, 50)):
        true = index.scan(question, LIMIT, None)
        assert index.search(question, LIMIT).rows.tolist() == true.rows.tolist()


def test_a_restart_knows_the_effort_without_measuring_it(shelf: Shelf) -> None:
    shelf.now.base.tuning.measured(3.0)  # more than it needs, to be told from what is usual
    effort = shelf.now.base.tuning.effort
    shelf.close()
    again = Shelf(shelf.root, dimension=DIMENSION)  # which measures nothing
    again.upkeep.wait()
    try:
        assert again.now.base.made.disk_bytes
        assert (again.now.base.tuning.effort, again.now.base.tuning.is_measured) == (effort, True)
    finally:
        again.close()


def test_a_file_without_its_effort_is_measured_again(tmp_path: Path) -> None:
    made = Shelf(tmp_path)
    made.publish([make_span(f"question {n}", f"answer {n}") for n in range(300)])
    made.upkeep.wait()
    assert not made.now.base.tuning.is_measured
    made.close()
    again = Shelf(tmp_path, tune=tune)
    again.upkeep.wait()
    assert again.now.base.tuning.is_measured
    again.close()
    third = Shelf(tmp_path)
    assert third.now.base.tuning.is_measured
    third.close()


def test_a_usual_collection_needs_no_more_than_most() -> None:
    random = np.random.default_rng(4)
    latent = random.standard_normal((3000, 16)) @ random.standard_normal((16, DIMENSION))
    assert measure_effort(HnswIndex.build(unit(latent))) == 1.0


@pytest.mark.parametrize("build", [HnswIndex.build, IvfIndex.build])
def test_the_effort_is_one_of_few_and_the_same_again(build: Any) -> None:
    index = build(noise(np.random.default_rng(5), 10_000))
    effort = measure_effort(index, questions=64)
    assert effort in EFFORTS
    assert effort > 1.0
    assert measure_effort(index, questions=64) == effort


def test_what_no_list_finds_is_unreachable() -> None:
    index = HnswIndex.build(near_duplicates(np.random.default_rng(6)))
    assert measure_effort(index, recall_target=0.999999, questions=64) == UNREACHABLE


def test_an_index_that_is_a_scan_needs_no_questions() -> None:
    assert measure_effort(ExactIndex(noise(np.random.default_rng(7), 100))) == 1.0


def test_measuring_ends_when_it_is_told_to() -> None:
    index = HnswIndex.build(noise(np.random.default_rng(7), 100))
    with pytest.raises(BuildStoppedError):
        measure_effort(index, stopped=lambda: True)


def test_questions_are_new_unit_vectors_near_to_rows() -> None:
    index = ExactIndex(noise(np.random.default_rng(7), 300))
    questions = questions_of(index, 400, seed=1)
    assert questions.shape == (300, DIMENSION)
    assert np.allclose(np.linalg.norm(questions, axis=1), 1, atol=1e-5)
    nearest = np.array([index.search(one, 1).similarities[0] for one in questions])
    assert (nearest < 0.9999).all()
    assert nearest[::2].mean() > nearest[1::2].mean() > 0.5
    assert np.array_equal(questions, questions_of(index, 400, seed=1))
    assert not np.array_equal(questions, questions_of(index, 400, seed=2))
