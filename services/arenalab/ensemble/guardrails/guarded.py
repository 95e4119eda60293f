"""One text behind all guardrails, in order: each reads what the one before it lets through."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.ensemble.guardrails.guardrail import Action, Guardrail, Stage


class Guarded:
    """A text, as far as it has come. A whole text is one piece: there is no other way."""

    def __init__(self, guardrails: Sequence[Guardrail], stage: Stage) -> None:
        found = [(guardrail, guardrail.check(stage)) for guardrail in guardrails]
        self.checks = [(guardrail, check) for guardrail, check in found if check is not None]

    @property
    def is_blocked(self) -> bool:
        return any(check.action is Action.BLOCK for _, check in self.checks)

    @property
    def is_changed(self) -> bool:
        return any(check.action is not Action.PASS for _, check in self.checks)

    def feed(self, text: str) -> str:
        """Takes the next piece; returns what may be told now."""
        for _, check in self.checks:
            text = check.feed(text)
        return text

    def finish(self) -> str:
        """Returns what was held back, once the text has ended or is blocked."""
        rest = ""
        for _, check in self.checks:
            rest = check.feed(rest) + check.finish()
        return rest

    def whole(self, text: str) -> str:
        """Returns what may be told of a text that is all there."""
        return self.feed(text) + self.finish()


@dataclass
class Tally:
    """What each guardrail found in the texts of one stage."""

    stage: Stage
    _found: dict[str, tuple[Guardrail, Action, int]] = field(default_factory=dict)

    def add(self, guarded: Guarded) -> None:
        """Counts what was found in one text."""
        for guardrail, check in guarded.checks:
            _, action, findings = self._found.get(guardrail.name, (guardrail, Action.PASS, 0))
            graver = max(action, check.action, key=lambda one: one.value)
            self._found[guardrail.name] = (guardrail, graver, findings + check.findings)

    def verdicts(self) -> list[pb.GuardrailVerdict]:
        """Returns what each said, in order."""
        return [
            pb.GuardrailVerdict(
                guardrail=name,
                stage=self.stage.value,
                action=action.value,
                reason="" if action is Action.PASS else guardrail.reason,
                findings=findings,
            )
            for name, (guardrail, action, findings) in self._found.items()
        ]
