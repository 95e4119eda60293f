"""What the figures are to reach."""

from bisect import bisect_left
from typing import Final, NamedTuple


class Target(NamedTuple):
    """A bound from above or from below."""

    bound: float
    is_most: bool

    def is_met(self, value: float) -> bool:
        """Returns whether a figure is on the right side of the bound."""
        return value <= self.bound if self.is_most else value >= self.bound

    def __str__(self) -> str:
        return f"{'≤' if self.is_most else '≥'} {self.bound:,g}"


# Sizes up to which each column holds; beyond the last, the last.
_SIZES: Final = (10_000, 100_000, 1_000_000)
_BY_SIZE: Final[dict[str, tuple[bool, float, float, float]]] = {
    "build_s": (True, 0.0, 15.0, 240.0),
    "rss_mb": (True, 30.0, 150.0, 1000.0),
    "rpc_p50_ms": (True, 0.9, 1.0, 1.5),
    "qps_c16": (False, 1500.0, 1300.0, 1000.0),
    "filtered_min_recall": (False, 0.99, 0.99, 0.985),
}
_ALWAYS: Final[dict[str, Target]] = {
    "recall_at_10": Target(0.99, is_most=False),
    "ratio_batch16": Target(0.8, is_most=False),
    "filtered_worst_ratio": Target(1.3, is_most=True),
    "adds_per_s": Target(2000.0, is_most=False),
    "read_p99_ratio": Target(3.0, is_most=True),
    "restart_s": Target(10.0, is_most=True),
}


def target_of(name: str, size: int) -> Target | None:
    """Returns the target of a figure at a size; None without one."""
    if name in _BY_SIZE:
        is_most, *bounds = _BY_SIZE[name]
        return Target(bounds[min(bisect_left(_SIZES, size), len(bounds) - 1)], is_most)
    return _ALWAYS.get(name)
