"""How entries are divided among logs: by scope or shard, and by period.

A log is named by its origin: the base, then the shard, then the period, e.g.
"example.org/ledger/scope-acme/2026-11". What a service keeps lies in one directory with
the same parts below it. Pure: the clock is the caller's.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from blake3 import blake3

MAX_SHARDS: Final = 1024
_SCOPE: Final = "scope-"
_SHARDS: Final = re.compile(r"shards:([1-9][0-9]{0,3})")
_PERIODS: Final = {"none": "", "year": "%Y", "month": "%Y-%m", "day": "%Y-%m-%d"}
_PERIOD_NAME: Final = re.compile(r"[0-9]{4}(-[0-9]{2}){0,2}")


@dataclass(frozen=True, slots=True)
class LogName:
    """Which log; both parts may be empty."""

    shard: str
    period: str

    def origin(self, base: str) -> str:
        """Returns the log's name in checkpoints."""
        return "/".join(part for part in (base, self.shard, self.period) if part)

    def shard_directory(self, root: Path) -> Path:
        """Returns where the shard's logs and its subjects' keys are."""
        return root / self.shard if self.shard else root

    def directory(self, root: Path) -> Path:
        """Returns where the log is."""
        shard = self.shard_directory(root)
        return shard / self.period if self.period else shard

    @property
    def scope(self) -> str:
        """The scope of the log's own entries: the one it is for, or the default."""
        return self.shard.removeprefix(_SCOPE) if self.shard.startswith(_SCOPE) else "default"

    @classmethod
    def of_path(cls, parts: tuple[str, ...]) -> Self:
        """Returns the name of a log by the parts of its directory below the root."""
        if parts and _PERIOD_NAME.fullmatch(parts[-1]):
            return cls("/".join(parts[:-1]), parts[-1])
        return cls("/".join(parts), "")


@dataclass(frozen=True, slots=True)
class Division:
    """The rule by which an entry gets to its log."""

    by_scope: bool = False
    shards: int = 0  # 0: not sharded
    period: str = ""  # strftime's form of a period's name; empty: one log for ever

    @classmethod
    def parse(cls, logs: str, period: str) -> Self:
        """Reads the settings.

        Args:
            logs: "one", "scope" or "shards:N".
            period: "none", "year", "month" or "day", in UTC.

        Raises:
            ValueError: Anything else.
        """
        if period not in _PERIODS:
            raise ValueError(f"period must be one of {sorted(_PERIODS)}, got {period!r}")
        found = _SHARDS.fullmatch(logs)
        if found is not None and int(found[1]) <= MAX_SHARDS:
            return cls(shards=int(found[1]), period=_PERIODS[period])
        if logs not in ("one", "scope"):
            raise ValueError(
                f"logs must be one, scope, or shards:N with N up to {MAX_SHARDS}, got {logs!r}"
            )
        return cls(by_scope=logs == "scope", period=_PERIODS[period])

    def shard_of(self, tenant: str) -> str:
        """Returns the shard that takes a scope's entries."""
        if self.by_scope:
            return f"{_SCOPE}{tenant}"
        if not self.shards:
            return ""
        number = int.from_bytes(blake3(tenant.encode()).digest(8), "little") % self.shards
        return f"shard-{number:04}"

    def period_at(self, now_ns: int) -> str:
        """Returns the period of an instant."""
        if not self.period:
            return ""
        return datetime.fromtimestamp(now_ns / 1e9, UTC).strftime(self.period)
