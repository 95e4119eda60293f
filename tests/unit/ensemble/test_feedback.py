from dataclasses import replace

import pytest

from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.api.predictor.v1 import predictor_service_pb2 as predictor_pb
from arenalab.ensemble.feedback import check, label_of, verdict_of
from arenalab.ensemble.predictions import Prediction
from arenalab.mesh import InvalidInputError

SERVED = Prediction(
    prediction_id="p",
    tenant="default",
    dataset="faq",
    dataset_version="ab" * 32,
    creature="faq",
    calibration="c" * 16,
    turns=("How?",),
    output="Like this.",
    confidence=0.9,
    admissible=True,
    served=True,
    audited=True,
    propensity=0.01,
)
RIGHT, WRONG, NONE = pb.VERDICT_RIGHT, pb.VERDICT_WRONG, pb.VERDICT_UNSPECIFIED


@pytest.mark.parametrize(
    ("request_", "verdict"),
    [
        (pb.FeedbackRequest(rating=1), WRONG),
        (pb.FeedbackRequest(rating=2), WRONG),
        (pb.FeedbackRequest(rating=3), NONE),
        (pb.FeedbackRequest(rating=4), RIGHT),
        (pb.FeedbackRequest(rating=5), RIGHT),
        (pb.FeedbackRequest(helpful=False), WRONG),
        (pb.FeedbackRequest(helpful=True), RIGHT),
        (pb.FeedbackRequest(actual_output=" Like this.\n"), RIGHT),
        (pb.FeedbackRequest(actual_output="Like that."), WRONG),
        (pb.FeedbackRequest(actual_output=""), WRONG),
        (pb.FeedbackRequest(rating=5, helpful=False), WRONG),
        (pb.FeedbackRequest(rating=1, helpful=False, actual_output="Like this."), RIGHT),
    ],
)
def test_what_a_feedback_says(request_: pb.FeedbackRequest, verdict: pb.Verdict.ValueType) -> None:
    assert verdict_of(request_, SERVED) == verdict


def test_feedback_on_an_answer_that_was_not_memorys_says_nothing_of_memory() -> None:
    unserved = replace(SERVED, served=False)
    assert verdict_of(pb.FeedbackRequest(rating=1), unserved) == NONE
    assert verdict_of(pb.FeedbackRequest(rating=1, audit=True), unserved) == WRONG
    silent = replace(SERVED, output="")
    assert verdict_of(pb.FeedbackRequest(rating=1, audit=True), silent) == NONE


@pytest.mark.parametrize(
    ("request_", "outcomes"),
    [
        (pb.FeedbackRequest(helpful=True), ["Like this."]),
        (pb.FeedbackRequest(actual_output=" Like this. "), ["Like this."]),
        (pb.FeedbackRequest(actual_output="Like that."), ["Like that."]),
        (pb.FeedbackRequest(actual_output=" "), []),
        (pb.FeedbackRequest(helpful=False), []),
    ],
)
def test_the_label_names_the_outcome_that_is_right(
    request_: pb.FeedbackRequest, outcomes: list[str]
) -> None:
    label = label_of(request_, SERVED, verdict_of(request_, SERVED))
    assert list(label.outcomes) == outcomes
    assert label.source == predictor_pb.LABEL_SOURCE_FEEDBACK
    assert (label.calibration, label.confidence, label.served) == ("c" * 16, 0.9, True)


def test_an_audit_is_a_source_of_its_own() -> None:
    request = pb.FeedbackRequest(helpful=True, audit=True)
    assert label_of(request, SERVED, RIGHT).source == predictor_pb.LABEL_SOURCE_AUDIT


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.FeedbackRequest(), "rating"),
        (pb.FeedbackRequest(rating=0), "rating"),
        (pb.FeedbackRequest(rating=6), "rating"),
        (pb.FeedbackRequest(rating=1, comment="x" * 4097), "comment"),
        (pb.FeedbackRequest(actual_output="é" * 131_073), "actual_output"),
    ],
)
def test_a_feedback_outside_its_ranges_is_refused(request_: pb.FeedbackRequest, field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check(request_)
    assert caught.value.metadata["field"] == field
