"""What each provider is told of one and the same request."""

import json
from typing import Any, Final

import pytest
from google.protobuf import struct_pb2

from arenalab.mesh import InvalidInputError
from tests.conformance.provider_apis.apis import ANTHROPIC, GEMINI, OPENAI, ProviderApi
from tests.conformance.provider_apis.conftest import Desk
from tests.mesh.scripted_provider import KEY, fallback

pytestmark = pytest.mark.asyncio(loop_scope="package")

SCHEMA: Final = {"type": "object", "properties": {"city": {"type": "string"}}}
PIXEL: Final = "iVBORw0KGgo="
MESSAGES: Final[list[dict[str, Any]]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "developer", "content": [{"type": "text", "text": "Use tools."}]},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "Where is this?"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
            {"type": "image_url", "image_url": {"url": "https://example.org/a.jpg"}},
        ],
    },
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
                "extra_content": {"google": {"thought_signature": "c2ln"}},
            },
            {
                "id": "call_2",
                "type": "function",
                "function": {"name": "get_weather", "arguments": ""},
            },
        ],
    },
    {"role": "tool", "tool_call_id": "call_2", "content": '{"sky": "grey"}'},
    {"role": "tool", "tool_call_id": "call_1", "content": "Sunny"},
    {"role": "user", "content": "And now?"},
    {"role": "user", "content": "In one word."},
]
TOOL: Final = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Says it.", "parameters": SCHEMA},
}
NAMED: Final = {"type": "function", "function": {"name": "get_weather"}}


async def told(desk: Desk, api: ProviderApi, **fields: Any) -> dict[str, Any]:
    """Returns the body that a provider was sent, without its model."""
    passthrough = struct_pb2.Struct()
    passthrough.update(fields.pop("passthrough", {}))
    answer = await desk.complete(api, api.streamed("text"), passthrough=passthrough, **fields)
    body: dict[str, Any] = answer.asked.body
    body.pop("model", None)
    return body


async def test_the_key_travels_in_the_header_of_the_api(desk: Desk, api: ProviderApi) -> None:
    asked = (await desk.complete(api, api.streamed("text"))).asked
    assert api.key_of(asked) == KEY
    assert KEY not in asked.path
    assert KEY not in json.dumps(asked.body)
    others = {"authorization", "x-api-key", "x-goog-api-key"} - {api.key_header}
    assert not others & asked.headers.keys()
    if api is ANTHROPIC:
        assert asked.headers["anthropic-version"] == "2026-10-21"


async def test_a_whole_conversation_with_tools_is_told(desk: Desk, api: ProviderApi) -> None:
    body = await told(
        desk,
        api,
        messages_json=json.dumps(MESSAGES),
        max_tokens=99,
        stop=["\n\n"],
        passthrough={"tools": [TOOL], "tool_choice": NAMED, "user": "u1", "store": False},
    )
    assert body == EXPECTED[api.name]


EXPECTED: Final[dict[str, dict[str, Any]]] = {
    "openai": {
        "messages": MESSAGES,
        "max_tokens": 99,
        "stop": ["\n\n"],
        "tools": [TOOL],
        "tool_choice": NAMED,
        "user": "u1",
        "store": False,
        "stream": True,
        "stream_options": {"include_usage": True},
    },
    "anthropic": {
        "system": "Be brief.\n\nUse tools.",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Where is this?"},
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": PIXEL},
                    },
                    {
                        "type": "image",
                        "source": {"type": "url", "url": "https://example.org/a.jpg"},
                    },
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {
                        "type": "tool_use",
                        "id": "call_1",
                        "name": "get_weather",
                        "input": {"city": "Paris"},
                    },
                    {"type": "tool_use", "id": "call_2", "name": "get_weather", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "call_1",
                        "content": [{"type": "text", "text": "Sunny"}],
                    },
                    {
                        "type": "tool_result",
                        "tool_use_id": "call_2",
                        "content": [{"type": "text", "text": '{"sky": "grey"}'}],
                    },
                    {"type": "text", "text": "And now?"},
                    {"type": "text", "text": "In one word."},
                ],
            },
        ],
        "max_tokens": 99,
        "stop_sequences": ["\n\n"],
        "tools": [{"name": "get_weather", "description": "Says it.", "input_schema": SCHEMA}],
        "tool_choice": {"type": "tool", "name": "get_weather"},
        "metadata": {"user_id": "u1"},
        "stream": True,
    },
    "gemini": {
        "systemInstruction": {"parts": [{"text": "Be brief.\n\nUse tools."}]},
        "contents": [
            {
                "role": "user",
                "parts": [
                    {"text": "Where is this?"},
                    {"inlineData": {"mimeType": "image/png", "data": PIXEL}},
                    {
                        "fileData": {
                            "mimeType": "image/jpeg",
                            "fileUri": "https://example.org/a.jpg",
                        }
                    },
                ],
            },
            {
                "role": "model",
                "parts": [
                    {
                        "functionCall": {
                            "id": "call_1",
                            "name": "get_weather",
                            "args": {"city": "Paris"},
                        },
                        "thoughtSignature": "c2ln",
                    },
                    {"functionCall": {"id": "call_2", "name": "get_weather", "args": {}}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {
                        "functionResponse": {
                            "id": "call_1",
                            "name": "get_weather",
                            "response": {"output": "Sunny"},
                        }
                    },
                    {
                        "functionResponse": {
                            "id": "call_2",
                            "name": "get_weather",
                            "response": {"sky": "grey"},
                        }
                    },
                    {"text": "And now?"},
                    {"text": "In one word."},
                ],
            },
        ],
        "generationConfig": {"maxOutputTokens": 99, "stopSequences": ["\n\n"]},
        "tools": [
            {
                "functionDeclarations": [
                    {
                        "name": "get_weather",
                        "description": "Says it.",
                        "parametersJsonSchema": SCHEMA,
                    }
                ]
            }
        ],
        "toolConfig": {
            "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["get_weather"]}
        },
    },
}


