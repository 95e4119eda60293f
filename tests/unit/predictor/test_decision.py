import numpy as np

from arenalab.predictor.appraisal import Appraisal, appraise
from arenalab.predictor.decision import Reason, abstain_from_part, decide
from arenalab.predictor.guarantee import Bound
from arenalab.predictor.neighbourhood import Memory, Neighbourhood, Query

VALID = Bound(0.05, 0.05, 0.8, 200, 100, 1, 0.04)
VOID = Bound(0.05, 0.05, None, 40)


def _appraise(query: str, *spans: tuple[str, str, float], action: str = "") -> Appraisal:
    similarities = np.array([s for _, _, s in spans])
    hood = Neighbourhood(
        [Memory(str(n), q, o) for n, (q, o, _) in enumerate(spans)],
        similarities,
        similarities,
        np.eye(len(spans), 8, dtype=np.float32),
    )
    return appraise(Query(query, action=action), hood)


NEAR = _appraise("pay a bill", ("paying bills", "Pay.", 0.9), ("other", "No.", 0.1))
FAR = _appraise("pay a bill", ("paying bills", "Pay.", 0.3))
SPLIT = _appraise("pay a bill", ("paying bills", "Pay.", 0.9), ("bill payment", "Call.", 0.88))
CLASH = _appraise("never pay a bill", ("pay a bill", "Pay.", 0.9))


def test_a_confident_answer_is_served_at_the_threshold_and_not_below() -> None:
    assert decide(NEAR, 0.8, VALID) is None
    below = decide(NEAR, 0.799, VALID)
    assert below is not None
    assert below.reason is Reason.OUT_OF_SCOPE
    assert "0.799" in below.explanation
    assert "0.800" in below.explanation


def test_each_reason_fits_what_was_seen() -> None:
    for appraisal, bound, reason in (
        (FAR, VALID, Reason.OUT_OF_SCOPE),
        (SPLIT, VALID, Reason.CONFLICTING_OUTCOMES),
        (CLASH, VALID, Reason.CONTRAST_CLASH),
        (NEAR, VOID, Reason.GUARANTEE_VOID),
        (_appraise("q", action="fly"), VOID, Reason.NO_SUPPORT),
    ):
        said = decide(appraisal, 0.5, bound)
        assert said is not None
        assert said.reason is reason
        assert any(character.isdigit() for character in said.explanation)
        assert said.wanted


def test_a_clash_is_refused_however_confident() -> None:
    said = decide(CLASH, 1.0, VALID)
    assert said is not None
    assert "negation" in said.explanation


def test_an_uncertain_output_is_refused_however_confident() -> None:
    many = _appraise("q", *((f"q{n}", f"o{n}", 0.7) for n in range(5)))
    said = decide(many, 1.0, VALID)
    assert said is not None
    assert said.reason is Reason.CONFLICTING_OUTCOMES
    assert "below the threshold" not in said.explanation


def test_a_part_of_memory_serves_nothing() -> None:
    said = abstain_from_part(["cards", "rest"])
    assert said.reason is Reason.GUARANTEE_VOID
    assert "(cards, rest)" in said.explanation
