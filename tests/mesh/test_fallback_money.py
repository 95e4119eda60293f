"""What Fallback spends: caps, limits, and the cost that every call reports."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path

import pytest

from arenalab.api.common.v1 import credential_pb2
from arenalab.api.fallback.v1 import fallback_service_pb2 as pb
from arenalab.fallback.prices import Entry, Price, PriceTable, write_table
from arenalab.fallback.terms import ProviderTerms
from arenalab.mesh import BudgetSpentError, MeshError, NotReadyError, Reason

from .scripted_provider import (
    Case,
    Exchange,
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

# A dollar for a million input tokens and two for output: 7 and 5 of `hello` cost 17.
PRICE = Price(input=1_000_000, output=2_000_000)
HELLO_COST = 17
# Of "Which port?": 4 for the text, and 7 for "role", "user" and "content". With the 5
# tokens that are expected when max_tokens is 5:
PROMPT = 11
ONE = PROMPT + 10


def priced(cap: int | None = None, price: Price | None = PRICE) -> ProviderTerms:
    return ProviderTerms(price=price, daily_cap_usd_micros=cap)


def cost_of(events: list[pb.CompleteResponse]) -> int | None:
    finished = events[-1].finished
    return finished.cost_usd_micros if finished.HasField("cost_usd_micros") else None


async def spent(case: Case) -> dict[str, int]:
    return {name: p.spent_usd_micros for name, p in (await case.listed()).items()}


async def test_a_call_reports_what_it_cost_and_the_counters_add_it_up() -> None:
    async with fallback(Provider([hello]), terms={"a": priced()}) as case:
        assert [cost_of(await case.complete()) for _ in range(2)] == [HELLO_COST] * 2
        assert await spent(case) == {"a": 2 * HELLO_COST}
        labels = {"provider": "a", "model": "small"}
        assert case.sample("arenalab_provider_cost_usd_micros_total", **labels) == 2 * HELLO_COST
        assert case.sample("arenalab_provider_tokens_total", **labels, kind="input") == 14
        assert case.sample("arenalab_provider_tokens_total", **labels, kind="output") == 10
        (model,) = (await case.listed())["a"].models
        assert model.input_usd_micros_per_million == PRICE.input
        assert model.output_usd_micros_per_million == PRICE.output
    assert [dict(s.attributes or {})["arenalab.cost_usd_micros"] for s in case.chats()] == [17, 17]


async def test_cached_tokens_cost_what_they_cost() -> None:
    details = {"prompt_tokens": 10, "completion_tokens": 1}
    usage = {**details, "prompt_tokens_details": {"cached_tokens": 8}}
    play = stream(delta("Hi", finish_reason="stop"), frame(choices=[], usage=usage))
    price = Price(input=1_000_000, output=2_000_000, cached_input=500_000)
    async with fallback(Provider([play]), terms={"a": priced(price=price)}) as case:
        events = await case.complete()
    assert cost_of(events) == 2 + 4 + 2
    assert events[-1].finished.cached_prompt_tokens == 8


@pytest.mark.parametrize("price", [None, PRICE])
async def test_a_cost_that_nobody_knows_is_absent(price: Price | None) -> None:
    uncounted = stream(delta("Hi", finish_reason="stop"), "data: [DONE]\n\n")
    play = hello if price is None else uncounted
    async with fallback(Provider([play]), terms={"a": priced(price=price)}) as case:
        assert cost_of(await case.complete()) is None


async def test_what_a_provider_did_not_work_on_costs_nothing() -> None:
    first = Provider([drop, status(500), status(429)])
    async with fallback(first, Provider([hello]), terms={"a": priced(), "b": priced()}) as case:
        assert cost_of(await case.complete()) == HELLO_COST
        assert await spent(case) == {"a": 0, "b": HELLO_COST}


async def test_what_was_given_up_counts_with_its_prompt() -> None:
    async with fallback(
        Provider([hanging()]), Provider([hello]), terms={"a": priced(), "b": priced()},
        hedge_after_s=0.02,
    ) as case:  # fmt: skip
        assert cost_of(await case.complete()) == PROMPT + HELLO_COST
        assert await spent(case) == {"a": PROMPT, "b": HELLO_COST}


async def test_an_answer_that_its_reader_leaves_counts_with_its_text() -> None:
    provider = Provider([hanging(delta("123456789"))])
    async with fallback(provider, terms={"a": priced()}) as case:
        call = case.stub.Complete(pb.CompleteRequest(messages=[user("Which port?")]))
        events = aiter(call)
        await anext(events)
        assert (await anext(events)).delta.text == "123456789"
        call.cancel()
        await provider.left.wait()
        await case.idle()
        assert await spent(case) == {"a": PROMPT + 3 * 2}


async def test_a_daily_cap_sends_the_rest_to_the_next_provider(tmp_path: Path) -> None:
    first, second = Provider([hello]), Provider([hello])
    terms = {"a": priced(cap=2 * ONE), "b": priced()}
    path = tmp_path / "spending.json"
    async with fallback(first, second, terms=terms, spending_path=path) as case:
        answered = [(await case.complete(max_tokens=5))[0].started.provider for _ in range(3)]
        assert answered == ["a", "a", "b"]
        assert case.calls("a", "capped") == 1
        listed = (await case.listed())["a"]
        assert (listed.spent_usd_micros, listed.cap_usd_micros) == (2 * HELLO_COST, 2 * ONE)
    # What was spent outlasts the process.
    async with fallback(first, second, terms=terms, spending_path=path) as case:
        with pytest.raises(BudgetSpentError) as caught:
            await case.complete(provider="a", max_tokens=5)
    assert caught.value.reason is Reason.SPEND_CAP
    assert caught.value.metadata == {"provider": "a", "cap_usd_micros": str(2 * ONE)}
    assert json.loads(path.read_text())["spent_usd_micros"] == {"a": 34, "b": 17}


async def test_calls_at_once_do_not_pass_the_cap_of_all_providers(tmp_path: Path) -> None:
    provider = Provider([hello])
    cap = format(5 * ONE / 1e6, "f")
    async with fallback(
        provider, terms={"a": priced()}, daily_cap_usd=cap, spending_path=tmp_path / "s.json"
    ) as case:
        calls = [case.complete(max_tokens=5) for _ in range(12)]
        got = await asyncio.gather(*calls, return_exceptions=True)
        assert (await spent(case))["a"] <= 5 * ONE
    refused = [each for each in got if isinstance(each, MeshError)]
    assert {error.reason for error in refused} == {Reason.SPEND_CAP}
    assert len(provider.got) == 12 - len(refused) >= 5


async def test_a_cap_that_cannot_count_lets_nothing_through(tmp_path: Path) -> None:
    provider = Provider([hello])
    terms = {"a": priced(cap=10**9, price=None)}
    async with fallback(provider, terms=terms, spending_path=tmp_path / "s.json") as case:
        with pytest.raises(BudgetSpentError, match="price") as caught:
            await case.complete()
    assert caught.value.reason is Reason.SPEND_CAP
    assert not provider.got


async def test_a_callers_own_key_spends_the_callers_own_money(tmp_path: Path) -> None:
    credential = credential_pb2.ProviderCredential(provider="a", api_key="sk-callers")
    terms = {"a": priced(cap=0)}
    path = tmp_path / "s.json"
    async with fallback(Provider([hello]), terms=terms, spending_path=path) as case:
        assert cost_of(await case.complete(credentials=[credential])) == HELLO_COST
        assert await spent(case) == {"a": 0}
        with pytest.raises(BudgetSpentError):
            await case.complete()


async def test_a_limit_of_cost_passes_over_the_dear_and_the_unknown() -> None:
    dear, unknown, cheap = Provider([hello]), Provider([hello]), Provider([hello])
    terms = {"a": priced(price=Price(input=10**9, output=10**9)), "c": priced()}
    async with fallback(dear, unknown, cheap, terms=terms) as case:
        events = await case.complete(max_cost_usd_micros=ONE, max_tokens=5)
        assert events[0].started.provider == "c"
        with pytest.raises(BudgetSpentError, match="a 16000, b unknown, c 21") as caught:
            await case.complete(max_cost_usd_micros=ONE - 1, max_tokens=5)
    assert caught.value.reason is Reason.SPEND_CAP
    assert not dear.got
    assert not unknown.got


async def test_a_race_must_fit_into_the_limit_of_cost() -> None:
    terms = {"a": priced(), "b": priced()}
    for limit, races in ((2 * ONE, True), (2 * ONE - 1, False)):
        second = Provider([hello])

        async def late(exchange: Exchange, second: Provider = second) -> None:
            with suppress(TimeoutError):
                await asyncio.wait_for(second.asked.wait(), 0.2)
            await hello(exchange)

        async with fallback(Provider([late]), second, terms=terms, hedge_after_s=0.01) as case:
            await case.complete(max_cost_usd_micros=limit, max_tokens=5)
        assert bool(second.got) is races


async def test_a_failure_is_told_before_a_cap(tmp_path: Path) -> None:
    terms = {"a": priced(cap=0), "b": priced()}
    path = tmp_path / "s.json"
    failing = Provider([status(401)])
    async with fallback(Provider([hello]), failing, terms=terms, spending_path=path) as case:
        with pytest.raises(NotReadyError):
            await case.complete()


async def test_prices_of_a_file_are_taken_up_while_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arenalab.fallback.price_file.CHECK_S", 0.0)
    path = tmp_path / "prices.json"
    path.write_text(write_table(PriceTable([Entry("a", "sma*", PRICE)])))
    async with fallback(Provider([hello]), prices_path=path) as case:
        events = await case.complete()
        assert cost_of(events) == HELLO_COST
        assert text_of(events)
        path.write_text(write_table(PriceTable([Entry("a", "small", Price(input=0, output=0))])))
        assert cost_of(await case.complete()) == 0
