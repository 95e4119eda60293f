"""What arrives together is told together, and nothing is lost by it."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from arenalab.fallback.chunks import Chunk, MalformedError
from arenalab.fallback.provider import _said
from arenalab.fallback.sse import SseEvent
from arenalab.fallback.wire.openai import OpenAiAdapter


def _event(data: str) -> SseEvent:
    return SseEvent("message", data)


def _delta(finish_reason: str | None = None, **delta: Any) -> SseEvent:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return _event(json.dumps({"id": "c1", "model": "m", "choices": [choice]}))


def _told(events: Sequence[SseEvent]) -> list[Chunk]:
    return list(_said(OpenAiAdapter("http://127.0.0.1/v1").reader(), iter(events)))


def test_the_pieces_of_one_arrival_are_one_chunk() -> None:
    usage = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 5}}
    events = [
        _delta(role="assistant", content=""),
        _delta(content="See "),
        _delta(content="this."),
        _delta("stop"),
        _event(json.dumps(usage)),
        _event("[DONE]"),
        _delta(content="after the end"),
    ]
    assert _told(events) == [
        Chunk("c1", "m", "See this.", "", "stop", prompt_tokens=7, completion_tokens=5)
    ]


def test_deltas_of_tool_calls_stay_apart() -> None:
    def call(arguments: str) -> list[dict[str, Any]]:
        return [{"index": 0, "function": {"arguments": arguments}}]

    events = [_delta(content="I "), _delta(content="look."), _delta(tool_calls=call("{"))]
    events += [_delta(tool_calls=call("}")), _delta("tool_calls")]
    told = _told(events)
    assert [chunk.text for chunk in told] == ["I look.", "", "", ""]
    assert [json.loads(c.tool_calls_json) for c in told[1:3]] == [call("{"), call("}")]
    assert told[-1].finish_reason == "tool_calls"


def test_what_came_before_a_malformed_event_is_told() -> None:
    said = _said(
        OpenAiAdapter("http://127.0.0.1/v1").reader(), iter([_delta(content="So far"), _event("{")])
    )
    assert next(said).text == "So far"
    with pytest.raises(MalformedError):
        next(said)
