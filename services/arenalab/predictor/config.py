"""How Predictor is run: read once, at start, from the environment."""

from dataclasses import dataclass
from pathlib import Path

from arenalab.mesh import ConfigError, address_of, ports


@dataclass(frozen=True, kw_only=True)
class PredictorConfig:
    """Settings of one Predictor process. The variable of `x` is `PREDICTOR_X`."""

    address: str = address_of(ports.PREDICTOR)
    home: Path = Path("predictor")  # calibrations by labelled traffic
    datasets_dir: Path = Path("datasets")  # the dataset store, read only
    search_address: str = address_of(ports.SEARCH)
    planner_address: str = address_of(ports.PLANNER)
    creatures_path: Path | None = None  # creatures.toml
    search_timeout_s: float = 5.0
    planner_timeout_s: float = 1.0  # without a plan, search has its own default
    max_calibrating: int = 8  # questions in flight in one Calibrate call
    # What a question costs that a provider answers, for the savings that GetRiskCoverage states:
    # 500 tokens read and 250 written, at 2 and 8 US dollars a million.
    fallback_cost_usd_micros: int = 3_000
    # Age at which a calibration is renewed from audited labels, once there are 50 new ones; 0:
    # only on demand.
    recalibrate_every_s: float = 86_400.0

    def __post_init__(self) -> None:
        for name in ("search_timeout_s", "planner_timeout_s"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"PREDICTOR_{name.upper()} must be > 0")
        if self.max_calibrating < 1:
            raise ConfigError("PREDICTOR_MAX_CALIBRATING must be >= 1")
        if self.fallback_cost_usd_micros < 0:
            raise ConfigError("PREDICTOR_FALLBACK_COST_USD_MICROS must be >= 0")
        if not self.recalibrate_every_s >= 0:
            raise ConfigError("PREDICTOR_RECALIBRATE_EVERY_S must be >= 0")
