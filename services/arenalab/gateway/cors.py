"""Cross-origin requests: which web pages may call the gateway."""

from collections.abc import Collection, Mapping
from typing import Final

_ALLOWED_METHODS: Final = "GET, POST, DELETE, OPTIONS"
_MAX_AGE_S: Final = 600
EXPOSED: Final = (
    "openai-processing-ms, openai-version, retry-after, retry-after-ms, server-timing, "
    "x-arenalab-confidence, x-arenalab-cost, x-arenalab-guarantee, x-arenalab-ledger-index, "
    "x-arenalab-overhead-ms, x-arenalab-route, x-arenalab-trace-id, x-arenalab-warning, "
    "x-ratelimit-limit-requests, x-ratelimit-limit-tokens, x-ratelimit-remaining-requests, "
    "x-ratelimit-remaining-tokens, x-ratelimit-reset-requests, x-ratelimit-reset-tokens, "
    "x-request-id, x-should-retry"
)


def cors_headers(headers: Mapping[str, str], origins: Collection[str]) -> list[tuple[str, str]]:
    """Returns the headers that let an allowed page read the response; [] for any other."""
    origin = headers.get("origin")
    if origin is None or not origins:
        return []
    if origin not in origins and "*" not in origins:
        return [("vary", "Origin")]
    return [
        ("access-control-allow-origin", origin),
        ("access-control-expose-headers", EXPOSED),
        ("vary", "Origin"),
    ]


def is_preflight(method: str, headers: Mapping[str, str]) -> bool:
    """Returns whether a browser asks beforehand what a page may send."""
    return (
        method == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers
    )


def preflight_headers(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """Returns the answer to such a question, besides `cors_headers`."""
    return [
        ("access-control-allow-methods", _ALLOWED_METHODS),
        # Keys travel in a header, never in cookies, so any header may be sent.
        (
            "access-control-allow-headers",
            headers.get("access-control-request-headers", "authorization, content-type"),
        ),
        ("access-control-max-age", str(_MAX_AGE_S)),
    ]
