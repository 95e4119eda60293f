import numpy as np
import pytest

from arenalab.predictor.confidence import (
    Bend,
    calibrated_model,
    fit_bend,
    fit_model,
    logit_of,
    sigmoid,
)
from arenalab.predictor.directions import AGAINST, DIRECTIONS, FOR
from arenalab.predictor.features import NAMES

UP = np.array([1, 1, 1, 0])


def _data(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 4)) * [1.0, 10.0, 0.1, 1.0]
    logit = 2 * features[:, 0] + 0.2 * features[:, 1]
    return features, rng.random(n) < 1 / (1 + np.exp(-logit))


def test_a_calibrated_confidence_is_right_as_often_as_it_says() -> None:
    model = fit_model(*_data(2000, 1), UP)
    assert model is not None
    features, correct = _data(6000, 2)
    model = calibrated_model(model, model.raw(features), correct)
    assert model is not None
    fresh, truth = _data(8000, 3)
    confidence = model.confidence(fresh)
    for low in (0.0, 0.25, 0.5, 0.75):
        inside = (confidence >= low) & (confidence < low + 0.25)
        assert abs(confidence[inside].mean() - truth[inside].mean()) < 0.05


def test_one_vector_and_a_row_of_many_agree() -> None:
    features, correct = _data(200, 1)
    model = fit_model(features, correct, UP)
    assert model is not None
    # Not to the last bit: BLAS adds a matrix up in another order than a vector.
    one, many = float(model.confidence(features[7])), float(model.confidence(features)[7])
    assert one == pytest.approx(many, rel=1e-12)


def test_there_is_no_model_without_both_labels() -> None:
    features, correct = _data(50, 1)
    assert fit_model(features, np.ones(50, bool), UP) is None
    model = fit_model(features, correct, UP)
    assert model is not None
    assert calibrated_model(model, model.raw(features), np.zeros(50, bool)) is None


def test_a_ranking_that_is_upside_down_is_not_turned_around() -> None:
    features, correct = _data(200, 1)
    model = fit_model(features, correct, UP)
    assert model is not None
    reversed_ = calibrated_model(model, model.raw(features), ~correct)
    assert reversed_ is not None
    assert reversed_.bend == Bend()


def test_a_feature_that_never_varies_does_no_harm() -> None:
    features, correct = _data(200, 1)
    features[:, 3] = 5.0
    model = fit_model(features, correct, UP)
    assert model is not None
    assert np.isfinite(model.confidence(features)).all()


def test_no_weight_has_the_wrong_sign_whatever_the_examples_show() -> None:
    features, correct = _data(500, 1)
    for directions in ([-1, 1, 0, 0], [1, -1, 1, -1], [0, 0, 0, 0]):
        model = fit_model(features, correct, np.array(directions))
        assert model is not None
        assert (model.weights * directions >= 0).all()
        assert (model.weights[np.array(directions) == 0] == 0).all()
    # What speaks the known way is learnt, not only allowed.
    model = fit_model(features, correct, UP)
    assert model is not None
    assert (model.weights[:2] > 0.1).all()


def test_every_feature_has_a_direction_or_none() -> None:
    assert not FOR & AGAINST
    assert set(NAMES) >= FOR | AGAINST
    assert DIRECTIONS.tolist() == [
        1 if name in FOR else -1 if name in AGAINST else 0 for name in NAMES
    ]


def test_values_beyond_the_examples_say_no_more_than_the_outermost() -> None:
    features, correct = _data(500, 1)
    model = fit_model(features, correct, UP)
    assert model is not None
    high = model.mean + model.std * model.high
    assert model.raw(high + 1e9) == pytest.approx(model.raw(high))


def test_a_curve_rises_strictly_and_takes_a_slope_for_each_side() -> None:
    rng = np.random.default_rng(4)
    raw = rng.normal(scale=3.0, size=6000)
    correct = rng.random(6000) < sigmoid(np.where(raw < 0, 0.5 * raw, 2.0 * raw) + 0.3)
    bend = fit_bend(raw, correct)
    assert bend.low == pytest.approx(0.5, abs=0.1)
    assert bend.high == pytest.approx(2.0, abs=0.3)
    assert (np.diff(bend(np.linspace(-12, 12, 400))) > 0).all()
    assert fit_bend(raw, np.ones(6000, bool)) == Bend()


def test_logits_of_certainty_are_finite() -> None:
    logits = logit_of(np.array([0.0, 0.25, 1.0]))
    assert np.isfinite(logits).all()
    assert sigmoid(logits)[1] == pytest.approx(0.25)


def test_far_logits_do_not_overflow() -> None:
    assert sigmoid(np.array([-1e9, 0.0, 1e9])).tolist() == [0.0, 0.5, 1.0]
