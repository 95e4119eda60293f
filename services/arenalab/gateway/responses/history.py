"""`previous_response_id`: the conversation so far, from what the ledger sealed of it."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import json_format

from arenalab.api.common.v1 import message_pb2
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.api.ledger.v1 import ledger_service_pb2 as ledger_pb
from arenalab.gateway.errors import ApiError
from arenalab.gateway.ids import prediction_id
from arenalab.gateway.logs import from_any_log
from arenalab.gateway.messages import MAX_MESSAGES
from arenalab.gateway.responses.items import Message
from arenalab.mesh import MeshError, Reason, scope_for

if TYPE_CHECKING:
    from arenalab.api.ledger.v1 import ledger_service_pb2_grpc as ledger_grpc

PARAM: Final = "previous_response_id"
_ROLES: Final = {
    message_pb2.ROLE_SYSTEM: "system",
    message_pb2.ROLE_USER: "user",
    message_pb2.ROLE_ASSISTANT: "assistant",
    message_pb2.ROLE_TOOL: "tool",
}
# What the ensemble seals in place of a text that the ledger would not take.
_DIGEST: Final = frozenset({"blake3", "bytes"})


@dataclass(frozen=True, slots=True)
class History:
    """A conversation that goes on."""

    messages: tuple[Message, ...] = ()  # as a chat has them, the last answer included
    user: str = ""  # whose it is


class Histories:
    """Reads conversations from the ledger."""

    def __init__(self, ledger: "ledger_grpc.LedgerServiceAsyncStub") -> None:
        self._ledger = ledger

    async def read(self, previous: str | None, tenant: str, user: str) -> History:
        """Returns the conversation up to and with a response; an empty one for None.

        Raises:
            ApiError: 400; there is no such response, it is another user's, or its
                words can no longer be read.
        """
        if previous is None:
            return History(user=user)
        entry_id = prediction_id(previous, param=PARAM)

        async def ask(log: str) -> ledger_pb.GetResponse:
            return await self._ledger.Get(
                ledger_pb.GetRequest(scope=scope_for(tenant), entry_id=entry_id, log=log)
            )

        try:
            found = await from_any_log(self._ledger, ask)
        except MeshError as error:
            if error.reason is Reason.UNKNOWN_LEAF:
                raise _refused("no response of this id is known", "response_not_found") from error
            raise
        return history_of(found, user)


def history_of(found: ledger_pb.GetResponse, user: str) -> History:
    """Returns the conversation that an entry of the ledger holds.

    Args:
        found: The entry of the answer.
        user: Who asks now; "" stands for whoever the conversation is of.

    Raises:
        ApiError: 400.
    """
    if found.content_state != ledger_pb.CONTENT_STATE_PRESENT:
        raise _refused("its content was erased", "response_erased")
    # Words sealed under one user's key must not come back to another, and not be
    # sealed again under another key, which an erasure would leave.
    if found.subject not in ("", user) and user:
        raise _refused("it is another user's", "response_not_found")
    if "request" not in found.content or "answer" not in found.content:
        raise _refused("it is not an answer", "response_not_found")
    request = _request(found.content["request"])
    messages = (*_asked(request), *_answered(found))
    if len(messages) >= MAX_MESSAGES:
        raise _refused(
            f"its conversation has {len(messages)} messages, and {MAX_MESSAGES} is the most",
            "context_length_exceeded",
        )
    return History(messages, user or found.subject)


def _request(text: str) -> pb.AnswerRequest:
    form = json.loads(text)
    if _DIGEST.issuperset(form):
        raise _refused("its conversation was too long to keep", "response_not_kept")
    # A field that a newer ensemble seals is no reason to forget the conversation.
    return json_format.ParseDict(form, pb.AnswerRequest(), ignore_unknown_fields=True)


def _asked(request: pb.AnswerRequest) -> list[Message]:
    # Instructions hold for their own answer alone.
    if request.messages_json:
        messages: list[Message] = json.loads(request.messages_json)
        return messages[request.instructions :]
    return [
        {"role": _ROLES[message.role], "content": message.content}
        for message in request.messages[request.instructions :]
    ]


def _answered(found: ledger_pb.GetResponse) -> list[Message]:
    text = found.content["answer"]
    calls: list[dict[str, Any]] = []
    if found.content.get("tool_calls"):
        value = json.loads(found.content["tool_calls"])
        calls = value if isinstance(value, list) else []
    if (is_digest := _is_digest(text)) or (not calls and _ended_in_calls(found.leaf)):
        what = "answer was" if is_digest else "tool calls were"
        raise _refused(f"its {what} not kept: send them in 'input'", "response_not_kept")
    if not text and not calls:
        return []
    message: Message = {"role": "assistant", "content": text or None}
    return [message | ({"tool_calls": calls} if calls else {})]


def _is_digest(text: str) -> bool:
    if not text.startswith('{"blake3"'):
        return False
    try:
        return set(json.loads(text)) == _DIGEST
    except ValueError:
        return False


def _ended_in_calls(leaf: bytes) -> bool:
    facts = json.loads(leaf).get("facts", {})
    return bool(facts.get("finish_reason") == "tool_calls")


def _refused(why: str, code: str) -> ApiError:
    return ApiError(400, code, f"the previous response cannot be used: {why}", param=PARAM)
