"""The adapter gives what serving gives."""

import numpy as np
import pytest

from arenalab.local.evaluation.contender import Asked, Memory, Proposals, nearest
from arenalab.local.evaluation.own import OwnContender, OwnFitted
from arenalab.local.evaluation.task import Known
from arenalab.predictor.neighbourhood import K
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
