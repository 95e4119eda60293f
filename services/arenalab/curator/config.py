"""How Curator is run: read once, at start, from the environment."""

from dataclasses import dataclass
from pathlib import Path

from arenalab.mesh import ConfigError, address_of, ports


@dataclass(frozen=True, kw_only=True)
class CuratorConfig:
    """Settings of one Curator process. The variable of `x` is `CURATOR_X`."""

    address: str = address_of(ports.CURATOR)
    home: Path = Path("curator")  # working sets and reject files
    datasets_dir: Path = Path("datasets")  # the dataset store
    key_path: Path = Path("keys/dataset.ed25519")  # hexadecimal seed of the signing key
    search_address: str = address_of(ports.SEARCH)
    predictor_address: str = address_of(ports.PREDICTOR)
    ledger_address: str = address_of(ports.LEDGER)
    embed_timeout_s: float = 60.0  # one batch
    overload_patience_s: float = 60.0  # how long one batch is offered to a full queue
    train_timeout_s: float = 300.0
    load_timeout_s: float = 120.0
    ledger_timeout_s: float = 10.0

    def __post_init__(self) -> None:
        for name in (
            "embed_timeout_s",
            "overload_patience_s",
            "train_timeout_s",
            "load_timeout_s",
            "ledger_timeout_s",
        ):
            if getattr(self, name) <= 0:
                raise ConfigError(f"CURATOR_{name.upper()} must be > 0")
