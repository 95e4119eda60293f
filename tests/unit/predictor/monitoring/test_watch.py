import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenalab.predictor.monitoring.labels import Source
from arenalab.predictor.monitoring.watch import AUDIT, COMPLAINTS, EXCHANGEABILITY, Status, Watch
from tests.unit.predictor.monitoring.labelled import ID, calibrated, label


def _watch() -> Watch:
    return Watch(calibrated(), ID)


def _e_values(watch: Watch) -> dict[str, float]:
    return {test.name: test.e for test in watch.tests}


def test_a_fresh_calibration_is_valid_and_its_e_values_are_one() -> None:
    watch = _watch()
    assert watch.standing.status is Status.VALID
    assert watch.standing.reason == ""
    assert _e_values(watch) == pytest.approx({AUDIT: 1.0, COMPLAINTS: 1.0, EXCHANGEABILITY: 1.0})


def test_wrong_audits_degrade_then_void_and_right_ones_do_not_mend_it() -> None:
    watch = _watch()
    seen = []
    for n in range(6):
        watch.observe(label(n, correct=False))
        seen.append(watch.standing.status)
    assert seen == sorted(seen)
    assert {Status.VALID, Status.DEGRADED, Status.VOID} == set(seen)
    assert "audit test: e-value" in watch.standing.reason
    assert "6 of 6 audited answers were wrong" in watch.standing.reason
    for n in range(6, 300):
        watch.observe(label(n))
    assert watch.standing.status is Status.VOID


def test_a_degraded_bound_is_valid_again_when_later_audits_are_right() -> None:
    watch = _watch()
    n = 0
    while watch.standing.status is Status.VALID:
        watch.observe(label(n, correct=False, confidence=0.95))
        n += 1
    assert watch.standing.status is Status.DEGRADED
    for later in range(n, n + 100):
        watch.observe(label(later, confidence=float(np.linspace(0.9, 1.0, 100)[later - n])))
    assert {t.name: t.is_in_doubt for t in watch.tests}[AUDIT] is False


def test_complaints_degrade_and_never_void() -> None:
    watch = _watch()
    for n in range(500):
        watch.count_served(0.95)
        watch.observe(label(n, source=Source.FEEDBACK, correct=False))
    assert watch.standing.status is Status.DEGRADED
    assert "500 of 500 served answers were called wrong" in watch.standing.reason


def test_few_complaints_among_many_answers_are_no_reason_for_doubt() -> None:
    watch = _watch()
    for _ in range(10_000):
        watch.count_served(0.95)
    for n in range(300):  # 3 % of the served, all complained about
        watch.observe(label(n, source=Source.FEEDBACK, correct=False))
    assert watch.standing.status is Status.VALID


def test_answers_that_nobody_calls_wrong_mend_what_complaints_degraded() -> None:
    watch = _watch()
    for n in range(10):
        watch.count_served(0.95)
        watch.observe(label(n, source=Source.FEEDBACK, correct=False))
    seen = [watch.standing.status]
    for _ in range(2000):
        watch.count_served(0.95)
    assert [*seen, watch.standing.status] == [Status.DEGRADED, Status.VALID]


def test_praise_is_no_evidence_for_anything() -> None:
    watch = _watch()
    for n in range(100):
        watch.observe(label(n, source=Source.FEEDBACK))
    assert _e_values(watch) == pytest.approx({AUDIT: 1.0, COMPLAINTS: 1.0, EXCHANGEABILITY: 1.0})


@pytest.mark.parametrize(
    "fields",
    [
        {"calibration": "f" * 16},
        {"served": False},
        {"admissible": False},
        {"confidence": 0.5},
    ],
    ids=["of another calibration", "not served", "inadmissible", "below the threshold"],
)
def test_what_the_bound_does_not_speak_of_is_not_counted_against_it(
    fields: dict[str, object],
) -> None:
    watch = _watch()
    for n in range(50):
        watch.observe(label(n, correct=False, **fields))
    assert _e_values(watch)[AUDIT] == 1.0
    assert watch.standing.status is not Status.VOID


def test_audits_unlike_the_calibration_degrade() -> None:
    watch = _watch()
    for n in range(60):  # not served, so that the risk is not touched
        watch.observe(label(n, served=False, confidence=0.97, correct=n % 2 == 0))
    assert watch.standing.status is Status.DEGRADED
    assert "exchangeability test" in watch.standing.reason


def test_without_a_threshold_there_is_nothing_to_test() -> None:
    watch = Watch(calibrated(served=3), ID)
    watch.observe(label(0, correct=False))
    watch.count_served(0.99)
    assert watch.tests == []
    assert (watch.served, watch.standing.status) == (0, Status.VALID)


def test_the_audited_error_is_weighted_by_inverse_propensity() -> None:
    watch = _watch()
    assert watch.audited_error is None
    watch.observe(label(0, propensity=0.01))
    watch.observe(label(1, propensity=0.1, correct=False))
    assert watch.audited_error == pytest.approx(10 / 110)


@settings(deadline=None)
@given(st.lists(st.booleans(), max_size=80), st.lists(st.booleans(), max_size=40))
def test_a_restored_watch_judges_audits_as_the_one_it_was(
    before: list[bool], after: list[bool]
) -> None:
    whole, other = _watch(), _watch()
    for n, correct in enumerate(before):
        whole.observe(label(n, correct=correct))
    other.restore(json.loads(json.dumps(whole.state())))
    assert other.standing == whole.standing
    for n, correct in enumerate(after, len(before)):
        whole.observe(label(n, correct=correct))
        other.observe(label(n, correct=correct))
    assert _e_values(other)[AUDIT] == pytest.approx(_e_values(whole)[AUDIT])
    assert other.audit_labels == whole.audit_labels


def test_a_state_of_another_calibration_is_left_alone() -> None:
    watch, other = _watch(), Watch(calibrated(), "1" * 16)
    for n in range(6):
        watch.observe(label(n, correct=False))
    other.restore(watch.state())
    assert other.standing.status is Status.VALID


@pytest.mark.slow
def test_at_most_delta_of_the_streams_at_a_risk_of_alpha_are_voided() -> None:
    random = np.random.default_rng(11)
    voided = 0
    for _ in range(500):
        watch = _watch()
        for n, wrong in enumerate(random.random(250) < watch.alpha):
            watch.observe(label(n, correct=not wrong, confidence=float(random.uniform(0.9, 1))))
        voided += watch.standing.status is Status.VOID
    assert voided / 500 <= watch.delta
