"""The HTTP endpoints on the whole mesh, each body as the gateway's own document has it."""

import json
from importlib import resources
from typing import Any

import httpx
import openai
import pytest

from arenalab.proof import receipt_from_json, verify_receipt
from tests.described import check

pytestmark = pytest.mark.slow
QUESTIONS = json.loads(
    (resources.files("arenalab.curator.builtin") / "demo_questions.json").read_text()
)
KNOWN = QUESTIONS[0]["question"]
UNKNOWN = "Which wine goes with a roast pheasant?"
Json = dict[str, Any]


@pytest.fixture(scope="module")
def http(mesh: Any) -> Any:
    with httpx.Client(base_url=mesh.url, timeout=20) as found:
        yield found


@pytest.fixture(scope="module")
def sdk(mesh: Any) -> Any:
    with openai.OpenAI(base_url=f"{mesh.url}/v1", api_key="any", max_retries=0) as found:
        yield found


def _respond(http: httpx.Client, **members: Any) -> Json:
    response = http.post("/v1/responses", json={"model": "arenalab", "input": KNOWN} | members)
    assert response.status_code == 200, response.text
    found: Json = response.json()
    check("Response", found)
    return found


def _events(http: httpx.Client, **members: Any) -> list[Json]:
    body = {"model": "arenalab", "input": KNOWN, "stream": True} | members
    text = http.post("/v1/responses", json=body).text
    events = []
    for frame in text.removesuffix("\n\n").split("\n\n"):
        name, data = frame.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        check("ResponseEvent", event)
        events.append(event)
    return events


def test_a_chat_answer_is_as_described(http: httpx.Client) -> None:
    for question in (KNOWN, UNKNOWN):
        asked = {"model": "arenalab", "messages": [{"role": "user", "content": question}]}
        whole = http.post("/v1/chat/completions", json=asked).json()
        check("ChatCompletion", whole)
        options = {"stream": True, "stream_options": {"include_usage": True}}
        text = http.post("/v1/chat/completions", json=asked | options).text
        *frames, done, rest = text.split("\n\n")
        assert (done, rest) == ("data: [DONE]", "")
        chunks = [json.loads(frame.removeprefix("data: ")) for frame in frames]
        for chunk in chunks:
            check("ChatChunk", chunk)
        assert chunks[-1]["usage"] == whole["usage"]


def test_citations_say_which_words_which_span_holds(http: httpx.Client) -> None:
    asked = {"model": "arenalab", "messages": [{"role": "user", "content": KNOWN}]}
    whole = http.post("/v1/chat/completions", json=asked).json()
    message, told = whole["choices"][0]["message"], whole["arenalab"]
    spoken = {
        message["content"][each["url_citation"]["start_index"] : each["url_citation"]["end_index"]]
        for each in message["annotations"]
    }
    assert spoken == {sentence["text"] for sentence in told["sentences"] if sentence["span_ids"]}
    held = {span_id for sentence in told["sentences"] for span_id in sentence["span_ids"]}
    assert {each["url_citation"]["url"] for each in message["annotations"]} == {
        f"arenalab:span/{span_id}" for span_id in held
    }


def test_a_response_says_what_a_chat_says(http: httpx.Client) -> None:
    asked = {"model": "arenalab", "messages": [{"role": "user", "content": KNOWN}]}
    chat = http.post("/v1/chat/completions", json=asked).json()
    found = _respond(http)
    part = found["output"][0]["content"][0]
    assert part["text"] == chat["choices"][0]["message"]["content"]
    assert found["status"] == "completed"
    assert found["system_fingerprint"] == chat["system_fingerprint"]
    assert found["usage"]["total_tokens"] == chat["usage"]["total_tokens"]
    assert [a["url"] for a in part["annotations"]] == [
        a["url_citation"]["url"] for a in chat["choices"][0]["message"]["annotations"]
    ]


def test_the_events_of_a_response_come_in_order(http: httpx.Client) -> None:
    events = _events(http)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    kinds = list(dict.fromkeys(event["type"] for event in events))
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.annotation.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    final = events[-1]["response"]
    text = final["output"][0]["content"][0]["text"]
    assert "".join(e["delta"] for e in events if e["type"].endswith("text.delta")) == text
    assert final["usage"] == _respond(http)["usage"]


def test_the_sdk_reads_responses(sdk: openai.OpenAI) -> None:
    whole = sdk.responses.create(model="arenalab", input=KNOWN)
    assert whole.output_text.startswith(QUESTIONS[0]["expects"])
    assert whole.usage is not None
    with sdk.responses.stream(model="arenalab", input=KNOWN) as stream:
        seen = [event.type for event in stream]
        final = stream.get_final_response()
    assert final.output_text == whole.output_text
    assert seen[-1] == "response.completed"


