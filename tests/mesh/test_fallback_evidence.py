"""How Fallback puts evidence into a prompt, and how it judges what comes back."""

import json
from typing import Any

import pytest
from google.protobuf import struct_pb2

from arenalab.api.common.v1 import answer_pb2
from arenalab.fallback.prompt import NOT_IN_EVIDENCE

from .scripted_provider import Provider, delta, fallback, frame, stream

EVIDENCE = [
    answer_pb2.Evidence(span_id="s1", question="Which port?", outcome="8080"),
    answer_pb2.Evidence(span_id="s2", question="which port", outcome="8080"),
    answer_pb2.Evidence(span_id="s3", question="Who runs it?", outcome="Ann"),
]


def says(text: str, **more: Any) -> Provider:
    return Provider([stream(delta(text, finish_reason="stop", **more), "data: [DONE]\n\n")])


@pytest.mark.parametrize(
    ("text", "grounding", "cited"),
    [
        ("It is 8080 [1], ask Ann [3].", answer_pb2.GROUNDING_CITED, ["s1", "s2", "s3"]),
        (NOT_IN_EVIDENCE, answer_pb2.GROUNDING_NOT_IN_EVIDENCE, []),
        ("It is 8080.", answer_pb2.GROUNDING_UNCITED, []),
        # [2] was left out as a repetition, and [4] never was: neither was in the prompt.
        ("It is 8080 [2].", answer_pb2.GROUNDING_FALSE_CITATION, []),
        ("It is 8080 [1][4].", answer_pb2.GROUNDING_FALSE_CITATION, ["s1", "s2"]),
    ],
)
async def test_a_completion_is_judged_by_what_it_cites(
    text: str, grounding: answer_pb2.Grounding.ValueType, cited: list[str]
) -> None:
    provider = says(text)
    async with fallback(provider) as case:
        finished = (await case.complete(evidence=EVIDENCE))[-1].finished
    assert finished.grounding == grounding
    assert list(finished.cited_span_ids) == cited
    prompt = provider.got[0].body["messages"][0]["content"]
    assert [line[:3] for line in prompt.splitlines() if line.startswith("[")] == ["[1]", "[3]"]


async def test_without_evidence_there_is_no_verdict() -> None:
    async with fallback(says("See [1].")) as case:
        finished = (await case.complete())[-1].finished
    assert finished.grounding == answer_pb2.GROUNDING_UNSPECIFIED


async def test_each_request_has_marks_of_its_own() -> None:
    provider = says("[1]")
    async with fallback(provider) as case:
        for _ in range(2):
            await case.complete(evidence=EVIDENCE)
    first, second = (got.body["messages"][0]["content"] for got in provider.got)
    assert first != second
    assert first.splitlines()[-1].startswith("<records ")


async def test_the_bound_on_evidence_is_one_of_tokens() -> None:
    words = "port host user name file disk page line word time "
    evidence = [
        answer_pb2.Evidence(span_id=f"s{n}", question=f"Question {n}?", outcome=f"{n} {words * 8}")
        for n in range(1, 9)
    ]
    provider = says("[1]")
    async with fallback(provider, max_evidence_tokens=300) as case:
        await case.complete(evidence=evidence)
    prompt = provider.got[0].body["messages"][0]["content"]
    # Some 100 tokens each; of 1,400 characters all would fit by the letter.
    assert len([line for line in prompt.splitlines() if line.startswith("[")]) in (2, 3)


async def test_tool_calls_alone_have_no_verdict_and_the_callers_messages_stay() -> None:
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
    calls = frame(choices=[{"delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}])
    provider = Provider([stream(calls, "data: [DONE]\n\n")])
    passthrough = struct_pb2.Struct()
    passthrough.update({"tools": [{"type": "function", "function": {"name": "f"}}]})
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What?"}, picture]},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "[9]"},
    ]
    async with fallback(provider) as case:
        events = await case.complete(
            evidence=EVIDENCE, messages=[], messages_json=json.dumps(messages),
            passthrough=passthrough,
        )  # fmt: skip
    assert events[-1].finished.grounding == answer_pb2.GROUNDING_UNSPECIFIED
    sent = provider.got[0].body["messages"]
    assert [sent[0], *sent[2:]] == messages
    assert "call it as usual" in sent[1]["content"]


async def test_of_a_reply_in_json_the_strings_are_judged() -> None:
    passthrough = struct_pb2.Struct()
    passthrough.update({"response_format": {"type": "json_object"}})
    reply = json.dumps({"ports": [1, 2], "why": "as the gateway's record says [1]"})
    async with fallback(says(reply)) as case:
        finished = (await case.complete(evidence=EVIDENCE, passthrough=passthrough))[-1].finished
    assert finished.grounding == answer_pb2.GROUNDING_CITED
    assert list(finished.cited_span_ids) == ["s1", "s2"]
