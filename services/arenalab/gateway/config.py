"""How the gateway is run: read once, at start, from the environment."""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from arenalab.gateway.annotations import DEFAULT_SPAN_URL
from arenalab.gateway.limits.caps import Caps
from arenalab.mesh import ConfigError, address_of, ports

_DEFAULT_CAPS: Final = (
    "requests_per_minute",
    "requests_per_day",
    "tokens_per_minute",
    "tokens_per_day",
)
_AT_LEAST_0: Final = (*_DEFAULT_CAPS, "drain_s")
_AT_LEAST_1: Final = (
    "max_body_bytes",
    "max_in_flight",
    "max_connections",
    "completion_tokens",
    "call_usd_micros",
)
_POSITIVE: Final = (
    "head_timeout_s",
    "body_timeout_s",
    "write_timeout_s",
    "answer_timeout_s",
    "embed_timeout_s",
    "ready_timeout_s",
    "redis_timeout_s",
    "keep_alive_s",
    "keys_poll_s",
    "keys_max_age_s",
)


@dataclass(frozen=True, kw_only=True)
class GatewayConfig:
    """Settings of one gateway process. The variable of `x` is `GATEWAY_X`."""

    host: str = "127.0.0.1"
    port: int = ports.GATEWAY  # 0 picks a free one
    ensemble_address: str = address_of(ports.ENSEMBLE)
    search_address: str = address_of(ports.SEARCH)
    ledger_address: str = address_of(ports.LEDGER)
    predictor_address: str = address_of(ports.PREDICTOR)  # for the risk-coverage curve

    # Who may call: the keys of a store (`arenalab keys`), "sqlite:///PATH" or
    # "postgresql://…", and keys in the clear for containers, each "key" or "key:tenant".
    keys_url: str | None = field(default=None, repr=False)  # may hold a password
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    # What keys the hashes of the store: 64 hexadecimal digits, or the file with them.
    key_pepper: str | None = field(default=None, repr=False)
    key_pepper_path: Path | None = None
    keys_poll_s: float = 1.0  # a change of a key is seen within this
    keys_max_age_s: float = 60.0  # with a store that does not answer, no key works for longer
    # Providers' keys of those who call, a JSON file that only its owner may read.
    provider_keys_path: Path | None = None
    # Answers without a key, as the tenant "default". Unset: true on loopback, and
    # only there may it be true.
    dev: bool | None = None
    cors_origins: tuple[str, ...] = ()  # exact origins, or "*"

    # Where a span can be looked at, with {id} for its id: the URL of citations.
    span_url: str = DEFAULT_SPAN_URL

    max_body_bytes: int = 4 * 1024 * 1024
    max_in_flight: int = 256  # requests at work; more are refused with 429
    max_connections: int = 2048  # open ones; more are refused with 503

    # Of each key that has no such limit of its own; 0 sets none.
    requests_per_minute: int = 0
    requests_per_day: int = 0
    tokens_per_minute: int = 0
    tokens_per_day: int = 0
    completion_tokens: int = 1024  # held for an answer whose request sets no max_tokens
    # Held for a call of a key with a budget, which no provider is asked to pass.
    call_usd_micros: int = 250_000
    # Where gateways share the counts: "redis://HOST:PORT/NUMBER". Unset: each counts.
    redis_url: str | None = field(default=None, repr=False)
    redis_timeout_s: float = 0.5
    # While Redis is away: "refuse" with 503, or "local", where each gateway counts.
    redis_away: str = "refuse"

    # A certificate and its key, in PEM: HTTPS. Unset: plain HTTP, for loopback or
    # behind a proxy that ends TLS.
    tls_cert_path: Path | None = None
    tls_key_path: Path | None = None

    head_timeout_s: float = 10.0  # for the client to send its request line and headers
    body_timeout_s: float = 30.0  # for the client to send its request
    write_timeout_s: float = 30.0  # for the client to read a piece of its response
    answer_timeout_s: float = 180.0
    embed_timeout_s: float = 30.0
    ready_timeout_s: float = 1.0
    keep_alive_s: float = 15.0  # silence in a stream before an empty chunk
    drain_s: int = 5

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:  # noqa: PLR2004 - the range of a port
            raise ConfigError(f"GATEWAY_PORT must be in [0, 65535], got {self.port}")
        for names, least in ((_AT_LEAST_0, 0), (_AT_LEAST_1, 1)):
            for name in names:
                if getattr(self, name) < least:
                    raise ConfigError(f"GATEWAY_{name.upper()} must be >= {least}")
        for name in _POSITIVE:
            if getattr(self, name) <= 0:
                raise ConfigError(f"GATEWAY_{name.upper()} must be > 0")
        self._check_choices()

    def _check_choices(self) -> None:
        if "{id}" not in self.span_url:
            raise ConfigError(f"GATEWAY_SPAN_URL must hold {{id}}, got {self.span_url!r}")
        if self.redis_away not in ("refuse", "local"):
            raise ConfigError(
                f"GATEWAY_REDIS_AWAY must be 'refuse' or 'local', got {self.redis_away!r}"
            )
        if (self.tls_cert_path is None) is not (self.tls_key_path is None):
            raise ConfigError("GATEWAY_TLS_CERT_PATH and GATEWAY_TLS_KEY_PATH go together")
        if self.dev and not self.is_loopback:
            raise ConfigError(f"GATEWAY_DEV needs a loopback GATEWAY_HOST, got {self.host!r}")

    @property
    def caps(self) -> Caps:
        """The limits of keys that have none of their own."""
        return Caps(**{name: getattr(self, name) or None for name in _DEFAULT_CAPS})

    @property
    def needs_keys(self) -> bool:
        """Whether a request without a known key is refused."""
        return not (self.is_loopback and self.dev is not False)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the gateway."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
