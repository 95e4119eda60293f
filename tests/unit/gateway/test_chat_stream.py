import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.gateway.asking import with_silences
from arenalab.gateway.server import bind
from arenalab.mesh import NotReadyError


def _text(text: str) -> pb.AnswerResponse:
    return pb.AnswerResponse(delta=pb.TextDelta(text=text))


async def test_a_silence_is_an_empty_event_and_loses_nothing() -> None:
    resume = asyncio.Event()

    async def events() -> AsyncIterator[pb.AnswerResponse]:
        yield _text("a")
        await resume.wait()
        yield _text("b")

    told = []
    async with aclosing(with_silences(events(), 0.001)) as stream:
        async for event in stream:
            told.append(event.delta.text)
            if len(told) == 4:
                resume.set()
    assert told[0] == "a"
    assert told[1:4] == ["", "", ""]
    assert told[-1] == "b"


async def test_an_error_passes_through() -> None:
    async def events() -> AsyncIterator[pb.AnswerResponse]:
        yield _text("a")
        raise NotReadyError("gone")

    stream = with_silences(events(), 10)
    assert (await anext(stream)).delta.text == "a"
    with pytest.raises(NotReadyError):
        await anext(stream)


async def test_leaving_early_ends_the_source() -> None:
    ended = asyncio.Event()

    async def events() -> AsyncIterator[pb.AnswerResponse]:
        try:
            await asyncio.Event().wait()
            yield _text("never")
        finally:
            ended.set()

    async with aclosing(with_silences(events(), 0.001)) as stream:
        await anext(stream)
    assert ended.is_set()


def test_the_socket_is_known_as_tcp_so_that_nothing_waits_for_acknowledgements() -> None:
    with bind("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP
