"""A cache of several layers: what is found where, for how long, and who computes."""

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from arenalab.caching import Computed, Hit
from tests.unit.caching.parts import TTL_S, Clock, Shelf, cache_over


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_what_a_far_layer_has_is_found_and_brought_near(clock: Clock) -> None:
    near, far = Shelf(clock), Shelf(clock)
    first = cache_over(far, clock=clock)
    first.set(b"k", b"value")
    await first.close()
    cache = cache_over(near, far, clock=clock)
    assert await cache.get(b"k") == Hit(b"value", far.name)
    await cache.flush()
    assert [len(shelf.asked) for shelf in (near, far)] == [1, 1]
    assert await cache.get(b"k") == Hit(b"value", "memory")
    assert [len(shelf.asked) for shelf in (near, far)] == [1, 1]
    # It is in the nearer of the shared layers too, as it was sealed.
    other = cache_over(near, clock=clock)
    assert (await other.get(b"k")) is not None


async def test_what_is_brought_near_lives_no_longer_than_it_had_left(clock: Clock) -> None:
    far = Shelf(clock)
    first = cache_over(far, clock=clock)
    first.set(b"k", b"value")
    await first.close()
    clock.now_s += TTL_S - 10
    cache = cache_over(far, clock=clock)
    assert await cache.get(b"k") is not None
    clock.now_s += 9
    assert await cache.get(b"k") == Hit(b"value", "memory")
    clock.now_s += 1
    assert await cache.get(b"k") is None


async def test_a_value_that_was_planted_or_moved_is_a_miss_and_counted(clock: Clock) -> None:
    shelf = Shelf(clock)
    cache = cache_over(shelf, clock=clock)
    cache.set(b"tenant a", b"words of a")
    await cache.flush()
    sealed = shelf.get(b"tenant a")
    assert sealed is not None
    assert b"words of a" in sealed
    shelf.put(b"tenant b", sealed, TTL_S)  # moved
    shelf.put(b"tenant c", b"any bytes at all", TTL_S)
    fresh = cache_over(shelf, clock=clock)
    assert set(await fresh.get_many([b"tenant a", b"tenant b", b"tenant c"])) == {b"tenant a"}
    assert fresh._shared[0].statistics.errors == 2
    stranger = cache_over(shelf, clock=clock, secret=b"another")
    assert await stranger.get(b"tenant a") is None


async def test_each_layer_is_asked_once_for_many_and_only_for_what_is_missing(
    clock: Clock,
) -> None:
    near, far = Shelf(clock), Shelf(clock)
    for shelf, key in ((near, b"b"), (far, b"c")):
        filling = cache_over(shelf, clock=clock)
        filling.set(key, b"v")
        await filling.close()
    cache = cache_over(near, far, clock=clock)
    cache._memory.put(b"a", b"v", TTL_S)
    found = await cache.get_many([b"a", b"b", b"c", b"d"])
    assert set(found) == {b"a", b"b", b"c"}
    assert (near.asked, far.asked) == ([[b"b", b"c", b"d"]], [[b"c", b"d"]])
    assert await cache.prefetch([b"a", b"b", b"c", b"d"]) == 3


async def test_a_value_is_computed_once_and_only_kept_where_it_may_be(clock: Clock) -> None:
    cache, made = cache_over(Shelf(clock), clock=clock), 0
    may_end = asyncio.Event()

    async def compute() -> Computed:
        nonlocal made
        made += 1
        await may_end.wait()
        return Computed(b"v%d" % made, is_kept=made > 1)

    tasks = [asyncio.create_task(cache.get_or_compute(b"k", compute)) for _ in range(3)]
    await asyncio.sleep(0)
    may_end.set()
    assert [hit.value for hit in await asyncio.gather(*tasks)] == [b"v1"] * 3
    assert await cache.get_or_compute(b"k", compute) == Hit(b"v2", None)
    assert await cache.get_or_compute(b"k", compute) == Hit(b"v2", "memory")


async def test_a_layer_that_fails_costs_nothing_but_its_hits(clock: Clock) -> None:
    broken, good = Shelf(clock), Shelf(clock)
    broken.is_broken = True
    cache = cache_over(broken, good, clock=clock)
    cache.set(b"k", b"v")
    await cache.close()
    again = cache_over(broken, good, clock=clock)
    assert (await again.get(b"k")) == Hit(b"v", good.name)


async def test_what_is_deleted_or_cleared_is_in_no_layer(clock: Clock) -> None:
    shelf = Shelf(clock)
    cache = cache_over(shelf, clock=clock)
    cache.set_many({b"a": b"1", b"b": b"2", b"c": b"3"})
    await cache.delete([b"a"])
    assert set(await cache.get_many([b"a", b"b"])) == {b"b"}
    await cache.clear()
    assert shelf.size_bytes == 0
    assert await cache.get(b"c") is None


async def test_hit_ratio_is_of_the_keys_asked_for(clock: Clock) -> None:
    cache = cache_over(clock=clock)
    cache.set(b"k", b"v")
    for key in (b"k", b"k", b"k", b"other"):
        await cache.get(key)
    assert cache._memory_statistics.hit_ratio == 0.75


KEYS = st.sampled_from([b"a", b"b", b"c", b"d"])


class TieredMachine(RuleBasedStateMachine):
    """Two caches over shared layers, beside a model that forgets nothing before its time.

    A cache may forget; what it must never do is to return what was not set, was deleted
    everywhere, or has expired.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = Clock()
        self.shelves = [Shelf(self.clock, 4_000), Shelf(self.clock)]
        self.cache = cache_over(*self.shelves, clock=self.clock, max_bytes=1_500)
        self.model: dict[bytes, tuple[bytes, float]] = {}

    def teardown(self) -> None:
        self.loop.close()

    @rule(key=KEYS, size=st.integers(0, 700))
    def set(self, key: bytes, size: int) -> None:
        value = bytes([len(self.model) + size % 200 & 0xFF]) * size

        async def write() -> None:
            self.cache.set(key, value)
            await self.cache.flush()

        self.loop.run_until_complete(write())
        self.model[key] = value, self.clock.now_s + TTL_S

    @rule(key=KEYS)
    def delete(self, key: bytes) -> None:
        self.loop.run_until_complete(self.cache.delete([key]))
        self.model.pop(key, None)

    @rule(seconds=st.sampled_from([0.5, 40.0, TTL_S]))
    def wait(self, seconds: float) -> None:
        self.clock.now_s += seconds

    @rule(number=st.integers(0, 1))
    def lose_a_layer(self, number: int) -> None:
        self.loop.run_until_complete(self.shelves[number].clear())

    @rule(is_broken=st.booleans())
    def break_or_mend(self, *, is_broken: bool) -> None:
        # One that misses writes must not be read again as if it had them.
        self.lose_a_layer(0)
        self.shelves[0].is_broken = is_broken

    @rule()
    def restart(self) -> None:
        self.cache = cache_over(*self.shelves, clock=self.clock, max_bytes=1_500)

    @rule(keys=st.lists(KEYS, unique=True))
    def read(self, keys: list[bytes]) -> None:
        async def get() -> dict[bytes, Hit]:
            found = await self.cache.get_many(keys)
            await self.cache.flush()
            return found

        for key, hit in self.loop.run_until_complete(get()).items():
            value, expires_at_s = self.model[key]
            assert hit.value == value
            assert self.clock.now_s < expires_at_s

    @invariant()
    def memory_is_bounded(self) -> None:
        assert self.cache._memory.size_bytes <= 1_500


TestTiered = TieredMachine.TestCase
TestTiered.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
