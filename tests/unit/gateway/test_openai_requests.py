import json
from typing import Any

import pytest

from arenalab.gateway.errors import ApiError
from arenalab.gateway.openai import parse_chat
from arenalab.gateway.policy import Context, Policy, parse_policy

USER = {"role": "user", "content": "How?"}
IMAGE = {"type": "image_url", "image_url": {"url": "https://x.example/i.png"}}
CALLS = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
TOOL = {"type": "function", "function": {"name": "f"}}


def _chat(**members: Any) -> Any:
    return parse_chat({"messages": [USER]} | members)


def _refusal(**members: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        _chat(**members)
    assert caught.value.status == 400
    return caught.value


def test_a_bare_question_takes_every_default() -> None:
    chat = _chat()
    assert chat.model == "arenalab"
    assert chat.messages[0].content == "How?"
    assert chat.messages_json == ""
    assert not chat.stream
    assert chat.unsupported == ()
    assert chat.passthrough == {}
    assert chat.policy == Policy()


def test_null_means_absent() -> None:
    names = ("model", "n", "stop", "stream", "tools", "arenalab", "response_format", "seed")
    assert _chat(**dict.fromkeys(names)) == _chat()


@pytest.mark.parametrize(
    ("members", "param", "code"),
    [
        ({"messages": None}, "messages", "missing_required_parameter"),
        ({"messages": "hi"}, "messages", "invalid_type"),
        ({"messages": []}, "messages", "empty_array"),
        ({"messages": [USER] * 257}, "messages", "array_above_max_length"),
        ({"messages": ["hi"]}, "messages[0]", "invalid_type"),
        ({"messages": [{}]}, "messages[0].role", "missing_required_parameter"),
        ({"messages": [{"role": "bot"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": 1}]}, "messages[0].role", "invalid_type"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "missing_required_parameter"),
        ({"messages": [{"role": "assistant"}]}, "messages[0].content", None),
        ({"messages": [USER | {"content": 5}]}, "messages[0].content", "invalid_type"),
        ({"messages": [USER | {"content": " \n"}]}, "messages[0].content", "invalid_value"),
        ({"messages": [USER | {"content": []}]}, "messages[0].content", "empty_array"),
        ({"messages": [USER | {"content": ["a"]}]}, "messages[0].content[0]", "invalid_type"),
        (
            {"messages": [USER | {"content": [{"type": "video"}]}]},
            "messages[0].content[0].type",
            "invalid_value",
        ),
        (
            {"messages": [USER | {"content": [{"type": "text"}]}]},
            "messages[0].content[0].text",
            "missing_required_parameter",
        ),
        (
            {"messages": [USER | {"content": [{"type": "image_url"}]}]},
            "messages[0].content[0].image_url",
            "missing_required_parameter",
        ),
        (
            {"messages": [USER, {"role": "user", "content": "é" * 131_073}]},
            "messages[1].content",
            "string_above_max_length",
        ),
        (
            {"messages": [{"role": "tool", "content": "5"}]},
            "messages[0].tool_call_id",
            "missing_required_parameter",
        ),
        ({"messages": [{"role": "system", "content": ""}]}, "messages", "invalid_value"),
        ({"model": 1}, "model", "invalid_type"),
        ({"model": "m" * 257}, "model", "string_above_max_length"),
        ({"n": 2}, "n", "unsupported_parameter"),
        ({"n": 0}, "n", "invalid_value"),
        ({"n": True}, "n", "invalid_type"),
        ({"logprobs": True}, "logprobs", "unsupported_parameter"),
        ({"top_logprobs": 2}, "logprobs", "unsupported_parameter"),
        ({"temperature": 2.1}, "temperature", "invalid_value"),
        ({"temperature": "1"}, "temperature", "invalid_type"),
        ({"top_p": 0}, "top_p", "invalid_value"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"max_tokens": 1, "max_completion_tokens": 2}, "max_completion_tokens", "invalid_value"),
        ({"stop": ["a"] * 5}, "stop", "array_above_max_length"),
        ({"stop": ""}, "stop[0]", "invalid_value"),
        ({"stop": [1]}, "stop[0]", "invalid_type"),
        ({"seed": 2**63}, "seed", "invalid_value"),
        ({"stream": "yes"}, "stream", "invalid_type"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_value"),
        ({"user": "u" * 257}, "user", "string_above_max_length"),
        ({"metadata": {"k": 1}}, "metadata.k", "invalid_type"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata", "invalid_value"),
        ({"metadata": {"k" * 65: ""}}, "metadata", "invalid_value"),
        ({"response_format": {"type": "xml"}}, "response_format.type", "invalid_value"),
        ({"functions": [{}]}, "functions", "unsupported_parameter"),
        ({"modalities": ["text", "audio"]}, "modalities", "unsupported_value"),
        ({"web_search_options": {}}, "web_search_options", "unsupported_parameter"),
        ({"presence_penalty": 3}, "presence_penalty", "invalid_value"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    members: dict[str, Any], param: str, code: str | None
) -> None:
    error = _refusal(**members)
    assert error.param == param
    assert code in (error.code, None)
    assert param in str(error) or param == "messages"


def test_text_parts_are_joined() -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    chat = _chat(messages=[{"role": "user", "content": parts}])
    assert chat.messages[0].content == "one\ntwo"
    assert chat.messages_json == ""


def test_the_developer_speaks_for_the_system_and_empty_instructions_go() -> None:
    turns = [{"role": "developer", "content": "Be."}, {"role": "system", "content": ""}, USER]
    assert [m.role for m in _chat(messages=turns).messages] == ["system", "user"]


@pytest.mark.parametrize(
    ("part", "feature"),
    [
        (IMAGE, "images"),
        ({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}, "audio"),
        ({"type": "file", "file": {"file_id": "f"}}, "files"),
    ],
)
def test_parts_that_are_no_text_are_left_to_a_provider(part: Any, feature: str) -> None:
    messages = [{"role": "user", "content": [part]}]
    chat = _chat(messages=messages)
    assert chat.unsupported == (feature,)
    assert json.loads(chat.messages_json) == messages


@pytest.mark.parametrize(
    "turn",
    [
        {"role": "assistant", "content": None, "tool_calls": CALLS},
        {"role": "tool", "content": "5", "tool_call_id": "c1"},
        {"role": "user", "content": "I am Ann.", "name": "ann"},
        {"role": "assistant", "content": None, "refusal": "No."},
    ],
)
def test_turns_that_are_more_than_text_reach_a_provider_as_they_came(turn: Any) -> None:
    chat = _chat(messages=[USER, turn, USER])
    assert json.loads(chat.messages_json) == [USER, turn, USER]
    assert chat.unsupported == ()


def test_turns_for_a_provider_have_a_bounded_depth() -> None:
    deep: Any = 1
    for _ in range(40):
        deep = [deep]
    error = _refusal(messages=[USER | {"name": "ann", "extra": deep}])
    assert error.param == "messages"


def test_tools_and_formats_are_handed_on_for_the_ensemble_to_honour() -> None:
    demands = {
        "tools": [TOOL],
        "tool_choice": "auto",
        "response_format": {"type": "json_object"},
    }
    chat = _chat(**demands)
    assert chat.unsupported == ()
    assert chat.passthrough == demands
    assert chat.response_format == "json_object"


def test_what_is_passed_on_has_a_bounded_depth() -> None:
    schema: Any = {}
    for _ in range(31):
        schema = {"a": schema}
    error = _refusal(tools=[TOOL | {"parameters": schema}])
    assert error.param == "tools"


def test_sampling_is_read() -> None:
    chat = _chat(temperature=0, top_p=1, max_tokens=5, max_completion_tokens=5, stop="x", seed=-1)
    sampling = chat.sampling
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens) == (0.0, 1.0, 5)
    assert (sampling.stop, sampling.seed) == (("x",), -1)


def test_unknown_fields_are_reported_and_hints_are_not() -> None:
    assert _chat(foo=1, prompt_cache_retention="24h").unknown == ("foo",)


def test_the_extension_object_is_read() -> None:
    policy = parse_policy(
        {
            "alpha": 0.01,
            "delta": 0.5,
            "guarantee_kind": "expectation",
            "guarantee_scope": "group",
            "strategy": "cascade",
            "fallback": "never",
            "ledger": "best_effort",
            "creatures": ["a", "b"],
            "max_evidence": 9,
            "max_age_s": 86_400,
            "rephrase": "llm",
            "strict": True,
            "context": {"environment": "banking", "stakes": "high", "emotional_state": "calm"},
        }
    )
    assert policy == Policy(
        alpha=0.01,
        delta=0.5,
        guarantee_kind="expectation",
        guarantee_scope="group",
        strategy="cascade",
        fallback="never",
        ledger="best_effort",
        creatures=("a", "b"),
        max_evidence=9,
        max_age_s=86_400,
        rephrase="llm",
        strict=True,
        context=Context(environment="banking", stakes="high", emotional_state="calm"),
    )


@pytest.mark.parametrize(
    ("extension", "param"),
    [
        ("strict", "arenalab"),
        ({"alpha": 0}, "arenalab.alpha"),
        ({"alpha": 0.6}, "arenalab.alpha"),
        ({"delta": "5 %"}, "arenalab.delta"),
        ({"alhpa": 0.1}, "arenalab.alhpa"),
        ({"strategy": "vote"}, "arenalab.strategy"),
        ({"guarantee_kind": "certain"}, "arenalab.guarantee_kind"),
        ({"guarantee_kind": ""}, "arenalab.guarantee_kind"),
        ({"guarantee_scope": 1}, "arenalab.guarantee_scope"),
        ({"guarantee_scope": "domain"}, "arenalab.guarantee_scope"),
        ({"max_evidence": 51}, "arenalab.max_evidence"),
        ({"max_age_s": 0}, "arenalab.max_age_s"),
        ({"rephrase": "always"}, "arenalab.rephrase"),
        ({"creatures": [""]}, "arenalab.creatures[0]"),
        ({"context": {"stakes": "huge"}}, "arenalab.context.stakes"),
        ({"context": {"mood": "x"}}, "arenalab.context.mood"),
    ],
)
def test_the_extension_object_allows_no_mistakes(extension: Any, param: str) -> None:
    assert _refusal(arenalab=extension).param == param
