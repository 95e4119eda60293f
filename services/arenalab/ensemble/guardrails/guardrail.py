"""What a guardrail is.

It reads one text at a time, as the text comes. It lets through what is safe for sure and holds
back what may still become a finding, so that nothing of a finding has been told when it is
found. What it lets through and what it finds must not depend on how the text was cut: then a
stream and a whole answer are the same words, with the same verdict.
"""

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


class Check(Protocol):
    """A guardrail's reading of one text."""

    @property
    def action(self) -> Action:
        """What it did, so far. After BLOCK nothing is let through any more."""

    @property
    def findings(self) -> int:
        """How often it found something, so far."""

    def feed(self, text: str) -> str:
        """Takes the next piece; returns what may be told now, which may be nothing."""

    def finish(self) -> str:
        """Returns the rest, once the text has ended. It is called once, after BLOCK too."""


class Guardrail(Protocol):
    """A rule about texts. Its checks run on the event loop: they take time like the text's length.

    An installed package offers one as an entry point of the group `arenalab.guardrails`, which
    names a function without arguments that returns it.
    """

    @property
    def name(self) -> str:
        """Told with every answer, and sealed: no words of anybody."""

    @property
    def reason(self) -> str:
        """What it looks for, in a few words; told where something was found."""

    def check(self, stage: Stage) -> Check | None:
        """Returns a check of one text; None where it does not look at the stage."""
