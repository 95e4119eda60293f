"""The gateway over real HTTP; its peers are scripted servicers over real gRPC."""

import asyncio
import base64
import json
import re
import struct
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from google.protobuf.json_format import MessageToDict
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, format_trace_id

from arenalab.api.common.v1 import answer_pb2, message_pb2
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.gateway.config import GatewayConfig
from arenalab.gateway.wiring import running_gateway
from arenalab.mesh import (
    NotReadyError,
    PreconditionError,
    Reason,
    Telemetry,
)
from arenalab.proof import receipt_from_json
from tests.mesh.scripted_gateway import CITATION, Json, Mesh, running

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh() -> AsyncIterator[Mesh]:
    async with running() as found:
        yield found


def _error(response: httpx.Response) -> Json:
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    error: Json = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


async def _chunks(response: httpx.Response) -> list[Any]:
    assert response.headers["content-type"].startswith("text/event-stream")
    frames = response.text.split("\n\n")
    assert frames.pop() == ""
    values = [frame.removeprefix("data: ") for frame in frames]
    return [value if value == "[DONE]" else json.loads(value) for value in values]


async def test_an_answer_from_memory_comes_with_what_vouches_for_it(mesh: Mesh) -> None:
    response = await mesh.ask(model="arenalab", user="u1", metadata={"k": "v"})
    assert response.status_code == 200
    body = response.json()
    assert body["id"] == "chatcmpl-0198000000007000800000000000002a"
    assert body["object"] == "chat.completion"
    assert body["system_fingerprint"].startswith("fp_")
    assert body["metadata"] == {"k": "v"}
    assert body["choices"] == [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Two words.",
                "refusal": None,
                "annotations": [{"type": "url_citation", "url_citation": CITATION}],
            },
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert body["usage"] == {
        "prompt_tokens": 2,
        "completion_tokens": 3,
        "total_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    extension = body["arenalab"]
    assert extension["route"] == "memory"
    assert extension["method"] == "majority"
    assert extension["abstain"] is None
    assert extension["guarantee"]["status"] == "valid"
    assert extension["guarantee"]["basis"] == "dataset_holdout"
    assert extension["guarantee"]["kind"] == "high_probability"
    assert (extension["guarantee"]["scope"], extension["guarantee"]["group"]) == ("all", None)
    assert extension["outcome_set"]["outcomes"] == ["Two words."]
    assert extension["outcome_set"]["coverage"] == 0.95
    assert extension["evidence"][0]["span_id"] == "s1"
    assert receipt_from_json(extension["receipt"]).leaf_index == 7


async def test_the_headers_summarise_the_answer(mesh: Mesh) -> None:
    headers = (await mesh.ask(model="arenalab")).headers
    assert headers["x-arenalab-route"] == "memory"
    assert headers["x-arenalab-confidence"] == "0.9300"
    assert headers["x-arenalab-guarantee"] == "valid"
    assert headers["x-arenalab-ledger-index"] == "7"
    assert float(headers["x-arenalab-overhead-ms"]) >= 0
    assert headers["server-timing"].startswith("gateway;dur=")
    assert headers["openai-version"] == "2020-10-01"
    assert headers["openai-processing-ms"].isdigit()


async def test_the_request_reaches_the_ensemble_whole(mesh: Mesh) -> None:
    await mesh.http.post(
        "/v1/chat/completions",
        headers={"x-request-id": "mine-1"},
        json={
            "model": "arenalab",
            "messages": [
                {"role": "developer", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "How?"}]},
            ],
            "temperature": 0.5,
            "max_completion_tokens": 9,
            "stop": "END",
            "user": "u1",
            "arenalab": {
                "alpha": 0.02,
                "fallback": "never",
                "guarantee_kind": "expectation",
                "guarantee_scope": "group",
                "context": {"stakes": "high"},
            },
        },
    )
    asked = mesh.ensemble.asked[-1]
    assert asked.scope.tenant == "default"
    assert [(m.role, m.content) for m in asked.messages] == [
        (message_pb2.ROLE_SYSTEM, "Be brief."),
        (message_pb2.ROLE_USER, "How?"),
    ]
    assert asked.request_id == "mine-1"
    assert asked.user == "u1"
    assert asked.policy.alpha == 0.02
    assert asked.policy.guarantee_kind == answer_pb2.GUARANTEE_KIND_EXPECTATION
    assert asked.policy.guarantee_scope == answer_pb2.GUARANTEE_SCOPE_GROUP
    assert asked.policy.fallback == pb.FALLBACK_POLICY_NEVER
    assert asked.sampling.max_tokens == 9
    assert list(asked.sampling.stop) == ["END"]
    assert asked.messages_json == ""


