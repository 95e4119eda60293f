"""How Planner is run: read once, at start, from the environment."""

from dataclasses import dataclass

from arenalab.mesh import ConfigError, address_of, ports


@dataclass(frozen=True, kw_only=True)
class PlannerConfig:
    """Settings of one Planner process. The variable of `x` is `PLANNER_X`."""

    address: str = address_of(ports.PLANNER)
    search_address: str = address_of(ports.SEARCH)
    stats_timeout_s: float = 2.0  # for search's statistics

    def __post_init__(self) -> None:
        if self.stats_timeout_s <= 0:
            raise ConfigError("PLANNER_STATS_TIMEOUT_S must be > 0")
