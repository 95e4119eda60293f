"""The guardrails over a request: every text in it that somebody may have written."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.ensemble.guardrails.guarded import Guarded, verdicts
from arenalab.ensemble.guardrails.guardrail import Guardrail, Stage
from arenalab.pieces import characters

_Place = tuple[dict[str, Any], str]  # an object, and its member that is a text


def screen(
    request: pb.AnswerRequest, guardrails: Sequence[Guardrail]
) -> tuple[pb.AnswerRequest, list[pb.GuardrailVerdict], bool]:
    """Returns the request with what was found replaced, the verdicts, and whether it is blocked.

    A request that nothing was found in is returned as it is.
    """
    if all(guardrail.check(Stage.INPUT) is None for guardrail in guardrails):
        return request, [], False
    texts = _Texts(guardrails)
    found = pb.AnswerRequest()
    found.CopyFrom(request)
    # The same turns in two forms: what one holds and the other does not counts too.
    for message in found.messages:
        message.content = texts.read(message.content)
    if found.messages_json:
        turns = json.loads(found.messages_json)
        found.messages_json = json.dumps(_replaced(turns, texts.read))
    is_changed = any(guarded.is_changed for guarded in texts.read_ones)
    is_blocked = any(guarded.is_blocked for guarded in texts.read_ones)
    said = verdicts(texts.read_ones, Stage.INPUT)
    return found if is_changed else request, said, is_blocked


class _Texts:
    """All texts of one request; one that comes twice is read once."""

    def __init__(self, guardrails: Sequence[Guardrail]) -> None:
        self._guardrails = guardrails
        self._known: dict[str, str] = {}
        self.read_ones: list[Guarded] = []

    def read(self, text: str) -> str:
        if text not in self._known:
            guarded = Guarded(self._guardrails, Stage.INPUT)
            self._known[text] = guarded.whole(characters(text))
            self.read_ones.append(guarded)
        return self._known[text]


def _replaced(turns: Any, read: Callable[[str], str]) -> Any:
    for members, name in _places(turns):
        members[name] = read(members[name])
    return turns


_TEXTS: Final = ("arguments", "content", "input", "refusal", "text")
_INSIDE: Final = ("content", "custom", "function", "function_call", "tool_calls")


def _places(value: Any) -> Iterator[_Place]:
    """Yields where the texts of turns are: of their parts and their tool calls, not of images."""
    if isinstance(value, list):
        for item in value:
            yield from _places(item)
    elif isinstance(value, dict):
        for name in _TEXTS:
            if isinstance(value.get(name), str):
                yield value, name
        for name in _INSIDE:
            if isinstance(value.get(name), dict | list):
                yield from _places(value[name])