async def test_a_stream_has_the_shape_that_the_clients_rely_on(mesh: Mesh) -> None:
    response = await mesh.ask(model="arenalab", stream=True, stream_options={"include_usage": True})
    assert response.headers["x-arenalab-route"] == "memory"
    *chunks, done = await _chunks(response)
    assert done == "[DONE]"
    assert len({(c["id"], c["created"], c["model"], c["object"]) for c in chunks}) == 1
    assert chunks[0]["object"] == "chat.completion.chunk"
    *told, usage = chunks
    assert [c["choices"][0]["delta"] for c in told] == [
        {"role": "assistant", "content": ""},
        {"content": "Two "},
        {"content": "words."},
        {"annotations": [{"index": 0, "type": "url_citation", "url_citation": CITATION}]},
        {},
    ]
    assert [c["choices"][0]["finish_reason"] for c in told] == [None] * 4 + ["stop"]
    assert all(c["usage"] is None for c in told)
    assert told[-1]["arenalab"]["receipt"]["leaf_index"] == 7
    assert usage["choices"] == []
    assert usage["usage"]["total_tokens"] == 5


async def test_a_stream_has_no_usage_unless_asked_for(mesh: Mesh) -> None:
    *chunks, _ = await _chunks(await mesh.ask(model="arenalab", stream=True))
    assert not any("usage" in chunk for chunk in chunks)
    assert all(chunk["choices"] for chunk in chunks)


async def test_tool_calls_are_told_once_and_whole(mesh: Mesh) -> None:
    whole = (await mesh.ask(model="calls")).json()
    function = {"name": "f", "arguments": "{}"}
    assert whole["choices"][0]["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
    }
    assert whole["choices"][0]["finish_reason"] == "tool_calls"
    assert whole["usage"]["total_tokens"] == 14
    *chunks, _ = await _chunks(await mesh.ask(model="calls", stream=True))
    deltas = [c["choices"][0]["delta"]["tool_calls"][0] for c in chunks[1:-1]]
    assert deltas[0]["id"] == "call_1"
    assert deltas[1] == {"index": 0, "function": {"arguments": "{}"}}


async def test_an_abstention_is_an_answer(mesh: Mesh) -> None:
    body = (await mesh.ask(model="abstains")).json()
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["choices"][0]["message"]["content"] == "I do not know."
    assert body["arenalab"]["route"] == "abstain"
    assert body["arenalab"]["abstain"]["reason"] == "out_of_scope"
    assert body["arenalab"]["guarantee"]["status"] == "none"


async def test_an_abstention_is_a_refusal_when_asked_for(mesh: Mesh) -> None:
    body = (await mesh.ask(model="abstains", arenalab={"refusal": True})).json()
    message = body["choices"][0]["message"]
    assert (message["content"], message["refusal"]) == (None, "I do not know.")
    stream = await mesh.ask(model="abstains", arenalab={"refusal": True}, stream=True)
    chunks = await _chunks(stream)
    assert chunks[1]["choices"][0]["delta"] == {"refusal": "I do not know."}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_forced_format_that_nobody_meets_is_refused(mesh: Mesh, stream: bool) -> None:  # noqa: FBT001
    schema = {"type": "json_schema", "json_schema": {"name": "s", "schema": {}}}
    response = await mesh.ask(model="cannot", response_format=schema, stream=stream)
    assert response.status_code == 400
    error = _error(response)
    wanted = "'response_format' of type 'json_schema' is not supported with this model"
    assert wanted in error["message"]
    assert MessageToDict(mesh.ensemble.asked[-1].passthrough) == {"response_format": schema}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "status", "kind", "code"),
    [
        ("missing", 404, "invalid_request_error", "model_not_found"),
        ("unsealed", 503, "server_error", "ledger_unavailable"),
        ("unpublished", 503, "server_error", "no_dataset"),
        ("no-provider", 400, "invalid_request_error", "provider_not_configured"),
    ],
)
async def test_an_error_before_the_first_event_has_its_status(
    mesh: Mesh,
    model: str,
    status: int,
    kind: str,
    code: str,
    stream: bool,  # noqa: FBT001
) -> None:
    response = await mesh.ask(model=model, stream=stream)
    assert response.status_code == status
    error = _error(response)
    assert (error["type"], error["code"]) == (kind, code)


