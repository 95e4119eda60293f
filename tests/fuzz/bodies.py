"""Bodies of requests, from nonsense to nearly right, and what must hold of each.

A body is read, or refused with a 400 that says why: nothing else may happen. What was
read can be put on the wire to the ensemble and counted.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from hypothesis import strategies as st

from arenalab.gateway.body import parse_object
from arenalab.gateway.embeddings import parse_embeddings
from arenalab.gateway.errors import ApiError
from arenalab.gateway.exchange import to_json
from arenalab.gateway.feedback import parse_feedback
from arenalab.gateway.openai import ChatRequest, parse_chat
from arenalab.gateway.responses.request import chat_of, parse_responses
from arenalab.gateway.translate import answer_request
from arenalab.gateway.usage import asked_text

Json = Any

_NAMES: Final = (
    "messages", "model", "input", "instructions", "tools", "tool_choice", "text", "format", "type",
    "role", "content", "name", "function", "arguments", "call_id", "tool_calls", "tool_call_id",
    "function_call", "parameters", "strict", "schema", "json_schema", "response_format", "stream",
    "stream_options", "include_usage", "temperature", "top_p", "n", "seed", "stop", "user",
    "metadata", "arenalab", "alpha", "delta", "context", "stakes", "creatures", "max_age_s",
    "max_evidence", "max_tokens", "max_completion_tokens", "max_output_tokens", "logprobs",
    "include", "reasoning", "effort", "output", "image_url", "url", "file", "file_data",
    "input_audio", "refusal", "allowed_tools", "mode", "encoding_format", "dimensions",
    "prediction_id", "rating", "helpful", "actual_output", "comment", "audit", "store",
    "previous_response_id", "background", "truncation", "id", "logit_bias", "modalities",
)  # fmt: skip
_WORDS: Final = (
    "user", "assistant", "system", "developer", "tool", "text", "input_text", "output_text",
    "message", "function_call", "function_call_output", "reasoning", "image_url", "input_image",
    "json_schema", "json_object", "auto", "none", "required", "arenalab", "float", "base64",
    "never", "llm", "high", "", " ", "\u2028", "\x00", "\ufeff", "é", "\U0001f600", "\ud800",
)  # fmt: skip

_SCALARS: Final = st.one_of(
    st.sampled_from((None, True, False, 0, 1, -1, 2, 0.5, -0.0, 2**63, 2**31, *_WORDS)),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
)
_MEMBERS: Final = st.sampled_from(_NAMES)
_SMALL: Final = st.lists(_SCALARS, max_size=2) | st.dictionaries(_MEMBERS, _SCALARS, max_size=3)
# Two levels by hand: `st.recursive` takes ten times as long for little more.
VALUES: Final = st.one_of(
    _SCALARS,
    _SCALARS,
    _SMALL,
    st.lists(_SMALL, max_size=2),
    st.dictionaries(_MEMBERS, _SCALARS | _SMALL, max_size=3),
)

_CHAT: Final = {
    "model": "arenalab",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "How?"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "4"},
        {"role": "user", "content": "And then?"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    "tool_choice": "auto",
    "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {}}},
    "temperature": 0.5,
    "stop": ["END"],
    "stream": True,
    "stream_options": {"include_usage": True},
    "metadata": {"k": "v"},
    "arenalab": {"alpha": 0.05, "context": {"stakes": "high"}, "creatures": ["faq"]},
}
_RESPONSES: Final = {
    "model": "arenalab",
    "instructions": "Be brief.",
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "How?"}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "4"},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "So.", "annotations": []}],
        },
        {"role": "user", "content": "And then?"},
    ],
    "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
    "tool_choice": {"type": "function", "name": "f"},
    "text": {"format": {"type": "json_schema", "name": "s", "schema": {}}},
    "reasoning": {"effort": "low"},
    "include": ["reasoning.encrypted_content"],
    "max_output_tokens": 9,
    "previous_response_id": "resp_1",
    "stream": True,
}
_EMBEDDINGS: Final = {
    "model": "arenalab",
    "input": ["a", "b"],
    "encoding_format": "base64",
    "dimensions": 384,
}
_FEEDBACK: Final = {"prediction_id": "resp_1", "rating": 4, "helpful": True, "comment": "Fine."}
SEEDS: Final[Mapping[str, Json]] = {
    "chat": _CHAT,
    "responses": _RESPONSES,
    "embeddings": _EMBEDDINGS,
    "feedback": _FEEDBACK,
}


def changed(endpoint: str) -> st.SearchStrategy[bytes]:
    """Right bodies of an endpoint with a few places changed."""

    @st.composite
    def change(draw: st.DrawFn) -> bytes:
        value = json.loads(json.dumps(SEEDS[endpoint]))
        for _ in range(draw(st.integers(1, 3))):
            _change(draw, value)
        return _dumped(value)

    return change()


def _change(draw: st.DrawFn, value: Json) -> None:
    while True:
        places = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not places or draw(st.integers(0, 5)) == 0:
            name = draw(st.sampled_from(_NAMES))
            if isinstance(value, dict):
                value[name] = draw(VALUES)
            else:
                value.append(draw(VALUES))
            return
        place = draw(st.sampled_from(places))
        inner = value[place]
        if not isinstance(inner, dict | list) or draw(st.booleans()):
            if draw(st.integers(0, 4)) == 0:
                del value[place]
            else:
                value[place] = draw(VALUES)
            return
        value = inner


def _dumped(value: Json) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    """Returns the bytes of a right body with some of them changed."""
    body = bytearray(_dumped(draw(st.sampled_from(list(SEEDS.values())))))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(body) - 1))
        body[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=4))
    return bytes(body)


_NONSENSE: Final = st.one_of(
    VALUES.map(_dumped),
    st.dictionaries(_MEMBERS, VALUES, max_size=4).map(_dumped),
    _damaged(),
    st.binary(max_size=64),
)


def bodies() -> st.SearchStrategy[tuple[str, bytes]]:
    """Endpoints, each with a body: half of them nearly right ones of that endpoint."""
    right = [st.tuples(st.just(endpoint), changed(endpoint)) for endpoint in SEEDS]
    return st.one_of(*right, st.tuples(st.sampled_from(list(SEEDS)), _NONSENSE))


def _read_chat(body: Mapping[str, Any]) -> None:
    _use(parse_chat(body))


def _read_response(body: Mapping[str, Any]) -> None:
    request = parse_responses(body)
    to_json(request.echo)
    history = ({"role": "user", "content": "Earlier."}, {"role": "assistant", "content": "So."})
    _use(chat_of(request, history, ""))


def _read_embeddings(body: Mapping[str, Any]) -> None:
    parse_embeddings(body)


def _read_feedback(body: Mapping[str, Any]) -> None:
    parse_feedback(body, "acme").SerializeToString()


def _use(chat: ChatRequest) -> None:
    answer_request(chat, "acme", "req_1").SerializeToString()
    asked_text(chat)


READERS: Final[Mapping[str, Callable[[Mapping[str, Any]], None]]] = {
    "chat": _read_chat,
    "responses": _read_response,
    "embeddings": _read_embeddings,
    "feedback": _read_feedback,
}


def read(endpoint: str, body: bytes) -> str:
    """Returns "read", or the code of the error that a client would be told.

    Raises:
        AssertionError: The error is none that a client could use.
    """
    try:
        READERS[endpoint](parse_object(body))
    except ApiError as error:
        refused = error
    else:
        return "read"
    assert refused.status == 400
    assert str(refused)
    to_json(refused.body())
    for name, value in refused.headers:
        f"{name}{value}".encode("latin-1")
    return refused.code
