"""Which index a segment gets, how it is made, and how it is read again."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from arenalab.planning import Engine
from arenalab.search.collection.segment import Segment
from arenalab.search.config import AUTO, SearchConfig
from arenalab.search.index.builders import build_index, load_index
from arenalab.search.index.exact import ExactIndex
from arenalab.search.index.policy import choose
from arenalab.search.index.protocol import FloatArray, VectorIndex
from arenalab.search.index.remote.naming import Marker, SegmentName
from arenalab.search.index.remote.protocol import RemoteEngine
from arenalab.search.index.remote.settings import ENGINES as REMOTE
from arenalab.search.store.span_store import Record

_BYTES_PER_MB: Final = 1_000_000
# A segment on a server is made beside the one that is served, under the other name. Two
# names a part, used in turn, leave nothing behind that the next build does not replace.
_SLOTS: Final = ("a", "b")


class Indexing:
    """Builds and loads indexes as the settings and the sizes ask for."""

    def __init__(self, config: SearchConfig, remote: RemoteEngine | None) -> None:
        """Keeps its arguments; `remote` is the server that the settings name, if any."""
        self._config = config
        self._remote = remote
        self._slots: dict[tuple[str, str, int], str] = {}  # in use

    def build(
        self, record: Record, segment: Segment, stopped: Callable[[], bool]
    ) -> VectorIndex | None:
        """Returns the index of a segment, None where a scan is best.

        Raises:
            BuildStoppedError: `stopped` returned true.
            MeshError: A server cannot be reached.
        """
        config = self._config
        engine = self._engine(len(segment), record.dimension)
        if engine is Engine.EXACT:
            return None
        index = segment.index
        # A copy of the vectors of a million spans would take 1.5 GB.
        if isinstance(index, ExactIndex):
            vectors = index.all_vectors
        else:
            vectors = index.vectors(np.arange(len(segment)))
        if self._remote is not None:
            return self._remote.build(self._next_name(record), vectors, segment.columns, stopped)
        return build_index(
            engine,
            vectors,
            threads=config.build_threads_of(),
            stopped=stopped,
            library=config.graph,
        )

    def load(
        self, record: Record, engine: Engine, folder: Path, vectors: FloatArray | None, library: str
    ) -> VectorIndex:
        """Returns the index that a folder holds, or names on a server.

        Raises:
            ValueError: It is of other vectors, damaged, or on a server that the settings
                do not name.
            MeshError: A server cannot be reached.
        """
        if engine not in REMOTE:
            return load_index(engine, folder, vectors, library=library)
        if self._remote is None or engine.value != self._config.index:
            raise ValueError(f"it is in {engine.value}, which SEARCH_INDEX does not name")
        marker = Marker.read(folder)
        index = self._remote.load(marker.name, size=marker.size, dimension=marker.dimension)
        self._slots[_key(record)] = marker.name.part[-1]
        return index

    def is_wanted(self, index: VectorIndex) -> bool:
        """Returns whether an index is what `build` would make of its vectors now."""
        engine = self._engine(index.size, index.dimension)
        if index.engine is not engine:
            return False
        return engine is not Engine.HNSW or index.library == self._config.graph

    def forget(self, tenant: str, dataset: str, part: int) -> None:
        """Removes what a server holds of a part that is not served any more.

        Raises:
            NotReadyError: The server cannot be reached.
        """
        if self._remote is not None:
            for slot in _SLOTS:
                self._remote.drop(SegmentName(tenant, dataset, f"{part}-{slot}"))
            self._slots.pop((tenant, dataset, part), None)

    def _next_name(self, record: Record) -> SegmentName:
        key = _key(record)
        slot = _SLOTS[self._slots.get(key) == _SLOTS[0]]
        self._slots[key] = slot
        return SegmentName(record.tenant, record.dataset, f"{record.live_part}-{slot}")

    def _engine(self, size: int, dimension: int) -> Engine:
        config = self._config
        if config.index != AUTO:
            return Engine(config.index)
        return choose(
            size,
            dimension,
            exact_limit=config.exact_limit,
            memory_budget_bytes=config.memory_budget_mb * _BYTES_PER_MB or None,
            build_seconds=config.build_budget_s or None,
            library=config.graph,
            threads=config.build_threads_of(),
        )


def _key(record: Record) -> tuple[str, str, int]:
    return record.tenant, record.dataset, record.live_part
