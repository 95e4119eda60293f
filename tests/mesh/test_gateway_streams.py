"""What the gateway streams, byte by byte, and what it says of what it does not do."""

import asyncio
import json
import re
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.described import check
from tests.mesh.scripted_gateway import PREDICTION_ID, Json, Mesh, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

ID = "0198000000007000800000000000002a"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh() -> AsyncIterator[Mesh]:
    async with running() as found:
        yield found


async def _respond(mesh: Mesh, **members: object) -> httpx.Response:
    return await mesh.http.post("/v1/responses", json={"input": "How?"} | members)


def _events(text: str) -> list[Json]:
    frames = text.removesuffix("\n\n").split("\n\n")
    events: list[Json] = [json.loads(frame.partition("\ndata: ")[2]) for frame in frames]
    for event in events:
        check("ResponseEvent", event)
    return events


def _frame(kind: str, number: int, members: str) -> str:
    name = f"response.{kind}"
    return f'event: {name}\ndata: {{"type":"{name}","sequence_number":{number},{members}}}'


async def test_the_frames_of_a_chat_are_these_bytes(mesh: Mesh) -> None:
    response = await mesh.ask(model="calls", stream=True, stream_options={"include_usage": True})
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"
    text = re.sub(r'"created":\d+', '"created":1', response.text)
    base = (
        f'{{"id":"chatcmpl-{ID}","object":"chat.completion.chunk","created":1,"model":"arenalab",'
    )
    choice = '"choices":[{"index":0,"delta":%s,"logprobs":null,"finish_reason":%s}],"usage":null'
    blank = base + '"system_fingerprint":null,' + choice
    began = f',"arenalab":{{"prediction_id":"{PREDICTION_ID}","route":"fallback"}}}}'
    call = (
        '{"tool_calls":[{"index":0,"id":"call_1","type":"function",'
        '"function":{"name":"f","arguments":""}}]}'
    )
    more = '{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}'
    usage = (
        base + '"system_fingerprint":null,"choices":[],"usage":{"prompt_tokens":11,'
        '"completion_tokens":3,"total_tokens":14,"prompt_tokens_details":{"cached_tokens":0},'
        '"completion_tokens_details":{"reasoning_tokens":0}}}'
    )
    frames = text.split("\n\n")
    last = frames.pop(3)
    assert frames == [
        "data: " + blank % ('{"role":"assistant","content":""}', "null") + began,
        "data: " + blank % (call, "null") + "}",
        "data: " + blank % (more, "null") + "}",
        "data: " + usage,
        "data: [DONE]",
        "",
    ]
    assert last.startswith("data: " + blank % ("{}", '"tool_calls"') + ',"arenalab":{')


async def test_the_frames_of_a_response_name_their_events(mesh: Mesh) -> None:
    response = await _respond(mesh, stream=True)
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    text = re.sub(r'"created_at":\d+', '"created_at":1', response.text)
    frames = text.split("\n\n")
    assert frames.pop() == ""
    assert "[DONE]" not in text
    item = f'"item_id":"msg_{ID}","output_index":0,"content_index":0'
    message = (
        f'{{"id":"msg_{ID}","type":"message","role":"assistant","status":"in_progress",'
        '"content":[]}'
    )
    part = '{"type":"output_text","text":"","annotations":[],"logprobs":[]}'
    assert frames[2:6] == [
        _frame("output_item.added", 2, f'"output_index":0,"item":{message}'),
        _frame("content_part.added", 3, f'{item},"part":{part}'),
        _frame("output_text.delta", 4, f'{item},"delta":"Two ","logprobs":[]'),
        _frame("output_text.delta", 5, f'{item},"delta":"words.","logprobs":[]'),
    ]
    _events(response.text)


async def test_a_response_that_breaks_off_says_so(mesh: Mesh) -> None:
    events = _events((await _respond(mesh, model="late-error", stream=True)).text)
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    assert events[-2]["code"] == "provider_failed"
    assert events[-1]["response"]["status"] == "failed"


async def test_an_error_before_a_response_begins_has_its_status(mesh: Mesh) -> None:
    for stream in (False, True):
        refused = await _respond(mesh, model="unsealed", stream=stream)
        assert refused.status_code == 503
        check("Error", refused.json())


async def test_a_format_that_nobody_meets_is_refused_by_the_name_of_its_field(mesh: Mesh) -> None:
    schema = {"type": "json_schema", "name": "s", "schema": {}}
    for stream in (False, True):
        refused = await _respond(mesh, model="cannot", text={"format": schema}, stream=stream)
        assert refused.status_code == 400
        assert refused.json()["error"]["param"] == "text.format"