async def test_only_what_may_pass_by_itself_is_worth_a_retry(mesh: Mesh) -> None:
    unsealed = (await mesh.ask(model="unsealed")).headers
    assert (unsealed["retry-after"], unsealed["retry-after-ms"]) == ("1", "1000")
    unpublished = (await mesh.ask(model="unpublished")).headers
    assert "retry-after" not in unpublished
    assert unpublished["x-should-retry"] == "false"


async def test_an_error_after_the_first_event_ends_the_stream(mesh: Mesh) -> None:
    chunks = await _chunks(await mesh.ask(model="late-error", stream=True))
    assert chunks[1]["choices"][0]["delta"] == {"content": "half"}
    assert chunks[-1]["error"]["code"] == "provider_failed"
    assert "[DONE]" not in chunks


async def test_a_stream_that_breaks_the_contract_is_an_internal_error(mesh: Mesh) -> None:
    response = await mesh.ask(model="unfinished")
    assert response.status_code == 500
    assert _error(response)["message"] == "internal error"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_goes_away_ends_the_call(stream: bool) -> None:  # noqa: FBT001
    async with running() as mesh:
        asking = asyncio.create_task(mesh.ask(model="waits", stream=stream))
        await asyncio.wait_for(mesh.ensemble.waiting.wait(), 10)
        asking.cancel()
        await asyncio.wait_for(mesh.ensemble.ended.wait(), 10)


async def test_a_client_that_stops_reading_loses_its_place() -> None:
    body = b'{"model": "floods", "stream": true, "messages": [{"role": "user", "content": "q"}]}'
    async with running(write_timeout_s=0.05) as mesh:
        reader, writer = await asyncio.open_connection("127.0.0.1", mesh.port)
        writer.write(HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        await asyncio.wait_for(mesh.ensemble.ended.wait(), 20)
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.transport.abort()


async def test_a_silent_stream_is_kept_alive() -> None:
    async with running(keep_alive_s=0.01) as mesh:
        body = {"model": "waits", "stream": True, "messages": [{"role": "user", "content": "q"}]}
        async with mesh.http.stream("POST", "/v1/chat/completions", json=body) as response:
            deltas = []
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    deltas.append(json.loads(line.removeprefix("data: "))["choices"][0]["delta"])
                if deltas.count({}) == 2:
                    mesh.ensemble.resume.set()
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert deltas[1:3] == [{}, {}]
    assert deltas[-2:] == [{"content": "at last"}, {}]


async def test_unknown_fields_are_named_and_ignored(mesh: Mesh) -> None:
    response = await mesh.ask(model="arenalab", foo=1, **{"b\na\u00e9r": 2})
    assert response.status_code == 200
    assert response.headers.get_list("x-arenalab-warning") == [
        'unknown field "foo" ignored',
        'unknown field "b\\na\\u00e9r" ignored',
    ]


async def test_unknown_fields_are_refused_when_strict(mesh: Mesh) -> None:
    response = await mesh.ask(model="arenalab", foo=1, arenalab={"strict": True})
    assert response.status_code == 400
    assert _error(response)["param"] == "foo"
    response = await mesh.http.post(
        "/v1/chat/completions",
        headers={"x-arenalab-strict": "true"},
        json={"messages": [{"role": "user", "content": "q"}], "bar": 1},
    )
    assert _error(response)["code"] == "unknown_parameter"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"[]", "invalid_json"),
        (b'{"a": "\xff"}', "invalid_json"),
        (b'{"a": NaN}', "invalid_json"),
        (b'{"a": 1e999}', "invalid_json"),
        (b'{"a": "\\ud800"}', "invalid_json"),
        (b"[" * 100_000, "invalid_json"),
        (b'{"messages": ' + b"[" * 500 + b"]" * 500 + b"}", "invalid_type"),
        (b'{"n": ' + b"1" * 5000 + b"}", "invalid_json"),
        (b"{}", "missing_required_parameter"),
        (b'{"messages": []}', "empty_array"),
    ],
)
async def test_a_body_that_is_no_chat_request_is_refused(
    mesh: Mesh, body: bytes, code: str
) -> None:
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    answer = await mesh.raw(head.encode() + body)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == code


HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
)


async def test_a_body_that_says_it_is_too_large_is_refused_unread(mesh: Mesh) -> None:
    answer = await mesh.raw(HEAD + b"Content-Length: 10485760\r\n\r\n", until_closed=False)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"request_too_large"' in answer


