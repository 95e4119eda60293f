"""How the gateway is run: read once, at start, from the environment."""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from arenalab.mesh import ConfigError, address_of, ports


@dataclass(frozen=True, kw_only=True)
class GatewayConfig:
    """Settings of one gateway process. The variable of `x` is `GATEWAY_X`."""

    host: str = "127.0.0.1"
    port: int = ports.GATEWAY  # 0 picks a free one
    ensemble_address: str = address_of(ports.ENSEMBLE)
    search_address: str = address_of(ports.SEARCH)
    ledger_address: str = address_of(ports.LEDGER)

    # Who may call: a file of "sha256hex tenant name" lines, and keys in the clear
    # for containers, each "key" or "key:tenant".
    keys_path: Path | None = None
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    # Providers' keys of those who call, a JSON file that only its owner may read.
    provider_keys_path: Path | None = None
    # Answers without a key, as the tenant "default". Unset: true on loopback, and
    # only there may it be true.
    dev: bool | None = None
    cors_origins: tuple[str, ...] = ()  # exact origins, or "*"

    max_body_bytes: int = 4 * 1024 * 1024
    max_in_flight: int = 256  # requests at work; more are refused with 429
    requests_per_minute: int = 0  # per key; 0 sets no limit

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
        for name in ("max_body_bytes", "max_in_flight"):
            if getattr(self, name) < 1:
                raise ConfigError(f"GATEWAY_{name.upper()} must be >= 1")
        for name in ("body", "write", "answer", "embed", "ready"):
            if getattr(self, f"{name}_timeout_s") <= 0:
                raise ConfigError(f"GATEWAY_{name.upper()}_TIMEOUT_S must be > 0")
        if self.keep_alive_s <= 0:
            raise ConfigError("GATEWAY_KEEP_ALIVE_S must be > 0")
        if self.requests_per_minute < 0 or self.drain_s < 0:
            raise ConfigError("GATEWAY_REQUESTS_PER_MINUTE and GATEWAY_DRAIN_S must be >= 0")
        if self.dev and not self.is_loopback:
            raise ConfigError(f"GATEWAY_DEV needs a loopback GATEWAY_HOST, got {self.host!r}")

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
