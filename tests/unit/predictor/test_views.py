from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from arenalab.predictor.appraisal import appraise, witnesses_for
from arenalab.predictor.features import NAMES, features_of
from arenalab.predictor.gaussian import fit_clouds
from arenalab.predictor.head import fit_head, linear, log_softmax
from arenalab.predictor.holdout import views_of
from arenalab.predictor.mixing import WITNESSES, Mixing, fit_mixing
from arenalab.predictor.neighbourhood import Query
from arenalab.predictor.views import MIN_SPANS
from arenalab.predictor.wordview import fit_words

from .clusters import corpus_of, hood_of

CORPUS = corpus_of(5, 12, noise=0.3)
CODES = np.repeat(np.arange(5), 12)


def test_the_head_is_a_multinomial_logistic_regression() -> None:
    head = fit_head(CORPUS.vectors, CODES, 5)
    model = LogisticRegression(C=20.0, tol=1e-8, max_iter=2000).fit(CORPUS.vectors, CODES)
    mine = np.exp(log_softmax(head.logits(CORPUS.vectors)))
    assert mine == pytest.approx(model.predict_proba(CORPUS.vectors), abs=0.02)


def test_one_question_and_many_have_the_same_logits() -> None:
    head = fit_head(CORPUS.vectors, CODES, 5)
    many = linear(CORPUS.vectors, head.weights, head.bias)
    one = linear(CORPUS.vectors[3:4], head.weights, head.bias)
    assert one[0] == pytest.approx(many[3], rel=1e-5, abs=1e-5)


def test_clouds_measure_mahalanobis_distance_relative_to_the_centre() -> None:
    vectors = CORPUS.vectors.astype(np.float64)
    means = np.stack([vectors[code == CODES].mean(axis=0) for code in range(5)])
    residuals = vectors - means[CODES]
    dimension = vectors.shape[1]
    covariance = residuals.T @ residuals / (len(vectors) - 5)
    covariance = 0.9 * covariance + 0.1 * np.trace(covariance) / dimension * np.eye(dimension)
    inverse = np.linalg.inv(covariance)

    def half(x: np.ndarray, y: np.ndarray) -> float:
        return float(0.5 * (x - y) @ inverse @ (x - y))

    found = fit_clouds(CORPUS.vectors, CODES, 5).distances(CORPUS.vectors[:2])
    centre = vectors.mean(axis=0)
    for row in range(2):
        expected = [half(vectors[row], mean) - half(vectors[row], centre) for mean in means]
        assert found[row] == pytest.approx(expected, rel=1e-3, abs=1e-2)


TEXTS = ["pay the bill", "bill due date", "book a flight", "flight to rome"]
CODES_OF_TEXTS = [0, 0, 1, 1]


def test_words_are_heard_by_the_outcomes_that_have_them() -> None:
    view = fit_words(TEXTS, [0, 0, 1, 1], 2)
    heard = view.heard("the bill for my flight to rome")
    assert heard.scores[1] > heard.scores[0]
    assert heard.coverage[1] > heard.coverage[0] > 0
    assert (heard.often <= heard.coverage).all()
    assert 0 < heard.known < 1  # "for" and "my" are new
    assert view.heard("pay the bill").known == pytest.approx(1.0)


def test_words_that_nobody_has_heard_say_nothing() -> None:
    view = fit_words(TEXTS, [0, 0, 1, 1], 2)
    for text in ("zebra quagga", "?!"):
        heard = view.heard(text)
        assert heard.scores.tolist() == heard.coverage.tolist() == [0.0, 0.0]
        assert heard.known == 0.0


WORDS = ["pay", "the", "bill", "due", "book", "a", "flight", "to", "rome", "zebra"]


