"""What Fallback does when a provider or a caller is in trouble."""

import asyncio
import logging

import pytest

from arenalab.api.fallback.v1 import fallback_service_pb2 as pb
from arenalab.api.fallback.v1 import fallback_service_pb2_grpc as pb_grpc
from arenalab.fallback.config import FallbackConfig, ProviderConfig
from arenalab.fallback.wiring import running_fallback
from arenalab.mesh import (
    BudgetSpentError,
    DeadlineError,
    InvalidInputError,
    MeshError,
    NotFoundError,
    NotReadyError,
    Reason,
    Telemetry,
    connect,
)

from .scripted_provider import (
    HELLO,
    KEY,
    Play,
    Provider,
    delta,
    drop,
    fallback,
    frame,
    hanging,
    hello,
    status,
    stream,
    text_of,
    user,
)


@pytest.mark.parametrize(
    "trouble",
    [
        drop,
        status(500),
        status(503, "busy", "retry-after: 0"),
        status(429, "slow down", "retry-after: 0"),
    ],
)
async def test_trouble_that_may_pass_is_asked_once_more(trouble: Play) -> None:
    provider = Provider([trouble, hello])
    async with fallback(provider) as case:
        events = await case.complete()
        assert case.calls("a", "failed") == 1
        assert case.calls("a", "ok") == 1
    assert events[0].started.attempts == 2
    assert text_of(events) == "See [2] and [1]."


@pytest.mark.parametrize(
    ("trouble", "asked"),
    [
        (drop, 2),
        (status(500), 2),
        (status(500, "later", "retry-after: 60"), 1),
        (status(429), 1),
        (status(401), 1),
        (status(403), 1),
        (status(404), 1),
        (status(307, "away", "location: http://127.0.0.1:9/"), 1),
        (stream("data: [DONE]\n\n"), 1),
        (stream(), 1),
        (stream("data: {not json}\n\n"), 1),
        (stream("data: 7\n\n"), 1),
        (stream("data: " + "x" * 1_100_000), 1),
        (stream('data: {"error": {"message": "no memory"}}\n\n'), 1),
    ],
)
async def test_the_next_provider_answers_when_one_cannot(trouble: Play, asked: int) -> None:
    first, second = Provider([trouble]), Provider([hello])
    async with fallback(first, second) as case:
        events = await case.complete()
    assert events[0].started.provider == "b"
    assert events[0].started.attempts == asked + 1
    assert len(first.got) == asked


async def test_a_provider_that_is_not_there_is_passed_over() -> None:
    gone, second = Provider([hello]), Provider([hello])
    async with gone.running():
        pass
    async with second.running():
        providers = tuple(
            ProviderConfig(name=n, base_url=p.base_url, default_model="m")
            for n, p in (("a", gone), ("b", second))
        )
        config = FallbackConfig(address="127.0.0.1:0", providers=providers, retry_pause_s=0)
        async with (
            running_fallback(config, Telemetry("fallback")) as port,
            connect(f"127.0.0.1:{port}", Telemetry("test")) as channel,
        ):
            stub = pb_grpc.FallbackServiceStub(channel)
            request = pb.CompleteRequest(messages=[user("Hi")])
            events = [event async for event in stub.Complete(request)]
    assert events[0].started.provider == "b"
    assert "authorization" not in second.got[0].headers


async def test_a_provider_that_sends_nothing_in_time_is_passed_over() -> None:
    first, second = Provider([hanging()]), Provider([hello])
    async with fallback(first, second, first_token_timeout_s=0.05) as case:
        events = await case.complete()
        await first.left.wait()
    assert events[0].started.provider == "b"


@pytest.mark.parametrize(
    "pieces",
    [
        (delta("Hel"),),
        (delta("Hel"), 'data: {"error": {"message": "no memory"}}\n\n'),
        (delta("Hel"), "data: {not json}\n\n"),
        (delta("Hel"), "data: " + "x" * 1_100_000 + "\n\n"),
    ],
)
async def test_trouble_after_the_first_piece_ends_the_call(pieces: tuple[str, ...]) -> None:
    first, second = Provider([stream(*pieces)]), Provider([hello])
    async with fallback(first, second) as case:
        events = aiter(case.stub.Complete(pb.CompleteRequest(messages=[user("Hi")])))
        seen = [await anext(events), await anext(events)]
        with pytest.raises(NotReadyError) as caught:
            await anext(events)
        assert case.calls("a", "broken") == 1
    assert text_of(seen) == "Hel"
    assert caught.value.reason is Reason.PROVIDER_FAILED
    assert caught.value.metadata["provider"] == "a"
    assert not second.got


