"""What the gateway's benchmark asks: the mesh, the LiteLLM proxy and the bare stub."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.bench.gateway.litellm_proxy import MODEL as LITELLM_MODEL
from tests.bench.gateway.load import Client, Job, Outcome
from tests.stub_provider import MODEL as STUB_MODEL
from tests.whole_mesh import Corpus

REPEATED: Final = 64  # questions that are asked again and again
# A question said in other words is another text: no cache has seen it.
_WORDINGS: Final = (
    "{}", "please, {}", "{} please", "hey, {}", "{}, thanks", "i wonder: {}", "ok so {}",
    "quick question: {}", "hello, {}", "tell me, {}", "well, {}", "{}, if you can",
)  # fmt: skip
_MOST_PER_S: Final = 6000  # of one job; a job that runs out of questions ends early
# LiteLLM's own words for a request that its cache must neither answer nor keep.
_NO_CACHE: Final = {"cache": {"no-cache": True, "no-store": True}}


class Questions:
    """Questions of which each is given out once."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = [wording.format(text) for wording in _WORDINGS for text in texts]
        self._next = 0

    def ahead(self, count: int) -> list[str]:
        """Returns the next questions; they count as given once `used` says so."""
        if self._next >= len(self._texts):
            raise RuntimeError("every question was asked: ask for fewer seconds or rounds")
        return self._texts[self._next : self._next + count]

    def used(self, count: int) -> None:
        self._next += count


@dataclass(kw_only=True)
class Case:
    """One thing to measure, and every round of it by the number of clients."""

    name: str
    url: str
    body: Mapping[str, Any]  # but for the messages
    questions: Questions | Sequence[str]  # a sequence is repeated
    processor_s: Callable[[], float]  # that the processes which answer have had
    route: str = ""  # what counts as an answer, where the response says how it came about
    rounds: dict[int, list[Outcome]] = field(default_factory=dict)

    @property
    def is_ours(self) -> bool:
        return bool(self.route)

    def measure(self, client: Client, clients: int, seconds: float, *, keep: bool = True) -> None:
        """Runs one round."""
        fresh = self.questions if isinstance(self.questions, Questions) else None
        texts = fresh.ahead(int(seconds * _MOST_PER_S)) if fresh else self.questions
        assert not isinstance(texts, Questions)
        before_s = self.processor_s()
        outcome = client.run(
            Job(
                url=f"{self.url}/chat/completions",
                bodies=[json.dumps({**self.body, "messages": _user(text)}) for text in texts],
                clients=clients,
                seconds=seconds,
                repeat=fresh is None,
                needs_receipt=self.is_ours,
            )
        )
        outcome.processor_s = self.processor_s() - before_s
        if fresh:
            fresh.used(outcome.asked)
        if keep:
            self.rounds.setdefault(clients, []).append(outcome)

    def per_s(self, outcome: Outcome) -> float:
        """Returns the answers of the wanted route a second."""
        count = outcome.routes.get(self.route, 0) if self.route else len(outcome.took_ms)
        return count / outcome.seconds

    def processor_ms(self, outcome: Outcome) -> float:
        """Returns the processor time of an answer, in milliseconds."""
        return outcome.processor_s * 1e3 / max(1, outcome.asked)

    def share(self, clients: int) -> float:
        """Returns the share of the answers that came by the wanted route."""
        answers = sum(len(outcome.took_ms) for outcome in self.rounds[clients])
        wanted = sum(outcome.routes.get(self.route, 0) for outcome in self.rounds[clients])
        return wanted / answers if answers and self.route else 1.0

    def errors(self) -> Iterator[str]:
        for clients, outcomes in self.rounds.items():
            for outcome in outcomes:
                for trouble, count in outcome.errors.items():
                    yield f"{self.name}, {clients} clients: {count} x {trouble}"


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of those that answer."""

    url: str  # with its version
    processor_s: Callable[[], float]

    def case(
        self,
        name: str,
        questions: Questions | Sequence[str],
        route: str = "",
        **body: Any,
    ) -> Case:
        """Returns a case of this side."""
        return Case(
            name=name,
            url=self.url,
            body=body,
            questions=questions,
            processor_s=self.processor_s,
            route=route,
        )


def cases(
    *, mesh: Side, litellm: Side, stub: Side, corpus: Corpus, known: Sequence[str]
) -> list[Case]:
    """Returns all cases.

    Args:
        mesh: The gateway.
        litellm: The LiteLLM proxy.
        stub: The provider behind both.
        corpus: The served dataset.
        known: Questions that memory was seen to answer, which are asked again and again.
    """
    asked = Questions(corpus.unknown)
    fresh = Questions([text for text in corpus.known if text not in set(known)])
    bare, memory, theirs = (
        {"model": STUB_MODEL},
        {"model": "arenalab/memory-only"},
        {"model": LITELLM_MODEL},
    )
    uncached: dict[str, Any] = theirs | _NO_CACHE
    return [
        stub.case("stub", known, **bare),
        stub.case("stub, stream", known, **bare, stream=True),
        mesh.case("memory, repeated", known, "memory", **memory),
        mesh.case("memory, new", fresh, "memory", **memory),
        mesh.case("memory, stream", known, "memory", **memory, stream=True),
        mesh.case("fallback", asked, "fallback", model="arenalab"),
        mesh.case("fallback, stream", asked, "fallback", model="arenalab", stream=True),
        mesh.case("provider", known, "provider", model=f"stub/{STUB_MODEL}"),
        litellm.case("litellm, cached", known, **theirs),
        litellm.case("litellm", asked, **uncached),
        litellm.case("litellm, stream", asked, **uncached, stream=True),
    ]


def _user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]