async def test_a_body_that_grows_too_large_is_refused(mesh: Mesh) -> None:
    size = 4 * 1024 * 1024 + 1
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (size, b"x" * size)
    answer = await mesh.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body)
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_who_sends_ten_megabytes_learns_why_they_are_refused(mesh: Mesh) -> None:
    response = await mesh.ask(model="arenalab", foo="x" * 10_000_000)
    assert response.status_code == 413
    assert _error(response)["type"] == "invalid_request_error"


async def test_a_body_that_does_not_come_times_out() -> None:
    async with running(body_timeout_s=0.05) as mesh:
        answer = await mesh.raw(HEAD + b"Content-Length: 5\r\n\r\n{", until_closed=False)
    assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"NONSENSE\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 70_000 + b"y" * 300_000, b"431"),
    ],
)
async def test_what_is_no_http_gets_the_error_body_too(
    mesh: Mesh, data: bytes, status: bytes
) -> None:
    answer = await mesh.raw(data, until_closed=False)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b'{"error":{' in answer


async def test_a_wrong_method_is_told_the_right_one(mesh: Mesh) -> None:
    response = await mesh.http.get("/v1/chat/completions")
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert _error(response)["code"] == "method_not_allowed"
    answer = await mesh.raw(b"PATCH /health HTTP/1.1\r\nHost: x\r\n\r\n", until_closed=False)
    assert answer.startswith(b"HTTP/1.1 405 ")


async def test_an_unknown_path_gets_the_error_body(mesh: Mesh) -> None:
    response = await mesh.http.post("/chat/completions")
    assert response.status_code == 404
    assert _error(response)["code"] == "unknown_url"


async def test_only_json_is_read(mesh: Mesh) -> None:
    response = await mesh.http.post("/v1/chat/completions", content=b"{}")
    assert response.status_code == 400
    assert _error(response)["code"] == "unsupported_content_type"
    typed = {"content-type": "text/plain"}
    response = await mesh.http.post("/v1/embeddings", content=b"{}", headers=typed)
    assert _error(response)["code"] == "unsupported_content_type"


async def test_models_are_listed_and_shown(mesh: Mesh) -> None:
    listed = (await mesh.http.get("/v1/models")).json()
    assert listed["object"] == "list"
    assert [m["id"] for m in listed["data"]] == ["arenalab", "arenalab/of-default"]
    shown = (await mesh.http.get("/v1/models/arenalab/of-default")).json()
    assert shown["object"] == "model"
    missing = await mesh.http.get("/v1/models/gpt")
    assert missing.status_code == 404
    assert _error(missing)["code"] == "model_not_found"


async def test_texts_are_embedded(mesh: Mesh) -> None:
    body = {"model": "arenalab", "input": ["ab", "abc"], "encoding_format": "float"}
    answer = (await mesh.http.post("/v1/embeddings", json=body)).json()
    assert [item["embedding"] for item in answer["data"]] == [[2.0, 0.5], [3.0, 0.5]]
    assert [item["index"] for item in answer["data"]] == [0, 1]
    assert answer["model"] == "tiny"
    assert answer["usage"] == {"prompt_tokens": 6, "total_tokens": 6}


async def test_vectors_come_as_base64_when_asked_for(mesh: Mesh) -> None:
    body = {"model": "tiny", "input": "ab", "encoding_format": "base64", "dimensions": 2}
    answer = (await mesh.http.post("/v1/embeddings", json=body)).json()
    vector = base64.b64decode(answer["data"][0]["embedding"])
    assert struct.unpack("<2f", vector) == (2.0, 0.5)


@pytest.mark.slow
async def test_token_ids_are_decoded(mesh: Mesh) -> None:
    body = {"model": "arenalab", "input": [[15339, 1917], [0]]}
    response = await mesh.http.post("/v1/embeddings", json=body)
    assert response.status_code == 200
    assert mesh.search.texts == ["hello world", "!"]
    response = await mesh.http.post("/v1/embeddings", json=body | {"input": [999_999_999]})
    assert response.status_code == 400
    assert "check_embedding_ctx_length" in _error(response)["message"]


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({}, 400, "input"),
        ({"input": []}, 400, "input"),
        ({"input": " "}, 400, "input"),
        ({"input": ["a", 1]}, 400, "input[1]"),
        ({"input": ["a"] * 2049}, 400, "input"),
        ({"input": "a" * 32_769}, 400, "input"),
        ({"input": "a", "dimensions": 3}, 400, "dimensions"),
        ({"input": "a", "encoding_format": "hex"}, 400, "encoding_format"),
        ({"input": "a", "model": "text-embedding-3-small"}, 404, "model"),
    ],
)
async def test_what_cannot_be_embedded_is_refused(
    mesh: Mesh, body: Json, status: int, param: str
) -> None:
    response = await mesh.http.post("/v1/embeddings", json=body)
    assert response.status_code == status
    assert _error(response)["param"] == param


