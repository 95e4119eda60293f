"""Segments and snapshots of what is stored: from files where there are any, else from rows."""

from collections.abc import Sequence

import numpy as np

from arenalab.search.collection.segment import Segment
from arenalab.search.collection.segment_files import SegmentFiles
from arenalab.search.collection.snapshot import Snapshot
from arenalab.search.columns.columns import Columns
from arenalab.search.index.exact import ExactIndex
from arenalab.search.index.protocol import FloatArray
from arenalab.search.store.row import StoredRow
from arenalab.search.store.span_store import Record, SpanStore


class Loader:
    """Reads the span store, and the files that were written from it."""

    def __init__(self, store: SpanStore, files: SegmentFiles) -> None:
        self._store = store
        self._files = files

    def read(self, record: Record, embeddings: FloatArray) -> Snapshot:
        """Returns a collection from its rows, to be scanned until it has an index.

        Args:
            record: The collection.
            embeddings: The vectors of its version, by ordinal; may be mapped from a file.
        """
        rows = self._store.rows(record.live_part)
        ordinals = np.array([row.ordinal for row in rows], np.int64)
        vectors = np.asarray(embeddings, np.float32)[ordinals].reshape(-1, record.dimension)
        base = Segment.of_rows(rows, vectors, record.version)
        return self._with_added(record, base)

    def from_files(self, record: Record) -> Snapshot | None:
        """Returns a collection from its segment file and what changed since; None without one."""
        loaded = self._files.load(record, self._store.log_begins(record))
        if loaded is None:
            return None
        base = self._replayed(record, loaded.segment, loaded.generation)
        return self._with_added(record, base)

    def arrived(self, record: Record, rows: Sequence[StoredRow], vectors: FloatArray) -> Segment:
        """Returns the segment of rows that were just stored, in any order."""
        order = sorted(range(len(rows)), key=lambda place: rows[place].span_id)
        return Segment.of_rows([rows[place] for place in order], vectors[order], record.version)

    def texts(self, segment: Segment) -> list[str]:
        """Returns what the spans of a segment are about; empty for one that is gone."""
        return self._store.texts(segment.columns.rowids.tolist())

    def _replayed(self, record: Record, base: Segment, generation: int) -> Segment:
        """Does to a segment what the log has after a generation."""
        changed = self._store.changed_since(record, generation)
        places = np.flatnonzero(np.isin(base.columns.rowids, np.array(changed, np.int64)))
        if not len(places):
            return base
        now = {row.rowid: row for row in self._store.rows_of(changed)}
        rowids = base.columns.rowids[places].tolist()
        state = [
            (place, now.get(rowid)) for place, rowid in zip(places.tolist(), rowids, strict=True)
        ]
        there = [(place, row) for place, row in state if row is not None]
        base = base.removing([place for place, row in state if row is None])
        for hidden in (True, False):
            base = base.hiding(
                [place for place, row in there if bool(row.hidden) is hidden], hidden=hidden
            )
        return base.weighing(
            np.array([place for place, _ in there], np.int64),
            np.array([row.weight for _, row in there], np.float32),
        )

    def _with_added(self, record: Record, base: Segment) -> Snapshot:
        snapshot = Snapshot(record, (base,))
        rowids = np.array(self._store.rowids(record.added_part), np.int64)
        new = rowids[~np.isin(rowids, base.columns.rowids)]
        if not len(new):
            return snapshot
        rows = self._store.rows_of(new.tolist())
        vectors = self._store.vectors_of([row.rowid for row in rows], record.dimension)
        newer = Segment.of(Columns.of(rows), ExactIndex(vectors), record.version)
        return Snapshot(record, (base, newer))
