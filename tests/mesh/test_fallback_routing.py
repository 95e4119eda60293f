"""In which order Fallback asks providers, how often, and when it asks two at once."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from arenalab.api.common.v1 import routing_pb2
from arenalab.api.fallback.v1 import fallback_service_pb2 as pb
from arenalab.fallback.prices import Price
from arenalab.fallback.terms import ProviderTerms
from arenalab.mesh import (
    BudgetSpentError,
    InvalidInputError,
    NotFoundError,
    NotReadyError,
    Reason,
)

from .scripted_provider import (
    HELLO,
    Case,
    Exchange,
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

ROLE = frame(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}}])


def priced(micros: int, **terms: Any) -> ProviderTerms:
    return ProviderTerms(price=Price(input=micros, output=micros), **terms)


def answered(events: list[pb.CompleteResponse]) -> str:
    return events[0].started.provider


async def test_the_cheapest_is_asked_first_and_the_one_of_unknown_price_last() -> None:
    terms = {"b": priced(2_000_000), "c": priced(1_000_000)}
    providers = Provider([hello]), Provider([hello]), Provider([status(500), status(500), hello])
    async with fallback(*providers, terms=terms, routing="cheapest", max_retries=0) as case:
        assert answered(await case.complete()) == "b"
        assert answered(await case.complete()) == "b"
        assert answered(await case.complete()) == "c"
        assert not providers[0].got


async def test_a_call_may_choose_its_routing() -> None:
    terms = {"a": priced(2_000_000), "b": priced(1_000_000)}
    async with fallback(Provider([hello]), Provider([hello]), terms=terms) as case:
        assert answered(await case.complete()) == "a"
        cheapest = routing_pb2.ROUTING_CHEAPEST
        assert answered(await case.complete(routing=cheapest)) == "b"
        assert answered(await case.complete(routing=cheapest, provider="a")) == "a"
        with pytest.raises(InvalidInputError):
            await case.complete(routing=99)


async def test_weights_draw_the_first_and_weight_0_waits_for_a_failure() -> None:
    terms = {"a": ProviderTerms(weight=0), "b": ProviderTerms(weight=1)}
    second = Provider([hello, hello, hello, status(400), status(404)])
    async with fallback(Provider([hello]), second, terms=terms, routing="weighted") as case:
        assert Counter([answered(await case.complete()) for _ in range(3)]) == {"b": 3}
        with pytest.raises(InvalidInputError):
            await case.complete()
        assert answered(await case.complete()) == "a"


async def test_the_fastest_is_asked_once_all_have_been_measured() -> None:
    gate = asyncio.Event()

    async def late(exchange: Exchange) -> None:
        await gate.wait()
        await hello(exchange)

    slow, fast = Provider([late]), Provider([hello])
    async with fallback(slow, fast, routing="fastest") as case:
        waiting = asyncio.ensure_future(case.complete())
        await slow.asked.wait()
        # While one call measures the first, others go to the second.
        assert answered(await case.complete()) == "b"
        gate.set()
        assert answered(await waiting) == "a"
        assert answered(await case.complete()) == "b"
        listed = await case.listed()
    assert listed["a"].time_to_first_token_ms > listed["b"].time_to_first_token_ms > 0


async def test_a_model_alone_goes_to_those_whose_patterns_match() -> None:
    terms = {"b": ProviderTerms(models=("gpt-*",))}
    providers = Provider([hello]), Provider([hello])
    async with fallback(*providers, terms=terms) as case:
        assert answered(await case.complete(model="gpt-4o")) == "b"
        assert answered(await case.complete(model="other")) == "a"
        assert answered(await case.complete(model="small")) == "a"
        assert answered(await case.complete(model="other", provider="b")) == "b"
        assert list((await case.listed())["b"].model_patterns) == ["gpt-*"]
    assert providers[1].got[0].body["model"] == "gpt-4o"


async def test_a_model_that_no_provider_claims_is_unknown() -> None:
    terms = {"a": ProviderTerms(models=("gpt-*",))}
    provider = Provider([hello])
    async with fallback(provider, terms=terms) as case:
        with pytest.raises(NotFoundError) as caught:
            await case.complete(model="claude-x")
    assert caught.value.reason is Reason.UNKNOWN_MODEL
    assert not provider.got


@pytest.mark.parametrize(
    "trouble", [status(429), status(500), stream(ROLE, 'data: {"error": {"message": "x"}}\n\n')]
)
async def test_a_model_that_keeps_failing_leaves_the_others_alone(trouble: Play) -> None:
    async def by_model(exchange: Exchange) -> None:
        await (trouble if exchange.body["model"] == "bad" else hello)(exchange)

    async with fallback(
        Provider([by_model]), breaker_failures=2, breaker_pause_s=100, max_retries=0
    ) as case:
        for n in range(3):
            with pytest.raises(NotReadyError) as caught:
                await case.complete(model="bad")
            assert (caught.value.metadata["status"] == "breaker_open") is (n == 2)
        assert text_of(await case.complete(model="good"))
        listed = (await case.listed())["a"]
    assert {m.name: m.breaker for m in listed.models} == {
        "small": pb.BREAKER_STATE_CLOSED,
        "bad": pb.BREAKER_STATE_OPEN,
        "good": pb.BREAKER_STATE_CLOSED,
    }
    assert listed.breaker == pb.BREAKER_STATE_OPEN


@pytest.mark.parametrize("trouble", [drop, status(401)])
async def test_what_concerns_all_models_stops_the_provider(trouble: Play) -> None:
    provider = Provider([trouble])
    async with fallback(provider, breaker_failures=2, breaker_pause_s=100, max_retries=0) as case:
        for model in ("one", "two", "three"):
            with pytest.raises(NotReadyError) as caught:
                await case.complete(model=model)
    assert caught.value.metadata["status"] == "breaker_open"
    assert len(provider.got) == 2


async def test_an_unknown_model_opens_no_breaker() -> None:
    async with fallback(Provider([status(404)]), breaker_failures=1, breaker_pause_s=100) as case:
        for _ in range(3):
            with pytest.raises(NotFoundError):
                await case.complete(model="nothing")


async def test_a_provider_that_opens_a_stream_and_says_nothing_is_passed_over() -> None:
    silent, second = Provider([hanging(ROLE)]), Provider([hello])
    async with fallback(silent, second, first_token_timeout_s=0.2) as case:
        assert answered(await case.complete()) == "b"
        await silent.left.wait()


async def test_trouble_between_the_role_and_the_first_token_is_the_next_providers() -> None:
    async with fallback(Provider([stream(ROLE)]), Provider([hello])) as case:
        assert answered(await case.complete()) == "b"


async def test_an_answer_without_a_word_is_an_answer() -> None:
    empty = stream(ROLE, frame(choices=[], usage={"prompt_tokens": 3}), "data: [DONE]\n\n")
    async with fallback(Provider([empty])) as case:
        events = await case.complete()
    assert [e.WhichOneof("event") for e in events] == ["started", "finished"]
    assert events[-1].finished.prompt_tokens == 3


async def test_the_total_time_bounds_an_answer_that_goes_on_and_on() -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.stream(delta("Hel"))
        assert await exchange.reader.read() == b""
        exchange.left.set()

    provider = Provider([endless])
    async with fallback(provider, total_timeout_s=0.3) as case:
        events = aiter(case.stub.Complete(pb.CompleteRequest(messages=[user("Hi")])))
        assert (await anext(events)).HasField("started")
        assert (await anext(events)).delta.text == "Hel"
        with pytest.raises(NotReadyError, match="longer than") as caught:
            await anext(events)
        await provider.left.wait()
        assert (await case.listed())["a"].breaker == pb.BREAKER_STATE_CLOSED
    assert caught.value.metadata["status"] == "timeout"


async def test_the_total_time_bounds_all_that_is_tried_before_an_answer() -> None:
    first, second = Provider([hanging()]), Provider([hanging()])
    async with fallback(first, second, total_timeout_s=0.4, first_token_timeout_s=0.25) as case:
        with pytest.raises(NotReadyError, match="has begun to answer"):
            await case.complete()
        await first.left.wait()
        await second.left.wait()


async def test_a_full_provider_is_passed_over_and_the_last_one_says_so() -> None:
    terms = {"a": ProviderTerms(max_concurrent=1), "b": ProviderTerms(max_concurrent=1)}
    busy = [hanging(*HELLO[:3]), hello]
    first, second = Provider(busy), Provider(busy)
    async with fallback(first, second, terms=terms) as case:
        calls, reading = [], []
        for name in "ab":  # one after the other: a call begins when it is made
            calls.append(case.stub.Complete(pb.CompleteRequest(messages=[user("Hi")])))
            reading.append(aiter(calls[-1]))
            assert (await anext(reading[-1])).started.provider == name
        with pytest.raises(BudgetSpentError) as caught:
            await case.complete()
        assert caught.value.reason is Reason.OVERLOADED
        assert case.calls("a", "full") == 2
        listed = await case.listed()
        assert (listed["a"].running, listed["a"].max_concurrent) == (1, 1)
        for call, provider in zip(calls, (first, second), strict=True):
            call.cancel()
            await provider.left.wait()
        await case.idle()
        assert answered(await case.complete()) == "a"


@pytest.mark.parametrize(("asked_for_s", "least_s"), [("1", 1.0), ("0", 0.0)])
async def test_a_pause_is_what_the_provider_asks_for_and_a_random_part_of_ours(
    monkeypatch: pytest.MonkeyPatch, asked_for_s: str, least_s: float
) -> None:
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def without_waiting(pause_s: float) -> None:
        pauses.append(pause_s)
        await sleep(0)

    monkeypatch.setattr("arenalab.fallback.opening.sleep", without_waiting)
    trouble = status(503, "busy", f"retry-after: {asked_for_s}")
    provider = Provider([trouble] * 3 + [hello] + [trouble])
    async with fallback(provider, retry_pause_s=0.5, max_retries=3, breaker_failures=99) as case:
        assert (await case.complete())[0].started.attempts == 4
        await asyncio.gather(case.complete(), return_exceptions=True)
    ours = [pause_s - least_s for pause_s in pauses if pause_s >= least_s]
    assert len(ours) == 5  # 3, and the 2 that the budget has left
    for pause_s, most_s in zip(ours, (0.5, 1.0, 2.0, 0.5, 1.0), strict=True):
        assert 0 <= pause_s <= most_s
    assert len(set(ours)) == 5


async def ended(case: Case, outcome: str) -> float:
    return case.sample("arenalab_provider_hedges_total", outcome=outcome)


async def test_a_slow_first_token_is_raced_by_the_next_provider() -> None:
    slow, second = Provider([hanging()]), Provider([hello])
    async with fallback(slow, second, hedge_after_s=0.02) as case:
        events = await case.complete()
        await slow.left.wait()  # the loser is cut off
        assert case.calls("a", "cancelled") == 1
        assert await ended(case, "won") == 1
        assert (await case.listed())["a"].running == 0
    assert text_of(events) == "See [2] and [1]."
    started = events[0].started
    assert (started.provider, started.hedged, started.attempts) == ("b", True, 2)


async def test_a_race_that_the_first_wins_cuts_the_second_off() -> None:
    second = Provider([hanging()])

    async def late(exchange: Exchange) -> None:
        await second.asked.wait()
        await hello(exchange)

    async with fallback(Provider([late]), second, hedge_after_s=0.02) as case:
        events = await case.complete()
        await second.left.wait()
        assert await ended(case, "lost") == 1
        assert case.calls("b", "cancelled") == 1
    started = events[0].started
    assert (started.provider, started.hedged, started.attempts) == ("a", False, 2)


async def test_a_fast_answer_is_not_raced() -> None:
    second = Provider([hello])
    async with fallback(Provider([hello]), second, hedge_after_s=5.0) as case:
        assert not (await case.complete())[0].started.hedged
    assert not second.got


async def test_a_race_whose_second_fails_is_the_firsts() -> None:
    async def fails(exchange: Exchange) -> None:
        await exchange.answer(404, {})
        second.left.set()

    second = Provider([fails])

    async def late(exchange: Exchange) -> None:
        await second.left.wait()
        await hello(exchange)

    async with fallback(Provider([late]), second, hedge_after_s=0.02) as case:
        assert answered(await case.complete()) == "a"


async def test_a_race_that_all_lose_tells_why() -> None:
    gate = asyncio.Event()

    async def late(exchange: Exchange) -> None:
        await gate.wait()
        await exchange.answer(503, {"error": {"message": "first"}}, "retry-after: 60")

    async def fails(exchange: Exchange) -> None:
        await exchange.answer(404, {})
        gate.set()

    async with fallback(Provider([late]), Provider([fails]), hedge_after_s=0.02) as case:
        with pytest.raises(NotReadyError, match="first"):
            await case.complete()


async def test_a_caller_that_leaves_a_race_stops_both() -> None:
    first, second = Provider([hanging()]), Provider([hanging()])
    async with fallback(first, second, hedge_after_s=0.02) as case:
        waiting = asyncio.ensure_future(case.complete())
        await second.asked.wait()
        waiting.cancel()
        await first.left.wait()
        await second.left.wait()


async def test_races_end_when_the_budget_of_retries_is_spent() -> None:
    async with fallback(
        Provider([*[hanging()] * 5, status(404)]), Provider([hello]), hedge_after_s=0.005
    ) as case:
        raced = [(await case.complete())[0].started.hedged for _ in range(8)]
    assert raced == [True] * 5 + [False] * 3
