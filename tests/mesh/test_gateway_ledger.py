"""Receipts and conversations from a ledger that keeps a log for each period."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import grpc
import pytest
import pytest_asyncio

from arenalab.api.common.v1 import message_pb2, receipt_pb2
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as ensemble_pb
from arenalab.api.ledger.v1 import ledger_service_pb2 as pb
from arenalab.api.ledger.v1 import ledger_service_pb2_grpc as pb_grpc
from arenalab.ensemble.entries import Said, answer_entry
from arenalab.mesh import NotFoundError, Reason, Telemetry, running_server
from tests.described import check
from tests.mesh.scripted_gateway import Mesh, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

LEDGER: Final = pb.DESCRIPTOR.services_by_name["LedgerService"].full_name
OLD: Final = "01980000-0000-7000-8000-000000000001"
NEW: Final = "01980000-0000-7000-8000-000000000002"
LOGS: Final[Mapping[str, str]] = {OLD: "log/2026-10", NEW: "log/2026-11"}
CURRENT: Final = "log/2026-11"
NOTE: Final = "log/2026-11\n2\nroot\n\n— log sig\n"


class Ledger(pb_grpc.LedgerServiceServicer):
    """Keeps one answer in each of two logs."""

    def __init__(self) -> None:
        self.note = NOTE

    def _find(self, request: Any) -> None:
        if LOGS.get(request.entry_id) != (request.log or CURRENT):
            raise NotFoundError("no such leaf", Reason.UNKNOWN_LEAF)

    async def Get(self, request: pb.GetRequest, context: Any) -> pb.GetResponse:
        self._find(request)
        turn = message_pb2.Message(role=message_pb2.ROLE_USER, content="Earlier?")
        finished = ensemble_pb.AnswerFinished(
            prediction_id=request.entry_id, route=ensemble_pb.ROUTE_MEMORY
        )
        asked = ensemble_pb.AnswerRequest(messages=[turn])
        entry = answer_entry("default", Said(request=asked, finished=finished, text="So."), "")
        return pb.GetResponse(
            content=entry.content,
            content_state=pb.CONTENT_STATE_PRESENT,
            leaf=b'{"facts":%b}' % entry.facts_json.encode(),
        )

    async def GetReceipt(
        self, request: pb.GetReceiptRequest, context: Any
    ) -> pb.GetReceiptResponse:
        self._find(request)
        receipt = receipt_pb2.Receipt(leaf_index=7, leaf=b"{}", leaf_hash=b"\1" * 32)
        wrong = pb.Supersession(span_id="s1", reason="It was wrong.", leaf_index=9)
        return pb.GetReceiptResponse(receipt=receipt, supersessions=[wrong])

    async def GetCheckpoint(
        self, request: pb.GetCheckpointRequest, context: Any
    ) -> pb.GetCheckpointResponse:
        return pb.GetCheckpointResponse(checkpoint=self.note, tree_size=2, log_public_key="k")

    async def ListLogs(self, request: pb.ListLogsRequest, context: Any) -> pb.ListLogsResponse:
        return pb.ListLogsResponse(logs=[pb.LogDescription(log=log) for log in LOGS.values()])

    def register(self, server: grpc.aio.Server) -> None:
        pb_grpc.add_LedgerServiceServicer_to_server(self, server)


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    return Ledger()  # type: ignore[abstract]  # what it lacks answers UNIMPLEMENTED


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(ledger: Ledger) -> AsyncIterator[Mesh]:
    server = running_server(LEDGER, ledger.register, "127.0.0.1:0", Telemetry("peer"))
    async with server as port, running(ledger_address=f"127.0.0.1:{port}") as found:
        yield found


@pytest.mark.parametrize("name", [OLD, NEW])
async def test_a_receipt_is_found_in_whichever_log_has_it(mesh: Mesh, name: str) -> None:
    response = await mesh.http.get(f"/v1/receipts/resp_{name.replace('-', '')}")
    assert response.status_code == 200
    check("ReceiptFound", response.json())
    assert response.json()["id"] == name
    assert response.json()["supersessions"][0]["span_id"] == "s1"


async def test_a_receipt_that_no_log_has_is_not_found(mesh: Mesh) -> None:
    response = await mesh.http.get("/v1/receipts/feedback:unknown")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "leaf_not_found"


async def test_a_conversation_goes_on_from_an_earlier_period(mesh: Mesh) -> None:
    body = {"input": "And now?", "previous_response_id": f"resp_{OLD.replace('-', '')}"}
    response = await mesh.http.post("/v1/responses", json=body)
    assert response.status_code == 200
    asked = [message.content for message in mesh.ensemble.asked[-1].messages]
    assert asked == ["Earlier?", "So.", "And now?"]


@pytest.mark.parametrize(
    ("accept", "is_json"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("text/plain, application/json", False),
        ("application/json", True),
        ("Application/JSON;q=0.9, text/plain;q=0.1", True),
    ],
)
async def test_a_checkpoint_comes_as_it_is_asked_for(
    mesh: Mesh, accept: str, *, is_json: bool
) -> None:
    response = await mesh.http.get("/v1/ledger/checkpoint", headers={"accept": accept})
    assert response.headers["vary"] == "Accept"
    if is_json:
        check("Checkpoint", response.json())
        assert response.json()["checkpoint"] == NOTE
    else:
        assert response.headers["content-type"] == "text/plain; charset=utf-8"
        assert response.text == NOTE


async def test_an_empty_log_has_no_checkpoint(mesh: Mesh, ledger: Ledger) -> None:
    ledger.note = ""
    assert (await mesh.http.get("/v1/ledger/checkpoint")).status_code == 404
    headers = {"accept": "application/json"}
    found = await mesh.http.get("/v1/ledger/checkpoint", headers=headers)
    assert found.json()["checkpoint"] is None
    ledger.note = NOTE
