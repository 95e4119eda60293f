from datetime import UTC, datetime

import pytest

from arenalab.fallback.bill import Bill, Estimate, prompt_tokens, sum_of
from arenalab.fallback.chunks import Usage
from arenalab.fallback.prices import Price
from arenalab.fallback.purse import Purse

PRICE = Price(input=1_000_000, output=2_000_000)


def purse() -> Purse:
    return Purse({}, None, lambda: datetime(2026, 11, 28, tzinfo=UTC))


async def bill(price: Price | None = PRICE) -> tuple[Bill, Purse]:
    spending = purse()
    reservation = await spending.reserve("a", 1000)
    return (
        Bill(price=price, prompt_tokens=100, purse=spending, reservation=reservation),
        spending,
    )


async def test_a_refused_request_costs_nothing() -> None:
    found, spending = await bill()
    found.settle_nothing()
    assert (found.cost_usd_micros, spending.spent("a")) == (0, 0)


async def test_a_whole_answer_costs_what_the_provider_counted() -> None:
    found, spending = await bill()
    found.counted(Usage(7, 5), 999)
    found.settle_whole()
    assert (found.cost_usd_micros, spending.spent("a")) == (17, 17)


async def test_what_nobody_counted_is_not_known_but_is_spent() -> None:
    found, spending = await bill()
    found.counted(Usage(), 30)
    found.settle_whole()
    assert (found.cost_usd_micros, spending.spent("a")) == (None, 100 + 20)


@pytest.mark.parametrize(
    ("usage", "said_bytes", "cost"),
    [(Usage(), 0, 100), (Usage(), 10, 108), (Usage(40), 9, 46), (Usage(40, 2), 900, 44)],
)
async def test_what_was_cut_off_costs_its_prompt_and_its_text(
    usage: Usage, said_bytes: int, cost: int
) -> None:
    found, spending = await bill()
    found.counted(usage, said_bytes)
    found.settle_cut()
    assert (found.cost_usd_micros, spending.spent("a")) == (cost, cost)


async def test_without_a_price_nothing_is_known_and_nothing_spent() -> None:
    found, spending = await bill(price=None)
    found.counted(Usage(7, 5), 1)
    found.settle_whole()
    assert (found.cost_usd_micros, spending.spent("a")) == (None, 0)


async def test_a_call_that_the_caller_pays_for_spends_nothing() -> None:
    spending = purse()
    found = Bill(price=PRICE, prompt_tokens=1, purse=spending, reservation=None)
    found.counted(Usage(7, 5), 1)
    found.settle_whole()
    assert (found.cost_usd_micros, spending.spent("a")) == (17, 0)


def test_an_estimate_is_priced_if_there_is_a_price() -> None:
    assert Estimate(10, 20).cost_usd_micros(PRICE) == 50
    assert Estimate(10, 20).cost_usd_micros(None) is None


@pytest.mark.parametrize(
    ("costs", "total"), [([], 0), ([1, 2], 3), ([1, None], None), ([None, 0], None)]
)
def test_a_sum_is_known_when_all_of_it_is(costs: list[int | None], total: int | None) -> None:
    assert sum_of(costs) == total


def test_a_prompt_is_a_third_of_its_bytes() -> None:
    text = "Which port does the gateway use by default?" * 10
    assert prompt_tokens([{"role": "user", "content": text}], {}) == -(-len(text) // 3) + 7
    tools = [{"type": "function", "function": {"name": "f" * 300}}]
    assert prompt_tokens([], {"tools": tools, "user": "x" * 900}) in range(100, 120)


def test_a_picture_counts_as_one_and_not_by_its_bytes() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10**6}}
    message = {"role": "user", "content": [{"type": "text", "text": "What?"}, picture]}
    assert prompt_tokens([message], {}) in range(1_600, 1_620)


def test_deep_nesting_is_counted() -> None:
    deep: object = "x"
    for _ in range(5000):
        deep = [deep]
    assert prompt_tokens([{"content": deep}], {}) == 4
