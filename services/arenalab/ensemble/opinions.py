"""Choosing between what several creatures say. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from arenalab.api.common.v1 import answer_pb2
from arenalab.api.predictor.v1 import predictor_service_pb2 as predictor_pb
from arenalab.ensemble.tools import Call

# A cascade goes on to the next creature below this confidence, even when the
# creature may answer.
CASCADE_CONFIDENCE: Final = 0.70


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one creature said, or why it could say nothing."""

    creature: str
    response: predictor_pb.PredictResponse
    call: Call | None = None  # of a tool: what the output is, where the caller lists tools

    @property
    def answered(self) -> bool:
        return not self.response.HasField("abstention")


def abstaining(
    creature: str, reason: answer_pb2.AbstainReason.ValueType, explanation: str, wanted: str
) -> Opinion:
    """Returns the opinion of a creature that could not be asked."""
    abstention = answer_pb2.Abstention(reason=reason, explanation=explanation, wanted=wanted)
    return Opinion(
        creature,
        predictor_pb.PredictResponse(
            creature=creature, abstention=abstention, method=answer_pb2.ANSWER_METHOD_NONE
        ),
    )


def single_best(opinions: Sequence[Opinion]) -> Opinion:
    """Returns the most confident that may answer, else the most confident; ties: the first."""
    return max(opinions, key=lambda o: (o.answered, o.response.confidence))


def settles_cascade(opinion: Opinion) -> bool:
    """Returns whether a cascade stops at this opinion."""
    return opinion.answered and opinion.response.confidence >= CASCADE_CONFIDENCE


def guarantee_of_choice(chosen: Opinion, asked: Sequence[Opinion]) -> answer_pb2.Guarantee:
    """Returns the guarantee that holds after choosing among `asked`.

    Each creature's bound speaks of the answers that it alone would serve. Choosing
    the most confident of several changes that set, so the bound is no longer
    proven: its status becomes DEGRADED.
    """
    guarantee = answer_pb2.Guarantee()
    guarantee.CopyFrom(chosen.response.guarantee)
    if len(asked) > 1:
        degrade(guarantee)
    return guarantee


def outcome_set_of_choice(
    chosen: Opinion, asked: Sequence[Opinion]
) -> answer_pb2.OutcomeSet | None:
    """Returns the outcome set that holds after choosing among `asked`; None where none does.

    Its coverage speaks of every question that a creature is asked: not of those alone in
    which it is the most confident of several.
    """
    if len(asked) > 1 or not chosen.response.HasField("outcome_set"):
        return None
    return chosen.response.outcome_set


def degrade(guarantee: answer_pb2.Guarantee) -> None:
    """Marks a valid bound as one that is no longer proven for what is served."""
    if guarantee.status == answer_pb2.GUARANTEE_STATUS_VALID:
        guarantee.status = answer_pb2.GUARANTEE_STATUS_DEGRADED
