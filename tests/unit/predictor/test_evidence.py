from dataclasses import replace

from arenalab.predictor.appraisal import Appraisal
from arenalab.predictor.evidence import evidence_of
from arenalab.predictor.meaning import cluster
from arenalab.predictor.neighbourhood import Situation
from arenalab.predictor.synthesis import synthesise
from tests.unit.predictor.made_up import appraisal_of, span

VOTED = appraisal_of(
    "pay a bill",
    (span(0, "paying bills", "Pay."), 0.9),
    (span(1, "bills to pay", "Pay."), 0.8),
    (span(2, "a bill", "Call."), 0.3),
    (span(3, "one bill", "Call."), 0.2),
)


def _overruled(appraisal: Appraisal) -> Appraisal:
    """Returns the appraisal as if views had found the other outcome likeliest."""
    first, second = appraisal.groups
    groups = (second._replace(share=0.9), first._replace(share=0.1))
    return replace(appraisal, groups=groups, is_mixed=True)


def _shown(appraisal: Appraisal, limit: int) -> list[tuple[str, bool]]:
    clusters = cluster(appraisal.groups, [], None, is_mixed=appraisal.is_mixed)
    found = evidence_of(appraisal, synthesise(appraisal, clusters), limit)
    return [(one.span_id, one.supports) for one in found]


def test_the_heaviest_spans_come_first() -> None:
    assert _shown(VOTED, 3) == [("s0", True), ("s1", True), ("s2", False)]
    assert _shown(VOTED, 0) == []


def test_an_answer_that_views_found_shows_a_span_of_its_own() -> None:
    assert _shown(_overruled(VOTED), 2) == [("s0", False), ("s2", True)]
    assert _shown(_overruled(VOTED), 1) == [("s2", True)]
    assert _shown(_overruled(VOTED), 4)[2:] == [("s2", True), ("s3", True)]


def test_evidence_names_the_action_and_the_quality_that_was_measured() -> None:
    acted = Situation(actions=("ask", "get_weather"))
    appraisal = appraisal_of(
        "pay a bill",
        (span(0, "a bill", "Pay.", situation=acted, quality=0.57, is_measured=True), 0.9),
        (span(1, "one bill", "Pay."), 0.8),
    )
    clusters = cluster(appraisal.groups, [], None, is_mixed=False)
    acting, other = evidence_of(appraisal, synthesise(appraisal, clusters), 2)
    assert (acting.action, acting.quality) == ("get_weather", 57.0)
    assert (other.action, other.HasField("quality")) == ("", False)
