from typing import Any

import pytest

from arenalab.gateway.errors import ApiError
from arenalab.gateway.responses.request import chat_of, parse_responses

Json = dict[str, Any]
HISTORY = (
    {"role": "user", "content": "Earlier?"},
    {"role": "assistant", "content": "So."},
)


def _read(**members: Any) -> Any:
    return parse_responses({"input": "How?"} | members)


def _chat(history: Any = (), **members: Any) -> Any:
    return chat_of(_read(**members), history, "")


def test_a_text_is_one_question() -> None:
    chat = _chat(model="arenalab/memory-only", max_output_tokens=9, user="u1", temperature=0.5)
    assert [(m.role, m.content) for m in chat.messages] == [("user", "How?")]
    assert (chat.model, chat.user) == ("arenalab/memory-only", "u1")
    assert (chat.sampling.max_tokens, chat.sampling.temperature) == (9, 0.5)
    assert (chat.instructions, chat.messages_json) == (0, "")


def test_instructions_come_first_and_are_counted() -> None:
    chat = _chat(HISTORY, instructions="Be brief.")
    assert [m.content for m in chat.messages] == ["Be brief.", "Earlier?", "So.", "How?"]
    assert chat.messages[0].role == "system"
    assert chat.instructions == 1
    assert _chat(HISTORY, instructions="").instructions == 0