async def test_health_readiness_and_metrics_need_no_key() -> None:
    async with running(api_keys=("k",), dev=False) as mesh:
        assert (await mesh.http.get("/health")).json() == {"status": "ok"}
        ready = await mesh.http.get("/ready")
        assert ready.json()["services"] == {"ensemble": "serving", "ledger": "serving"}
        metrics = await mesh.http.get("/metrics")
        count = 'duration_seconds_count{http_response_status_code="200",http_route="/health"}'
        assert f"http_server_request_{count} 1.0" in metrics.text


async def test_a_void_guarantee_is_named_and_does_not_make_the_gateway_unready() -> None:
    async with running() as mesh:
        response = await mesh.http.get("/ready")
    assert response.status_code == 200
    assert response.json()["guarantees"] == {"faq": "void", "docs": "valid"}
    async with running(ensemble_address="127.0.0.1:1") as mesh:
        response = await mesh.http.get("/ready")
    assert response.status_code == 503
    assert response.json()["guarantees"] is None


async def test_readiness_names_what_is_missing() -> None:
    async with running(ledger_address="127.0.0.1:1") as mesh:
        response = await mesh.http.get("/ready")
    assert response.status_code == 503
    assert response.json()["services"] == {"ensemble": "serving", "ledger": "unreachable"}
    assert response.json()["guarantees"] == {"faq": "void", "docs": "valid"}
    assert "ledger" in _error_of(response)["message"]


def _error_of(response: httpx.Response) -> Json:
    error: Json = response.json()["error"]
    return error


async def test_an_ensemble_that_is_down_is_named_without_its_address() -> None:
    async with running(ensemble_address="127.0.0.1:1") as mesh:
        response = await mesh.ask(model="arenalab")
    assert response.status_code == 503
    assert "ensemble" in _error(response)["message"]
    assert "127.0.0.1" not in response.text
    assert response.headers["retry-after"] == "1"


@pytest.mark.slow
async def test_a_key_is_needed_and_chooses_the_tenant() -> None:
    async with running(api_keys=("secret:acme",), dev=False) as mesh:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "secret"}):
            response = await mesh.http.get("/v1/models", headers=headers)
            assert response.status_code == 401
            assert _error(response)["code"] == "invalid_api_key"
            assert response.headers["www-authenticate"] == "Bearer"
        good = await mesh.http.get("/v1/models", headers={"authorization": "Bearer secret"})
        assert good.json()["data"][1]["id"] == "arenalab/of-acme"


async def test_in_dev_mode_only_a_loopback_host_is_served(mesh: Mesh) -> None:
    response = await mesh.http.get("/v1/models", headers={"host": "evil.example"})
    assert response.status_code == 403
    assert _error(response)["type"] == "permission_error"


async def test_a_key_has_a_rate() -> None:
    async with running(requests_per_minute=2) as mesh:
        first = await mesh.ask(model="arenalab")
        assert first.headers["x-ratelimit-limit-requests"] == "2"
        assert first.headers["x-ratelimit-remaining-requests"] == "1"
        await mesh.ask(model="arenalab")
        refused = await mesh.ask(model="arenalab")
    assert refused.status_code == 429
    assert _error(refused)["type"] == "rate_limit_error"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert len(mesh.ensemble.asked) == 2


async def test_work_beyond_the_limit_is_refused_before_it_begins() -> None:
    async with running(max_in_flight=1) as mesh:
        asking = asyncio.create_task(mesh.ask(model="waits"))
        await asyncio.wait_for(mesh.ensemble.waiting.wait(), 10)
        refused = await mesh.ask(model="arenalab")
        mesh.ensemble.resume.set()
        assert (await asking).status_code == 200
        assert (await mesh.ask(model="arenalab")).status_code == 200
    assert refused.status_code == 429
    assert _error(refused)["code"] == "rate_limit_exceeded"
    assert refused.headers["retry-after"] == "1"


