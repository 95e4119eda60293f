from dataclasses import replace

import pytest

from arenalab.predictor.abstaining import Case, Refusal, refuse
from arenalab.predictor.appraisal import Appraisal
from arenalab.predictor.conversation import read_conversation
from arenalab.predictor.decision import Reason
from arenalab.predictor.follow_up import unmentioned
from arenalab.predictor.guarantee import Bound, fewest_that_can_pass
from arenalab.predictor.meaning import cluster
from arenalab.predictor.neighbourhood import Situation
from arenalab.predictor.synthesis import synthesise
from arenalab.predictor.wanted import Kind
from tests.unit.predictor.made_up import appraisal_of, span

VALID = Bound(0.05, 0.05, 0.8, 200, 100, 1, 0.04)
VOID = Bound(0.05, 0.05, None, 40)
BANK = Situation(domain="bank")
DAY_S = 86_400.0

NEAR = appraisal_of(
    "pay a bill",
    (span(0, "paying bills", "Pay.", situation=BANK, when_s=30 * DAY_S), 0.9),
    (span(1, "bills to pay", "Pay.", situation=BANK, when_s=10 * DAY_S), 0.85),
)
FAR = appraisal_of("tune my guitar", (span(0, "paying bills", "Pay.", situation=BANK), 0.3))
SPLIT = appraisal_of(
    "pay a bill",
    (span(0, "paying bills", "Pay.", situation=BANK), 0.9),
    (span(1, "bill payment", "Call.", situation=BANK), 0.88),
)
CLASH = appraisal_of("never pay a bill", (span(0, "pay a bill", "Pay."), 0.9))


def _case(appraisal: Appraisal, *turns: str, confidence: float = 0.9) -> Case:
    clusters = cluster(appraisal.groups, [], None)
    asked = read_conversation(turns or (appraisal.query.text,))
    return Case(
        asked=asked,
        appraisal=appraisal,
        synthesis=synthesise(appraisal, clusters),
        confidence=confidence,
        bound=VALID,
        missing_words=unmentioned(asked, appraisal),
    )


def _refused(case: Case) -> Refusal:
    refusal = refuse(case)
    assert refusal is not None
    assert refusal.abstention.explanation
    assert refusal.abstention.wanted or case.missing_shards
    return refusal


def test_what_is_confident_fresh_and_agreed_is_served() -> None:
    assert refuse(_case(NEAR)) is None
    assert refuse(replace(_case(NEAR), fresh_after_s=30 * DAY_S)) is None


def test_evidence_older_than_the_policy_allows_is_stale_and_one_newer_span_settles_it() -> None:
    refusal = _refused(replace(_case(NEAR), fresh_after_s=31 * DAY_S))
    assert refusal.abstention.reason is Reason.STALE
    assert "1970-01-31" in refusal.abstention.explanation
    [wanted] = refusal.data
    assert (wanted.count, wanted.outcome, wanted.domain) == (1, "Pay.", "bank")
    assert "'Pay.'" in refusal.abstention.wanted


def test_a_conflict_names_both_outcomes_and_how_many_spans_each_lacks() -> None:
    refusal = _refused(_case(SPLIT, confidence=0.5))
    assert refusal.abstention.reason is Reason.CONFLICTING_OUTCOMES
    assert [(w.kind, w.outcome, w.domain) for w in refusal.data] == [
        (Kind.SPANS, "Pay.", "bank"),
        (Kind.SPANS, "Call.", "bank"),
    ]
    assert all(w.count >= 1 for w in refusal.data)
    # With as many more as it says, the outcome has the majority.
    count = refusal.data[1].count
    more = [(span(2 + n, "bill payment", "Call.", situation=BANK), 0.88) for n in range(count)]
    first, second = zip(SPLIT.neighbourhood.memories, (0.9, 0.88), strict=True)
    settled = appraisal_of("pay a bill", first, second, *more)
    assert settled.groups[0].outcome == "Call."
    assert settled.groups[0].share > 0.7


def test_out_of_scope_names_the_words_that_no_span_has() -> None:
    refusal = _refused(_case(FAR, confidence=0.1))
    assert refusal.abstention.reason is Reason.OUT_OF_SCOPE
    [wanted] = refusal.data
    assert wanted.terms == ("tune", "guitar")
    assert wanted.count == 5
    assert "5 more spans about 'tune', 'guitar'" in refusal.abstention.wanted


