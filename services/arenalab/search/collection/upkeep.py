"""Work behind the answers: indexes, merging, files, removing old rows.

One thread does it, one step at a time, so that it never takes more from the searches
than its builders do. It is woken by changes and rests in between. What it makes takes
the place of what is served by one assignment; what changed meanwhile is done to it too.
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, TypeAlias

from arenalab.mesh import MeshError, NotReadyError
from arenalab.search.collection.library import Library
from arenalab.search.collection.segment import Made, Segment
from arenalab.search.collection.segment_files import SegmentFiles
from arenalab.search.collection.snapshot import Snapshot
from arenalab.search.index.protocol import BuildStoppedError, VectorIndex
from arenalab.search.store.span_store import Record, SpanStore

_logger = logging.getLogger(__name__)

# Newer spans beyond which they are merged into the first segment: scanning as many takes
# some 0.1 ms.
DEFAULT_DELTA_LIMIT: Final = 4096
# A large segment is not built again for few spans: each time costs all of it.
_MERGED_SHARE: Final = 10
# The share of tombstones beyond which a segment is built again without them.
_TOMBSTONE_SHARE: Final = 0.2

# How long work that failed is left alone.
_RETRY_S: Final = 30.0

# Builds the index of a segment, or returns None where the scan is best; gives up when told to.
BuildIndex: TypeAlias = Callable[[Record, Segment, Callable[[], bool]], VectorIndex | None]
# Measures a segment's tuning; gives up when told to.
Tune: TypeAlias = Callable[[Segment, Callable[[], bool]], None]
Key: TypeAlias = tuple[str, str]


class Upkeep:
    """Improves what is served and tidies what is stored, on a thread of its own."""

    def __init__(
        self,
        store: SpanStore,
        files: SegmentFiles,
        *,
        build_index: BuildIndex,
        exact_limit: int,
        delta_limit: int = DEFAULT_DELTA_LIMIT,
        is_wanted: Callable[[VectorIndex], bool] = lambda _: True,
        indexed: Callable[[Record, Segment], None] = lambda _record, _segment: None,
        forget: Callable[[str, str, int], None] = lambda *_: None,
        tune: Tune = lambda _segment, _stopped: None,
    ) -> None:
        """Does nothing yet: call `start`.

        Args:
            store: Whose old rows are removed.
            files: Where segments with an index are written to.
            build_index: Makes the indexes.
            exact_limit: Spans above which a segment gets an index.
            delta_limit: Newer spans above which they are merged into the first segment.
            is_wanted: Whether an index is of the kind that `build_index` makes now.
            indexed: Told of each segment that got an index.
            forget: Removes what a server holds of a part, by tenant, dataset and number.
            tune: Measures how hard the index of a segment must be searched.
        """
        self._store = store
        self._files = files
        self._build_index = build_index
        self._exact_limit = exact_limit
        self._delta_limit = delta_limit
        self._is_wanted = is_wanted
        self._indexed = indexed
        self._forget = forget
        self._tune = tune
        # The latest snapshot of each collection: older ones need no work, and would
        # keep their vectors in memory for as long as an index takes.
        self._waiting: dict[Key, Snapshot] = {}
        self._asked: dict[Key, list[Future[Snapshot]]] = {}
        self._wordless: list[Segment] = []
        # Work that failed, and when (of time.monotonic) it is done again.
        self._later: dict[Key, tuple[float, Snapshot]] = {}
        self._purge_at_s = 0.0
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
        for asked in self._asked.values():
            _fail(asked, NotReadyError("search is stopping"))

    def changed(self, snapshot: Snapshot) -> None:
        """Hears of a new snapshot."""
        with self._state:
            self._waiting[_key(snapshot)] = snapshot
            self._has_old_rows = True
            self._state.notify_all()

    def snapshot(self, snapshot: Snapshot) -> "Future[Snapshot]":
        """Has a collection merged and written; the result is what is served afterwards.

        Raises (in the future):
            OSError: The disk is full.
            MeshError: NOT_READY, the service stops or a server cannot be reached.
        """
        asked: Future[Snapshot] = Future()
        with self._state:
            self._asked.setdefault(_key(snapshot), []).append(asked)
            self._waiting.setdefault(_key(snapshot), snapshot)
            self._state.notify_all()
        return asked

    def index_words(self, segment: Segment) -> None:
        """Has the words of a segment indexed, once."""
        with self._state:
            if segment.words not in [one.words for one in self._wordless]:
                self._wordless.append(segment)
                self._state.notify_all()

    def wait(self) -> None:
        """Returns when nothing is left to do."""
        with self._state:
            self._state.wait_for(lambda: not (self._has_work or self._is_busy))

    @property
    def _has_work(self) -> bool:
        return bool(self._waiting or self._wordless or self._has_old_rows)

    def _work(self, library: Library) -> None:
        while self._next_is_there():
            snapshot, asked = self._take()
            try:
                self._purge()
                self._step(library, snapshot, asked)
                self._words()
            except BuildStoppedError:
                _fail(asked, NotReadyError("search is stopping"))
                return
            except (MeshError, OSError) as error:  # a full disk, or a server that is away
                _logger.warning("upkeep: %s; tried again in %d s", error, _RETRY_S)
                self._retry(snapshot, asked, error)
            except Exception as error:  # a defect here must not end all upkeep
                _logger.exception("upkeep failed; tried again in %d s", _RETRY_S)
                self._retry(snapshot, asked, error)
            finally:
                library.unseal()
                with self._state:
                    self._is_busy = False
                    self._state.notify_all()

    def _retry(
        self, snapshot: Snapshot | None, asked: "list[Future[Snapshot]]", error: Exception
    ) -> None:
        """Puts work that failed back for later; other collections do not wait for it."""
        _fail(asked, error)
        if snapshot is not None:
            with self._state:
                self._later[_key(snapshot)] = (time.monotonic() + _RETRY_S, snapshot)

    def _next_is_there(self) -> bool:
        with self._state:
            while not (self._is_stopped or self._has_work):
                due_s = min((due_s for due_s, _ in self._later.values()), default=None)
                self._state.wait(None if due_s is None else max(0.0, due_s - time.monotonic()))
                for key, (due_s, snapshot) in list(self._later.items()):
                    if due_s <= time.monotonic():
                        del self._later[key]
                        # What was served since is newer, and waits for itself.
                        self._waiting.setdefault(key, snapshot)
            return not self._is_stopped

    def _take(self) -> "tuple[Snapshot | None, list[Future[Snapshot]]]":
        with self._state:
            self._is_busy = True
            if not self._waiting:
                return None, []
            key = next(iter(self._waiting))
            return self._waiting.pop(key), self._asked.pop(key, [])

    def _purge(self) -> None:
        """Removes what no collection names any more."""
        with self._state:
            if not self._has_old_rows or time.monotonic() < self._purge_at_s:
                self._has_old_rows = False
                return
            self._has_old_rows = False
        try:
            while not self._is_stopped and self._store.purge(self._forget):
                pass
        except MeshError as error:  # a server that holds a part of it is away
            _logger.warning("old spans stay for now: %s", error)
            self._purge_at_s = time.monotonic() + _RETRY_S

    def _must_stop(self) -> bool:
        return self._is_stopped

    def _step(
        self, library: Library, snapshot: Snapshot | None, asked: "list[Future[Snapshot]]"
    ) -> None:
        if snapshot is None:
            return
        if asked:
            done = self._written(library, self._merged(library, snapshot))
            for one in asked:
                if one.set_running_or_notify_cancel():  # its caller may have given up
                    one.set_result(done)
        elif not library.is_current(snapshot):
            return
        elif self._needs_merge(snapshot):
            self._merged(library, snapshot)
        elif sum(map(len, loose := snapshot.loose)) > self._exact_limit and len(loose) > 1:
            self._gathered(library, snapshot)
        elif (bare := self._without_index(snapshot)) is not None:
            self._index(library, snapshot, bare)
        elif not snapshot.base.is_scanned and not snapshot.base.made.disk_bytes:
            self._written(library, snapshot)
        else:
            self._tuned(snapshot)

    def _tuned(self, snapshot: Snapshot) -> None:
        """Measures indexes that came from files without their efforts."""
        for segment in snapshot.segments:
            if not segment.is_scanned and not segment.tuning.is_measured:
                self._tune(segment, self._must_stop)

    def _words(self) -> None:
        with self._state:
            segment = self._wordless[0] if self._wordless else None
        if segment is None:
            return
        began_s = time.perf_counter()
        segment.words.get(lambda: self._store.texts(segment.columns.rowids.tolist()), None)
        _logger.info(
            "words of %d spans indexed in %.1f s", len(segment), time.perf_counter() - began_s
        )
        with self._state:
            self._wordless.remove(segment)

    def _needs_merge(self, snapshot: Snapshot) -> bool:
        base = snapshot.base
        if len(snapshot.segments) > 1 and snapshot.newer > max(
            self._delta_limit, len(base) // _MERGED_SHARE
        ):
            return True
        return len(base.removed) > _TOMBSTONE_SHARE * max(self._delta_limit, len(base))

    def _without_index(self, snapshot: Snapshot) -> Segment | None:
        return next(
            (
                segment
                for segment in snapshot.segments
                if len(segment) > self._exact_limit
                and (segment.is_scanned or not self._is_wanted(segment.index))
            ),
            None,
        )

    def _merged(self, library: Library, snapshot: Snapshot) -> Snapshot:
        """Returns what is served once all segments are one, without tombstones."""
        sealed = library.seal(snapshot)
        if sealed is None:
            return snapshot
        old = sealed.segments
        if len(old) == 1 and not old[0].removed:
            if self._without_index(sealed) is None:
                return sealed
            return self._index(library, sealed, old[0])
        merged = self._with_index(sealed.record, Segment.merged(old, sealed.record.version))
        if any(segment.words.index is not None for segment in old):
            merged.words.get(lambda: self._store.texts(merged.columns.rowids.tolist()), None)
        return _or(library.improve(sealed, old, merged), sealed)

    def _gathered(self, library: Library, snapshot: Snapshot) -> None:
        """Makes one segment with an index of the newer ones that are scanned."""
        sealed = library.seal(snapshot)
        if sealed is None:
            return
        old = sealed.loose
        gathered = self._with_index(sealed.record, Segment.merged(old, sealed.record.version))
        library.improve(sealed, old, gathered)

    def _index(self, library: Library, snapshot: Snapshot, segment: Segment) -> Snapshot:
        better = self._with_index(snapshot.record, segment)
        if better is segment:
            return snapshot
        return _or(library.improve(snapshot, [segment], better), snapshot)

    def _with_index(self, record: Record, segment: Segment) -> Segment:
        if len(segment) <= self._exact_limit:
            return segment
        began_s = time.perf_counter()
        index = self._build_index(record, segment, self._must_stop)
        if index is None:
            return segment
        took_s = time.perf_counter() - began_s
        _logger.info(
            "%s: %s over %d spans built in %.1f s",
            record.dataset, index.engine.value, len(segment), took_s,
        )  # fmt: skip
        indexed = segment.with_index(index, Made(took_s))
        # Before it is served: until then a scan finds everything.
        self._tune(indexed, self._must_stop)
        self._indexed(record, indexed)
        return indexed

    def _written(self, library: Library, snapshot: Snapshot) -> Snapshot:
        """Returns what is served once its first segment is on disk."""
        loaded = self._files.write(snapshot.record, snapshot.base)
        after = library.improve(snapshot, [snapshot.base], loaded.segment_as(snapshot.base))
        if after is None:
            return snapshot
        # In this order: an older file needs the log that is forgotten then.
        self._files.tidy(self._store.records())
        self._store.forget_changes(snapshot.record, loaded.generation)
        return after


def _or(after: Snapshot | None, before: Snapshot) -> Snapshot:
    # An empty collection is false, so `or` would do the wrong thing.
    return before if after is None else after


def _fail(asked: "list[Future[Snapshot]]", error: Exception) -> None:
    for one in asked:
        if not one.done() and one.set_running_or_notify_cancel():
            one.set_exception(error)


def _key(snapshot: Snapshot) -> Key:
    return snapshot.record.tenant, snapshot.record.dataset
