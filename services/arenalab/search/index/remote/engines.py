"""Opens the engine that the settings name: the one place that knows the classes."""

from importlib.util import find_spec
from typing import Final

from arenalab.mesh import ConfigError
from arenalab.planning import Engine
from arenalab.search.index.remote.protocol import RemoteEngine
from arenalab.search.index.remote.settings import RemoteSettings

# Which each engine's extra, named as the engine, brings.
_PACKAGES: Final = {Engine.MILVUS: ("pymilvus",), Engine.PGVECTOR: ("psycopg", "pgvector")}


def open_engine(settings: RemoteSettings) -> RemoteEngine:
    """Returns an engine, which is connected to when it is first asked.

    Raises:
        ConfigError: Its extra is not installed, or the URI cannot be parsed.
    """
    name = settings.engine.value
    for package in _PACKAGES[settings.engine]:
        if find_spec(package) is None:
            raise ConfigError(
                f"the engine {name} needs the package {package}: install arenalab[{name}]"
            )
    if settings.engine is Engine.PGVECTOR:
        from arenalab.search.index.remote.pgvector import Pgvector

        return Pgvector(settings)
    from arenalab.search.index.remote.milvus import Milvus

    return Milvus(settings)
