"""Which replica is asked, and for how long."""

import asyncio
from typing import Any

import pytest

from arenalab.mesh import NotReadyError
from arenalab.sharding.replicas import Routes
from arenalab.sharding.shard_map import ShardMap


class Replica:
    """Cannot be reached, which takes some seconds of the loop's clock to see."""

    def __init__(self, clock: list[float], takes_s: float) -> None:
        self.timeouts: list[float] = []
        self._clock = clock
        self._takes_s = takes_s

    async def Search(self, _request: object, *, timeout: float) -> None:  # noqa: N802, ASYNC109
        self.timeouts.append(timeout)
        self._clock[0] += self._takes_s
        raise NotReadyError(f"away after {self._takes_s} s")


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The loop's clock, which stands still until a test moves it."""
    now = [100.0]
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now[0])
    return now


async def test_all_replicas_together_get_the_time_that_is_given(clock: list[float]) -> None:
    replicas: dict[str, Any] = {f"h:{port}": Replica(clock, 2.0) for port in (1, 2, 3)}
    routes = Routes(ShardMap.of_replicas(list(replicas)), replicas)
    with pytest.raises(NotReadyError, match="away after"):
        await routes.read(routes.map.shards[0], "Search", None, 3.0)
    assert [one.timeouts for one in replicas.values()] == [[3.0], [1.0], []]
