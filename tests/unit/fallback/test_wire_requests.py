"""Requests in the formats that are not OpenAI's: what the conformance suite does not show."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenalab.fallback.wire.adapter import UntellableError
from arenalab.fallback.wire.anthropic_request import message_request
from arenalab.fallback.wire.conversation import (
    Blob,
    Call,
    Link,
    Result,
    Text,
    Turn,
    read_conversation,
)
from arenalab.fallback.wire.gemini_request import NO_SIGNATURE, generate_request, told_schema

ASKED = [{"role": "user", "content": "Hi"}]
CALLING: dict[str, Any] = {
    "role": "assistant",
    "content": "I look.",
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "7"}


def anthropic(version: str = "2026-10-21", **fields: Any) -> dict[str, Any]:
    body = {"model": "m", "messages": ASKED} | fields
    return message_request(body, version=version, max_tokens=50)


def gemini(**fields: Any) -> dict[str, Any]:
    return generate_request({"model": "m", "messages": ASKED} | fields)


def parts_of(*parts: object) -> list[Any]:
    (turn,) = read_conversation([{"role": "user", "content": list(parts)}]).turns
    return list(turn.parts)


def test_files_are_here_or_elsewhere() -> None:
    def image(url: str) -> dict[str, Any]:
        return {"type": "image_url", "image_url": {"url": url, "detail": "low"}}

    assert parts_of(image("data:image/webp;base64,QUJD")) == [Blob("image/webp", "QUJD")]
    assert parts_of(image("data:image/PNG;charset=x;base64,")) == [Blob("image/png", "")]
    assert parts_of(image("https://a.org/x.PNG?y=.pdf")) == [
        Link("https://a.org/x.PNG?y=.pdf", "image/png")
    ]
    assert parts_of(image("https://a.org/x")) == [Link("https://a.org/x", "")]
    audio = {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}}
    assert parts_of(audio) == [Blob("audio/wav", "QQ==")]
    pdf = {"type": "file", "file": {"file_data": "data:application/pdf;base64,QQ=="}}
    assert parts_of(pdf) == [Blob("application/pdf", "QQ==")]


@pytest.mark.parametrize(
    "part",
    [
        "text",
        {"type": "text"},
        {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}},
        {"type": "image_url", "image_url": {"url": "data:image/png,raw"}},
        {"type": "image_url", "image_url": {"url": "https://[x"}},
        {"type": "image_url"},
        {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "ogg"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": ["text"]},
    ],
)
def test_a_part_that_is_not_known_is_named(part: object) -> None:
    with pytest.raises(UntellableError, match=r"messages\[0\]\.content\[0\]"):
        parts_of(part)


def test_messages_of_one_side_are_one_turn_and_empty_ones_are_none() -> None:
    found = read_conversation(
        [
            {"role": "system", "content": "A"},
            {"role": "user", "content": "1"},
            {"role": "user", "content": ""},
            {"role": "assistant", "content": None},
            {"role": "user", "content": [{"type": "text", "text": "2"}], "name": "bob"},
            {"role": "assistant", "content": "3", "refusal": "No."},
            {"role": "system", "content": "B"},
        ]
    )
    assert found.system == "A\n\nB"
    assert found.turns == [
        Turn(is_models=False, parts=[Text("1"), Text("2")]),
        Turn(is_models=True, parts=[Text("3"), Text("No.")]),
    ]


def test_a_result_knows_the_name_of_its_tool() -> None:
    found = read_conversation([*ASKED, CALLING, RESULT])
    assert found.turns[1].parts == [Text("I look."), Call("c1", "f", {}, {})]
    assert found.turns[2].parts == [Result("c1", "f", [Text("7")])]


@pytest.mark.parametrize(
    "messages",
    [
        [*ASKED, RESULT],
        [*ASKED, {"role": "assistant", "function_call": {"name": "f"}}],
        [*ASKED, {"role": "assistant", "tool_calls": 7}],
        [*ASKED, {"role": "assistant", "tool_calls": [{"id": "c", "type": "custom"}]}],
        [*ASKED, {"role": "assistant", "tool_calls": [{"id": "c", "function": {}}]}],
        [
            *ASKED,
            {
                "role": "assistant",
                "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "[1]"}}],
            },
        ],
        [{"role": "assistant", "content": "alone"}],
        [{"role": "user", "content": 7}],
        [{"role": "user", "content": ""}],
        [{"content": "x"}],
    ],
)
def test_a_conversation_that_is_none_is_refused(messages: list[dict[str, Any]]) -> None:
    with pytest.raises(UntellableError):
        read_conversation(messages)


_message: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool", "x"])},
    optional={
        "content": st.none() | st.text(max_size=2) | st.just([{"type": "text", "text": "x"}]),
        "tool_calls": st.none() | st.just(CALLING["tool_calls"]) | st.just([{}]),
        "tool_call_id": st.sampled_from(["c1", "c2"]),
    },
)


@settings(max_examples=60)
@given(st.lists(_message, max_size=8))
def test_any_messages_are_told_or_refused(messages: list[dict[str, Any]]) -> None:
    try:
        turns = read_conversation(messages).turns
    except UntellableError:
        return
    assert all(turn.parts for turn in turns)
    assert all(a.is_models != b.is_models for a, b in pairwise(turns))


def test_anthropic_is_told_how_much_to_write_whoever_says_it() -> None:
    assert anthropic()["max_tokens"] == 50
    assert anthropic(max_tokens=7)["max_tokens"] == 7


def test_the_older_version_of_messages_can_be_told_how_to_sample() -> None:
    told = anthropic("2023-06-01", temperature=0, top_p=0.5)
    assert (told["temperature"], told["top_p"]) == (0, 0.5)
    for version, temperature in (("2023-06-01", 1.5), ("2026-10-21", 0)):
        with pytest.raises(UntellableError, match="temperature"):
            anthropic(version, temperature=temperature)


def test_what_says_nothing_about_the_answer_is_left_out() -> None:
    hints: dict[str, Any] = {
        "store": True,
        "service_tier": "flex",
        "prompt_cache_key": "k",
        "metadata": {"a": 1},
    }
    assert anthropic(**hints) == anthropic()
    assert gemini(**hints, user="u") == gemini()
    assert anthropic(seed=None) == anthropic()


def test_documents_are_told_where_they_can_be() -> None:
    def file(data: str) -> list[dict[str, Any]]:
        part = {"type": "file", "file": {"file_data": data}}
        return [{"role": "user", "content": [part]}]

    told = anthropic(messages=file("data:application/pdf;base64,QQ=="))
    assert told["messages"][0]["content"][0]["type"] == "document"
    told = anthropic(messages=file("https://a.org/b.pdf"))
    assert told["messages"][0]["content"][0]["type"] == "document"
    with pytest.raises(UntellableError, match="audio/wav"):
        anthropic(messages=file("data:audio/wav;base64,QQ=="))
    with pytest.raises(UntellableError, match="type of its file"):
        gemini(messages=file("https://a.org/b"))


def test_a_tool_of_anthropic_takes_an_object_and_may_be_strict() -> None:
    function = {"name": "f", "parameters": {"properties": {}}, "strict": True}
    (tool,) = anthropic(tools=[{"type": "function", "function": function}])["tools"]
    assert tool == {
        "name": "f",
        "input_schema": {"type": "object", "properties": {}},
        "strict": True,
    }


def test_gemini_lets_a_call_through_that_it_did_not_sign() -> None:
    told = gemini(messages=[*ASKED, CALLING, RESULT])
    call = told["contents"][1]["parts"][1]
    assert call["thoughtSignature"] == NO_SIGNATURE
    assert told["contents"][2]["parts"][0]["functionResponse"]["response"] == {"output": "7"}


def test_a_schema_is_told_in_the_words_that_gemini_knows() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "pattern": {"const": 1, "default": 2},  # a name, and no word of a schema
            "list": {"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/a"}, True]}},
        },
        "additionalProperties": False,
        "$defs": {"a": {"type": ["string", "null"], "examples": ["x"]}},
    }
    told = {
        "type": "object",
        "properties": {
            "pattern": {"enum": [1]},
            "list": {"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/a"}, True]}},
        },
        "additionalProperties": False,
        "$defs": {"a": {"type": ["string", "null"]}},
    }
    assert told_schema(schema, is_binding=True) == told
    bound = {"type": "object", "properties": {"a": {"type": "string", "minLength": 3}}}
    with pytest.raises(UntellableError, match="minLength"):
        told_schema(bound, is_binding=True)
    loose = told_schema(bound, is_binding=False)
    assert loose == {"type": "object", "properties": {"a": {"type": "string"}}}


@pytest.mark.parametrize(
    "fields",
    [
        {"seed": 2**31},
        {"tools": 7},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": 7}}]},
        {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": {"x": 1}},
        {"response_format": {"type": "grammar"}},
        {"response_format": {"type": "json_schema"}},
        {"reasoning_effort": "none"},
        {"logit_bias": {"1": 1}},
        {"n": 2},
    ],
)
def test_gemini_is_not_told_what_it_has_no_words_for(fields: dict[str, Any]) -> None:
    with pytest.raises(UntellableError):
        gemini(**fields)
    json.dumps(gemini())
