"""Search spread over several replicas, behind the interface of one."""

from arenalab.sharding.client import MAP_VERSION_KEY, ShardedSearch
from arenalab.sharding.connecting import IDEMPOTENT, connect_search
from arenalab.sharding.shard_map import Shard, ShardMap, ShardMapError

__all__ = [
    "IDEMPOTENT",
    "MAP_VERSION_KEY",
    "Shard",
    "ShardMap",
    "ShardMapError",
    "ShardedSearch",
    "connect_search",
]
