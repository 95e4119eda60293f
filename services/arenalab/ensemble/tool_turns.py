"""The tool calls of a conversation and their results: each call is answered once. Pure.

The rules are those of the OpenAI API: a result answers a call of the assistant turn before it,
and nothing else is said before all calls of a turn have theirs.
"""

import json
from collections.abc import Sequence
from typing import Any

from arenalab.api.common.v1 import message_pb2
from arenalab.mesh import InvalidInputError


def check_tool_turns(messages: Sequence[message_pb2.Message], messages_json: str) -> None:
    """Checks that every result answers a call, and every call has its result.

    Args:
        messages: As text, in which no call can be told.
        messages_json: The caller's own; "" when there are no calls.

    Raises:
        InvalidInputError: One does not; the field names the message.
    """
    if not messages_json:
        for n, message in enumerate(messages):
            if message.role == message_pb2.ROLE_TOOL:
                raise _refused(f"messages[{n}].tool_call_id", "be given, in messages_json")
        return
    open_calls = _OpenCalls()
    for n, turn in enumerate(_turns(messages_json)):
        if turn.get("role") == "tool":
            open_calls.answer(turn.get("tool_call_id"), n)
        else:
            open_calls.check()
            open_calls.make(turn.get("tool_calls") or [], n)
    open_calls.check()


def has_late_results(messages: Sequence[message_pb2.Message]) -> bool:
    """Returns whether a tool's result came after the user's last question."""
    for message in reversed(messages):
        if message.role == message_pb2.ROLE_USER:
            return False
        if message.role == message_pb2.ROLE_TOOL:
            return True
    return False


class _OpenCalls:
    """The calls of the last assistant turn that wait for their results."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._waiting: set[str] = set()
        self._at = 0

    def make(self, calls: Any, n: int) -> None:
        self._at, self._ids = n, []
        for m, call in enumerate(calls if isinstance(calls, list) else ()):
            call_id = call.get("id") if isinstance(call, dict) else None
            place = f"messages[{n}].tool_calls[{m}].id"
            if not isinstance(call_id, str) or not call_id:
                raise _refused(place, "be a string")
            if call_id in self._ids:
                raise _refused(place, f"be given once, got {call_id[:64]!r} again")
            self._ids.append(call_id)
        self._waiting = set(self._ids)

    def answer(self, call_id: Any, n: int) -> None:
        place = f"messages[{n}].tool_call_id"
        if not isinstance(call_id, str) or call_id not in self._ids:
            raise _refused(place, "answer a call of the assistant turn before it")
        if call_id not in self._waiting:
            raise _refused(place, f"answer a call once, {call_id[:64]!r} has its result")
        self._waiting.remove(call_id)

    def check(self) -> None:
        left = [call_id[:64] for call_id in self._ids if call_id in self._waiting]
        if left:
            raise InvalidInputError(
                "An assistant message with 'tool_calls' must be followed by tool messages "
                "responding to each 'tool_call_id'. The following tool_call_ids did not have "
                f"response messages: {', '.join(left[:8])}",
                field=f"messages[{self._at}]",
            )
        self._ids = []


def _turns(messages_json: str) -> list[dict[str, Any]]:
    try:
        turns = json.loads(messages_json)
    except (ValueError, RecursionError) as error:
        raise _refused("messages_json", "be a JSON array") from error
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise _refused("messages_json", "be a JSON array of objects")
    return turns


def _refused(field: str, rule: str) -> InvalidInputError:
    return InvalidInputError(f"{field} must {rule}", field=field)
