"""GET /openapi.json, and GET /docs, which shows it without fetching anything else."""

from importlib import resources
from typing import Final

from arenalab.gateway.app import Handler, Route
from arenalab.gateway.exchange import JSON, Exchange, to_json
from arenalab.gateway.openapi.document import document

# The page runs its own script and asks for the document, and may do nothing else.
_POLICY: Final = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HTML: Final = "text/html; charset=utf-8"


def description_routes() -> list[Route]:
    """Returns the routes of the description; who reads it needs no key."""
    page = resources.files("arenalab.gateway.openapi").joinpath("docs.html").read_bytes()
    described = to_json(document())
    return [
        Route(name="/openapi.json", methods={"GET": _sends(described, JSON)}, is_open=True),
        Route(name="/docs", methods={"GET": _sends(page, _HTML)}, is_open=True),
    ]


def _sends(body: bytes, media_type: str) -> Handler:
    async def send(exchange: Exchange) -> None:
        headers = [("content-security-policy", _POLICY), ("x-content-type-options", "nosniff")]
        await exchange.respond(200, body, media_type, headers)

    return send