@pytest.mark.parametrize(
    ("trouble", "kind", "reason", "message"),
    [
        (status(400, "no tools"), InvalidInputError, Reason.INVALID_ARGUMENT, "no tools"),
        (status(404), NotFoundError, Reason.UNKNOWN_MODEL, "'small'"),
        (status(401, f"bad {KEY}"), NotReadyError, Reason.PROVIDER_FAILED, "does not accept"),
        (status(400, f"bad {KEY}"), InvalidInputError, Reason.INVALID_ARGUMENT, r"bad \[key\]"),
        (status(500, f"bad {KEY}"), NotReadyError, Reason.PROVIDER_FAILED, r"bad \[key\]"),
        (stream(frame(error={"message": f"bad {KEY}"})), NotReadyError, None, r"bad \[key\]"),
        (stream(": only a comment\n\n"), NotReadyError, Reason.PROVIDER_FAILED, "broke off"),
    ],
)
async def test_the_last_providers_trouble_is_the_callers_error(
    trouble: Play, kind: type[MeshError], reason: Reason | None, message: str
) -> None:
    async with fallback(Provider([trouble])) as case:
        with pytest.raises(kind, match=message) as caught:
            await case.complete()
    assert caught.value.reason is (reason or Reason.PROVIDER_FAILED)
    assert KEY not in str(caught.value)


async def test_a_key_is_in_no_log_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with fallback(Provider([status(401, f"bad {KEY}"), hello])) as case:
        with pytest.raises(NotReadyError):
            await case.complete()
        await case.complete()
    assert caplog.records
    assert KEY not in caplog.text


async def test_a_request_that_one_provider_refuses_is_not_sent_to_the_next() -> None:
    first, second = Provider([status(400)]), Provider([hello])
    async with fallback(first, second) as case:
        with pytest.raises(InvalidInputError):
            await case.complete()
        assert case.calls("a", "refused") == 1
    assert not second.got


async def test_a_named_provider_is_the_only_one_asked() -> None:
    first, second = Provider([hello]), Provider([status(500)])
    async with fallback(first, second) as case:
        with pytest.raises(NotReadyError):
            await case.complete(provider="b")
    assert not first.got


async def test_a_deadline_ends_a_provider_that_never_answers() -> None:
    provider = Provider([hanging()])
    async with fallback(provider) as case:
        with pytest.raises(DeadlineError):
            await case.complete(timeout_s=0.1)
        await provider.left.wait()


@pytest.mark.parametrize("pieces", [(), HELLO[:3]])
async def test_a_caller_that_leaves_stops_the_provider(pieces: tuple[str, ...]) -> None:
    provider = Provider([hanging(*pieces)])
    async with fallback(provider) as case:
        call = case.stub.Complete(pb.CompleteRequest(messages=[user("Hi")]))
        events = aiter(call)
        if pieces:
            assert (await anext(events)).HasField("started")
            assert (await anext(events)).delta.text == "See [2]"
            call.cancel()
        else:
            waiting = asyncio.ensure_future(anext(events))
            await provider.asked.wait()
            waiting.cancel()
        await provider.left.wait()


async def test_one_completion_too_many_is_refused_at_once() -> None:
    provider = Provider([hanging(*HELLO[:3]), hello])
    async with fallback(provider, max_concurrent=1) as case:
        running = case.stub.Complete(pb.CompleteRequest(messages=[user("Hi")]))
        events = aiter(running)
        await anext(events)
        with pytest.raises(BudgetSpentError) as caught:
            await case.complete()
        assert caught.value.reason is Reason.OVERLOADED
        running.cancel()
        await provider.left.wait()
        assert text_of(await case.complete())


async def test_a_provider_that_keeps_failing_is_left_alone_and_shown_so() -> None:
    first, second = Provider([status(429)]), Provider([hello])
    async with fallback(first, second, breaker_failures=2, breaker_pause_s=100) as case:
        for _ in range(4):
            assert (await case.complete())[0].started.provider == "b"
        with pytest.raises(NotReadyError) as caught:
            await case.complete(provider="a")
        listed = (await case.stub.ListProviders(pb.ListProvidersRequest())).providers
        assert case.calls("a", "skipped") == 3
    assert caught.value.metadata == {"provider": "a", "status": "breaker_open"}
    assert len(first.got) == 2
    assert [p.breaker for p in listed] == [pb.BREAKER_STATE_OPEN, pb.BREAKER_STATE_CLOSED]


async def test_retries_stop_when_their_budget_is_spent() -> None:
    provider = Provider([status(500)])
    async with fallback(provider, breaker_failures=1000) as case:
        for _ in range(20):
            with pytest.raises(NotReadyError):
                await case.complete()
    assert 20 + 5 <= len(provider.got) <= 20 + 5 + 2