@given(st.lists(st.sampled_from(WORDS), max_size=12))
def test_what_is_heard_is_counted_word_by_word(words: list[str]) -> None:
    view = fit_words(TEXTS, CODES_OF_TEXTS, 2)
    heard = view.heard(" ".join(words))
    spans = [text.split() for text in TEXTS]
    pairs = [list(pairwise(span)) for span in spans]
    scores, coverage, often = np.zeros(2), np.zeros(2), np.zeros(2)
    total, known = 1e-9, 0.0
    for term in [*dict.fromkeys(words), *dict.fromkeys(pairwise(words))]:
        counts = np.zeros(2)
        for code, span, pair in zip(CODES_OF_TEXTS, spans, pairs, strict=True):
            counts[code] += term in span or term in pair
        rarity = np.log(5.0 / (counts.sum() + 0.5)) if counts.any() else np.log(10.0)
        if counts.any():
            scores += np.log((counts + 0.05) / 2.1) - np.log((counts.sum() + 0.05) / 4.1)
        if isinstance(term, str):
            total += rarity
            known += rarity * counts.any()
            coverage += rarity * (counts > 0)
            often += rarity * np.minimum(counts / 3.0, 1.0)
    assert heard.scores == pytest.approx(scores)
    assert heard.coverage == pytest.approx(coverage / total, abs=1e-6)
    assert heard.often == pytest.approx(often / total, abs=1e-6)
    assert heard.known == pytest.approx(known / total, abs=1e-6)


@given(st.text(max_size=80))
def test_any_text_is_heard_with_finite_numbers(text: str) -> None:
    heard = fit_words(TEXTS, [0, 0, 1, 1], 2).heard(text)
    assert np.isfinite(heard.scores).all()
    assert (heard.coverage <= 1 + 1e-9).all()
    assert 0 <= heard.known <= 1


def test_outcomes_that_do_not_repeat_have_no_views() -> None:
    assert views_of(corpus_of(40, MIN_SPANS - 1)) is None
    assert views_of(corpus_of(1, 40)) is None
    assert views_of(corpus_of(2, MIN_SPANS)) is not None


def test_views_can_overrule_the_vote_but_only_for_what_was_retrieved() -> None:
    views = views_of(CORPUS)
    assert views is not None
    away = CORPUS.vectors[CODES != 2]
    corpus = type(CORPUS)(
        [m for m, code in zip(CORPUS.memories, CODES, strict=True) if code != 2],
        away,
        np.ones(len(away), dtype=bool),
    )
    vector = CORPUS.vectors[CODES == 2][0]
    (opinion,) = views.opinions(["matter2 word3"], vector[None, :])
    assert opinion.log_probabilities.argmax() == opinion.code("outcome 2")
    head_alone = Mixing(np.eye(len(WITNESSES))[WITNESSES.index("head")])
    hood = hood_of(corpus, vector, 20)
    appraisal = appraise(Query("matter2 word3"), hood, opinion, head_alone)
    retrieved = {memory.outcome for memory in hood.memories}
    assert {group.outcome for group in appraisal.groups} == retrieved
    assert appraisal.groups[0].members
    logs = [opinion.log_probabilities[opinion.code(g.outcome.casefold())] for g in appraisal.groups]
    assert logs == sorted(logs, reverse=True)
    assert sum(group.share for group in appraisal.groups) == pytest.approx(1.0)
    assert witnesses_for(appraisal).shape == (len(appraisal.groups), len(WITNESSES))


def test_an_outcome_without_views_is_judged_by_the_vote() -> None:
    views = views_of(CORPUS)
    assert views is not None
    strangers = corpus_of(2, 2, seed=5)
    vector = strangers.vectors[0]
    (opinion,) = views.opinions(["matter0 word0"], vector[None, :])
    fitted = Mixing(np.array([1.0, 1.0, 0.25, 0.0, 0.5, 0.0]))
    memories = [type(m)(m.span_id, m.question, f"New {m.outcome}") for m in strangers.memories]
    hood = hood_of(type(CORPUS)(memories, strangers.vectors, strangers.eligible), vector)
    appraisal = appraise(Query("matter0 word0"), hood, opinion, fitted)
    features = features_of(appraisal)
    assert appraisal.groups[0].outcome == "New Outcome 0"
    assert features[NAMES.index("has_views")] == 0.0
    assert np.isfinite(features).all()


def test_the_weights_follow_the_witness_that_is_right() -> None:
    rng = np.random.default_rng(1)
    questions = []
    for _ in range(400):
        rows = rng.normal(size=(4, len(WITNESSES)))
        questions.append((rows, int(rows[:, 4].argmax())))
    weights = fit_mixing(questions).weights
    assert weights.argmax() == 4
    assert weights[4] > 3 * np.abs(np.delete(weights, 4)).max()
    assert fit_mixing([]).weights.tolist() == [1.0, 1.0, 0.25, 0.0, 0.5, 0.0]
