"""What a guardrail is.

It reads one text at a time, as the text comes. It lets through what is safe for sure and holds
back what may still become a finding, so that nothing of a finding has been told when it is
found. What it lets through and what it finds must not depend on how the text was cut: then a
stream and a whole answer are the same words, with the same verdict.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb


class Stage(Enum):
    """What a guardrail looks at."""

    INPUT = pb.GUARDRAIL_STAGE_INPUT  # the conversation
    OUTPUT = pb.GUARDRAIL_STAGE_OUTPUT  # the answer


class Action(Enum):
    """What a guardrail does about a text, the gravest last."""

    PASS = pb.GUARDRAIL_ACTION_PASS
    REDACT = pb.GUARDRAIL_ACTION_REDACT  # what was found is replaced
    BLOCK = pb.GUARDRAIL_ACTION_BLOCK  # the text ends before what was found


@dataclass(frozen=True, slots=True)
class Found:
    """What one rule of a guardrail found in a text."""

    name: str  # told with every answer, and sealed: no words of anybody
    action: Action = Action.PASS
    findings: int = 0  # how often
    reason: str = ""  # what the rule looks for, in a few words


class Check(Protocol):
    """A guardrail's reading of one text."""

    def feed(self, text: str) -> str:
        """Takes the next piece; returns what may be told now, which may be nothing."""

    def finish(self) -> str:
        """Returns the rest, once the text has ended. It is called once, after BLOCK too."""

    def found(self) -> Sequence[Found]:
        """Returns what each rule found so far, always of the same rules in the same order.

        After a BLOCK nothing is let through any more.
        """


class Guardrail(Protocol):
    """Rules about texts. Checks run on the event loop: they take time like the text's length.

    An installed package offers one as an entry point of the group `arenalab.guardrails`, which
    names a function without arguments that returns it.
    """

    def check(self, stage: Stage) -> Check | None:
        """Returns a check of one text; None where it does not look at the stage."""