def test_a_conversation_goes_on_from_the_ledger(http: httpx.Client) -> None:
    first = _respond(http, instructions="Be brief.", user="ada")
    again = http.post(
        "/v1/responses",
        json={"model": "arenalab", "input": KNOWN, "previous_response_id": first["id"]},
    )
    second = again.json()
    check("Response", second)
    assert second["previous_response_id"] == first["id"]
    # Question and answer of the first turn are in the prompt, its instructions are not.
    asked = first["usage"]["input_tokens"] + first["usage"]["output_tokens"]
    assert asked - 8 < second["usage"]["input_tokens"] - _tokens(http, KNOWN) < asked
    third = _respond(http, previous_response_id=second["id"], user="ada")
    assert third["usage"]["input_tokens"] > second["usage"]["input_tokens"]


def _tokens(http: httpx.Client, text: str) -> int:
    tokens: int = _respond(http, input=text)["usage"]["input_tokens"]
    return tokens


def test_what_cannot_go_on_is_a_clear_error(http: httpx.Client) -> None:
    of_ada = _respond(http, user="ada-lovelace")["id"]
    for previous, user, code in (
        ("resp_00000000000070008000000000000000", "eve", "response_not_found"),
        (of_ada, "eve", "response_not_found"),
    ):
        body = {"input": KNOWN, "previous_response_id": previous, "user": user}
        refused = http.post("/v1/responses", json=body)
        assert refused.status_code == 400
        error = refused.json()["error"]
        assert (error["param"], error["code"]) == ("previous_response_id", code)
    erased = http.delete("/v1/subjects/ada-lovelace")
    check("Erased", erased.json())
    assert erased.json()["entries"] == 1
    body = {"input": KNOWN, "previous_response_id": of_ada}
    assert http.post("/v1/responses", json=body).json()["error"]["code"] == "response_erased"


def test_feedback_counts_once(http: httpx.Client) -> None:
    found = _respond(http)
    body = {"prediction_id": found["id"], "helpful": True, "comment": "Thanks."}
    first = http.post("/v1/feedback", json=body)
    assert first.status_code == 200, first.text
    check("Feedback", first.json())
    assert first.json() | {"prediction_id": ""} == {
        "object": "feedback",
        "prediction_id": "",
        "verdict": "right",
        "known": False,
    }
    body = {"prediction_id": found["arenalab"]["prediction_id"], "rating": 1}
    again = http.post("/v1/feedback", json=body).json()
    assert (again["verdict"], again["known"]) == ("right", True)
    missing = http.post("/v1/feedback", json=body | {"prediction_id": "chatcmpl-0"})
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "prediction_not_found"


def test_a_receipt_is_found_by_each_name_of_the_answer(http: httpx.Client, mesh: Any) -> None:
    found = _respond(http)
    prediction_id = found["arenalab"]["prediction_id"]
    for name in (prediction_id, found["id"], f"chatcmpl-{prediction_id.replace('-', '')}"):
        shown = http.get(f"/v1/receipts/{name}").json()
        check("ReceiptFound", shown)
        assert shown["id"] == prediction_id
        receipt = receipt_from_json(shown["receipt"])
        verify_receipt(receipt, mesh.public_key)
        assert receipt.leaf_index == found["arenalab"]["receipt"]["leaf_index"]
    missing = http.get("/v1/receipts/resp_00000000000070008000000000000000")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "leaf_not_found")


def test_the_checkpoint_is_a_note_or_json(http: httpx.Client) -> None:
    _respond(http)
    note = http.get("/v1/ledger/checkpoint")
    assert note.headers["content-type"].startswith("text/plain")
    as_json = http.get("/v1/ledger/checkpoint", headers={"accept": "application/json"}).json()
    check("Checkpoint", as_json)
    assert as_json["checkpoint"] == note.text
    assert note.text.split("\n")[1] == str(as_json["tree_size"])


def test_the_risk_coverage_curve_is_shown(http: httpx.Client) -> None:
    query = "alpha=0.05&alpha=0.2&guarantee_kind=expectation&groups=true&max_points=3"
    shown = http.get(f"/v1/risk-coverage?{query}")
    assert shown.status_code == 200, shown.text
    found = shown.json()
    check("RiskCoverage", found)
    assert [row["guarantee"]["alpha"] for row in found["rows"]] == [0.05, 0.2]
    assert {row["guarantee"]["kind"] for row in found["rows"]} == {"expectation"}
    for query, param in (("alpha=2", "alpha"), ("groups=perhaps", "groups"), ("delta=x", "delta")):
        refused = http.get(f"/v1/risk-coverage?{query}")
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)
    unknown = http.get("/v1/risk-coverage?creature=nobody")
    assert unknown.status_code == 404


def test_the_other_endpoints_are_as_described(http: httpx.Client) -> None:
    check("Models", http.get("/v1/models").json())
    check("Model", http.get("/v1/models/arenalab/memory-only").json())
    check("Health", http.get("/health").json())
    check("Ready", http.get("/ready").json())
    check("Error", http.get("/nowhere").json())
    for format_ in ("float", "base64"):
        body = {"input": ["a", "b"], "encoding_format": format_}
        check("Embeddings", http.post("/v1/embeddings", json=body).json())
