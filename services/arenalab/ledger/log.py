"""The log: a Merkle tree over entries in segments, one writer, many readers.

`commit` takes a batch through one write, one fsync and one signed checkpoint, and
returns a receipt for each entry; nothing is acknowledged before. Opening repairs a
torn tail. Damage is remembered, and then the log neither takes nor proves
anything: to seal again would make the damage look right.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from arenalab.atomic import when_from_ns
from arenalab.ledger.batch import NewEntry, seal_batch
from arenalab.ledger.closing import SegmentCloser
from arenalab.ledger.disk import Disk
from arenalab.ledger.entry import Entry, Private, Randomness, decrypt, sealed_hash
from arenalab.ledger.high_water import HighWater
from arenalab.ledger.line import EntryLine, encode_checkpoint, parse_line
from arenalab.ledger.lock import DirectoryLock
from arenalab.ledger.matching import conflict, is_named, is_sealed_as
from arenalab.ledger.opening import Opened, open_directory
from arenalab.ledger.replay import Place, Problem
from arenalab.ledger.segment_files import SegmentFiles
from arenalab.ledger.segment_index import OpenSegmentIndex, fingerprint
from arenalab.ledger.segments import Segments, UndoError
from arenalab.ledger.storage import STORAGE_ERRORS, storage_error
from arenalab.ledger.subjects import SubjectKeys
from arenalab.mesh import DataLossError, InvalidInputError, MeshError, NotFoundError, Reason
from arenalab.proof import Checkpoint, KeyRing, ProofError, Receipt, leaf_hash

_logger = logging.getLogger(__name__)

COSIGNED: Final = "cosigned"  # a file beside the segments
DEFAULT_SEGMENT_BYTES: Final = 32 * 1024 * 1024
DEFAULT_SEGMENT_AGE_S: Final = 86_400.0
_NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Rolling:
    """When a new segment begins: after so many bytes of lines, or so long after the last."""

    size_bytes: int = DEFAULT_SEGMENT_BYTES
    age_s: float = DEFAULT_SEGMENT_AGE_S


@dataclass(frozen=True, slots=True)
class Head:
    """What the log has acknowledged, as one value: readers take it in one step."""

    size: int
    note: str  # signed checkpoint; empty for an empty log
    end: Place


@dataclass(frozen=True, slots=True)
class Stored:
    """An entry as it lies in the log."""

    leaf_index: int
    leaf: bytes
    private: Private | None  # None when it was erased
    time: str  # RFC 3339


class Log:
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
        disk: Disk | None = None,
    ) -> None:
        """Opens the log in a directory, or starts one; takes the directory's lock.

        Args:
            directory: Of the segments.
            keys: Sign checkpoints; their name is the log's origin.
            now_ns: Nanoseconds since the epoch: the leaves' time.
            random: Returns that many random bytes.
            subjects: Keys of the content, where several logs share them; by default the
                log keeps its own.
            rolling: When a new segment begins.
            disk: What writes and syncs.

        Raises:
            BusyError: Another process has it open.
            PreconditionError: MISSING_KEY; another key signed it.
            DataLossError: CORRUPT_LEDGER; the subjects' keys are damaged.
        """
        self.directory = directory
        self.keys = keys
        self.public_keys = [str(key) for key in keys.verifier_keys]  # the current one first
        self.public_key = self.public_keys[0]
        self._damage: Problem | None = None
        self._now_ns = now_ns
        self._random = random
        self._rolling = rolling
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = DirectoryLock(directory)
        try:
            found = open_directory(directory, keys)
            self._owns_subjects = subjects is None
            self.subjects = subjects or SubjectKeys(directory, random)
        except BaseException:
            self._lock.release()
            raise
        self._segments = Segments(directory, disk)
        self.tree = found.tree
        self.catalog = found.catalog
        self._segment_since_ns: int | None = None  # counted anew from each start
        # The newest checkpoint that witnesses cosigned.
        cosigned = directory / COSIGNED
        self.cosigned = cosigned.read_text("utf-8") if cosigned.exists() else ""
        self.head = Head(found.size, found.note, found.end)
        self._high_water: HighWater | None = None
        self._closer = SegmentCloser(self._segments, self.catalog, self.tree)
        if found.problem is not None:
            self._refuse(found.problem)
        else:
            self._high_water = HighWater(directory)
            self._repair(found, self._high_water)

    def _repair(self, found: Opened, high_water: HighWater) -> None:
        if found.is_torn:
            self._segments.cut(found.end, found.content_end)
        if found.is_ahead:
            self._segments.write_again()
        if found.note:
            high_water.write(found.note)
            high_water.sync()
        self._forget_erased()
        for number, note in found.unindexed:
            self._closer.close(number, note)

    def _forget_erased(self) -> None:
        """Destroys keys that the log says are destroyed: a backup may have brought them back."""
        for index in self.catalog.find(fingerprint("kind", "", "erasure")):
            key_id = bytes.fromhex(self.line(index).fields()["facts"]["key_id"])
            if self.subjects.destroy_key(key_id):
                _logger.warning("the key %s, erased before, was there again", key_id.hex())

    def _refuse(self, problem: Problem) -> None:
        self._damage = problem
        _logger.error("%s", self.damage)

    @property
    def damage(self) -> DataLossError | None:
        """What the log refuses to go on with, if anything; a new error each time."""
        if self._damage is None:
            return None
        file, offset = self._damage.file, self._damage.offset
        return DataLossError(
            f"the ledger is damaged: {file}, byte {offset}: {self._damage.message}",
            Reason.CORRUPT_LEDGER,
            file=file,
            offset=str(offset),
        )

    @property
    def origin(self) -> str:
        """The log's name."""
        return self.keys.verifier_key.name

    def check(self) -> None:
        """Makes sure that the log is whole.

        Raises:
            DataLossError: CORRUPT_LEDGER; it is not.
        """
        if (damage := self.damage) is not None:
            raise damage

    def close(self) -> None:
        """Lets go of the files and of the lock, once indexes are written."""
        self._closer.finish()
        if self._high_water is not None:
            self._high_water.close()
        self._segments.close()
        if self._owns_subjects:
            self.subjects.close()
        self._lock.release()

    # Reading.

    @property
    def segment_bytes(self) -> int:
        """Bytes of all segments on disk."""
        return self._segments.total_bytes

    @property
    def segment_paths(self) -> list[Path]:
        """The files of lines, in order."""
        return [files.lines for files in self._segments.files]

    @property
    def segment_files(self) -> list[SegmentFiles]:
        """The files of each segment, in order."""
        return list(self._segments.files)

    def entries_of_key(self, key_id: bytes) -> int:
        """Returns how many entries a subject's key encrypts."""
        return sum(1 for _ in self.catalog.find(fingerprint("key", "", key_id.hex())))

    def get(self, tenant: str, leaf_index: int) -> Stored:
        """Returns a tenant's entry.

        Raises:
            NotFoundError: UNKNOWN_LEAF, also for an entry of another tenant.
            DataLossError: CORRUPT_LEDGER.
        """
        line = self._line_of(tenant, leaf_index)
        return Stored(leaf_index, line.leaf, self._private(line), line.fields()["time"])

    def find(self, tenant: str, entry_id: str) -> int:
        """Returns the leaf index of a tenant's entry.

        Raises:
            NotFoundError: UNKNOWN_LEAF.
            DataLossError: CORRUPT_LEDGER.
        """
        self.check()
        for index in self.catalog.named(fingerprint("entry", tenant, entry_id)):
            if index < self.head.size and is_named(self.line(index), tenant, entry_id):
                return index
        raise NotFoundError(
            f"no entry {entry_id!r} in {tenant!r}", Reason.UNKNOWN_LEAF, entry_id=entry_id
        )

    def posted(self, kind: str, tenant: str, value: str) -> Iterator[EntryLine]:
        """Yields the acknowledged entries that may be asked for by an id, in order.

        A fingerprint has 64 bits: the caller compares the fields that it asked for.

        Raises:
            DataLossError: CORRUPT_LEDGER.
        """
        self.check()
        size = self.head.size
        for index in self.catalog.find(fingerprint(kind, tenant, value)):
            if index < size:
                yield self.line(index)

    def prove(self, tenant: str, leaf_index: int) -> Receipt:
        """Returns the receipt of a tenant's entry against the newest checkpoint.

        Raises:
            NotFoundError: UNKNOWN_LEAF, also for an entry of another tenant.
            DataLossError: CORRUPT_LEDGER.
        """
        line = self._line_of(tenant, leaf_index)
        return self._receipt(leaf_index, line.leaf, self.head)

    def consistency(self, first: int, second: int) -> tuple[list[bytes], int]:
        """Returns the proof between two sizes, and the second one (0: the newest).

        Raises:
            InvalidInputError: Unless 0 < first <= second <= size.
            DataLossError: CORRUPT_LEDGER.
        """
        self.check()
        size = self.head.size
        second = second or size
        if not 0 < first <= second <= size:
            raise InvalidInputError(
                f"sizes must satisfy 0 < first <= second <= {size}, got {first} and {second}",
                field="first_size" if not 0 < first <= second else "second_size",
            )
        with self._checking_hashes():
            return self.tree.consistency_path(first, second), second

    def _line_of(self, tenant: str, leaf_index: int) -> EntryLine:
        self.check()
        line = self.line(leaf_index) if leaf_index < self.head.size else None
        if line is None or line.fields()["scope"] != tenant:
            raise NotFoundError(
                f"no leaf {leaf_index} in {tenant!r}",
                Reason.UNKNOWN_LEAF,
                leaf_index=str(leaf_index),
            )
        return line

    def line(self, index: int) -> EntryLine:
        """Reads an entry again; what was changed since the log was opened is seen here.

        Raises:
            DataLossError: CORRUPT_LEDGER.
        """
        place = self.catalog.place(index)
        return self._checked(index, place, self._segments.read_line(place))

    def _checked(self, index: int, place: Place, read: bytes) -> EntryLine:
        line = parse_line(read)
        with self._checking_hashes():
            sealed = self.tree.leaf(index)
        if not isinstance(line, EntryLine) or leaf_hash(line.leaf) != sealed:
            raise self._changed(place, f"leaf {index} is not what was sealed")
        return line

    def lines(self, first: int, end: int) -> Iterator[EntryLine]:
        """Yields the entries [first, end) in order.

        Raises:
            DataLossError: CORRUPT_LEDGER.
        """
        while first < end:
            number = self.catalog.segment_of(first)
            yield from self.lines_of(number, first, end)
            first = self.catalog.first_leaf(number) + self.catalog.count(number)

    def lines_of(self, number: int, first: int, end: int) -> Iterator[EntryLine]:
        """Yields the entries [first, end) that a segment has, read in one go.

        Raises:
            DataLossError: CORRUPT_LEDGER.
        """
        last = self.catalog.first_leaf(number) + self.catalog.count(number)
        with self._segments.files[number].lines.open("rb") as file:
            for index in range(first, min(last, end)):
                place = self.catalog.place(index)
                file.seek(place.offset)
                yield self._checked(index, place, file.readline())

    def _private(self, line: EntryLine) -> Private | None:
        key = self.subjects.find(line.key_id)
        if key is None:
            return None
        segment = self.catalog.segment_of(line.index)
        sealed = self._segments.read_content(segment, line.offset, line.content_bytes)
        if sealed_hash(sealed) != line.sealed_hex:
            place = self.catalog.place(line.index)
            raise self._changed(place, f"the content of leaf {line.index} is not what was sealed")
        return decrypt(sealed, key)

    def _changed(self, place: Place, message: str) -> DataLossError:
        file = self._segments.files[place.segment].lines.name
        return DataLossError(
            f"{file}, byte {place.offset}: {message}",
            Reason.CORRUPT_LEDGER,
            file=file,
            offset=str(place.offset),
        )

    def _receipt(self, index: int, leaf: bytes, head: Head) -> Receipt:
        with self._checking_hashes():
            return Receipt(
                leaf_index=index,
                leaf=leaf,
                leaf_hash=self.tree.leaf(index),
                inclusion_path=tuple(self.tree.inclusion_path(index, head.size)),
                checkpoint=head.note,
                log_public_key=self.public_key,
            )

    @contextmanager
    def _checking_hashes(self) -> Iterator[None]:
        """Says of hashes that an index file gave back and that were not sealed what they are."""
        try:
            yield
        except ProofError as error:
            raise DataLossError(
                f"an index of the ledger changed under it, start it again: {error}",
                Reason.CORRUPT_LEDGER,
            ) from error

    # Writing.

    def commit(self, batch: Sequence[Entry]) -> list[Receipt | MeshError]:
        """Seals a batch durably; returns, for each entry, its receipt or its error.

        Raises:
            BudgetSpentError: STORAGE_FULL; nothing of the batch was kept.
            DataLossError: CORRUPT_LEDGER; the log is damaged, or its disk failed to sync.
        """
        self.check()
        fresh: dict[tuple[str, str], NewEntry] = {}  # by tenant and entry id
        placed = [self._place(entry, fresh) for entry in batch]
        if fresh:
            self._write(list(fresh.values()))
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
        key = (entry.tenant, entry.entry_id)
        new = fresh.setdefault(key, NewEntry(entry, name, self.tree.size + len(fresh)))
        return new.index if new.entry == entry else conflict(entry, new.index)

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
                self._segments.end.offset,
                self._segments.content_end,
            )
            self.tree.extend(sealed.hashes)
            checkpoint = Checkpoint(self.origin, self.tree.size, self.tree.root())
            note = self.keys.sign(checkpoint.text())
            self._segments.append(sealed.lines + encode_checkpoint(note), sealed.content)
        except OSError as error:
            self._give_up(size, error)
        self._publish(fresh, note, now_ns)

    def _roll_if_due(self, size: int, now_ns: int) -> None:
        if len(self.catalog):
            last = self.catalog.last
            if self._segment_since_ns is None:
                self._segment_since_ns = now_ns
            age_ns = now_ns - self._segment_since_ns
            is_due = last.count and (
                self._segments.end.offset >= self._rolling.size_bytes
                or age_ns >= self._rolling.age_s * _NS_PER_S
            )
            if not is_due:
                return
        self._segments.roll()
        self.catalog.take(OpenSegmentIndex(size))
        self._segment_since_ns = now_ns
        if len(self.catalog) > 1:
            self._closer.close(len(self.catalog) - 2, self.head.note)

    def _give_up(self, size: int, error: OSError) -> NoReturn:
        """Forgets a batch that could not be written, and says so."""
        self.tree.truncate(size)
        if isinstance(error, UndoError):
            end = self._segments.end
            file = self._segments.files[-1].lines.name
            self._refuse(Problem(file, end.offset, None, str(error.strerror)))
            self.check()
        if error.errno in STORAGE_ERRORS:
            _logger.warning("a batch was refused by the disk: %s", error)
            raise storage_error(error, self.directory) from error
        raise error

    def _publish(self, fresh: Sequence[NewEntry], note: str, now_ns: int) -> None:
        for new in fresh:
            self.catalog.add(new.offset, new.name, new.postings(), now_ns)
        self.head = Head(self.tree.size, note, self._segments.end)
        assert self._high_water is not None  # noqa: S101 - there is one while nothing is damaged
        try:
            self._high_water.write(note)
        except OSError:
            # The batch is durable; only the check against a log cut short gets weaker.
            _logger.exception("the high-water mark could not be written")
