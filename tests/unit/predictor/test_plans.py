"""Plans kept for a moment."""

from arenalab.api.common.v1 import plan_pb2
from arenalab.predictor.plans import KeptPlans


class Clock:
    def __init__(self) -> None:
        self.now = 10.0

    def __call__(self) -> float:
        return self.now


def test_a_plan_is_kept_for_its_request_until_it_is_too_old() -> None:
    clock = Clock()
    plans = KeptPlans(clock, fresh_s=1.0)
    plan = plan_pb2.QueryPlan(ef_search=64)
    assert plans.get(b"one") is None
    plans.put(b"one", plan)
    assert plans.get(b"one") is plan
    assert plans.get(b"two") is None
    clock.now += 0.999
    assert plans.get(b"one") is plan
    clock.now += 0.001
    assert plans.get(b"one") is None


def test_the_plan_used_longest_ago_goes_first() -> None:
    plans = KeptPlans(Clock())
    for number in range(1025):
        plans.put(str(number).encode(), plan_pb2.QueryPlan(ef_search=number))
    assert plans.get(b"0") is None
    assert plans.get(b"1") is not None
    assert plans.get(b"1024") is not None
