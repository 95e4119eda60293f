"""What a request demands of its answer beyond the words, and what of memory meets it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

from google.protobuf import json_format, struct_pb2

from arenalab.api.common.v1 import answer_pb2
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.api.predictor.v1 import predictor_service_pb2 as predictor_pb
from arenalab.ensemble.formats import Format, read_format
from arenalab.ensemble.opinions import Opinion
from arenalab.ensemble.tool_turns import check_tool_turns, has_late_results
from arenalab.ensemble.tools import Call, NoCallError, Tools, read_tools
from arenalab.mesh import InvalidInputError

# All that can support an answer: whether each of them calls a tool must be seen.
ALL_EVIDENCE: Final = 50
_DEFAULT_EVIDENCE: Final = 5
_WANTED: Final = (
    "Spans whose outcome has the form that is demanded, for a tool also an action that names it; "
    "or a provider."
)
_NAMES: Final = ("response_format", "tool_choice", "tools")
_KEPT: Final = 64
_MAX_KEPT_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Demands:
    """The demands of one request."""

    tools: Tools | None = None  # None: the answer is to be text
    format: Format | None = None
    beyond: tuple[str, ...] = ()  # what memory cannot honour, whatever it holds
    stops: tuple[str, ...] = ()

    @classmethod
    def of(cls, request: pb.AnswerRequest) -> Self:
        """Returns what a request demands.

        Raises:
            InvalidInputError: A demand is not as the OpenAI API has it.
        """
        check_tool_turns(request.messages, request.messages_json)
        beyond = list(request.unsupported)
        if has_late_results(request.messages):
            beyond.append("tool results")
        tools, form = _read(request.passthrough)
        return cls(tools, form, tuple(beyond), tuple(request.sampling.stop))

    @property
    def action(self) -> str:
        """The action to ask memory for: that of the tool which must be called; "" for any."""
        return "" if self.tools is None else self.tools.forced

    def evidence(self, limit: int) -> int:
        """Returns how much evidence to ask for where the caller wants `limit`."""
        return limit if self.tools is None else ALL_EVIDENCE

    def judge(self, opinion: Opinion, limit: int) -> Opinion:
        """Returns an opinion with the call that it is; abstaining where it meets no demand.

        Args:
            opinion: With as much evidence as `evidence` says.
            limit: Of the evidence to leave; 0 means 5.
        """
        call, why_not = None, ""
        if opinion.answered:
            call, why_not = self._met_by(opinion.response)
        if self.tools is None and not why_not:
            return opinion
        # What was read may be shared with others who asked the same.
        response = predictor_pb.PredictResponse()
        response.CopyFrom(opinion.response)
        if self.tools is not None:
            kept = _shown(response.evidence, limit)
            del response.evidence[:]
            response.evidence.extend(kept)
        if why_not:
            response.abstention.reason = answer_pb2.ABSTAIN_REASON_UNSUPPORTED_REQUEST
            response.abstention.explanation = why_not
            response.abstention.wanted = _WANTED
        return Opinion(opinion.creature, response, call)

    def _met_by(self, said: predictor_pb.PredictResponse) -> tuple[Call | None, str]:
        """Returns the call that an answer is, and why it does not do; "" when it does."""
        if self.tools is not None:
            try:
                return self.tools.call(said.output, said.evidence), ""
            except NoCallError as error:
                return None, f"Memory has no call of the tools: {error}."
        why_not = "" if self.format is None else self.format.why_not(said.output)
        if self.format and not why_not and any(s in said.output for s in self.stops if s):
            why_not = "a stop sequence would cut the JSON"
        return None, f"Memory cannot honour the response_format: {why_not}." if why_not else ""


def _read(passthrough: struct_pb2.Struct) -> tuple[Tools | None, Format | None]:
    """Returns the tools and the format that are asked for; those of late are remembered.

    Raises:
        InvalidInputError: They are not as the OpenAI API has them.
    """
    names = [name for name in _NAMES if name in passthrough.fields]
    if not names:
        return None, None
    read = struct_pb2.Struct(fields={name: passthrough.fields[name] for name in names})
    # An agent sends the same tools with every turn.
    key = read.SerializeToString(deterministic=True)
    return _remembered(key) if len(key) <= _MAX_KEPT_BYTES else _parsed(key)


def _parsed(serialized: bytes) -> tuple[Tools | None, Format | None]:
    try:
        given = json_format.MessageToDict(struct_pb2.Struct.FromString(serialized))
    except (ValueError, json_format.Error) as error:
        raise InvalidInputError(
            "passthrough must hold JSON: no number but a finite one", field="passthrough"
        ) from error
    return read_tools(given), read_format(given)


_remembered = lru_cache(maxsize=_KEPT)(_parsed)


def _shown(evidence: Sequence[answer_pb2.Evidence], limit: int) -> Sequence[answer_pb2.Evidence]:
    """Returns as much evidence as was asked for; 0 means 5.

    As the predictor does: the last place is a supporting span's where none is before it.
    """
    kept = list(evidence[: limit or _DEFAULT_EVIDENCE])
    if kept and not any(item.supports for item in kept):
        kept[-1:] = [item for item in evidence if item.supports][:1] or kept[-1:]
    return kept
