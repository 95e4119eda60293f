"""One text behind all guardrails, in order: each reads what the one before it lets through."""

from collections.abc import Iterable, Sequence

from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.ensemble.guardrails.guardrail import Action, Found, Guardrail, Stage


class Guarded:
    """A text, as far as it has come. A whole text is one piece: there is no other way."""

    def __init__(self, guardrails: Sequence[Guardrail], stage: Stage) -> None:
        checks = (guardrail.check(stage) for guardrail in guardrails)
        self._checks = [check for check in checks if check is not None]

    @property
    def is_blocked(self) -> bool:
        return any(found.action is Action.BLOCK for found in self.found())

    @property
    def is_changed(self) -> bool:
        return any(found.action is not Action.PASS for found in self.found())

    def found(self) -> list[Found]:
        """Returns what every rule found so far."""
        return [found for check in self._checks for found in check.found()]

    def feed(self, text: str) -> str:
        """Takes the next piece; returns what may be told now."""
        for check in self._checks:
            text = check.feed(text)
        return text

    def finish(self) -> str:
        """Returns what was held back, once the text has ended or is blocked."""
        rest = ""
        for check in self._checks:
            rest = check.feed(rest) + check.finish()
        return rest

    def whole(self, text: str) -> str:
        """Returns what may be told of a text that is all there."""
        return self.feed(text) + self.finish()


def verdicts(texts: Iterable[Guarded], stage: Stage) -> list[pb.GuardrailVerdict]:
    """Returns what each rule said of all texts of one stage: the gravest it did, in order."""
    by_name: dict[str, pb.GuardrailVerdict] = {}
    for found in (found for guarded in texts for found in guarded.found()):
        verdict = by_name.setdefault(
            found.name,
            pb.GuardrailVerdict(guardrail=found.name, stage=stage.value, action=Action.PASS.value),
        )
        verdict.findings += found.findings
        if found.action.value > verdict.action:
            verdict.action, verdict.reason = found.action.value, found.reason
    return list(by_name.values())
