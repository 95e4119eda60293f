"""The adapter gives what serving gives."""

import numpy as np
import pytest

from arenalab.local.evaluation.ablation import ablate
from arenalab.local.evaluation.contender import Asked, Memory, Proposals, Scored, nearest
from arenalab.local.evaluation.own import OwnContender, OwnFitted, contrast_generator
from arenalab.local.evaluation.resampling import make_splits
from arenalab.local.evaluation.task import Known
from arenalab.predictor.certifying import pairs_of, served_path
from arenalab.predictor.neighbourhood import K, outcome_key
from tests.unit.local.word_embedder import WordEmbedder, outside, rows

pytestmark = pytest.mark.slow
RECORDED = 5  # questions that memory holds as they stand


@pytest.fixture(scope="module")
def scored() -> tuple[OwnFitted, Proposals, list[str]]:
    """The predictor of made-up spans, what it makes of 50 questions, and the spans' texts."""
    embedder, pairs = WordEmbedder(), rows()
    kept = [pair for at, pair in enumerate(pairs) if at % 3]
    held = [text for at, (text, _) in enumerate(pairs) if at % 3 == 0]
    known = [Known(text, label) for text, label in kept]
    vectors = embedder.embed_many([one.text for one in known])
    memory = Memory(known, [one.outcome for one in known], vectors)
    texts = [one.text for one in known[:RECORDED]] + held[:25] + outside(20)
    asked = embedder.embed_many(texts)
    fitted = OwnContender().fit(memory, 0)
    return fitted, fitted.score(Asked(texts, asked, *nearest(vectors, asked, K))), texts


def test_questions_in_scope_are_trusted_more(
    scored: tuple[OwnFitted, Proposals, list[str]],
) -> None:
    _, proposals, texts = scored
    assert proposals.confidence[:-20].mean() > proposals.confidence[-20:].mean() + 0.3
    right = [outcome in text for outcome, text in zip(proposals.outcomes, texts, strict=True)]
    assert sum(right[:-20]) > 25
    assert (proposals.score <= proposals.confidence).all()


def test_what_is_served_is_what_the_service_serves(
    scored: tuple[OwnFitted, Proposals, list[str]],
) -> None:
    fitted, proposals, texts = scored
    calibrated = fitted.calibrated
    vectors = dict(zip(texts, WordEmbedder().embed_many(texts), strict=True))
    served = served_path(fitted.corpus, calibrated, vectors)(texts)
    threshold = calibrated.bound().threshold
    assert threshold is not None
    here = [
        outcome_key(outcome) if score >= threshold else ""
        for outcome, score in zip(proposals.outcomes, proposals.score, strict=True)
    ]
    assert here == served
    assert 20 < sum(map(bool, served)) < len(texts) - 15


def test_opinions_are_formed_the_same_in_any_block(
    scored: tuple[OwnFitted, Proposals, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted, proposals, texts = scored
    assert fitted.calibrated.views is not None
    monkeypatch.setattr("arenalab.local.evaluation.own._BLOCK", 7)
    vectors = WordEmbedder().embed_many(texts)
    again = fitted.score(Asked(texts, vectors, *nearest(fitted.corpus.vectors, vectors, K)))
    assert again.outcomes == proposals.outcomes
    assert np.allclose(again.confidence, proposals.confidence)


def test_contrast_questions_are_those_of_a_certificate(
    scored: tuple[OwnFitted, Proposals, list[str]],
) -> None:
    corpus = scored[0].corpus
    known = [Known(memory.question, memory.outcome) for memory in corpus.memories]
    memory = Memory(known, [m.outcome_key for m in corpus.memories], corpus.vectors)
    pairs = contrast_generator()(memory)
    assert pairs
    assert pairs == pairs_of(corpus)


def test_the_same_features_give_the_same_confidence(
    scored: tuple[OwnFitted, Proposals, list[str]],
) -> None:
    fitted, proposals, _ = scored
    assert proposals.features is not None
    again = fitted.rescored(proposals, proposals.features)
    assert np.allclose(again.confidence, proposals.confidence)
    assert np.allclose(again.score, proposals.score)


def test_other_features_leave_what_is_recorded_word_for_word(
    scored: tuple[OwnFitted, Proposals, list[str]],
) -> None:
    fitted, proposals, _ = scored
    assert proposals.features is not None
    changed = fitted.rescored(proposals, proposals.features[::-1])
    assert not np.allclose(changed.confidence, proposals.confidence)
    raised = proposals.confidence[:RECORDED] == fitted.calibrated.artefact.recorded
    assert (changed.confidence[:RECORDED] == proposals.confidence[:RECORDED])[raised].all()


def test_a_feature_that_matters_costs_something_to_lose(
    scored: tuple[OwnFitted, Proposals, list[str]],
) -> None:
    fitted, proposals, texts = scored
    # Labels that the ranking gets exactly right: what is lost is lost with the feature.
    correct = proposals.confidence > np.median(proposals.confidence)
    ranked = Scored("arenalab", proposals.confidence, proposals.score, correct, correct)
    splits = make_splits(len(texts), len(texts) // 2, 3, 0)
    found = ablate([fitted], [proposals], ranked, splits, 0.05, 0, lambda *_: None)
    drops = [one.auroc_drop or 0.0 for one in found]
    assert drops[0] > 0.001
    assert drops == sorted(drops, reverse=True)
