"""What makes two outputs different ones: everything that they depend on."""

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

from arenalab.api.common.v1 import message_pb2
from arenalab.api.predictor.v1 import predictor_service_pb2 as pb
from arenalab.predictor.creatures import Creature
from arenalab.predictor.monitoring.watch import Standing, Status, Watch
from arenalab.predictor.predicting import State
from arenalab.predictor.revisions import Revision


def watch(calibration: str) -> Watch:
    return cast("Watch", SimpleNamespace(calibration=calibration))


REQUEST = pb.PredictRequest(
    messages=[message_pb2.Message(role=message_pb2.ROLE_USER, content="How?")]
)
STATE = State(
    "ada",
    Creature("faq", "faq"),
    Revision("faq", "v1", b"token"),
    watch("c1"),
    Standing(Status.VALID),
)


def test_any_one_difference_makes_another_key() -> None:
    states = [
        STATE,
        replace(STATE, tenant="bob"),
        replace(STATE, creature=Creature("faq", "faq", domains=("a",))),
        replace(STATE, creature=Creature("faq", "faq", min_quality=50.0)),
        replace(STATE, revision=Revision("docs", "v1", b"token")),
        replace(STATE, revision=Revision("faq", "v2", b"token")),
        replace(STATE, revision=Revision("faq", "v1", b"other")),
        replace(STATE, watch=watch("c2")),
        replace(STATE, standing=Standing(Status.DEGRADED)),
        replace(STATE, standing=Standing(Status.VALID, "audit test: e-value 6 reached 5")),
    ]
    keys = {state.key(REQUEST) for state in states}
    assert len(keys) == len(states)
    other = pb.PredictRequest()
    other.CopyFrom(REQUEST)
    other.alpha = 0.2
    assert STATE.key(other) not in keys
    assert STATE.key(REQUEST) == replace(STATE).key(REQUEST)
