import json
from dataclasses import replace

import numpy as np
import pytest

from arenalab.predictor.artefact import ArtefactError, dump_artefact, load_artefact
from arenalab.predictor.context_match import FIXED, Weights
from arenalab.predictor.context_weights import (
    Choice,
    LearnedWeights,
    dump_weights,
    learn_weights,
    load_weights,
)
from arenalab.predictor.holdout import Corpus
from arenalab.predictor.neighbourhood import Situation
from arenalab.predictor.training import train
from tests.unit.predictor.clusters import corpus_of


def _telling(corpus: Corpus, *, stakes: bool) -> Corpus:
    """Returns the corpus with domains that say nothing, and stakes that tell outcomes apart."""
    rng = np.random.default_rng(5)
    memories = [
        replace(
            memory,
            situation=Situation(
                domain=f"area{rng.integers(3)}",
                stakes=1 + int(memory.outcome[-1]) % 3 if stakes else int(rng.integers(1, 4)),
                actions=("ask_question",),
            ),
        )
        for memory in corpus.memories
    ]
    return replace(corpus, memories=memories)


CORPUS = corpus_of(9, 30, noise=0.4)
TELLING = _telling(CORPUS, stakes=True)
SILENT = _telling(CORPUS, stakes=False)


@pytest.mark.slow
def test_the_factor_that_tells_outcomes_apart_has_the_weight_and_is_used() -> None:
    found = learn_weights(TELLING)
    assert found.learned is not None
    assert found.learned.stakes > found.learned.domain
    assert found.learned.as_array().min() >= 0
    assert found.learned.as_array().sum() == pytest.approx(1.0, abs=1e-5)
    assert found.learned_auc > found.fixed_auc
    assert found.uses_learned
    assert found.used == found.learned
    assert found.questions >= 30


def test_the_operator_may_have_either() -> None:
    fixed = learn_weights(TELLING, Choice.FIXED)
    assert fixed.learned is not None
    assert fixed.used == FIXED
    learned = learn_weights(SILENT, Choice.LEARNED)
    assert learned.learned is not None
    assert learned.used == learned.learned


def test_the_same_corpus_teaches_the_same_weights() -> None:
    assert learn_weights(TELLING) == learn_weights(TELLING)


@pytest.mark.parametrize("corpus", [corpus_of(2, 4), corpus_of(60, 1), corpus_of(1, 80)])
def test_too_little_to_learn_from_leaves_the_fixed_ones(corpus: Corpus) -> None:
    found = learn_weights(corpus, Choice.LEARNED)
    assert found.learned is None
    assert found.used == FIXED


def test_spans_that_may_not_calibrate_teach_nothing() -> None:
    synthetic = replace(TELLING, eligible=np.zeros(len(TELLING.memories), dtype=bool))
    assert learn_weights(synthetic).learned is None


@pytest.mark.slow
def test_the_artefact_carries_them() -> None:
    artefact = train(corpus_of(3, 20), weighting=Choice.LEARNED).artefact
    assert artefact.context is not None
    assert load_artefact(dump_artefact(artefact)).context == artefact.context
    document = json.loads(dump_artefact(artefact))
    document["context"] = None
    assert load_artefact(json.dumps(document).encode()).context is None


@pytest.mark.parametrize(
    "bad", [{"domain": -0.1}, {"domain": float("nan")}, {"domain": "x"}, {"colour": 1.0}]
)
def test_weights_that_are_none_are_refused(bad: dict[str, object]) -> None:
    form = dump_weights(LearnedWeights(Weights(), uses_learned=True))
    form["learned"].update(bad)
    with pytest.raises((ValueError, TypeError)):
        load_weights(form)
    document = json.loads(dump_artefact(train(corpus_of(2, 3)).artefact))
    document["context"] = form
    with pytest.raises(ArtefactError):
        load_artefact(json.dumps(document).encode())
