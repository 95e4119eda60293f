"""Span messages by the store's row number, the ones used last kept in memory."""

import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from arenalab.api.common.v1 import span_pb2
from arenalab.search.store.row import message_of
from arenalab.search.store.span_store import SpanStore

# An average span is some 400 bytes; its message in memory about three times that.
DEFAULT_KEPT_SPANS: Final = 20_000


class GoneError(Exception):
    """A row was removed since the snapshot that named it: its version was replaced."""


class Payloads:
    """Reads spans through a bounded cache. Messages are shared: nobody changes one.

    A row number is never used for another span, so nothing here can go stale.
    """

    def __init__(self, store: SpanStore, kept: int = DEFAULT_KEPT_SPANS) -> None:
        self._store = store
        self._most = kept
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, span_pb2.Span] = OrderedDict()

    def read(self, rowids: Iterable[int]) -> dict[int, span_pb2.Span]:
        """Returns the messages of rows.

        Raises:
            GoneError: One of them is not in the store any more.
        """
        wanted = set(rowids)
        with self._lock:
            found = {rowid: self._kept[rowid] for rowid in wanted if rowid in self._kept}
            for rowid in found:
                self._kept.move_to_end(rowid)
        missing = [rowid for rowid in wanted if rowid not in found]
        if missing:
            read = {
                rowid: message_of(payload)
                for rowid, payload in self._store.payloads(missing).items()
            }
            if len(read) < len(missing):
                raise GoneError
            self._keep(read)
            found.update(read)
        return found

    def _keep(self, read: dict[int, span_pb2.Span]) -> None:
        with self._lock:
            self._kept.update(read)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
