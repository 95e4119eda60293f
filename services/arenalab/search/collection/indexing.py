"""Which index a segment gets, and how it is made."""

from collections.abc import Callable

import numpy as np

from arenalab.planning import Engine
from arenalab.search.collection.segment import Segment
from arenalab.search.config import AUTO, SearchConfig
from arenalab.search.index.builders import build_index
from arenalab.search.index.exact import ExactIndex
from arenalab.search.index.policy import choose
from arenalab.search.index.protocol import VectorIndex
from arenalab.search.store.span_store import Record

_BYTES_PER_MB = 1_000_000


class Indexing:
    """Builds indexes as the settings and the sizes ask for."""

    def __init__(self, config: SearchConfig) -> None:
        self._config = config

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
        return build_index(
            engine,
            vectors,
            threads=config.build_threads_of(),
            stopped=stopped,
            library=config.graph,
        )

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
