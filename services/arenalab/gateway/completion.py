"""Chat completions and their chunks, from the ensemble's events. Pure.

What clients do with chunks decides their shape: the SDK joins strings and adds
numbers of one key, so nothing but text and tool calls may sit in a `delta`, and a
role or an id may come only once. What vouches for the answer is a member of the
last chunk that has a choice.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.gateway.extension import ROUTES, STATUSES, extension, name_of, timings_ms
from arenalab.gateway.toolcalls import ToolCalls

_FINGERPRINT_CHARS: Final = 16


@dataclass(slots=True)
class Answer:
    """One answer, as far as it has come."""

    created: int  # Unix seconds
    started: pb.AnswerStarted
    as_refusal: bool = False  # an abstention is a refusal, not content
    texts: list[str] = field(default_factory=list)
    tool_calls: ToolCalls = field(default_factory=ToolCalls)
    finished: pb.AnswerFinished | None = None

    @property
    def id(self) -> str:
        return f"chatcmpl-{self.started.prediction_id.replace('-', '')}"

    @property
    def text(self) -> str:
        return "".join(self.texts)

    @property
    def text_member(self) -> str:
        """The member of a message or delta that carries the text."""
        is_refused = self.as_refusal and self.started.route == pb.ROUTE_ABSTAIN
        return "refusal" if is_refused else "content"

    def take(self, delta: pb.TextDelta) -> dict[str, Any]:
        """Adds a piece of the answer; returns it as a chunk's delta, {} when it is empty."""
        piece: dict[str, Any] = {}
        if delta.text:
            self.texts.append(delta.text)
            piece[self.text_member] = delta.text
        if delta.tool_calls_json:
            piece["tool_calls"] = self.tool_calls.add(delta.tool_calls_json)
        return piece


def completion(
    answer: Answer, finished: pb.AnswerFinished, usage: dict[str, Any]
) -> dict[str, Any]:
    """Returns the `chat.completion` of a whole answer."""
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    if answer.text or not answer.tool_calls:
        message[answer.text_member] = answer.text
    if answer.tool_calls:
        message["tool_calls"] = answer.tool_calls.whole()
    return {
        "id": answer.id,
        "object": "chat.completion",
        "created": answer.created,
        "model": finished.model,
        "choices": [
            {
                "index": 0,
                "message": message,
                "logprobs": None,
                "finish_reason": finished.finish_reason or "stop",
            }
        ],
        "usage": usage,
        "system_fingerprint": fingerprint(finished),
        "arenalab": extension(finished),
    }


def fingerprint(finished: pb.AnswerFinished) -> str | None:
    """Returns what names the data behind the answer; None when no dataset was searched."""
    if not finished.dataset_version:
        return None
    return f"fp_{finished.dataset_version[:_FINGERPRINT_CHARS]}"


class Chunks:
    """The chunks of one streamed answer, in the order of the methods."""

    def __init__(self, answer: Answer, *, include_usage: bool) -> None:
        self._started = answer.started
        self._base: dict[str, Any] = {
            "id": answer.id,
            "object": "chat.completion.chunk",
            "created": answer.created,
            "model": answer.started.model,
            "system_fingerprint": None,
        }
        # Asked for, every chunk has the member, and only the last has the numbers.
        self._usage = {"usage": None} if include_usage else {}

    def first(self) -> dict[str, Any]:
        """Returns the chunk that opens the choice; the only one with a role.

        The SDK's stream helper keeps the first chunk's extra members only, so here
        is what finds the answer again.
        """
        return self._chunk({"role": "assistant", "content": ""}) | {
            "arenalab": {
                "prediction_id": self._started.prediction_id,
                "route": name_of(ROUTES, self._started.route),
            }
        }

    def piece(self, delta: dict[str, Any]) -> dict[str, Any]:
        """Returns a chunk; an empty delta only says that the answer is still coming."""
        return self._chunk(delta)

    def last(self, finished: pb.AnswerFinished) -> dict[str, Any]:
        """Returns the chunk that closes the choice, with what vouches for the answer."""
        return self._chunk({}, finished.finish_reason or "stop") | {
            "system_fingerprint": fingerprint(finished),
            "arenalab": extension(finished),
        }

    def usage(self, usage: dict[str, Any]) -> dict[str, Any]:
        """Returns the chunk after all choices."""
        return {**self._base, "choices": [], "usage": usage}

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**self._base, "choices": [choice], **self._usage}


def answer_headers(finished: pb.AnswerFinished, elapsed_ms: float) -> list[tuple[str, str]]:
    """Returns the headers of a whole answer.

    Args:
        finished: The ensemble's last event.
        elapsed_ms: Since the request came in.
    """
    parts = timings_ms(finished.timings)
    timing = [f"{name};dur={value:g}" for name, value in parts.items() if name != "total"]
    if "total" in parts:
        timing.append(f"gateway;dur={max(0.0, elapsed_ms - parts['total']):.3f}")
    return [
        *_summary(finished),
        # What ArenaLab added to the time of the provider.
        ("x-arenalab-overhead-ms", f"{max(0.0, elapsed_ms - parts.get('fallback', 0.0)):.3f}"),
        ("server-timing", ", ".join(timing)),
    ]


def _summary(finished: pb.AnswerFinished) -> list[tuple[str, str]]:
    headers = [
        ("x-arenalab-route", name_of(ROUTES, finished.route)),
        ("x-arenalab-confidence", f"{finished.confidence:.4f}"),
        ("x-arenalab-guarantee", name_of(STATUSES, finished.guarantee.status)),
    ]
    if not finished.provider:
        # What a provider charged, in USD. Of a provider's answer it is not known here.
        headers.append(("x-arenalab-cost", "0"))
    if finished.HasField("receipt"):
        headers.append(("x-arenalab-ledger-index", str(finished.receipt.leaf_index)))
    return headers