@pytest.mark.parametrize(
    ("choice", "anthropic", "gemini"),
    [
        ("auto", {"type": "auto"}, {"mode": "AUTO"}),
        ("none", {"type": "none"}, {"mode": "NONE"}),
        ("required", {"type": "any"}, {"mode": "ANY"}),
    ],
)
async def test_a_choice_of_tools_is_told(
    desk: Desk, choice: str, anthropic: dict[str, Any], gemini: dict[str, Any]
) -> None:
    passed = {"tools": [TOOL], "tool_choice": choice}
    assert (await told(desk, ANTHROPIC, passthrough=passed))["tool_choice"] == anthropic
    found = (await told(desk, GEMINI, passthrough=passed))["toolConfig"]
    assert found == {"functionCallingConfig": gemini}
    assert (await told(desk, OPENAI, passthrough=passed))["tool_choice"] == choice


async def test_one_tool_at_a_time_is_told_where_it_can_be(desk: Desk) -> None:
    passed = {"tools": [TOOL], "parallel_tool_calls": False}
    assert (await told(desk, ANTHROPIC, passthrough=passed))["tool_choice"] == {
        "type": "auto",
        "disable_parallel_tool_use": True,
    }
    with pytest.raises(InvalidInputError, match="gemini: parallel_tool_calls"):
        await told(desk, GEMINI, passthrough=passed)


async def test_the_form_of_an_answer_is_told(desk: Desk) -> None:
    schema = SCHEMA | {"additionalProperties": False, "required": ["city"]}
    form = {"type": "json_schema", "json_schema": {"name": "place", "schema": schema}}
    passed = {"response_format": form, "reasoning_effort": "low"}
    assert (await told(desk, ANTHROPIC, passthrough=passed))["output_config"] == {
        "format": {"type": "json_schema", "schema": schema},
        "effort": "low",
    }
    assert (await told(desk, GEMINI, passthrough=passed))["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": schema,
        "thinkingConfig": {"thinkingLevel": "low"},
    }
    passed = {"response_format": {"type": "json_object"}}
    found = await told(desk, GEMINI, passthrough=passed)
    assert found["generationConfig"] == {"responseMimeType": "application/json"}


async def test_sampling_is_told_where_it_is_known(desk: Desk) -> None:
    fields = {"temperature": 0.5, "top_p": 0.25, "seed": 7}
    passed = {"presence_penalty": 0.5}
    assert (await told(desk, GEMINI, passthrough=passed, **fields))["generationConfig"] == {
        "temperature": 0.5,
        "topP": 0.25,
        "seed": 7,
        "presencePenalty": 0.5,
    }
    body = await told(desk, ANTHROPIC, temperature=1, top_p=1)
    assert not {"temperature", "top_p"} & body.keys()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"temperature": 0.5}, "temperature other than 1"),
        ({"seed": 7}, "seed"),
        ({"passthrough": {"logit_bias": {"50256": -100}}}, "logit_bias"),
        ({"passthrough": {"response_format": {"type": "json_object"}}}, "response_format"),
        ({"passthrough": {"tools": [{"type": "custom", "custom": {"name": "x"}}]}}, "tools[0]"),
        ({"passthrough": {"reasoning_effort": "none"}}, "reasoning_effort"),
        ({"messages_json": '[{"role": "system", "content": "x"}]'}, "messages without"),
        ({"messages_json": '[{"role": "function", "content": "x"}]'}, "messages[0].role"),
        (
            {"messages_json": '[{"role": "user", "content": [{"type": "video"}]}]'},
            "messages[0].content[0]",
        ),
    ],
)
async def test_what_a_provider_has_no_words_for_is_refused(
    desk: Desk, fields: dict[str, Any], named: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await told(desk, ANTHROPIC, **fields)
    assert str(caught.value).startswith(f"cannot be told to anthropic: {named}")


async def test_a_model_stays_one_segment_of_a_path(desk: Desk) -> None:
    model = "../x?key=1#y/z"
    desk.scripts[quoted := "..%2Fx%3Fkey%3D1%23y%2Fz"] = GEMINI.streamed("text")
    async for _ in desk.case.stub.Complete(desk.request(GEMINI, model)):
        pass
    assert desk.got[quoted].path == f"/v1/models/{quoted}:streamGenerateContent?alt=sse"


async def test_what_a_provider_would_refuse_can_be_left_out(api: ProviderApi) -> None:
    provider = api.provider(api.streamed("text"), drop=frozenset({"temperature", "seed"}))
    async with fallback(provider) as case:
        await case.complete(temperature=0.5, seed=7, max_tokens=5)
    sent = json.dumps(provider.got[0].body)
    assert "temperature" not in sent
    assert "seed" not in sent
    assert "5" in sent
