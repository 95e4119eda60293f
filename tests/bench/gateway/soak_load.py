"""Mixed load: what clients do to a gateway in a day, the rude ones included."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from tests.whole_mesh import Corpus

_TIMEOUT_S: Final = 60.0
_SHOWN: Final = 20  # of the things that went wrong
# Texts of each kind beside the corpus. More than the bounded caches hold, yet few enough
# that the largest, of tens of thousands of phrases, is full of them after the warm-up.
_DISTINCT: Final = 3000


@dataclass
class Load:
    """Clients that ask until they are told to stop."""

    url: str  # of the gateway, without a version
    key: str
    corpus: Corpus
    done: Counter[str] = field(default_factory=Counter)
    troubles: list[str] = field(default_factory=list)

    async def run(self, clients: int, stop: asyncio.Event) -> None:
        """Runs the clients, each with its own connections, until `stop` is set."""
        await asyncio.gather(*(self._client(random.Random(n), stop) for n in range(clients)))

    async def _client(self, rng: random.Random, stop: asyncio.Event) -> None:
        actions: Mapping[Callable[..., Awaitable[None]], int] = {
            self._memory: 30,
            self._memory_stream: 12,
            self._fallback: 12,
            self._fallback_stream: 12,
            self._leave_mid_stream: 6,
            self._leave_at_once: 4,
            self._bad_request: 6,
            self._wrong_key: 6,
            self._embeddings: 8,
            self._models: 4,
        }
        headers = {"authorization": f"Bearer {self.key}"}
        while not stop.is_set():
            # A client is one program's life: some dozens of requests, then its connections close.
            async with httpx.AsyncClient(
                base_url=self.url, headers=headers, timeout=_TIMEOUT_S, trust_env=False
            ) as client:
                for _ in range(50):
                    if stop.is_set():
                        return
                    (act,) = rng.choices(list(actions), list(actions.values()))
                    await self._act(act, client, rng)

    async def _act(
        self, act: Callable[..., Awaitable[None]], client: httpx.AsyncClient, rng: random.Random
    ) -> None:
        name = act.__name__.strip("_")
        try:
            await act(client, rng)
        except (AssertionError, httpx.HTTPError, json.JSONDecodeError, KeyError) as error:
            self.done[f"{name}: failed"] += 1
            if len(self.troubles) < _SHOWN:
                self.troubles.append(f"{name}: {type(error).__name__}: {error}"[:400])
        else:
            self.done[name] += 1

    def _known(self, rng: random.Random) -> str:
        # Half of the questions are the corpus's own, and those are in every cache.
        text = self.corpus.known[(number := rng.randrange(_DISTINCT)) % len(self.corpus.known)]
        return text if rng.random() < 0.5 else f"{text}, number {number}"

    def _unknown(self, rng: random.Random) -> str:
        number = rng.randrange(_DISTINCT)
        return f"{self.corpus.unknown[number % len(self.corpus.unknown)]} Number {number}"

    async def _memory(self, client: httpx.AsyncClient, rng: random.Random) -> None:
        made = await client.post(**_chat(self._known(rng)))
        _expect(made, 200)
        assert made.json()["arenalab"]["receipt"], "no receipt"

    async def _fallback(self, client: httpx.AsyncClient, rng: random.Random) -> None:
        made = await client.post(**_chat(self._unknown(rng)))
        _expect(made, 200)
        assert made.json()["arenalab"]["receipt"], "no receipt"

    async def _memory_stream(self, client: httpx.AsyncClient, rng: random.Random) -> None:
        await _read_all(client, self._known(rng))

    async def _fallback_stream(self, client: httpx.AsyncClient, rng: random.Random) -> None:
        await _read_all(client, self._unknown(rng))

    async def _leave_mid_stream(self, client: httpx.AsyncClient, rng: random.Random) -> None:
        # The provider behind would go on for two seconds.
        asked = _chat(f"{self._unknown(rng)} slowly", stream=True)
        pieces = rng.randint(1, 6)
        async with client.stream("POST", **asked) as told:
            async for line in told.aiter_lines():
                pieces -= line.startswith("data: ")
                if pieces <= 0:
                    break

    async def _leave_at_once(self, client: httpx.AsyncClient, rng: random.Random) -> None:
        try:
            async with asyncio.timeout(rng.uniform(0.001, 0.02)):
                await client.post(**_chat(self._unknown(rng)))
        except TimeoutError:
            pass

    async def _bad_request(self, client: httpx.AsyncClient, rng: random.Random) -> None:
        url = "/v1/chat/completions"
        bad: list[dict[str, Any]] = [
            {"content": b"{", "headers": {"content-type": "application/json"}},
            {"json": {"model": "arenalab"}},
            {"json": {"model": "arenalab", "messages": [{"role": "nobody", "content": "?"}]}},
            _without_url(_chat("?", temperature=9)),
        ]
        _expect(await client.post(url, **rng.choice(bad)), 400)

    async def _wrong_key(self, client: httpx.AsyncClient, rng: random.Random) -> None:
        headers = {"authorization": f"Bearer sk-wrong-{rng.random()}"}
        _expect(await client.post(**_chat("?"), headers=headers), 401)

    async def _embeddings(self, client: httpx.AsyncClient, rng: random.Random) -> None:
        body = {"model": "arenalab", "input": [self._known(rng), self._unknown(rng)]}
        made = await client.post("/v1/embeddings", json=body)
        _expect(made, 200)
        assert len(made.json()["data"]) == 2

    async def _models(self, client: httpx.AsyncClient, rng: random.Random) -> None:
        del rng
        _expect(await client.get("/v1/models"), 200)


def _chat(question: str, **members: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": question}]
    body = {"model": "arenalab", "messages": messages, **members}
    return {"url": "/v1/chat/completions", "json": body}


def _without_url(asked: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in asked.items() if name != "url"}


async def _read_all(client: httpx.AsyncClient, question: str) -> None:
    async with client.stream("POST", **_chat(question, stream=True)) as told:
        assert told.status_code == 200, told.status_code
        lines = [line async for line in told.aiter_lines() if line]
    assert lines[-1] == "data: [DONE]", lines[-1]


def _expect(made: httpx.Response, status: int) -> None:
    assert made.status_code == status, f"{made.status_code}: {made.text[:200]}"
