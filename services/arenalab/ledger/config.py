"""How Ledger is run: read once, at start, from the environment."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from arenalab.ledger.division import Division
from arenalab.ledger.log import DEFAULT_SEGMENT_AGE_S, DEFAULT_SEGMENT_BYTES
from arenalab.ledger.witness import read_witnesses
from arenalab.mesh import ConfigError, address_of, ports
from arenalab.proof import is_key_name

# A note of this origin, and of what a division adds to it, fits a slot of the
# high-water mark with two signatures.
MAX_ORIGIN: Final = 128


@dataclass(frozen=True, kw_only=True)
class LedgerConfig:
    """Settings of one Ledger process. The variable of `x` is `LEDGER_X`."""

    address: str = address_of(ports.LEDGER)
    directory: Path = Path("ledger")  # segments, high-water mark, subjects' keys
    key_path: Path = Path("keys/ledger.ed25519")  # hexadecimal seed of the signing key
    signing_key: str = field(default="", repr=False)  # the seed itself, instead of a file
    create_key: bool = False  # make the key if it is not there
    origin: str = "arenalab.local/ledger"  # the log's name in checkpoints, for ever
    logs: str = "one"  # or "scope": a log each; or "shards:N": scopes spread over N logs
    period: str = "none"  # or "year", "month", "day": a new log begins with each, in UTC
    max_logs: int = 64  # that may be open at once
    max_queued: int = 4096  # entries that may wait for their fsync, a log
    batch_entries: int = 512  # at most in one checkpoint
    batch_wait_ms: float = 0.0  # wait so long for a batch to fill; 0: as long as the last sync
    segment_bytes: int = DEFAULT_SEGMENT_BYTES  # a new segment begins after this many
    segment_age_s: float = DEFAULT_SEGMENT_AGE_S  # ... and after this long
    compress: bool = False  # closed segments, by Zstandard
    max_watchers: int = 256  # streams of WatchCheckpoints at once
    nats_servers: tuple[str, ...] = field(default=(), repr=False)  # nats://, tls://; none: local
    nats_stream: str = "ARENALAB_LEDGER"  # what the names of the logs' streams begin with
    nats_replicas: int = 3  # 1, 3 or 5
    nats_timeout_s: float = 15.0  # of one append, and of each step at the start
    nats_credentials: Path | None = None  # a .creds file
    nats_ca: Path | None = None  # PEM; the system's authorities if there is none
    nats_certificate: Path | None = None  # PEM, of this client; with its key
    nats_certificate_key: Path | None = None
    witnesses: tuple[str, ...] = ()  # "URL VERIFIER-KEY" each: asked to cosign checkpoints
    witness_every_s: float = 10.0  # between two checkpoints that are shown to them

    def __post_init__(self) -> None:
        if not is_key_name(self.origin) or len(self.origin.encode()) > MAX_ORIGIN:
            raise ConfigError(
                f"LEDGER_ORIGIN must be 1 to {MAX_ORIGIN} bytes without spaces and '+',"
                f" got {self.origin!r}"
            )
        for name in ("max_logs", "max_queued", "batch_entries", "segment_bytes", "max_watchers"):
            if getattr(self, name) < 1:
                raise ConfigError(f"LEDGER_{name.upper()} must be >= 1")
        if self.witness_every_s <= 0:
            raise ConfigError("LEDGER_WITNESS_EVERY_S must be > 0")
        read_witnesses(self.witnesses)
        if self.segment_age_s <= 0 or self.batch_wait_ms < 0:
            raise ConfigError("LEDGER_SEGMENT_AGE_S must be > 0, LEDGER_BATCH_WAIT_MS >= 0")
        division = self.division()
        if self.signing_key and (division.by_scope or division.shards):
            raise ConfigError("LEDGER_SIGNING_KEY is one key: each of several logs has its own")

    def key_path_of(self, shard: str) -> Path:
        """Returns the file with the seed of a shard's logs."""
        path = self.key_path
        return path.with_name(f"{path.stem}.{shard}{path.suffix}") if shard else path

    def division(self) -> Division:
        """Returns the rule by which entries get to their logs.

        Raises:
            ConfigError: LEDGER_LOGS or LEDGER_PERIOD is none of those there are.
        """
        try:
            return Division.parse(self.logs, self.period)
        except ValueError as error:
            raise ConfigError(f"LEDGER_LOGS, LEDGER_PERIOD: {error}") from error
