import json
from typing import Any

import pytest

from arenalab.fallback.chunks import (
    Chunk,
    MalformedError,
    ReportedError,
    presentable,
)
from arenalab.fallback.wire.openai import read_chunk


def chunk_of(**delta: Any) -> Chunk:
    return read_chunk(json.dumps({"model": "m", "choices": [{"index": 0, "delta": delta}]}))


def test_a_delta_is_text() -> None:
    assert chunk_of(role="assistant", content="Hi") == Chunk(model="m", text="Hi")


@pytest.mark.parametrize("delta", [{}, {"content": None}, {"role": "assistant", "content": ""}])
def test_a_delta_may_say_nothing(delta: dict[str, Any]) -> None:
    assert chunk_of(**delta).text == ""


def test_a_refusal_is_told_apart_from_text() -> None:
    assert chunk_of(content=None, refusal="I cannot.") == Chunk(model="m", refusal="I cannot.")


def test_the_parts_of_usage_are_read_where_there_are_any() -> None:
    usage: dict[str, Any] = {
        "prompt_tokens": 9,
        "completion_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 4},
    }
    found = read_chunk(json.dumps({"choices": [], "usage": usage}))
    assert (found.cached_prompt_tokens, found.reasoning_tokens) == (5, 4)
    usage |= {"prompt_tokens_details": None, "completion_tokens_details": {}}
    found = read_chunk(json.dumps({"choices": [], "usage": usage}))
    assert (found.cached_prompt_tokens, found.reasoning_tokens) == (0, 0)


def test_tool_calls_keep_their_parts_and_have_an_index() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":'}}
    assert json.loads(chunk_of(tool_calls=[call]).tool_calls_json) == [{"index": 0, **call}]
    later = {"index": 3, "function": {"arguments": "1}"}}
    assert json.loads(chunk_of(tool_calls=[later]).tool_calls_json) == [later]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "tool_calls"),
        ("content_filter", "content_filter"),
        ("function_call", "tool_calls"),
        ("max_tokens", "length"),
        ("eos", "stop"),
        (None, ""),
        ("", ""),
    ],
)
def test_why_an_answer_ends_is_told_in_openais_words(said: str | None, told: str) -> None:
    data: dict[str, Any] = {"choices": [{"delta": {}, "finish_reason": said}]}
    assert read_chunk(json.dumps(data)).finish_reason == told


@pytest.mark.parametrize("said", ["error", "abort"])
def test_an_answer_that_ends_in_failure_is_none(said: str) -> None:
    with pytest.raises(ReportedError, match=said):
        read_chunk(json.dumps({"choices": [{"delta": {}, "finish_reason": said}]}))


def test_the_last_chunk_may_hold_usage_and_no_choice() -> None:
    data = {"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 3}}
    assert read_chunk(json.dumps(data)) == Chunk(prompt_tokens=12, completion_tokens=3)


def test_counts_that_are_no_counts_are_not_counted() -> None:
    data = {"choices": [], "usage": {"prompt_tokens": -4, "completion_tokens": "many"}}
    assert read_chunk(json.dumps(data)) == Chunk()


def test_a_whole_completion_reads_like_one_chunk() -> None:
    data = {
        "id": "chatcmpl-1",
        "model": "m",
        "choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    }
    assert read_chunk(json.dumps(data)) == Chunk("chatcmpl-1", "m", "Hi", "", "stop", 1, 2)


@pytest.mark.parametrize(
    "data",
    [
        "",
        "{",
        "[]",
        "7",
        "{}",
        '{"choices": 7}',
        '{"choices": [7]}',
        '{"choices": [{"delta": 7}]}',
        '{"choices": [{"delta": {"content": 7}}]}',
        '{"choices": [{"delta": {"tool_calls": {"a": 1}}}]}',
        '{"choices": [{"delta": {"tool_calls": [7]}}]}',
        "[" * 100_000,
    ],
)
def test_what_is_no_completion_is_malformed(data: str) -> None:
    with pytest.raises(MalformedError):
        read_chunk(data)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ({"message": "out of memory", "code": 500}, "out of memory"),
        ("busy", "busy"),
        ({"message": "a\nb\ud800"}, "a b"),
        ({"message": "x" * 9999}, "x" * 500),
        ({"code": 1}, ""),
    ],
)
def test_an_error_object_is_told_apart(error: object, message: str) -> None:
    with pytest.raises(ReportedError) as caught:
        read_chunk(json.dumps({"error": error}))
    assert presentable(str(caught.value)) == message
