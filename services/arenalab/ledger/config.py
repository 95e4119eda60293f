"""How Ledger is run: read once, at start, from the environment."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from arenalab.ledger.log import DEFAULT_SEGMENT_BYTES
from arenalab.mesh import ConfigError, address_of, ports
from arenalab.proof import is_key_name

# A note of this origin fits a slot of the high-water mark.
MAX_ORIGIN: Final = 128


@dataclass(frozen=True, kw_only=True)
class LedgerConfig:
    """Settings of one Ledger process. The variable of `x` is `LEDGER_X`."""

    address: str = address_of(ports.LEDGER)
    directory: Path = Path("ledger")  # segments, high-water mark, subjects' keys
    key_path: Path = Path("keys/ledger.ed25519")  # hexadecimal seed of the signing key
    create_key: bool = False  # make the key if it is not there
    origin: str = "arenalab.local/ledger"  # the log's name in checkpoints, for ever
    max_queued: int = 4096  # entries that may wait for their fsync
    segment_bytes: int = DEFAULT_SEGMENT_BYTES  # a new segment begins after this many

    def __post_init__(self) -> None:
        if not is_key_name(self.origin) or len(self.origin.encode()) > MAX_ORIGIN:
            raise ConfigError(
                f"LEDGER_ORIGIN must be 1 to {MAX_ORIGIN} bytes without spaces and '+',"
                f" got {self.origin!r}"
            )
        for name in ("max_queued", "segment_bytes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"LEDGER_{name.upper()} must be >= 1")
