import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenalab.local.evaluation.baselines import SemanticCache, TopOnePlatt, VoteShare
from arenalab.local.evaluation.contender import Asked, Memory, Scored, nearest
from arenalab.local.evaluation.figures import ece, quality_of
from arenalab.local.evaluation.own import OwnContender
from arenalab.local.evaluation.task import Known, calibration_size, exact_match_key

MEMORY = Memory(
    [Known("a", "One"), Known("b", "two"), Known("c", "TWO")],
    ["one", "two", "two"],
    np.eye(3, dtype=np.float32),
)
ASKED = Asked(
    ["?"], np.ones((1, 3), np.float32), np.array([[0, 1, 2]]), np.array([[0.9, 0.88, 0.88]])
)


@settings(max_examples=40)
@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 1_000))
def test_nearest_is_a_full_sort(size: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Whole numbers: sums without rounding, and many equal similarities.
    memory = rng.integers(-2, 3, (size, 4)).astype(np.float32)
    asked = rng.integers(-2, 3, (3, 4)).astype(np.float32)
    positions, similarities = nearest(memory, asked, k)
    for row, question in enumerate(asked):
        scores = memory @ question
        assert similarities[row].tolist() == sorted(scores.tolist(), reverse=True)[:k]
        assert scores[positions[row]].tolist() == similarities[row].tolist()


def test_a_cache_gives_the_nearest_outcome_and_a_vote_the_most_supported() -> None:
    cache = SemanticCache().fit(MEMORY, 0).score(ASKED)
    assert (list(cache.outcomes), cache.score[0]) == (["One"], 0.9)
    vote = VoteShare().fit(MEMORY, 0).score(ASKED)
    assert list(vote.outcomes) == ["two"]
    assert vote.score[0] == pytest.approx(2 / (2 + np.exp(0.2)))


def test_platt_scaling_makes_a_similarity_honest_and_leaves_its_order() -> None:
    rng = np.random.default_rng(4)
    score = rng.random(2_000)
    correct = rng.random(2_000) < score**4
    scored = Scored("top1_platt", score, score, correct, correct)
    finished = TopOnePlatt().finish(scored, 0)
    assert (finished.score == score).all()
    assert ece(finished.confidence, correct) < 0.3 * ece(score, correct)
    again = TopOnePlatt().finish(scored, 0)
    assert (again.confidence == finished.confidence).all()


def test_platt_scaling_is_not_fitted_to_a_handful() -> None:
    score = np.linspace(0.5, 1.0, 12)
    scored = Scored("top1_platt", score, score, score > 0.9, score > 0.9)
    assert TopOnePlatt().finish(scored, 0) is scored


def test_labels_make_our_confidence_honest_and_leave_what_is_served() -> None:
    rng = np.random.default_rng(5)
    confidence = np.clip(rng.random(2_000), 0.01, 0.99)
    correct = rng.random(2_000) < confidence**2
    score = np.where(rng.random(2_000) < 0.1, 0.0, confidence)  # a tenth is never served
    scored = Scored("arenalab", confidence, score, correct, correct)
    finished = OwnContender().finish(scored, 0)
    assert (finished.score == score).all()
    assert finished.unlabelled is confidence
    quality = quality_of(finished, 0)
    assert quality.ece.value is not None
    assert quality.unlabelled_ece is not None
    assert quality.ece.value < 0.4 * quality.unlabelled_ece


def test_what_learnt_nothing_stays_without_a_confidence() -> None:
    nothing = np.zeros(100)
    scored = Scored("arenalab", nothing, nothing, np.arange(100) < 50, np.arange(100) < 50)
    assert OwnContender().finish(scored, 0) is scored


@pytest.mark.parametrize(
    ("one", "other"), [("The Beatles", "beatles"), ("14 December, 1972", "14 december 1972")]
)
def test_exact_match_ignores_case_articles_and_marks(one: str, other: str) -> None:
    assert exact_match_key(one) == exact_match_key(other)


def test_exact_match_keeps_what_differs() -> None:
    assert exact_match_key("one") != exact_match_key("one season")


def test_calibration_takes_at_most_half() -> None:
    assert calibration_size(5_500) == 1_800
    assert calibration_size(301) == 150
    assert calibration_size(5_500, 400) == 400
