"""The log: a Merkle tree over entries in segments, one writer, many readers.

`commit` takes a batch through one write, one fsync and one signed checkpoint, and
returns a receipt for each entry; nothing is acknowledged before. Opening repairs a
torn tail. Damage is remembered, and then the log neither takes nor proves
anything: to seal again would make the damage look right.

Where batches become durable is the storage's matter (store.py). One that is elsewhere
may leave it open for a while whether a batch was kept; then the log takes nothing
before that is known.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from arenalab.atomic import when_from_ns
from arenalab.ledger.batch import (
    MAX_CHECKPOINT_BYTES,
    NewEntry,
    SealedBatch,
    pieces,
    seal_batch,
    too_large,
)
from arenalab.ledger.catching_up import check_arrival, check_caught_up
from arenalab.ledger.closing import SegmentCloser
from arenalab.ledger.entry import Entry, Randomness
from arenalab.ledger.high_water import HighWater
from arenalab.ledger.line import encode_checkpoint
from arenalab.ledger.local_storage import LocalStorage
from arenalab.ledger.lock import DirectoryLock
from arenalab.ledger.matching import conflict, is_named, is_sealed_as
from arenalab.ledger.opening import Opened, open_directory
from arenalab.ledger.reading import Head, ReadableLog
from arenalab.ledger.replay import Problem
from arenalab.ledger.segment_index import OpenSegmentIndex, fingerprint
from arenalab.ledger.segments import UndoError
from arenalab.ledger.storage import STORAGE_ERRORS, storage_error
from arenalab.ledger.store import Storage
from arenalab.ledger.subjects import SubjectKeys
from arenalab.mesh import (
    BusyError,
    DataLossError,
    MeshError,
    Reason,
)
from arenalab.proof import Checkpoint, KeyRing, Receipt

_logger = logging.getLogger(__name__)

COSIGNED: Final = "cosigned"  # a file beside the segments
DEFAULT_SEGMENT_BYTES: Final = 16 * 1024 * 1024
DEFAULT_SEGMENT_AGE_S: Final = 86_400.0
_NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Rolling:
    """When a new segment begins: after so many bytes of lines, or so long after the last."""

    size_bytes: int = DEFAULT_SEGMENT_BYTES
    age_s: float = DEFAULT_SEGMENT_AGE_S
    compress: bool = False  # closed segments, by Zstandard


@dataclass(frozen=True, slots=True)
class _Batch:
    """A sealed batch, as it is handed to the store."""

    fresh: Sequence[NewEntry]
    sealed: SealedBatch
    note: str
    when_ns: int


class Log(ReadableLog):
    """An open log. `commit` belongs to one thread; the rest may be called from any."""

    def __init__(
        self,
        directory: Path,
        keys: KeyRing,
        *,
        now_ns: Callable[[], int],
        random: Randomness,
        subjects: SubjectKeys | None = None,
        rolling: Rolling = Rolling(),
        storage: Storage | None = None,
    ) -> None:
        """Opens the log in a directory, or starts one; takes the directory's lock.

        Args:
            directory: Of the segments, on this machine.
            keys: Those that sign, and those that did.
            now_ns: Nanoseconds since 1970.
            random: Returns that many random bytes.
            subjects: Keys of the content, where several logs share them; by default the
                storage has some for this log.
            rolling: When a new segment begins.
            storage: What the log is kept in; by default, the directory. The log closes it.

        Raises:
            BusyError: Another process has it open.
            PreconditionError: MISSING_KEY; another key signed it.
            DataLossError: CORRUPT_LEDGER; the subjects' keys are damaged, or the storage
                has less than the directory, or something else.
            MeshError: The storage cannot be reached.
        """
        self.directory = directory
        self.keys = keys
        self.public_keys = [str(key) for key in keys.verifier_keys]  # the current one first
        self.public_key = self.public_keys[0]
        self._in_doubt: _Batch | None = None
        self._now_ns = now_ns
        self._random = random
        self._rolling = rolling
        self._storage = storage or LocalStorage()
        self._segment_since_ns: int | None = None  # counted anew from each start
        self._high_water: HighWater | None = None
        with ExitStack() as undo:
            undo.callback(self._storage.close)
            directory.mkdir(parents=True, exist_ok=True)
            self._lock = DirectoryLock(directory)
            undo.callback(self._lock.release)
            self._store = self._storage.open_store(directory)
            undo.callback(self._store.close)
            found = open_directory(directory, keys, may_lag=self._storage.is_replicated)
            if subjects is None:
                subjects = self._storage.open_keys(directory, random)
                undo.callback(subjects.close)
            self.subjects = subjects
            self.tree = found.tree
            self.catalog = found.catalog
            # The newest checkpoint that witnesses cosigned.
            cosigned = directory / COSIGNED
            self.cosigned = cosigned.read_text("utf-8") if cosigned.exists() else ""
            self.head = Head(found.size, found.note, found.end)
            self._closer = SegmentCloser(
                self._store, self.catalog, self.tree, compress=rolling.compress
            )
            undo.callback(self._closer.finish)
            if found.problem is not None:
                self._refuse(found.problem)
            else:
                self._high_water = HighWater(directory)
                undo.callback(self._high_water.close)
                self._repair(found, self._high_water)
            self._open = undo.pop_all()

    def _repair(self, found: Opened, high_water: HighWater) -> None:
        if found.is_torn:
            self._store.cut(found.end, found.content_end)
        if found.is_ahead:
            self._store.write_again()
        for number, note in found.unindexed:
            self._closer.close(number, note)
        if self._rolling.compress:
            for number in range(len(self.catalog) - 1):
                self._closer.close(number, "")  # those that have an index
        self._catch_up(found)
        if self.head.note:
            high_water.write(self.head.note)
            high_water.sync()
        self._forget_erased()

    def _catch_up(self, found: Opened) -> None:
        """Takes the batches that the storage has and the directory lacks."""
        known = Checkpoint(self.origin, found.size, self.tree.root()) if found.size else None
        try:
            for batch in self._store.missed(known):
                arrived = check_arrival(batch, self.tree, self.keys.verifier_keys)
                self.tree.forget_leaves(self._closer.indexed_until)
                if not self._store.files or batch.place.segment == self._store.end.segment + 1:
                    self._begin_segment(self.head.size)
                if (batch.place, batch.content_offset) != (
                    self._store.end,
                    self._store.content_end,
                ):
                    raise DataLossError(
                        f"{batch.name} does not start where the one before it ends",
                        Reason.CORRUPT_LEDGER,
                        file=batch.name,
                    )
                self._store.write(batch.lines, batch.content)
                for entry in arrived.entries:
                    offset = batch.place.offset + entry.offset
                    self.catalog.add(offset, entry.name, entry.postings, entry.when_ns)
                self.head = Head(self.tree.size, arrived.note, self._store.end)
        except OSError as error:
            raise storage_error(error, self.directory) from error
        check_caught_up(found.high_water, self.tree)

    def _forget_erased(self) -> None:
        """Destroys keys that the log says are destroyed: a backup may have brought them back."""
        for index in self.catalog.find(fingerprint("kind", "", "erasure")):
            key_id = bytes.fromhex(self.line(index).fields()["facts"]["key_id"])
            if self.subjects.destroy_key(key_id):
                _logger.warning("the key %s, erased before, was there again", key_id.hex())

    def close(self) -> None:
        """Lets go of the files, the lock and the storage, once indexes are written."""
        self._open.close()

    def commit(self, batch: Sequence[Entry]) -> list[Receipt | MeshError]:
        """Seals a batch durably; returns, for each entry, its receipt or its error.

        Raises:
            BudgetSpentError: STORAGE_FULL; nothing of the batch was kept by a disk.
            DataLossError: CORRUPT_LEDGER; the log is damaged, or its disk failed to sync.
            BusyError: Another process took the log over; this one must not go on.
            NotReadyError: The storage elsewhere did not answer. Whether the batch was
                kept will be known before anything else is: sent again, its entries
                get the leaves that they have by then.
        """
        self.check()
        self._check_whose_it_is()
        if self._in_doubt is not None:
            self._append_again(self._in_doubt)
        fresh: dict[tuple[str, str], NewEntry] = {}  # by tenant and entry id
        placed = [self._place(entry, fresh) for entry in batch]
        for piece in pieces(list(fresh.values()), self._batch_limit):
            self._write(piece)
        leaves = {new.index: new.leaf for new in fresh.values()}
        head = self.head
        return [
            place
            if isinstance(place, MeshError)
            else self._receipt(place, leaves.get(place) or self.line(place).leaf, head)
            for place in placed
        ]

    def _place(self, entry: Entry, fresh: dict[tuple[str, str], NewEntry]) -> int | MeshError:
        """Returns the leaf index that an entry has, or will get."""
        name = fingerprint("entry", entry.tenant, entry.entry_id)
        for index in self.catalog.named(name):
            line = self.line(index)
            if is_named(line, entry.tenant, entry.entry_id):
                same = is_sealed_as(line, self._private(line), entry)
                return index if same else conflict(entry, index)
        if (error := too_large(entry, self._batch_limit)) is not None:
            return error
        key = (entry.tenant, entry.entry_id)
        new = fresh.setdefault(key, NewEntry(entry, name, self.tree.size + len(fresh)))
        return new.index if new.entry == entry else conflict(entry, new.index)

    @property
    def _batch_limit(self) -> int | None:
        limit = self._store.max_batch_bytes
        return limit - MAX_CHECKPOINT_BYTES if limit is not None else None

    def _write(self, fresh: Sequence[NewEntry]) -> None:
        size, now_ns = self.tree.size, self._now_ns()
        self.tree.forget_leaves(self._closer.indexed_until)
        try:
            self._roll_if_due(size, now_ns)
            keys = self.subjects.ensure({(new.entry.tenant, new.entry.subject) for new in fresh})
            sealed = seal_batch(
                fresh,
                keys,
                when_from_ns(now_ns),
                self._random,
                self._store.end.offset,
                self._store.content_end,
            )
        except OSError as error:
            self._give_up(size, error)
        except BusyError:
            self._taken_over = True
            raise
        self.tree.extend(sealed.hashes)
        note = self.keys.sign(Checkpoint(self.origin, self.tree.size, self.tree.root()).text())
        self._append(_Batch(fresh, sealed, note, now_ns), size)

    def _append_again(self, batch: _Batch) -> None:
        size = self.tree.size
        self.tree.extend(batch.sealed.hashes)
        self._append(batch, size)

    def _append(self, batch: _Batch, size: int) -> None:
        """Makes a batch durable whose leaves, from `size` on, are in the tree already."""
        try:
            self._store.append(
                batch.sealed.lines + encode_checkpoint(batch.note), batch.sealed.content
            )
        except OSError as error:
            self._in_doubt = None
            self._give_up(size, error)
        except MeshError as error:
            self.tree.truncate(size)
            self._taken_over = isinstance(error, BusyError)
            self._in_doubt = batch
            raise
        self._in_doubt = None
        self._publish(batch)

    def _roll_if_due(self, size: int, now_ns: int) -> None:
        if len(self.catalog):
            last = self.catalog.last
            if self._segment_since_ns is None:
                self._segment_since_ns = now_ns
            age_ns = now_ns - self._segment_since_ns
            is_due = last.count and (
                self._store.end.offset >= self._rolling.size_bytes
                or age_ns >= self._rolling.age_s * _NS_PER_S
            )
            if not is_due:
                return
        self._begin_segment(size)
        self._segment_since_ns = now_ns

    def _begin_segment(self, size: int) -> None:
        self._store.roll()
        self.catalog.take(OpenSegmentIndex(size))
        if len(self.catalog) > 1:
            self._closer.close(len(self.catalog) - 2, self.head.note)

    def _give_up(self, size: int, error: OSError) -> NoReturn:
        """Forgets a batch that could not be written, and says so."""
        self.tree.truncate(size)
        if isinstance(error, UndoError):
            end = self._store.end
            file = self._store.files[-1].lines.name
            self._refuse(Problem(file, end.offset, None, str(error.strerror)))
            self.check()
        if error.errno in STORAGE_ERRORS:
            _logger.warning("a batch was refused by the disk: %s", error)
            raise storage_error(error, self.directory) from error
        raise error

    def _publish(self, batch: _Batch) -> None:
        for new in batch.fresh:
            self.catalog.add(new.offset, new.name, new.postings(), batch.when_ns)
        self.head = Head(self.tree.size, batch.note, self._store.end)
        assert self._high_water is not None  # noqa: S101 - there is one while nothing is damaged
        try:
            self._high_water.write(batch.note)
        except OSError:
            # The batch is durable; only the check against a log cut short gets weaker.
            _logger.exception("the high-water mark could not be written")
