import numpy as np
import pytest

from arenalab.contrast import ContrastKind, ContrastPair
from arenalab.predictor.calibrated import Calibrated
from arenalab.predictor.certificate_form import contrast_of
from arenalab.predictor.certifying import certify, pairs_of, served_path
from arenalab.predictor.holdout import Corpus
from arenalab.predictor.neighbourhood import Memory
from arenalab.predictor.training import train

from .clusters import corpus_of

CORPUS = corpus_of(12, 30, noise=0.02)


def _worded(corpus: Corpus, template: str) -> Corpus:
    memories = [
        Memory(m.span_id, template.format(m.question), m.outcome, m.situation)
        for m in corpus.memories
    ]
    return Corpus(memories, corpus.vectors, corpus.eligible)


@pytest.fixture(scope="module")
def asking() -> Corpus:
    return _worded(CORPUS, "how do i enable the {}")


def _trained(corpus: Corpus, alpha: float = 0.2, delta: float = 0.2) -> Calibrated:
    trained = train(corpus, alpha, delta)
    return Calibrated(trained.artefact, trained.views)


@pytest.fixture(scope="module")
def calibrated(asking: Corpus) -> Calibrated:
    return _trained(asking)


def test_pairs_are_made_of_the_corpus_and_leave_follow_ups_out(asking: Corpus) -> None:
    pairs = pairs_of(asking)
    assert {ContrastKind.NEGATION, ContrastKind.OPPOSITE} <= {pair.kind for pair in pairs}
    assert pairs == pairs_of(asking)
    followed = [
        Memory(m.span_id, m.question, m.outcome, m.situation, trajectory_depth=1)
        for m in asking.memories
    ]
    assert pairs_of(Corpus(followed, asking.vectors, asking.eligible)) == []


def test_the_served_path_answers_the_question_and_not_its_variant(
    asking: Corpus, calibrated: Calibrated
) -> None:
    question = asking.memories[0]
    vectors = {question.question: asking.vectors[0], "how do i disable it": asking.vectors[0]}
    variant = question.question.replace("enable", "disable")
    vectors[variant] = asking.vectors[0]
    serve = served_path(asking, calibrated, vectors)
    assert serve([question.question, variant]) == [question.outcome_key, ""]


def test_a_version_that_cannot_tell_a_change_is_found_out(
    asking: Corpus, calibrated: Calibrated
) -> None:
    memory = asking.memories[0]
    # No word in it is known to change anything: only the certificate can show that it is served.
    unseen = ContrastPair(
        ContrastKind.ITEM, memory.question, f"{memory.question} kindly", memory.outcome_key
    )
    certificate = certify(asking, calibrated, [unseen], asking.vectors[:1])
    assert certificate.total.false_accepts == 1
    form = contrast_of(certificate)
    assert (form.total.pairs, form.total.rate, form.by_kind[0].kind) == (1, 1.0, "item")
    assert form.examples[0].variant == unseen.variant


def test_without_pairs_the_form_has_no_rate(asking: Corpus, calibrated: Calibrated) -> None:
    form = contrast_of(certify(asking, calibrated, [], np.zeros((0, 1), np.float32)))
    assert not form.total.HasField("rate")
    assert (form.total.lower, form.total.upper) == (0.0, 1.0)


def test_nothing_is_served_without_a_threshold() -> None:
    few = Corpus(CORPUS.memories[:3], CORPUS.vectors[:3], CORPUS.eligible[:3])
    calibrated = _trained(few)
    serve = served_path(few, calibrated, {"q": few.vectors[0]})
    assert serve(["q"]) == [""]
