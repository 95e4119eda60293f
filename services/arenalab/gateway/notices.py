"""What a request asks for and does not get, told in headers: never silence."""

import json
from collections.abc import Sequence
from typing import Final

from arenalab.gateway.errors import bad_request
from arenalab.gateway.exchange import Exchange

HEADER: Final = "x-arenalab-warning"
_MAX_WARNINGS: Final = 8


def warn_of_unknown(exchange: Exchange, names: Sequence[str]) -> None:
    """Names the first unknown fields of a request."""
    # As JSON, so that no name can break out of the header.
    for name in names[:_MAX_WARNINGS]:
        warn(exchange, f"unknown field {json.dumps(name[:80])} ignored")


def take_unknown(exchange: Exchange, names: Sequence[str]) -> None:
    """Names unknown fields, or refuses them where the request is strict.

    Raises:
        ApiError: 400.
    """
    if names and exchange.is_strict:
        name = names[0][:80]
        raise bad_request(f"unknown field {name!r}", param=name, code="unknown_parameter")
    warn_of_unknown(exchange, names)


def warn_of_ignored(exchange: Exchange) -> None:
    """Says which headers of a request change nothing."""
    if "idempotency-key" in exchange.headers:
        warn(exchange, "Idempotency-Key ignored: the same request again is a new prediction")


def warn_of_ignored_fields(exchange: Exchange, names: Sequence[str]) -> None:
    """Names what a request asks for and nobody here does."""
    for name in names[:_MAX_WARNINGS]:
        warn(exchange, f"{json.dumps(name[:120])[1:-1]} not honoured")


def warn_of_store(exchange: Exchange, *, store: bool | None) -> None:
    """Says what becomes of an answer that is not to be stored."""
    if store is False:
        warn(
            exchange,
            "store=false not honoured: every answer is sealed in the ledger; erase the user's "
            "content with DELETE /v1/subjects/USER",
        )


def warn(exchange: Exchange, text: str) -> None:
    """Adds one warning to whatever response there will be. `text` is ASCII without line ends."""
    exchange.extra.append((HEADER, text))