async def test_stopping_waits_for_the_answer_at_work() -> None:
    async with running() as mesh:
        asking = asyncio.create_task(mesh.ask(model="waits"))
        await asyncio.wait_for(mesh.ensemble.waiting.wait(), 10)
        stopping = asyncio.create_task(mesh.gateway.aclose())
        mesh.ensemble.resume.set()
        response = await asking
        await stopping
    assert response.json()["choices"][0]["message"]["content"] == "at last"


@pytest.mark.parametrize("stream", [False, True])
async def test_stopping_ends_what_takes_too_long_with_an_error(stream: bool) -> None:  # noqa: FBT001
    async with running(drain_s=0) as mesh:
        asking = asyncio.create_task(mesh.ask(model="waits", stream=stream))
        await asyncio.wait_for(mesh.ensemble.waiting.wait(), 10)
        await mesh.gateway.aclose()
        response = await asking
        await asyncio.wait_for(mesh.ensemble.ended.wait(), 10)
    if stream:
        assert (await _chunks(response))[-1]["error"]["message"] == "the gateway is stopping"
    else:
        assert response.status_code == 503
        assert response.headers["x-should-retry"] == "true"


async def test_pages_of_listed_origins_may_read_the_response() -> None:
    async with running(cors_origins=("https://app.example",)) as mesh:
        preflight = await mesh.http.options(
            "/v1/chat/completions",
            headers={
                "origin": "https://app.example",
                "access-control-request-method": "POST",
                "access-control-request-headers": "authorization",
            },
        )
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-headers"] == "authorization"
        allowed = await mesh.http.get("/health", headers={"origin": "https://app.example"})
        other = await mesh.http.get("/health", headers={"origin": "https://evil.example"})
    assert allowed.headers["access-control-allow-origin"] == "https://app.example"
    assert "x-arenalab-route" in allowed.headers["access-control-expose-headers"]
    assert "access-control-allow-origin" not in other.headers


async def test_a_request_without_a_trace_is_given_one_though_nothing_records_it(
    mesh: Mesh,
) -> None:
    asked = [await mesh.ask(model="arenalab") for _ in range(2)]
    ids = [response.headers["x-arenalab-trace-id"] for response in asked]
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in ids)
    assert ids[0] != ids[1]
    assert f"00-{ids[1]}-" in mesh.ensemble.metadata["traceparent"]


async def test_the_callers_trace_goes_on(mesh: Mesh) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    response = await mesh.http.post(
        "/v1/chat/completions",
        headers={"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"},
        json={"model": "arenalab", "messages": [{"role": "user", "content": "q"}]},
    )
    assert response.headers["x-arenalab-trace-id"] == trace_id
    assert trace_id in mesh.ensemble.metadata["traceparent"]


async def test_a_request_is_a_server_span() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    telemetry = Telemetry("gateway")
    telemetry.tracer = provider.get_tracer("test")
    async with running(telemetry) as mesh:
        asked = await mesh.ask(model="arenalab")
        await mesh.ask(model="unsealed")
        await mesh.http.get("/health")
    spans = [s for s in exporter.get_finished_spans() if s.kind is SpanKind.SERVER]
    assert [s.name for s in spans] == ["POST /v1/chat/completions"] * 2
    assert spans[0].attributes is not None
    assert spans[1].attributes is not None
    assert spans[0].attributes["http.route"] == "/v1/chat/completions"
    assert spans[0].attributes["http.response.status_code"] == 200
    assert spans[1].attributes["error.type"] == "503"
    assert spans[0].context is not None
    assert asked.headers["x-arenalab-trace-id"] == format_trace_id(spans[0].context.trace_id)


async def test_a_request_id_is_echoed_or_made(mesh: Mesh) -> None:
    given = await mesh.http.get("/health", headers={"x-request-id": "abc-1"})
    assert given.headers["x-request-id"] == "abc-1"
    made = await mesh.http.get("/health", headers={"x-request-id": "a b"})
    assert made.headers["x-request-id"].startswith("req_")


async def test_a_taken_port_is_an_error(mesh: Mesh) -> None:
    with pytest.raises(NotReadyError, match="the port is taken"):
        async with running_gateway(GatewayConfig(port=mesh.port), Telemetry("gateway")):
            pass


@pytest.mark.parametrize("settings", [{"host": "0.0.0.0"}, {"dev": False}])  # noqa: S104
async def test_without_keys_only_dev_mode_on_loopback_starts(settings: Json) -> None:
    with pytest.raises(PreconditionError, match="GATEWAY_KEYS_URL") as caught:
        async with running_gateway(GatewayConfig(port=0, **settings), Telemetry("gateway")):
            pass
    assert caught.value.reason is Reason.MISSING_KEY
