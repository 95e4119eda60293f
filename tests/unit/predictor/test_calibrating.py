import numpy as np
import pytest

from arenalab.predictor.appraisal import Appraisal, appraise
from arenalab.predictor.artefact import Artefact, Basis, dump_artefact, load_artefact
from arenalab.predictor.calibrated import Calibrated
from arenalab.predictor.calibrating import Labelled, renewed
from arenalab.predictor.guarantee import bound_of
from arenalab.predictor.neighbourhood import Query
from arenalab.predictor.training import train

from .clusters import corpus_of, hood_of

FAQ = corpus_of(80, 1)


@pytest.fixture(scope="module")
def taught_nothing() -> Artefact:
    return train(FAQ).artefact


def _labels(n: int, *, seed: int = 3) -> list[Labelled]:
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0.05, 0.99, n)
    right = rng.random(n) < np.sqrt(scores)
    return [
        Labelled(float(s), bool(n % 9), bool(r), 0.0, "area", "d", "v")
        for n, (s, r) in enumerate(zip(scores, right, strict=True))
    ]


def _appraisal(at: int) -> Appraisal:
    return appraise(Query("something else"), hood_of(FAQ, FAQ.vectors[at]))


def test_without_labels_an_faq_claims_nothing(taught_nothing: Artefact) -> None:
    calibrated = Calibrated(taught_nothing)
    assert calibrated.confidence(_appraisal(3))[0] == 0.0
    assert calibrated.score(_appraisal(3))[0] > 0.0
    assert calibrated.bound(0.5, 0.5).threshold is None


def test_labels_bend_confidence_and_never_what_is_served(taught_nothing: Artefact) -> None:
    labels = _labels(3000)
    artefact = renewed(taught_nothing, labels, 0.2, 0.05)
    assert artefact.basis is Basis.LABELLED_TRAFFIC
    raw = np.array([one.score if one.is_admissible else 0.0 for one in labels])
    right = np.array([one.is_right for one in labels])
    before = bound_of(raw, right, 0.2, 0.05)
    after = Calibrated(artefact).bound()
    assert (after.served, after.errors) == (before.served, before.errors)
    assert after.served > 0
    # Confidence says how often it is right, which the scores did not.
    assert artefact.summary.expected_calibration_error < 0.03
    served = raw > 0
    assert abs(raw[served].mean() - right[served].mean()) > 0.1


def test_a_bent_artefact_survives_its_json_and_serves_by_its_threshold(
    taught_nothing: Artefact,
) -> None:
    artefact = renewed(taught_nothing, _labels(3000), 0.2, 0.05)
    loaded = load_artefact(dump_artefact(artefact))
    assert loaded.bend == artefact.bend
    assert Calibrated(loaded).bound() == Calibrated(artefact).bound()
    assert 0.0 < Calibrated(loaded).confidence(_appraisal(3))[0] < 1.0


def test_labels_that_are_all_wrong_guarantee_nothing(taught_nothing: Artefact) -> None:
    wrong = [
        Labelled(one.score, one.is_admissible, False, float("nan"), "", "d", "v")  # noqa: FBT003
        for one in _labels(300)
    ]
    artefact = renewed(taught_nothing, wrong, 0.4, 0.4)
    assert Calibrated(artefact).bound().threshold is None
    assert Calibrated(artefact).set_level(0.1) is None


def test_numbers_that_are_not_finite_are_never_served(taught_nothing: Artefact) -> None:
    hood = hood_of(FAQ, FAQ.vectors[3])
    hood.similarities[:] = np.nan
    artefact = renewed(taught_nothing, _labels(3000), 0.2, 0.05)
    for calibrated in (Calibrated(taught_nothing), Calibrated(artefact)):
        assert calibrated.confidence(appraise(Query("something"), hood)) == (0.0, {})
