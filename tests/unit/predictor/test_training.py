from dataclasses import replace

import numpy as np
import pytest

from arenalab.predictor import training
from arenalab.predictor.artefact import (
    Artefact,
    ArtefactError,
    Basis,
    dump_artefact,
    load_artefact,
)
from arenalab.predictor.calibrated import Calibrated
from arenalab.predictor.holdout import FOLDS, Corpus, neighbourhoods, pseudo_traffic
from arenalab.predictor.training import train

from .clusters import corpus_of

CORPUS = corpus_of(12, 8, noise=0.25)


@pytest.fixture(scope="module")
def artefact() -> Artefact:
    return train(CORPUS, 0.2, 0.1)


def test_no_span_finds_itself_or_its_copy() -> None:
    vectors = CORPUS.vectors.copy()
    vectors[1] = vectors[0]
    corpus = replace(CORPUS, vectors=vectors)
    for turn in range(FOLDS):
        for at, hood in neighbourhoods(corpus, turn):
            assert hood.similarities.max() < 0.999
            assert (np.diff(hood.similarities) <= 0).all()
            assert corpus.memories[at] not in hood.memories


def test_over_all_turns_every_span_is_out_of_scope_once() -> None:
    outside = dict.fromkeys(range(len(CORPUS.memories)), 0)
    for turn in range(FOLDS):
        for at, hood in neighbourhoods(CORPUS, turn):
            own = CORPUS.memories[at].outcome_key
            outside[at] += own not in {memory.outcome_key for memory in hood.memories}
    assert set(outside.values()) == {1}


def test_spans_that_nobody_confirmed_never_calibrate() -> None:
    eligible = np.arange(len(CORPUS.memories)) % 2 == 0
    examples = pseudo_traffic(replace(CORPUS, eligible=eligible))
    assert len(examples.span_ids) == eligible.sum()
    assert set(examples.span_ids) <= {
        memory.span_id for memory, allowed in zip(CORPUS.memories, eligible, strict=True) if allowed
    }


@pytest.mark.slow
def test_training_learns_to_tell_right_from_wrong(artefact: Artefact) -> None:
    pairs = artefact.pairs
    assert artefact.model is not None
    assert pairs.confidences[pairs.correct].mean() > pairs.confidences[~pairs.correct].mean() + 0.3
    bound = Calibrated(artefact).bound()
    assert bound.threshold is not None
    assert (bound.alpha, bound.delta) == (0.2, 0.1)
    assert artefact.summary.examples == len(CORPUS.memories)


@pytest.mark.slow
def test_the_same_corpus_gives_the_same_bytes(artefact: Artefact) -> None:
    assert dump_artefact(train(CORPUS, 0.2, 0.1)) == dump_artefact(artefact)


@pytest.mark.slow
def test_a_large_corpus_is_split_instead_of_crossed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "CROSS_FIT_BELOW", 10)
    artefact = train(CORPUS, 0.2, 0.1)
    assert artefact.model is not None
    assert artefact.summary.examples + len(artefact.pairs.correct) < len(CORPUS.memories)


@pytest.mark.parametrize("spans", [0, 1, 3])
def test_where_there_is_nothing_to_learn_the_guarantee_is_void(spans: int) -> None:
    artefact = train(corpus_of(spans, 1))
    assert artefact.model is None
    assert Calibrated(artefact).bound().threshold is None
    assert load_artefact(dump_artefact(artefact)).model is None


def test_outcomes_that_occur_once_have_no_right_answer() -> None:
    corpus = corpus_of(80, 1)
    artefact = train(corpus)
    assert not artefact.pairs.correct.any()
    assert Calibrated(artefact).bound(0.5, 0.5).threshold is None


def test_an_artefact_survives_its_json(artefact: Artefact) -> None:
    data = dump_artefact(artefact)
    loaded = load_artefact(data)
    assert dump_artefact(loaded) == data
    assert loaded.basis is Basis.DATASET_HOLDOUT
    assert Calibrated(loaded).bound(0.3, 0.2) == Calibrated(artefact).bound(0.3, 0.2)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"arenalab.calibration/1", b"other"),
        (b'"features_version":', b'"features_version":9'),
        (b'"model":', b'"modell":'),
        (b'"basis":"dataset_holdout"', b'"basis":"hearsay"'),
        (b'"correct":[', b'"correct":[1,'),
        (b'"weights":[', b'"weights":[1,2,'),
        (b"{", b"["),
    ],
)
def test_a_damaged_or_foreign_artefact_is_refused(
    artefact: Artefact, old: bytes, new: bytes
) -> None:
    with pytest.raises(ArtefactError):
        load_artefact(dump_artefact(artefact).replace(old, new, 1))


def test_an_empty_corpus_has_no_traffic() -> None:
    empty = Corpus([], np.zeros((0, 4), np.float32), np.zeros(0, bool))
    assert pseudo_traffic(empty).features.shape[0] == 0


def test_bounds_kept_are_few(artefact: Artefact) -> None:
    calibrated = Calibrated(artefact)
    first = calibrated.bound(0.3, 0.3)
    for n in range(100):
        calibrated.bound(0.1 + n / 1000, 0.1)
    assert len(calibrated._bounds) <= 65
    assert calibrated.bound(0.3, 0.3) == first
