"""How a NATS cluster is reached, and what of it one log uses."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from arenalab.mesh import ConfigError

_STREAM: Final = re.compile(r"[A-Za-z0-9_-]{1,200}")
_URL: Final = re.compile(r"(nats|tls)://[^\s/]+")
_REPLICAS: Final = (1, 3, 5)  # what a Raft group can use


@dataclass(frozen=True, kw_only=True)
class JetStreamSettings:
    """One log in one cluster."""

    servers: tuple[str, ...] = field(repr=False)  # nats:// or tls:// URLs; may hold a password
    stream: str = "ARENALAB_LEDGER"  # of one log's batches; of several, what all names begin with
    replicas: int = 3  # 1, 3 or 5; of a new stream, and the least of one that is there
    # Of one append, and of each step at the start. Above the nine seconds that a cluster
    # may take to elect a leader, so that the loss of a node is a wait and not an error.
    timeout_s: float = 15.0
    credentials: Path | None = None  # a .creds file: user JWT and seed
    ca: Path | None = None  # PEM; the system's authorities if there is none
    certificate: Path | None = None  # PEM, of this client; with its key
    certificate_key: Path | None = None

    def __post_init__(self) -> None:
        if not self.servers or not all(_URL.fullmatch(url) for url in self.servers):
            raise ConfigError("the NATS servers must be URLs like nats://host:4222")
        if not _STREAM.fullmatch(self.stream):
            raise ConfigError(
                f"a stream's name must be 1 to 200 of A-Z, a-z, 0-9, _ and -, got {self.stream!r}"
            )
        if self.replicas not in _REPLICAS:
            raise ConfigError(f"replicas must be one of {_REPLICAS}, got {self.replicas}")
        if self.timeout_s <= 0:
            raise ConfigError(f"timeout_s must be > 0, got {self.timeout_s}")
        if (self.certificate is None) != (self.certificate_key is None):
            raise ConfigError("a client's certificate and its key must be given together")

    @property
    def is_encrypted(self) -> bool:
        """Whether connections use TLS."""
        files = (self.ca, self.certificate)
        return any(files) or any(url.startswith("tls://") for url in self.servers)
