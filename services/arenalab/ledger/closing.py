"""Closing segments: the index of a segment that takes no more entries goes to disk.

On a thread of its own, so that no append waits for it. Until it is done, and if it
fails, the index stays in memory; the next start makes it again.
"""

import logging
import threading
from queue import SimpleQueue

from arenalab.ledger.catalog import Catalog
from arenalab.ledger.packing import pack
from arenalab.ledger.segment_files import SegmentFiles
from arenalab.ledger.segment_index import OpenSegmentIndex, SegmentIndex, write_index
from arenalab.ledger.store import LogStore
from arenalab.proof import MerkleTree

_logger = logging.getLogger(__name__)


class SegmentCloser:
    """Writes indexes, one at a time, in order."""

    def __init__(
        self, store: LogStore, catalog: Catalog, tree: MerkleTree, *, compress: bool
    ) -> None:
        """Starts the thread.

        Args:
            store: Whose segments are closed.
            catalog: Gets each index once it is written.
            tree: Whose leaves go into the index.
            compress: Whether lines are compressed once they are indexed.
        """
        self._store = store
        self._compress = compress
        self._catalog = catalog
        self._tree = tree
        # Leaves that need not be in memory. The writer takes it from here: a tree has one.
        self.indexed_until = 0
        self._waiting: SimpleQueue[tuple[int, str] | None] = SimpleQueue()
        # What it does can be done again: it keeps no process from ending.
        self._worker = threading.Thread(target=self._run, name="ledger-index", daemon=True)
        self._worker.start()

    def close(self, number: int, note: str) -> None:
        """Begins to write the index of a segment, which ends with the checkpoint `note`.

        Of one that has an index, only what is missing is done.
        """
        self._waiting.put((number, note))

    def finish(self) -> None:
        """Waits for what was begun."""
        self._waiting.put(None)
        self._worker.join()

    def _run(self) -> None:
        while (segment := self._waiting.get()) is not None:
            self._close(*segment)

    def _close(self, number: int, note: str) -> None:
        files = self._store.files[number]
        opened = self._catalog.opened(number)
        if opened is not None and not self._index(number, files, opened, note):
            return
        if self._compress and files.lines.exists():
            try:
                pack(files.lines)
            except OSError:
                _logger.exception("%s could not be compressed", files.lines.name)

    def _index(self, number: int, files: SegmentFiles, opened: OpenSegmentIndex, note: str) -> bool:
        hashes = self._tree.hashes(0, opened.first, opened.count)
        try:
            write_index(files, opened, hashes, note)
        except OSError:
            _logger.exception("the index of %s could not be written", files.lines.name)
            return False
        index = SegmentIndex.load(files, opened.first)
        if index is None:
            _logger.error("the index of %s is not what was written", files.lines.name)
            return False
        self._catalog.close(number, index)
        self.indexed_until = self._catalog.indexed_until()
        return True
