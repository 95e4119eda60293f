"""The guardrails over an answer as it is told: its text, its refusal and its tool calls.

Texts are told as they come, behind what is held back. A tool call is told once it is whole:
half of its arguments is of no use to anybody. Without guardrails everything passes as it is.
"""

import json
from collections.abc import Sequence
from typing import Any

from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.ensemble.guardrails.guarded import Guarded, verdicts
from arenalab.ensemble.guardrails.guardrail import Guardrail, Stage
from arenalab.pieces import ToolCalls


class Speech:
    """One answer, as far as it has been told."""

    def __init__(self, guardrails: Sequence[Guardrail]) -> None:
        self._guardrails = [one for one in guardrails if one.check(Stage.OUTPUT) is not None]
        self._read: list[Guarded] = []  # every text that is read, for the verdicts
        self._text = self._guarded()
        self._refusal = self._guarded()
        self._waiting = ToolCalls()
        self.texts: list[str] = []
        self.refusals: list[str] = []
        self.calls = ToolCalls()

    def _guarded(self) -> Guarded:
        guarded = Guarded(self._guardrails, Stage.OUTPUT)
        self._read.append(guarded)
        return guarded

    @property
    def is_blocked(self) -> bool:
        return any(guarded.is_blocked for guarded in self._read)

    @property
    def is_changed(self) -> bool:
        return any(guarded.is_changed for guarded in self._read)

    def say(self, delta: pb.TextDelta) -> list[pb.TextDelta]:
        """Takes a piece of the answer; returns what may be told now.

        Raises:
            NotReadyError: PROVIDER_FAILED; its tool calls are malformed.
        """
        if self._guardrails:
            if delta.tool_calls_json:
                self._waiting.add(delta.tool_calls_json)
            delta = pb.TextDelta(
                text=self._text.feed(delta.text), refusal=self._refusal.feed(delta.refusal)
            )
        return self._told(delta)

    def finish(self) -> list[pb.TextDelta]:
        """Returns what was held back, once the answer has ended or is blocked."""
        if not self._guardrails:
            return []
        rest = pb.TextDelta(text=self._text.finish(), refusal=self._refusal.finish())
        told = self._told(rest)
        if self._waiting and not self.is_blocked:
            calls = self._checked(self._waiting.whole())
            if not self.is_blocked:
                told += self._told(pb.TextDelta(tool_calls_json=json.dumps(calls)))
        return told

    def verdicts(self) -> list[pb.GuardrailVerdict]:
        """Returns what each guardrail said of the answer, as far as it was read."""
        return verdicts(self._read, Stage.OUTPUT)

    def _checked(self, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for n, call in enumerate(calls):
            body = call[call["type"]]
            text = "input" if "input" in body else "arguments"
            body[text] = self._guarded().whole(body[text])
            call["index"] = n
        return calls

    def _told(self, delta: pb.TextDelta) -> list[pb.TextDelta]:
        if not (delta.text or delta.refusal or delta.tool_calls_json):
            return []
        if delta.text:
            self.texts.append(delta.text)
        if delta.refusal:
            self.refusals.append(delta.refusal)
        if delta.tool_calls_json:
            self.calls.add(delta.tool_calls_json)
        return [delta]

    def clean(self, finished: pb.AnswerFinished) -> None:
        """Takes from what is known of an answer the words that may not be told."""
        if not self._guardrails:
            return
        for item in (*finished.evidence, *finished.abstention.nearest):
            item.question = self._cleaned(item.question)
            item.outcome = self._cleaned(item.outcome)
        for sentence in finished.sentences:
            sentence.text = self._cleaned(sentence.text)
        for alternative in finished.alternatives:
            alternative.outcome = self._cleaned(alternative.outcome)
        finished.reasoning = self._cleaned(finished.reasoning)
        if finished.HasField("abstention"):
            told_why = finished.abstention
            told_why.explanation = self._cleaned(told_why.explanation)
            told_why.wanted = self._cleaned(told_why.wanted)
            for wanted in told_why.data:
                wanted.outcome = self._cleaned(wanted.outcome)
                wanted.terms[:] = [self._cleaned(term) for term in wanted.terms]
        if finished.HasField("outcome_set"):
            outcomes = [self._cleaned(outcome) for outcome in finished.outcome_set.outcomes]
            finished.outcome_set.outcomes[:] = outcomes
        if finished.HasField("rephrasing"):
            told = finished.rephrasing
            told.unsupported[:] = [self._cleaned(one) for one in told.unsupported]
            told.explanation = self._cleaned(told.explanation)

    def _cleaned(self, text: str) -> str:
        return Guarded(self._guardrails, Stage.OUTPUT).whole(text)