def test_items_become_messages() -> None:
    items: list[Json] = [
        {"role": "user", "content": [{"type": "input_text", "text": "Add 1 and 2"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I"}]},
        {"type": "function_call", "call_id": "c1", "name": "add", "arguments": "[1,2]"},
        {"type": "function_call", "call_id": "c2", "name": "add", "arguments": "[2,1]"},
        {"type": "reasoning", "summary": []},
        {"type": "function_call_output", "call_id": "c1", "output": "3"},
    ]
    request = _read(input=items)
    assert list(request.messages) == [
        {"role": "user", "content": [{"type": "text", "text": "Add 1 and 2"}]},
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "I"}],
            "tool_calls": [
                {"id": f"c{n}", "type": "function", "function": {"name": "add", "arguments": a}}
                for n, a in ((1, "[1,2]"), (2, "[2,1]"))
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "3"},
    ]
    assert request.ignored == ("input items of type 'reasoning'",)


def test_a_picture_reaches_the_provider_and_is_named_to_memory() -> None:
    part = {"type": "input_image", "image_url": "https://a/b.png", "detail": "low"}
    chat = _chat(input=[{"role": "user", "content": [part]}])
    assert chat.unsupported == ("images",)
    assert '"image_url": {"url": "https://a/b.png", "detail": "low"}' in chat.messages_json


def test_flat_tools_and_formats_become_those_of_a_chat() -> None:
    parameters = {"type": "object"}
    tool = {"type": "function", "name": "f", "parameters": parameters, "strict": True}
    schema = {"type": "json_schema", "name": "s", "schema": parameters, "strict": True}
    chat = _chat(
        tools=[tool],
        tool_choice={"type": "function", "name": "f"},
        text={"format": schema, "verbosity": "low"},
        reasoning={"effort": "high"},
        parallel_tool_calls=False,
    )
    passed = chat.passthrough
    function = {"name": "f", "parameters": parameters, "strict": True}
    assert passed["tools"] == [{"type": "function", "function": function}]
    assert passed["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    shape = {"name": "s", "schema": parameters, "strict": True}
    assert passed["response_format"] == {"type": "json_schema", "json_schema": shape}
    assert chat.response_format == "json_schema"
    assert (passed["verbosity"], passed["reasoning_effort"]) == ("low", "high")
    assert passed["parallel_tool_calls"] is False


def test_without_tools_nothing_is_said_of_them() -> None:
    chat = _chat(tools=[], tool_choice="auto", parallel_tool_calls=True)
    assert chat.passthrough == {}
    assert _chat(tool_choice="required").passthrough == {"tool_choice": "required"}


def test_allowed_tools_become_those_of_a_chat() -> None:
    choice = {
        "type": "allowed_tools",
        "mode": "auto",
        "tools": [{"type": "function", "name": "f"}],
    }
    assert _chat(tool_choice=choice).passthrough["tool_choice"] == {
        "type": "allowed_tools",
        "allowed_tools": {
            "mode": "auto",
            "tools": [{"type": "function", "function": {"name": "f"}}],
        },
    }


def test_what_there_is_nothing_of_is_said_to_be_ignored() -> None:
    request = _read(
        include=["reasoning.encrypted_content"], reasoning={"summary": "auto"}, text={"x": 1}
    )
    assert request.ignored == (
        "include 'reasoning.encrypted_content'",
        "reasoning.summary",
        "text.x",
    )


def test_the_response_repeats_what_was_asked() -> None:
    echo = _read(instructions="Be brief.", metadata={"k": "v"}, top_p=0.5).echo
    assert (echo["instructions"], echo["metadata"], echo["top_p"]) == (
        "Be brief.",
        {"k": "v"},
        0.5,
    )
    assert echo["text"] == {"format": {"type": "text"}}
    assert (echo["tool_choice"], echo["tools"], echo["parallel_tool_calls"]) == ("auto", [], True)


def test_unknown_fields_are_named_or_refused() -> None:
    assert _read(foo=1).unknown == ("foo",)
    for strict in (
        lambda: parse_responses({"input": "q", "foo": 1}, strict=True),
        lambda: _read(foo=1, arenalab={"strict": True}),
    ):
        with pytest.raises(ApiError) as caught:
            strict()
        assert (caught.value.param, caught.value.code) == ("foo", "unknown_parameter")


@pytest.mark.parametrize(
    ("members", "param", "code"),
    [
        ({"input": None}, "input", "missing_required_parameter"),
        ({"input": 1}, "input", "invalid_type"),
        ({"input": []}, "input", "invalid_value"),
        ({"input": ""}, "input", "invalid_value"),
        ({"input": [{"role": "user"}]}, "input[0].content", "missing_required_parameter"),
        ({"input": [{}]}, "input[0].type", "missing_required_parameter"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type", "unsupported_value"),
        ({"input": [{"type": "computer_call"}]}, "input[0].type", "unsupported_value"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input[0].content[0].image_url",
            "unsupported_value",
        ),
        ({"input": [{"type": "function_call"}]}, "input[0].name", "missing_required_parameter"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "unsupported_value"),
        ({"tools": [{"type": "function"}]}, "tools[0].name", "missing_required_parameter"),
        ({"tool_choice": "any"}, "tool_choice", "invalid_value"),
        ({"tool_choice": {"type": "mcp"}}, "tool_choice.type", "unsupported_value"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type", "invalid_value"),
        (
            {"text": {"format": {"type": "json_schema", "name": "s"}}},
            "text.format.schema",
            "missing_required_parameter",
        ),
        ({"background": True}, "background", "unsupported_parameter"),
        ({"conversation": "c"}, "conversation", "unsupported_parameter"),
        ({"prompt": {"id": "p"}}, "prompt", "unsupported_parameter"),
        ({"context_management": []}, "context_management", "unsupported_parameter"),
        ({"truncation": "auto"}, "truncation", "unsupported_parameter"),
        ({"top_logprobs": 1}, "top_logprobs", "unsupported_parameter"),
        ({"include": ["message.output_text.logprobs"]}, "include[0]", "unsupported_value"),
        ({"max_output_tokens": 0}, "max_output_tokens", "invalid_value"),
        ({"temperature": 3}, "temperature", "invalid_value"),
        ({"stream_options": {}}, "stream_options", "invalid_value"),
        ({"arenalab": {"alpha": 2}}, "arenalab.alpha", "invalid_value"),
    ],
)
def test_what_cannot_be_done_is_refused_by_its_own_name(
    members: Json, param: str, code: str
) -> None:
    with pytest.raises(ApiError) as caught:
        _chat(**members)
    assert caught.value.status == 400
    assert (caught.value.param, caught.value.code) == (param, code)