async def test_a_silent_response_is_kept_alive() -> None:
    body = {"model": "waits", "input": "q", "stream": True}
    async with (
        running(keep_alive_s=0.01) as mesh,
        mesh.http.stream("POST", "/v1/responses", json=body) as response,
    ):
        names = []
        async for line in response.aiter_lines():
            if line.startswith("event: "):
                names.append(line.removeprefix("event: response."))
            if names.count("in_progress") == 3:
                mesh.ensemble.resume.set()
    assert names[:4] == ["created", "in_progress", "in_progress", "in_progress"]
    assert names[-1] == "completed"


async def test_a_client_that_leaves_a_response_ends_the_call() -> None:
    for stream in (False, True):
        async with running() as mesh:
            asking = asyncio.create_task(_respond(mesh, model="waits", stream=stream))
            await asyncio.wait_for(mesh.ensemble.waiting.wait(), 10)
            asking.cancel()
            await asyncio.wait_for(mesh.ensemble.ended.wait(), 10)


async def test_a_providers_refusal_is_one(mesh: Mesh) -> None:
    whole = await mesh.ask(model="refuses")
    message = whole.json()["choices"][0]["message"]
    assert (message["content"], message["refusal"]) == (None, "I will not.")
    assert whole.headers["x-arenalab-cost"] == "0.00125"
    assert whole.json()["arenalab"]["cost_usd_micros"] == 1250
    found = (await _respond(mesh, model="refuses")).json()
    assert found["output"][0]["content"] == [{"type": "refusal", "refusal": "I will not."}]


async def test_the_request_of_a_response_reaches_the_ensemble(mesh: Mesh) -> None:
    await _respond(mesh, instructions="Be brief.", user="u1", arenalab={"fallback": "never"})
    asked = mesh.ensemble.asked[-1]
    assert [message.content for message in asked.messages] == ["Be brief.", "How?"]
    assert (asked.instructions, asked.user) == (1, "u1")


async def test_what_is_not_honoured_is_said(mesh: Mesh) -> None:
    said = await _respond(
        mesh, store=False, foo=1, include=["file_search_call.results"], reasoning={"summary": "é"}
    )
    assert said.status_code == 200
    assert [warning[:40] for warning in said.headers.get_list("x-arenalab-warning")] == [
        'unknown field "foo" ignored',
        "include 'file_search_call.results' not h",
        "reasoning.summary not honoured",
        "store=false not honoured: every answer i",
    ]
    assert said.json()["store"] is True
    body = {"messages": [{"role": "user", "content": "q"}], "store": False}
    twice = await mesh.http.post(
        "/v1/chat/completions", json=body, headers={"idempotency-key": "k1"}
    )
    warnings = twice.headers.get_list("x-arenalab-warning")
    assert warnings[0].startswith("Idempotency-Key ignored")
    assert warnings[1].startswith("store=false not honoured")


async def test_unknown_fields_of_any_body_are_named_or_refused(mesh: Mesh) -> None:
    for path, body in (
        ("/v1/responses", {"input": "q"}),
        ("/v1/embeddings", {"input": "q"}),
    ):
        told = await mesh.http.post(path, json=body | {"foo": 1})
        assert told.headers["x-arenalab-warning"] == 'unknown field "foo" ignored'
        refused = await mesh.http.post(
            path, json=body | {"foo": 1}, headers={"x-arenalab-strict": "1"}
        )
        assert refused.status_code == 400
        assert refused.json()["error"]["param"] == "foo"
    refused = await mesh.http.get("/v1/risk-coverage?foo=1", headers={"x-arenalab-strict": "1"})
    assert refused.json()["error"]["param"] == "foo"


async def test_the_description_and_its_page_need_no_key_and_fetch_nothing() -> None:
    async with running(api_keys=("k",), dev=False) as mesh:
        described = (await mesh.http.get("/openapi.json")).json()
        page = await mesh.http.get("/docs")
        refused = await mesh.http.get("/v1/models")
    assert described["openapi"].startswith("3.1")
    assert refused.status_code == 401
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "http://" not in page.text
    assert "https://" not in page.text


async def test_a_citation_leads_where_the_operator_says() -> None:
    async with running(span_url="https://kb.example/spans/{id}?from=answer") as mesh:
        body = (await mesh.ask(model="arenalab")).json()
    [annotation] = body["choices"][0]["message"]["annotations"]
    assert annotation["url_citation"]["url"] == "https://kb.example/spans/s1?from=answer"
