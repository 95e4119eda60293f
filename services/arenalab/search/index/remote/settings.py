"""How an engine on another machine is reached and used."""

import re
from dataclasses import dataclass, field
from typing import Final

from arenalab.mesh import ConfigError
from arenalab.planning import Engine

ENGINES: Final = frozenset({Engine.MILVUS, Engine.PGVECTOR})

# A PostgreSQL schema, and the start of a Milvus collection's name.
_NAMESPACE: Final = re.compile(r"[a-z][a-z0-9_]{0,30}")


@dataclass(frozen=True, kw_only=True)
class RemoteSettings:
    """One engine, and the bounds of what is asked of it."""

    engine: Engine
    uri: str = field(repr=False)  # it may hold a password
    embedder_digest: str  # of what made the vectors; segments of another one are refused
    namespace: str = "arenalab"  # sets apart the deployments that share a server
    timeout_s: float = 5.0  # of a search and of all other short calls
    build_timeout_s: float = 4 * 3600.0  # of loading one segment and building its graph
    connections: int = 8  # calls at the same time; more wait for one to end
    batch_rows: int = 2000  # rows sent in one piece while a segment is loaded
    links: int = 16  # of a row in the graph: M of Malkov & Yashunin, 2016
    ef_construction: int = 128
    build_memory_mb: int = 512  # PostgreSQL: a graph that does not fit is built on its disk
    build_workers: int = 2  # PostgreSQL: processes besides the one that builds

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise ConfigError(f"engine must be milvus or pgvector, got {self.engine.value}")
        if not self.uri:
            raise ConfigError(f"the engine {self.engine.value} needs a URI")
        if not _NAMESPACE.fullmatch(self.namespace):
            raise ConfigError(
                "namespace must be 1 to 31 of a-z, 0-9 and _, a letter first,"
                f" got {self.namespace!r}"
            )
        for name in ("timeout_s", "build_timeout_s", "connections", "batch_rows"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} must be > 0, got {getattr(self, name)}")
