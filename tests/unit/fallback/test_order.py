import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.fallback.order import (
    Order,
    body_of,
    check_sampling,
    parse_messages,
    plain_fields,
)
from arenalab.fallback.prompt import Message
from arenalab.fallback.wire.openai import OpenAiAdapter
from arenalab.mesh import InvalidInputError

ASKED: list[Message] = [{"role": "user", "content": "Hi"}]
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


def _as_struct(value: Any) -> Any:
    """Returns `value` as a protobuf Struct keeps it: every number a double."""
    if isinstance(value, dict):
        return {k: _as_struct(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_as_struct(v) for v in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


@given(_json)
def test_integers_come_back_from_a_struct_as_integers(value: Any) -> None:
    found = plain_fields({"tools": _as_struct(value)})
    assert json.dumps(found) == json.dumps({"tools": value})


@pytest.mark.parametrize("value", [0.5, -1.25, 1e300])
def test_other_numbers_stay_as_they_are(value: float) -> None:
    assert plain_fields({"presence_penalty": value}) == {"presence_penalty": value}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_lacks_are_refused(value: float) -> None:
    with pytest.raises(InvalidInputError, match="finite"):
        plain_fields({"logit_bias": {"1": [value]}})


@pytest.mark.parametrize("name", ["model", "messages", "stream", "n", "logprobs", "made_up"])
def test_a_field_that_cannot_be_passed_on_is_refused(name: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        plain_fields({name: 1.0})
    assert caught.value.metadata == {"field": f"passthrough.{name}"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{}",
        "[]",
        "[1]",
        '[{"content": "x"}]',
        '[{"role": 1}]',
        '[{"role": "user", "content": NaN}]',
        json.dumps(ASKED * 257),
        "[" * 100_000,
    ],
)
def test_messages_that_are_no_array_of_messages_are_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="messages_json"):
        parse_messages(text)


def test_messages_keep_parts_that_only_the_provider_understands() -> None:
    messages = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]
    assert parse_messages(json.dumps(messages)) == messages


@pytest.mark.parametrize(
    "sampling",
    [
        {"temperature": -0.1},
        {"temperature": 2.1},
        {"temperature": float("nan")},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"top_p": float("nan")},
        {"max_tokens": 0},
        {"stop": ["a"] * 5},
    ],
)
def test_sampling_outside_its_range_is_refused(sampling: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_sampling(sampling)
    assert caught.value.metadata["field"] in sampling


def test_the_body_holds_what_was_asked_in_the_terms_of_the_openai_api() -> None:
    order = Order(ASKED, sampling={"temperature": 0.5}, passthrough={"user": "u"})
    body = body_of(order, ASKED, "m")
    assert body == {"model": "m", "messages": ASKED, "temperature": 0.5, "user": "u"}
    told = OpenAiAdapter("http://127.0.0.1:8090/v1").request(body)
    assert told.path == "/chat/completions"
    assert told.body == body | {"stream": True, "stream_options": {"include_usage": True}}


@pytest.mark.parametrize(
    ("base_url", "name"),
    [
        ("https://api.openai.com/v1", "max_completion_tokens"),
        ("https://x.openai.azure.com/openai/v1", "max_completion_tokens"),
        ("http://127.0.0.1:8090/v1", "max_tokens"),
        ("https://llm.example.org/api.openai.com", "max_tokens"),
    ],
)
def test_the_token_limit_has_the_name_that_the_provider_knows(base_url: str, name: str) -> None:
    asked = body_of(Order(ASKED, sampling={"max_tokens": 5}), ASKED, "m")
    body = OpenAiAdapter(base_url).request(asked).body
    assert {k for k in body if k.startswith("max_")} == {name}
    assert body[name] == 5
