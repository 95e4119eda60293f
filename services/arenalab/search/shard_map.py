"""The part of the spans that this replica holds."""

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Final

from arenalab.mesh import ConfigError, InvalidInputError, Reason
from arenalab.sharding import MAP_VERSION_KEY, ShardMap, ShardMapError

_REMEMBERED: Final = 65_536  # domains of tenants: a version has a million spans, not domains


class OwnShard:
    """A shard map, and the shard of it that is served here."""

    def __init__(self, shard_map: ShardMap, name: str) -> None:
        """Keeps its arguments; `name` is one of the map."""
        self.shard_map = shard_map
        self.name = name
        self.keeps = lru_cache(_REMEMBERED)(self._keeps)

    def _keeps(self, tenant: str, domain: str) -> bool:
        """Returns whether the spans of a tenant's domain are held here."""
        try:
            return self.shard_map.owner(tenant, domain).name == self.name
        except InvalidInputError:  # no shard holds it
            return False

    def check(self, tenant: str, domains: Iterable[str]) -> None:
        """Raises InvalidInputError for the first span that another shard holds.

        Args:
            tenant: Whose spans.
            domains: `context.environment` of each span to be stored, in their order.
        """
        for place, domain in enumerate(domains):
            if self.keeps(tenant, domain):
                continue
            field = f"spans[{place}].context.environment"
            owner = self.shard_map.owner(tenant, domain)
            raise InvalidInputError(
                f"{field}: {domain[:80]!a} is held by shard {owner.name}, this is {self.name}",
                Reason.INVALID_ARGUMENT,
                field=field,
                owner=owner.name,
                **{MAP_VERSION_KEY: str(self.shard_map.version)},
            )


def read_own_shard(path: Path | None, name: str | None) -> OwnShard | None:
    """Returns the shard that the settings name; None where they name neither file nor shard.

    Args:
        path: SEARCH_SHARD_MAP, the JSON form of ShardMap.
        name: SEARCH_SHARD, the shard served here.

    Raises:
        ConfigError: One is set without the other, or they do not fit.
    """
    if path is None and not name:
        return None
    if path is None or not name:
        raise ConfigError("SEARCH_SHARD_MAP and SEARCH_SHARD must be set together")
    try:
        shard_map = ShardMap.of_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ShardMapError) as error:
        raise ConfigError(f"SEARCH_SHARD_MAP: {path}: {error}") from error
    names = [shard.name for shard in shard_map.shards]
    if name not in names:
        raise ConfigError(f"SEARCH_SHARD must be one of {', '.join(names)}, got {name!r}")
    return OwnShard(shard_map, name)