def test_a_void_guarantee_says_how_many_labels_could_make_one() -> None:
    refusal = _refused(replace(_case(NEAR), bound=VOID))
    assert refusal.abstention.reason is Reason.GUARANTEE_VOID
    [wanted] = refusal.data
    assert wanted.kind is Kind.LABELS
    assert wanted.count == fewest_that_can_pass(0.05, 0.05) == 59


def test_a_clash_asks_for_a_span_that_says_what_the_question_says() -> None:
    refusal = _refused(_case(CLASH))
    assert refusal.abstention.reason is Reason.CONTRAST_CLASH
    assert refusal.data[0].kind is Kind.SPANS


def test_without_spans_the_action_that_lacks_them_is_named() -> None:
    refusal = _refused(_case(appraisal_of("fly me", action="fly")))
    assert refusal.abstention.reason is Reason.NO_SUPPORT
    assert refusal.data[0].action == "fly"


def test_a_part_of_memory_wants_no_data() -> None:
    refusal = _refused(replace(_case(NEAR), missing_shards=["cards"]))
    assert refusal.abstention.reason is Reason.GUARANTEE_VOID
    assert refusal.data == ()


@pytest.mark.parametrize("turns", [["what about the other one?"], ["and for bills?"]])
def test_a_question_that_points_at_nothing_named_is_not_matched(turns: list[str]) -> None:
    refusal = _refused(_case(NEAR, *turns))
    assert refusal.abstention.reason is Reason.UNSUPPORTED_REQUEST
    assert [wanted.kind for wanted in refusal.data] == [Kind.CONTEXT]


def test_words_that_memory_holds_as_they_stand_are_matched_whatever_they_point_at() -> None:
    text = "what about the other one?"
    recorded = appraisal_of(text, (span(0, text, "Ask which."), 1.0))
    assert refuse(_case(recorded, text)) is None
    follow_up = appraisal_of(text, (span(0, text, "Ask which.", trajectory_depth=1), 1.0))
    assert _refused(_case(follow_up, text)).abstention.reason is Reason.UNSUPPORTED_REQUEST


def test_a_follow_up_that_the_evidence_does_not_speak_of_is_not_matched() -> None:
    turns = ("how do I install docker on linux?", "and for windows?")
    text = read_conversation(turns).text
    linux = (span(0, "install docker on linux", "Use apt."), 0.95)
    refusal = _refused(_case(appraisal_of(text, linux), *turns))
    assert refusal.abstention.reason is Reason.NO_SUPPORT
    assert refusal.data[0].terms == ("windows",)
    windows = (span(1, "install docker on windows", "Use the installer."), 0.95)
    assert refuse(_case(appraisal_of(text, windows, linux), *turns)) is None


def test_a_follow_up_must_be_about_what_it_leans_on_too() -> None:
    turns = ("how do I delete a branch?", "how do I undo it?")
    text = read_conversation(turns).text
    commit = (span(0, "undo my commit", "Use revert."), 0.9)
    assert _refused(_case(appraisal_of(text, commit), *turns)).data[0].terms == ("branch", "delete")
    branch = (span(0, "undo deleting a branch", "Use reflog."), 0.9)
    assert refuse(_case(appraisal_of(text, branch), *turns)) is None


def test_a_span_is_about_what_was_said_on_its_trajectory() -> None:
    turns = ("how do I delete a branch?", "how do I undo it?")
    text = read_conversation(turns).text
    undo = span(0, "how can I undo that", "Use reflog.", earlier=("delete a git branch",))
    assert refuse(_case(appraisal_of(text, (undo, 0.9)), *turns)) is None


def test_an_outcome_that_meaning_outvotes_is_not_served() -> None:
    post, mail = "Send the form by post to us.", "Send us the form by post."
    online = "Upload it on the website instead."
    appraisal = appraisal_of(
        "where does the form go",
        (span(0, "a", online), 0.9),
        (span(1, "b", post), 0.8),
        (span(2, "c", mail), 0.8),
    )
    case = _case(appraisal)
    assert refuse(case) is None or not appraisal.is_admissible
    joined = cluster(appraisal.groups, [online, post, mail], None)
    assert joined[0].groups == (1, 2)
    outvoted = replace(case, synthesis=synthesise(appraisal, joined))
    refusal = _refused(outvoted)
    assert refusal.abstention.reason is Reason.CONFLICTING_OUTCOMES
