from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from arenalab.predictor.artefact import (
    Artefact,
    ArtefactError,
    Basis,
    dump_artefact,
    load_artefact,
)
from arenalab.predictor.calibrated import Calibrated
from arenalab.predictor.guarantee import Kind
from arenalab.predictor.holdout import QUARTERS, Corpus, Holdout, pseudo_traffic
from arenalab.predictor.neighbourhood import Memory
from arenalab.predictor.training import Trained, train
from arenalab.predictor.view_files import dump_views, load_views

from .clusters import corpus_of

CORPUS = corpus_of(12, 8, noise=0.25)


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train(CORPUS, 0.2, 0.1)


@pytest.fixture(scope="module")
def artefact(trained: Trained) -> Artefact:
    return trained.artefact


def test_no_span_finds_itself_or_its_copy() -> None:
    vectors = CORPUS.vectors.copy()
    vectors[1] = vectors[0]
    corpus = replace(CORPUS, vectors=vectors)
    for turn in range(QUARTERS):
        for held in Holdout(corpus, turn).asked():
            assert held.hood.similarities.max() < 0.999
            assert (np.diff(held.hood.similarities) <= 0).all()
            assert corpus.memories[held.at] not in held.hood.memories


def test_over_all_turns_every_span_is_out_of_scope_once() -> None:
    outside = dict.fromkeys(range(len(CORPUS.memories)), 0)
    for turn in range(QUARTERS):
        for held in Holdout(CORPUS, turn).asked():
            own = CORPUS.memories[held.at].outcome_key
            gone = own not in {memory.outcome_key for memory in held.hood.memories}
            outside[held.at] += gone
            assert held.in_scope == (not gone)
            # What the views know of is what the neighbourhood may hold.
            assert held.opinion is not None
            assert (held.opinion.code(own) < 0) == gone
    assert set(outside.values()) == {1}


def test_the_right_outcome_is_not_told_by_its_size() -> None:
    # Outcomes of few spans each: what is held out of one must be held out of all.
    corpus = corpus_of(5, 6, noise=0.25)
    for held in Holdout(corpus).asked():
        sizes = Counter(memory.outcome_key for memory in held.hood.memories)
        assert set(sizes.values()) == {5}
        known = {key for key in sizes if held.opinion.code(key) >= 0}  # type: ignore[union-attr]
        assert known == set(sizes)


def test_an_outcome_that_occurs_once_stays_in_the_way_of_others() -> None:
    alone, many = corpus_of(3, 1, seed=4), corpus_of(4, 5)
    corpus = Corpus(
        [*many.memories, *(replace(m, outcome=f"Alone {m.span_id}") for m in alone.memories)],
        np.concatenate([many.vectors, alone.vectors]),
        np.ones(23, dtype=bool),
    )
    met = {m.outcome_key for held in Holdout(corpus).asked() for m in held.hood.memories}
    assert {f"alone span-{n}" for n in range(3)} <= met


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
def test_the_same_corpus_gives_the_same_bytes(trained: Trained) -> None:
    again = train(CORPUS, 0.2, 0.1)
    assert dump_artefact(again.artefact) == dump_artefact(trained.artefact)
    assert dump_views(again.views) == dump_views(trained.views)


@pytest.mark.slow
def test_spans_without_a_finite_vector_teach_nothing(trained: Trained) -> None:
    broken = corpus_of(1, 3, seed=9)
    corpus = Corpus(
        [*CORPUS.memories, *broken.memories],
        np.concatenate([CORPUS.vectors, np.full_like(broken.vectors, np.nan)]),
        np.ones(len(CORPUS.memories) + 3, dtype=bool),
    )
    again = train(corpus, 0.2, 0.1)
    assert dump_artefact(again.artefact) == dump_artefact(trained.artefact)


@pytest.mark.slow
def test_one_outcome_alone_teaches_nothing_and_guarantees_nothing() -> None:
    trained = train(corpus_of(1, 40))
    assert trained.views is None
    for kind in Kind:
        bound = Calibrated(trained.artefact).bound(0.5, 0.5, kind)
        pairs = trained.artefact.pairs
        served = pairs.confidences > 0
        # Whatever is guaranteed was counted: no threshold without right answers behind it.
        assert bound.threshold is None or pairs.correct[served].any()


@pytest.mark.slow
def test_contradictory_copies_are_not_served() -> None:
    corpus = corpus_of(6, 20, noise=0.02)
    drawn = np.random.default_rng(8).integers(0, 6, len(corpus.memories)).tolist()
    memories = [
        Memory(memory.span_id, memory.question, f"Outcome {n}")
        for n, memory in zip(drawn, corpus.memories, strict=True)
    ]
    trained = train(replace(corpus, memories=memories), 0.05, 0.05)
    for kind in Kind:
        assert Calibrated(trained.artefact).bound(kind=kind).threshold is None


@pytest.mark.parametrize("spans", [0, 1, 3, 10])
def test_where_there_is_nothing_to_learn_the_guarantee_is_void(spans: int) -> None:
    artefact = train(corpus_of(spans, 1)).artefact
    assert artefact.model is None
    assert Calibrated(artefact).bound().threshold is None
    assert load_artefact(dump_artefact(artefact)).model is None


def test_outcomes_that_occur_once_have_no_right_answer() -> None:
    corpus = corpus_of(80, 1)
    trained = train(corpus)
    assert trained.views is None
    artefact = trained.artefact
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
        (b"arenalab.calibration/3", b"other"),
        (b"arenalab.calibration/3", b"arenalab.calibration/2"),
        (b'"context":', b'"contexts":'),
        (b'"features_version":', b'"features_version":9'),
        (b'"model":', b'"modell":'),
        (b'"basis":"dataset_holdout"', b'"basis":"hearsay"'),
        (b'"correct":[', b'"correct":[1,'),
        (b'"weights":[', b'"weights":[1,2,'),
        (b'"bend":null', b'"bend":{"low":1,"high":0,"shift":0}'),
        (b'"set_scores":[', b'"set_scores":[0.5,'),
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
        calibrated.bound(0.1 + n / 1000, 0.1, group="area1")
        calibrated.set_level(0.1 + n / 1000)
    kept = (calibrated._bounds, calibrated._groups, calibrated._levels)
    assert all(len(part) <= 64 for part in kept)
    assert calibrated.bound(0.3, 0.3) == first


@pytest.mark.slow
def test_a_domain_has_its_own_bound_or_none(artefact: Artefact) -> None:
    calibrated = Calibrated(artefact)
    own = calibrated.bound(0.3, 0.3, group="area1")
    assert own.size == sum(name == "area1" for name in artefact.pairs.groups) > 0
    assert own.delta < 0.3
    for unknown in ("elsewhere", ""):
        assert calibrated.bound(0.3, 0.3, group=unknown).threshold is None


@pytest.mark.slow
def test_views_survive_their_file(trained: Trained) -> None:
    data = dump_views(trained.views)
    loaded = load_views(data)
    assert loaded is not None
    assert dump_views(loaded) == data
    assert load_views(b"") is None
    for damaged in (data[:-40], b"PK", data.replace(b"head_bias", b"head_bios")):
        with pytest.raises(ArtefactError):
            load_views(damaged)
