"""An OpenAI-compatible provider with fixed answers: `python -m tests.stub_provider`.

It prints its port, and serves until it is told to stop. What it answers follows from the
request alone, and whole responses are made before the first request: a measurement through
it is of whoever stands in front. Words of the last message change what it does: "status:429"
answers with that error, "slowly" streams with pauses.
"""

import argparse
import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast

import httptools

from arenalab.mesh.server import new_event_loop

MODEL: Final = "stub-1"
TEXT: Final = "Ask the front desk, which is open from nine to five."
USAGE: Final = {"prompt_tokens": 11, "completion_tokens": 12, "total_tokens": 23}
_SLOW_PIECES: Final = 40
_SLOW_PAUSE_S: Final = 0.05
_STATUS: Final = re.compile(r"status:(\d{3})")
_HEAD: Final = {"id": "chatcmpl-stub", "created": 1_767_225_600, "model": MODEL}

_JSON = dict[str, Any]


@contextmanager
def running_stub() -> Iterator[str]:
    """Runs the provider as a process for the length of the block; yields its base URL."""
    command = [sys.executable, "-m", "tests.stub_provider"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None
        port = int(process.stdout.readline())
        try:
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()


def _whole(message: _JSON, finish_reason: str) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "logprobs": None}
    choices = [choice | {"finish_reason": finish_reason}]
    body = {**_HEAD, "object": "chat.completion", "choices": choices, "usage": USAGE}
    return _response(200, "application/json", json.dumps(body).encode())


def _response(status: int, kind: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} -\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _frame(choices: Sequence[_JSON], **more: Any) -> bytes:
    chunk = {**_HEAD, "object": "chat.completion.chunk", "choices": choices, **more}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def _delta(delta: _JSON, finish_reason: str | None = None) -> bytes:
    return _frame([{"index": 0, "delta": delta, "finish_reason": finish_reason}])


def _frames(pieces: Sequence[_JSON], finish_reason: str) -> list[bytes]:
    return [
        _delta({"role": "assistant", "content": ""}),
        *map(_delta, pieces),
        _delta({}, finish_reason),
        _frame([], usage=USAGE) + b"data: [DONE]\n\n",
    ]


_STREAM_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)


def _chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


_PIECES: Final = [{"content": piece} for piece in re.findall(r"\S+\s*", TEXT)]
_TEXT_WHOLE: Final = _whole({"content": TEXT}, "stop")
_TEXT_STREAM: Final = (
    _STREAM_HEAD + b"".join(map(_chunked, _frames(_PIECES, "stop"))) + _chunked(b"")
)


def example_of(schema: Mapping[str, Any]) -> Any:
    """Returns a value that a JSON schema of plain types accepts."""
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type", "string")
    if kind == "object":
        return {name: example_of(of) for name, of in schema.get("properties", {}).items()}
    if kind == "array":
        return [example_of(schema.get("items", {}))]
    return {"integer": 7, "number": 7.5, "boolean": True, "null": None}.get(kind, "Paris")


def _answer(body: _JSON) -> tuple[_JSON, str]:
    """Returns the message, and why it ends."""
    tools = body.get("tools") or []
    is_told = body["messages"][-1]["role"] == "tool"  # the result of a call: now words
    if tools and not is_told and body.get("tool_choice") != "none":
        function = tools[0]["function"]
        arguments = json.dumps(example_of(function.get("parameters", {})))
        call = {"name": function["name"], "arguments": arguments}
        calls = [{"index": 0, "id": "call_stub", "type": "function", "function": call}]
        return {"content": None, "tool_calls": calls}, "tool_calls"
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        return {"content": json.dumps(example_of(form["json_schema"].get("schema", {})))}, "stop"
    if form.get("type") == "json_object":
        return {"content": '{"city": "Paris"}'}, "stop"
    return {"content": TEXT}, "stop"


class _Connection(asyncio.Protocol):
    """One client, served one request at a time."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        for task in self._tasks:
            task.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def on_message_begin(self) -> None:
        self._body = b""

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        body = json.loads(self._body or b"{}")
        asked = str((body.get("messages") or [{}])[-1].get("content"))
        if found := _STATUS.search(asked):
            error = json.dumps({"error": {"message": "as asked", "type": "stub"}}).encode()
            self._transport.write(_response(int(found[1]), "application/json", error))
        elif body.get("stream") and "slowly" in asked:
            task = asyncio.create_task(self._stream_slowly())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self._transport.write(_reply(body))

    async def _stream_slowly(self) -> None:
        self._transport.write(_STREAM_HEAD)
        for frame in _frames([{"content": "drip "}] * _SLOW_PIECES, "stop"):
            self._transport.write(_chunked(frame))
            await asyncio.sleep(_SLOW_PAUSE_S)
        self._transport.write(_chunked(b""))


def _reply(body: _JSON) -> bytes:
    is_plain = not body.get("tools") and not body.get("response_format")
    if is_plain:
        return _TEXT_STREAM if body.get("stream") else _TEXT_WHOLE
    message, finish_reason = _answer(body)
    if not body.get("stream"):
        return _whole(message, finish_reason)
    frames = _frames([message], finish_reason)
    return _STREAM_HEAD + b"".join(map(_chunked, frames)) + _chunked(b"")


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - what the parent reads
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
