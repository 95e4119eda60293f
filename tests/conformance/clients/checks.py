"""What a client script says: one JSON line for each feature and route. Standard library only.

The scripts run in environments of their own, beside a client that nobody here wrote; the
runner tells them by one variable where to ask and what.
"""

import asyncio
import inspect
import json
import os
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

VARIABLE: Final = "ARENALAB_CONFORMANCE"
MEMORY: Final = "memory"
FALLBACK: Final = "fallback"
ANY: Final = "-"  # the feature has no route
# What the provider behind the mesh fills every schema and every call with.
CITY: Final = "Paris"


@dataclass(frozen=True)
class Asked:
    """A question, and how its answer begins."""

    route: str
    question: str
    expects: str

    def check(self, text: str | None) -> None:
        """Fails unless the text is the expected answer."""
        assert text is not None, "there is no text"
        assert text.startswith(self.expects), f"the answer is {text[:80]!r}"

    @property
    def messages(self) -> list[dict[str, str]]:
        """The conversation of the question alone."""
        return [{"role": "user", "content": self.question}]


_Check = Callable[[Asked], Any]


class Checks:
    """The checks of one client."""

    def __init__(self, client: str) -> None:
        self._client = client
        told = json.loads(os.environ[VARIABLE])
        self.url: str = told["url"]  # with its version
        self.key: str = told["key"]
        self.limited_key: str = told["limited_key"]  # one request a minute; "": there is none
        self._asked = {name: Asked(name, *pair) for name, pair in told["asked"].items()}
        self._checks: list[tuple[str, str, _Check]] = []

    def feature(self, name: str, *routes: str) -> Callable[[_Check], _Check]:
        """Adds a check, which passes unless it raises; coroutines are run."""

        def add(check: _Check) -> _Check:
            self._checks += [(name, route, check) for route in routes or (MEMORY, FALLBACK)]
            return check

        return add

    def run(self) -> None:
        """Runs every check, and says what became of each."""
        for name, route, check in self._checks:
            detail = ""
            try:
                result = check(self._asked.get(route, self._asked[FALLBACK]))
                if inspect.isawaitable(result):
                    asyncio.run(_await(result))
            except Exception as error:  # noqa: BLE001 - whatever a client raises is its verdict
                where = traceback.extract_tb(error.__traceback__)[-1]
                detail = f"{type(error).__name__}: {error} ({where.name}, line {where.lineno})"
            line = {"client": self._client, "feature": name, "route": route, "ok": not detail}
            print(json.dumps(line | {"detail": detail[:600]}), flush=True)


async def _await(result: Awaitable[Any]) -> None:
    await result


def raised(kind: type[BaseException], call: Callable[[], Any]) -> Any:
    """Returns the error of a kind that a call raises."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__} was raised")
