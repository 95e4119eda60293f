"""One answer while it is made: what is known of it, and what of it has been told."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.api.ledger.v1 import ledger_service_pb2 as ledger_pb
from arenalab.api.predictor.v1 import predictor_service_pb2 as predictor_pb
from arenalab.ensemble.demands import Demands
from arenalab.ensemble.entries import Said, answer_entry
from arenalab.ensemble.guardrails.answers import Speech
from arenalab.ensemble.opinions import Opinion, degrade
from arenalab.ensemble.selection import Selection
from arenalab.ensemble.tools import Call
from arenalab.mesh import telemetry


@dataclass(slots=True)
class Draft:
    """One answer while it is made."""

    request: pb.AnswerRequest
    selection: Selection
    tenant: str
    finished: pb.AnswerFinished
    started_s: float
    demands: Demands
    speech: Speech
    sealing: ledger_pb.AppendRequest | None = None  # the entry, once it is on its way
    sealed: bool = False
    asked: Sequence[Opinion] = ()
    chosen: Opinion | None = None
    own_words: str = ""  # memory's, where a provider reworded them
    trouble: str = ""  # why no provider answered

    @property
    def said(self) -> predictor_pb.PredictResponse:
        return predictor_pb.PredictResponse() if self.chosen is None else self.chosen.response

    @property
    def call(self) -> Call | None:
        """The call of a tool that memory's answer is."""
        return None if self.chosen is None else self.chosen.call

    @property
    def is_told(self) -> bool:
        """Whether anything of it was delivered."""
        return bool(self.speech.texts or self.speech.refusals or self.speech.calls)

    def start(self, route: pb.Route.ValueType) -> pb.AnswerResponse:
        self.finished.route = route
        return pb.AnswerResponse(
            started=pb.AnswerStarted(
                prediction_id=self.finished.prediction_id, model=self.finished.model, route=route
            )
        )

    def say(self, delta: pb.TextDelta) -> Iterator[pb.AnswerResponse]:
        """Yields what of a piece may be told now."""
        for told in self.speech.say(delta):
            yield pb.AnswerResponse(delta=told)

    def end(self) -> Iterator[pb.AnswerResponse]:
        """Yields the rest, once all is said; nothing may be said after."""
        for told in self.speech.finish():
            yield pb.AnswerResponse(delta=told)
        if self.speech.is_blocked:
            self.finished.finish_reason = "content_filter"

    def vouch(self) -> None:
        """Adds what the guardrails said, and takes from the rest what they let nobody be told."""
        self.finished.guardrails.extend(self.speech.verdicts())
        self.speech.clean(self.finished)
        if self.speech.is_changed:  # what is told is no longer what the bound speaks of
            degrade(self.finished.guarantee)

    def entry(self) -> ledger_pb.AppendRequest:
        """Returns what is sealed of it; its digests are told, too."""
        calls = self.speech.calls.whole()
        said = Said(
            request=self.request,
            finished=self.finished,
            text="".join(self.speech.texts),
            tool_calls=json.dumps(calls, ensure_ascii=False) if calls else "",
            refusal="".join(self.speech.refusals),
            asked=self.asked,
            chosen=self.chosen,
            strategy=self.selection.strategy,
            trouble=self.trouble,
            own_words=self.own_words,
        )
        entry = answer_entry(self.tenant, said, telemetry.current_trace_id())
        self.finished.model_digest = entry.model_digest
        if self.finished.route != pb.ROUTE_PROVIDER:  # memory's settings decided nothing there
            self.finished.config_digest = entry.config_digest
        return entry
