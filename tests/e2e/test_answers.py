"""The whole mesh from the outside: OpenAI SDK, plain HTTP, gRPC stub, receipts."""

import json
from importlib import resources
from typing import Any

import grpc
import httpx
import openai
import pytest

from arenalab.api.common.v1 import message_pb2
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.api.ensemble.v1 import ensemble_service_pb2_grpc as pb_grpc
from arenalab.proof import ReceiptError, receipt_from_json, verify_receipt
from arenalab.proof.proto_form import receipt_from_proto

pytestmark = pytest.mark.slow
QUESTIONS = json.loads(
    (resources.files("arenalab.curator.builtin") / "demo_questions.json").read_text()
)


def _ask(mesh: Any, question: str, **kwargs: Any) -> Any:
    with openai.OpenAI(base_url=f"{mesh.url}/v1", api_key="any", max_retries=0) as client:
        made = client.chat.completions.create(
            model=kwargs.pop("model", "arenalab"),
            messages=[{"role": "user", "content": question}],
            **kwargs,
        )
        return list(made) if kwargs.get("stream") else made


@pytest.mark.parametrize("asked", QUESTIONS, ids=lambda asked: asked["kind"])
def test_the_five_questions_of_the_demonstration(mesh: Any, asked: dict[str, Any]) -> None:
    completion = _ask(mesh, asked["question"])
    answer = completion.model_extra["arenalab"]
    verify_receipt(receipt_from_json(answer["receipt"]), mesh.public_key)
    if asked["expects"]:
        assert answer["route"] == "memory", answer["abstain"]
        assert completion.choices[0].message.content.startswith(asked["expects"])
    else:
        assert answer["route"] == "abstain"


def test_a_streamed_answer_equals_the_whole_one(mesh: Any) -> None:
    question = QUESTIONS[0]["question"]
    whole = _ask(mesh, question).choices[0].message.content
    streamed = "".join(
        chunk.choices[0].delta.content or ""
        for chunk in _ask(mesh, question, stream=True)
        if chunk.choices
    )
    assert streamed == whole


def test_the_stub_says_what_http_says(mesh: Any) -> None:
    question = QUESTIONS[0]["question"]
    by_http = _ask(mesh, question)
    with grpc.insecure_channel(mesh.running.addresses["ensemble"]) as channel:
        message = message_pb2.Message(role=message_pb2.ROLE_USER, content=question)
        events = list(
            pb_grpc.EnsembleServiceStub(channel).Answer(
                pb.AnswerRequest(messages=[message]), timeout=10
            )
        )
    finished = events[-1].finished
    answer = by_http.model_extra["arenalab"]
    assert "".join(e.delta.text for e in events) == by_http.choices[0].message.content
    assert finished.confidence == answer["confidence"]
    assert finished.dataset_version == answer["dataset_version"]
    verify_receipt(receipt_from_proto(finished.receipt), mesh.public_key)


def test_the_same_question_has_the_same_confidence_twice(mesh: Any) -> None:
    first, second = (_ask(mesh, QUESTIONS[1]["question"]).model_extra["arenalab"] for _ in "12")
    for key in ("confidence", "method", "evidence", "alternatives", "guarantee"):
        assert first[key] == second[key]
    assert first["receipt"]["leaf_index"] < second["receipt"]["leaf_index"]


def test_kind_and_scope_of_the_guarantee_reach_memory(mesh: Any) -> None:
    question = QUESTIONS[1]["question"]
    usual = _ask(mesh, question).model_extra["arenalab"]
    assert (usual["guarantee"]["kind"], usual["guarantee"]["scope"]) == ("high_probability", "all")
    assert usual["outcome_set"]["coverage"] == pytest.approx(1 - usual["guarantee"]["alpha"])
    assert usual["outcome_set"]["outcomes"]
    chosen = {"alpha": 0.1, "guarantee_kind": "expectation", "guarantee_scope": "group"}
    answer = _ask(mesh, question, extra_body={"arenalab": chosen}).model_extra["arenalab"]
    guarantee = answer["guarantee"]
    assert answer["route"] == "memory", answer["abstain"]
    assert (guarantee["kind"], guarantee["scope"]) == ("expectation", "group")
    assert guarantee["group"] == answer["evidence"][0]["domain"]
    assert guarantee["calibration_size"] < usual["guarantee"]["calibration_size"]
    assert answer["outcome_set"]["coverage"] == pytest.approx(0.9)


def test_a_guarantee_that_is_none_is_refused(mesh: Any) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        _ask(mesh, "How?", extra_body={"arenalab": {"guarantee_kind": "certain"}})
    assert caught.value.param == "arenalab.guarantee_kind"
    assert "'high_probability', 'expectation'" in caught.value.message


def test_a_receipt_with_another_answer_does_not_verify(mesh: Any) -> None:
    answer = _ask(mesh, QUESTIONS[0]["question"]).model_extra["arenalab"]
    receipt = receipt_from_json(answer["receipt"])
    leaf = receipt.leaf.replace(b'"memory"', b'"abstain"')
    assert leaf != receipt.leaf
    forged = type(receipt)(
        **{f: getattr(receipt, f) for f in receipt.__slots__ if f != "leaf"}, leaf=leaf
    )
    with pytest.raises(ReceiptError):
        verify_receipt(forged, mesh.public_key)


def test_embeddings_come_from_the_search_service(mesh: Any) -> None:
    with openai.OpenAI(base_url=f"{mesh.url}/v1", api_key="any") as client:
        made = client.embeddings.create(model="arenalab", input=["one", "two"])
    assert [len(item.embedding) for item in made.data] == [384, 384]


def test_every_model_of_the_list_can_be_asked(mesh: Any) -> None:
    with openai.OpenAI(base_url=f"{mesh.url}/v1", api_key="any") as client:
        names = [model.id for model in client.models.list()]
    assert {"arenalab", "arenalab/memory-only", "arenalab/ensemble", "arenalab/help"} <= set(names)
    for name in names:
        assert _ask(mesh, QUESTIONS[0]["question"], model=name).model_extra["arenalab"]["receipt"]


def test_health_readiness_and_metrics_answer(mesh: Any) -> None:
    for path in ("/health", "/ready"):
        assert httpx.get(mesh.url + path, timeout=10).status_code == 200
    text = httpx.get(mesh.url + "/metrics", timeout=10).text
    assert "arenalab_answers_total" in text
    assert "rpc_server_call_duration_seconds" in text


def test_an_answer_from_memory_costs_no_provider(mesh: Any) -> None:
    response = httpx.post(
        f"{mesh.url}/v1/chat/completions",
        json={
            "model": "arenalab",
            "messages": [{"role": "user", "content": QUESTIONS[0]["question"]}],
        },
        timeout=20,
    )
    assert response.headers["x-arenalab-route"] == "memory"
    assert response.headers["x-arenalab-cost"] == "0"
    assert response.headers["x-arenalab-ledger-index"].isdigit()
