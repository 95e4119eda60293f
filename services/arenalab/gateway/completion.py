"""Chat completions and their chunks, from the ensemble's events. Pure.

What clients do with chunks decides their shape: the SDK joins strings and adds
numbers of one key, so nothing but text, tool calls and indexed annotations may sit in a
`delta`, and a role or an id may come only once. What vouches for the answer is a member
of the last chunk that has a choice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from blake3 import blake3

from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.gateway.extension import (
    ENGINES,
    ROUTES,
    STATUSES,
    cost_usd,
    extension,
    name_of,
    timings_ms,
)
from arenalab.pieces import ToolCalls

_FINGERPRINT_CHARS: Final = 16


@dataclass(slots=True)
class Answer:
    """One answer, as far as it has come."""

    created: int  # Unix seconds
    started: pb.AnswerStarted
    as_refusal: bool = False  # an abstention is a refusal, not content
    texts: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    tool_calls: ToolCalls = field(default_factory=ToolCalls)
    finished: pb.AnswerFinished | None = None

    @property
    def id(self) -> str:
        return f"chatcmpl-{self.hex_id}"

    @property
    def hex_id(self) -> str:
        return self.started.prediction_id.replace("-", "")

    @property
    def text(self) -> str:
        return "".join(self.texts)

    @property
    def refusal(self) -> str:
        return "".join(self.refusals)

    def take(self, delta: pb.TextDelta) -> dict[str, Any]:
        """Adds a piece of the answer; returns it as a chunk's delta, {} when it is empty."""
        piece: dict[str, Any] = {}
        text, refusal = delta.text, delta.refusal
        if self.as_refusal and self.started.route == pb.ROUTE_ABSTAIN:
            text, refusal = "", refusal + text
        if text:
            self.texts.append(text)
            piece["content"] = text
        if refusal:
            self.refusals.append(refusal)
            piece["refusal"] = refusal
        if delta.tool_calls_json:
            piece["tool_calls"] = self.tool_calls.add(delta.tool_calls_json)
        return piece


def completion(
    answer: Answer,
    finished: pb.AnswerFinished,
    usage: dict[str, Any],
    annotations: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """Returns the `chat.completion` of a whole answer."""
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    if answer.refusal:
        message["refusal"] = answer.refusal
    if answer.text or not (answer.tool_calls or answer.refusal):
        message["content"] = answer.text
    if answer.tool_calls:
        message["tool_calls"] = answer.tool_calls.whole()
    if annotations:
        message["annotations"] = list(annotations)
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
    """Returns what names the data, the index and the settings behind an answer.

    None when no dataset was searched.
    """
    if not finished.dataset_version:
        return None
    engine = name_of(ENGINES, finished.plan.engine)
    parts = (finished.dataset_version, finished.model_digest, engine, finished.config_digest)
    digest = blake3("\n".join(parts).encode()).hexdigest()
    return f"fp_{digest[:_FINGERPRINT_CHARS]}"


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

    def annotated(self, annotations: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Returns the one chunk that has the annotations, if there are any.

        Each has an index: the SDK's helper joins lists by it, and refuses those without.
        """
        indexed = [{"index": n, **each} for n, each in enumerate(annotations)]
        return [self._chunk({"annotations": indexed})] if indexed else []

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
    if (cost := cost_usd(finished)) is not None:
        headers.append(("x-arenalab-cost", cost))
    if finished.HasField("receipt"):
        headers.append(("x-arenalab-ledger-index", str(finished.receipt.leaf_index)))
    return headers
