"""The events of a streamed response, in the order and with the numbers that clients need.

An item opens when its first piece comes, and the next one's opening closes nothing: all
close at the end, in the order of the output, since only then the citations are known.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from arenalab.gateway.completion import Answer
from arenalab.gateway.errors import ApiError
from arenalab.gateway.responses.response import (
    call_item,
    failed,
    message,
    refusal_part,
    response,
    skeleton,
    text_part,
)
from arenalab.gateway.usage import Usage

Event = dict[str, Any]


@dataclass(slots=True)
class _Item:
    """An item that is open."""

    index: int  # in the response's output
    id: str
    parts: list[str] = field(default_factory=list)  # kinds of the message's parts, as opened


class Events:
    """Makes the events of one answer."""

    def __init__(self, answer: Answer, echo: Mapping[str, Any]) -> None:
        self._answer = answer
        self._echo = echo
        self._sequence = 0
        self._message: _Item | None = None
        self._calls: dict[int, _Item] = {}  # by the index of the tool call
        self._opened = 0

    def begin(self) -> list[Event]:
        """Returns the events before any output."""
        begun = skeleton(self._answer, self._echo)
        return [
            self._event("response.created", response=begun),
            self._event("response.in_progress", response=begun),
        ]

    def piece(self, delta: Mapping[str, Any]) -> list[Event]:
        """Returns the events of a piece, which comes as a chat chunk's delta."""
        if not delta:
            return [self._still_here()]
        events: list[Event] = []
        if text := delta.get("content"):
            events += self._say("output_text", text)
        if refusal := delta.get("refusal"):
            events += self._say("refusal", refusal)
        for call in delta.get("tool_calls", ()):
            events += self._call(call)
        return events

    def end(self, usage: Usage, citations: Sequence[Mapping[str, Any]]) -> list[Event]:
        """Returns the events that close a whole answer."""
        final = response(self._answer, self._echo, usage, [dict(each) for each in citations])
        events: list[Event] = []
        for index in self._answer.tool_calls.indexes:
            events += [] if index in self._calls else self._open_call(index)
        if self._message is None and not self._calls:
            events += self._open_part("output_text")[1]  # an answer of no words is a text too
        for item in final["output"]:
            if item["type"] == "message":
                events += self._close_message(item)
            else:
                events += self._close_call(item)
        # As opened: a call may have come before the first word.
        final["output"] = [
            event["item"] for event in sorted(_done(events), key=lambda each: each["output_index"])
        ]
        return [*events, self._event(f"response.{final['status']}", response=final)]

    def fail(self, error: ApiError) -> list[Event]:
        """Returns the events that end an answer that broke off."""
        body = {"code": error.code, "message": str(error), "param": error.param}
        broken = failed(self._answer, self._echo, error)
        return [self._event("error", **body), self._event("response.failed", response=broken)]

    def _event(self, kind: str, **members: Any) -> Event:
        number = self._sequence
        self._sequence += 1
        return {"type": kind, "sequence_number": number, **members}

    def _still_here(self) -> Event:
        """An event that adds nothing: clients give up on a stream that is silent for long."""
        if self._message is not None and self._message.parts[-1] == "output_text":
            return self._delta_of_part(self._message, "output_text", "")
        return self._event("response.in_progress", response=skeleton(self._answer, self._echo))

    def _say(self, kind: str, text: str) -> list[Event]:
        opened, events = self._open_part(kind)
        return [*events, self._delta_of_part(opened, kind, text)]

    def _open_part(self, kind: str) -> tuple[_Item, list[Event]]:
        """Returns the message with a part of a kind open, and the events that opened it."""
        opened, events = self._open_message()
        if kind in opened.parts:
            return opened, events
        opened.parts.append(kind)
        part = text_part("") if kind == "output_text" else refusal_part("")
        added = self._event("response.content_part.added", **_place(opened, kind), part=part)
        return opened, [*events, added]

    def _open_message(self) -> tuple[_Item, list[Event]]:
        if self._message is not None:
            return self._message, []
        item = message(self._answer, "in_progress", [])
        opened = self._message = self._new(item["id"])
        added = self._event("response.output_item.added", output_index=opened.index, item=item)
        return opened, [added]

    def _delta_of_part(self, opened: _Item, kind: str, text: str) -> Event:
        extra: dict[str, Any] = {"logprobs": []} if kind == "output_text" else {}
        return self._event(f"response.{kind}.delta", **_place(opened, kind), delta=text, **extra)

    def _call(self, call: Mapping[str, Any]) -> list[Event]:
        index = call["index"]
        whole = self._answer.tool_calls.call(index)
        if (opened := self._calls.get(index)) is not None:
            arguments = call.get("function", {}).get("arguments", "")
            return self._delta_of_call(opened, arguments)
        # What it calls, and by which id, is told when the item opens, once and for all.
        return self._open_call(index) if whole["id"] and whole["function"]["name"] else []

    def _open_call(self, index: int) -> list[Event]:
        item = call_item(self._answer, index, "in_progress")
        arguments, item["arguments"] = item["arguments"], ""
        opened = self._calls[index] = self._new(item["id"])
        added = self._event("response.output_item.added", output_index=opened.index, item=item)
        return [added, *self._delta_of_call(opened, arguments)]

    def _delta_of_call(self, opened: _Item, arguments: str) -> list[Event]:
        if not arguments:
            return []
        kind = "response.function_call_arguments.delta"
        where = {"item_id": opened.id, "output_index": opened.index}
        return [self._event(kind, **where, delta=arguments)]

    def _new(self, item_id: str) -> _Item:
        self._opened += 1
        return _Item(self._opened - 1, item_id)

    def _close_message(self, item: dict[str, Any]) -> Iterator[Event]:
        opened = self._message
        if opened is None:
            return
        by_kind = {part["type"]: part for part in item["content"]}
        item["content"] = [by_kind[kind] for kind in opened.parts]
        for kind in opened.parts:
            close = self._close_text if kind == "output_text" else self._close_refusal
            yield from close(opened, by_kind[kind])
            yield self._event(
                "response.content_part.done", **_place(opened, kind), part=by_kind[kind]
            )
        yield self._event("response.output_item.done", output_index=opened.index, item=item)

    def _close_text(self, opened: _Item, part: Mapping[str, Any]) -> Iterator[Event]:
        place = _place(opened, "output_text")
        for number, annotation in enumerate(part["annotations"]):
            yield self._event(
                "response.output_text.annotation.added",
                **place,
                annotation_index=number,
                annotation=annotation,
            )
        yield self._event("response.output_text.done", **place, text=part["text"], logprobs=[])

    def _close_refusal(self, opened: _Item, part: Mapping[str, Any]) -> Iterator[Event]:
        place = _place(opened, "refusal")
        yield self._event("response.refusal.done", **place, refusal=part["refusal"])

    def _close_call(self, item: dict[str, Any]) -> Iterator[Event]:
        opened = next(each for each in self._calls.values() if each.id == item["id"])
        where = {"item_id": opened.id, "output_index": opened.index}
        yield self._event(
            "response.function_call_arguments.done",
            **where,
            name=item["name"],
            arguments=item["arguments"],
        )
        yield self._event("response.output_item.done", output_index=opened.index, item=item)


def _done(events: Sequence[Event]) -> list[Event]:
    return [event for event in events if event["type"] == "response.output_item.done"]


def _place(opened: _Item, kind: str) -> dict[str, Any]:
    return {
        "item_id": opened.id,
        "output_index": opened.index,
        "content_index": opened.parts.index(kind),
    }
