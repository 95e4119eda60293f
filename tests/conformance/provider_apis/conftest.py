"""One Fallback in front of one server for each API, for all tests of a module."""

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio

from arenalab.api.fallback.v1 import fallback_service_pb2 as pb
from tests.conformance.provider_apis.apis import APIS, ProviderApi
from tests.mesh.scripted_provider import Case, Exchange, Play, Provider, fallback, user


@dataclass
class Desk:
    """Asks a provider that answers as the test says; models tell the tests apart."""

    case: Case
    scripts: dict[str, Play]
    got: dict[str, Exchange]
    numbers: Any = field(default_factory=itertools.count)

    async def complete(
        self,
        api: ProviderApi,
        play: Play,
        *,
        into: list[pb.CompleteResponse] | None = None,
        **fields: Any,
    ) -> "Answer":
        """Returns the answer; `into` gets its events as they come."""
        model = f"model-{next(self.numbers)}"
        self.scripts[model] = play
        request = self.request(api, model, **fields)
        events = [] if into is None else into
        async for event in self.case.stub.Complete(request, timeout=20):
            events.append(event)
        return Answer(events, self.got[model])

    def request(self, api: ProviderApi, model: str, **fields: Any) -> pb.CompleteRequest:
        if "messages_json" not in fields:
            fields.setdefault("messages", [user("Which port?")])
        return pb.CompleteRequest(provider=api.name, model=model, **fields)


@dataclass
class Answer:
    """What came of one request."""

    events: list[pb.CompleteResponse]
    asked: Exchange


def _scripted(api: ProviderApi, scripts: dict[str, Play], got: dict[str, Exchange]) -> Provider:
    async def play(exchange: Exchange) -> None:
        model = api.model_of(exchange)
        got[model] = exchange
        await scripts[model](exchange)

    return api.provider(play)


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def desk() -> AsyncIterator[Desk]:
    scripts: dict[str, Play] = {}
    got: dict[str, Exchange] = {}
    providers = [_scripted(api, scripts, got) for api in APIS]
    async with fallback(*providers, breaker_failures=10_000) as case:
        yield Desk(case, scripts, got)


@pytest.fixture(params=APIS, ids=[api.name for api in APIS])
def api(request: pytest.FixtureRequest) -> ProviderApi:
    found: ProviderApi = request.param
    return found
