"""Work behind the answers: graphs over large segments, merging, removing old rows.

One thread does it, one step at a time, so that it never takes more than a core from
the searches. It is woken by changes and rests in between.
"""

import logging
import threading
from collections.abc import Callable
from typing import Final, TypeAlias

from arenalab.mesh import MeshError
from arenalab.search.index import FloatArray, VectorIndex
from arenalab.search.index.hnsw import BuildStoppedError, HnswIndex
from arenalab.search.library import Library
from arenalab.search.segment import Segment
from arenalab.search.snapshot import Snapshot
from arenalab.search.store import SpanStore

_logger = logging.getLogger(__name__)

# Added spans beyond which they are merged: a scan of as many takes some 0.1 ms.
DEFAULT_DELTA_LIMIT: Final = 4096
# Builds a graph over vectors, and gives up when told to stop.
BuildGraph: TypeAlias = Callable[[FloatArray, Callable[[], bool]], VectorIndex]
_MERGED_SHARE: Final = 20


class Upkeep:
    """Improves what is served and tidies what is stored, on a thread of its own."""

    def __init__(
        self,
        store: SpanStore,
        *,
        exact_limit: int,
        delta_limit: int = DEFAULT_DELTA_LIMIT,
        build_graph: BuildGraph = HnswIndex.build,
    ) -> None:
        """Does nothing yet: call `start`.

        Args:
            store: Whose old rows are removed.
            exact_limit: Spans above which a segment gets a graph.
            delta_limit: Added spans above which they are merged into the base.
            build_graph: Makes the graphs.
        """
        self._store = store
        self._exact_limit = exact_limit
        self._delta_limit = delta_limit
        self._build_graph = build_graph
        # The latest snapshot of each collection: older ones need no work, and would
        # keep their vectors in memory for as long as a graph takes.
        self._waiting: dict[tuple[str, str], Snapshot] = {}
        self._has_old_rows = True
        self._is_busy = False
        self._is_stopped = False
        self._state = threading.Condition()
        self._thread: threading.Thread | None = None

    def start(self, library: Library) -> None:
        """Begins the work."""
        self._thread = threading.Thread(target=self._work, args=(library,), name="upkeep")
        self._thread.start()

    def stop(self) -> None:
        """Ends the work at the next step; returns when it has ended."""
        with self._state:
            self._is_stopped = True
            self._state.notify_all()
        if self._thread is not None:
            self._thread.join()

    def changed(self, snapshot: Snapshot) -> None:
        """Hears of a new snapshot."""
        record = snapshot.record
        with self._state:
            self._waiting[record.tenant, record.dataset] = snapshot
            self._has_old_rows = True
            self._state.notify_all()

    def wait(self) -> None:
        """Returns when nothing is left to do."""
        with self._state:
            self._state.wait_for(lambda: not (self._waiting or self._has_old_rows or self._is_busy))

    def _work(self, library: Library) -> None:
        while self._next_is_there():
            snapshot = self._take()
            try:
                self._step(library, snapshot)
            except BuildStoppedError:
                return
            except MeshError as error:  # a full disk: old rows stay until the next change
                _logger.warning("upkeep: %s", error)
            finally:
                with self._state:
                    self._is_busy = False
                    self._state.notify_all()

    def _next_is_there(self) -> bool:
        with self._state:
            self._state.wait_for(lambda: self._is_stopped or self._waiting or self._has_old_rows)
            return not self._is_stopped

    def _take(self) -> Snapshot | None:
        with self._state:
            self._is_busy = True
            self._has_old_rows = False
            return self._waiting.pop(next(iter(self._waiting))) if self._waiting else None

    def _must_stop(self) -> bool:
        return self._is_stopped

    def _step(self, library: Library, snapshot: Snapshot | None) -> None:
        while not self._is_stopped and self._store.purge():
            pass
        if snapshot is None or not library.is_current(snapshot):
            return
        base = snapshot.base
        # A large base is not built again for few spans: each time costs all of it.
        if len(snapshot.delta) > max(self._delta_limit, len(base) // _MERGED_SHARE):
            base = base.joined(snapshot.delta)
        if len(base) > self._exact_limit and base.graph is None:
            base = self._with_graph(base, snapshot)
        if base is not snapshot.base:
            library.improve(snapshot, base)

    def _with_graph(self, base: Segment, snapshot: Snapshot) -> Segment:
        dataset = snapshot.record.dataset
        _logger.info("building the graph of %s over %d spans", dataset, len(base))
        return base.with_graph(self._build_graph(base.vectors, self._must_stop))
