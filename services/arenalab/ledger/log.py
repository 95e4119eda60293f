"""The log: a Merkle tree over entries in segments, one writer, many readers.

`commit` takes a batch through one write, one fsync and one signed checkpoint, and
returns a receipt for each entry; nothing is acknowledged before. Opening repairs a
torn tail. Damage is remembered, and then the log neither takes nor proves
anything: to seal again would make the damage look right.
"""

import logging
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from arenalab.atomic import canonical_json, when_from_ns
from arenalab.ledger.entry import Entry, Private, Randomness, key_id_of, seal, unseal
from arenalab.ledger.entry_index import EntryIndex
from arenalab.ledger.files import STORAGE_ERRORS, DirectoryLock, storage_error
from arenalab.ledger.high_water import HighWater
from arenalab.ledger.line import EntryLine, encode_checkpoint, encode_entry, parse_line
from arenalab.ledger.matching import conflict, is_named, is_sealed_as
from arenalab.ledger.opening import open_directory
from arenalab.ledger.replay import Place, Problem, Replayed
from arenalab.ledger.segments import Segments, UndoError
from arenalab.ledger.subjects import SubjectKeys
from arenalab.mesh import DataLossError, InvalidInputError, MeshError, NotFoundError, Reason
from arenalab.proof import Checkpoint, Receipt, Signer, leaf_hash

_logger = logging.getLogger(__name__)

DEFAULT_SEGMENT_BYTES: Final = 64 * 1024 * 1024
_INDEX_SECRET_BYTES: Final = 32


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


@dataclass(slots=True)
class _New:
    """An entry of a batch that is not in the log yet."""

    entry: Entry
    fingerprint: int
    index: int
    leaf: bytes = b""
    offset: int = 0
    key_id: bytes = b""


class Log:
    """An open log. `commit` belongs to one thread; the rest may be called from any."""

    def __init__(
        self,
        directory: Path,
        signer: Signer,
        *,
        now_ns: Callable[[], int],
        random: Randomness,
        segment_bytes: int = DEFAULT_SEGMENT_BYTES,
    ) -> None:
        """Opens the log in a directory, or starts one; takes the directory's lock.

        Raises:
            BusyError: Another process has it open.
            PreconditionError: MISSING_KEY; another key signed it.
            DataLossError: CORRUPT_LEDGER; the subjects' keys are damaged.
        """
        self.directory = directory
        self.public_key = str(signer.verifier_key)
        self._damage: Problem | None = None
        self._signer = signer
        self._now_ns = now_ns
        self._random = random
        self._entries = EntryIndex(random(_INDEX_SECRET_BYTES))
        self._entries_of_key: Counter[bytes] = Counter()
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = DirectoryLock(directory)
        try:
            found = open_directory(directory, signer, self._remember)
            self.subjects = SubjectKeys(directory, random)
        except BaseException:
            self._lock.release()
            raise
        self._segments = Segments(directory, segment_bytes)
        self._tree = found.tree
        self._offsets = found.offsets
        self._first_leaves = [min(first, found.size) for first in found.first_leaves]
        self.head = Head(found.size, found.note, found.end)
        self._high_water: HighWater | None = None
        if found.problems:
            self._refuse(found.problems[0])
        else:
            self._high_water = HighWater(directory)
            self._repair(found, self._high_water)

    def _remember(self, line: EntryLine) -> None:
        fingerprint = self._entries.fingerprint(line.tenant, line.entry_id_json)
        self._entries.add(fingerprint, line.index)
        self._entries_of_key[key_id_of(line.sealed)] += 1

    def _repair(self, found: Replayed, high_water: HighWater) -> None:
        if found.torn_bytes:
            self._segments.cut(found.end)
            _logger.warning(
                "dropped %d bytes after leaf %d that were never acknowledged",
                found.torn_bytes,
                found.size,
            )
        if found.note:
            high_water.write(found.note)
            high_water.sync()

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

    def check(self) -> None:
        """Makes sure that the log is whole.

        Raises:
            DataLossError: CORRUPT_LEDGER; it is not.
        """
        if (damage := self.damage) is not None:
            raise damage

    def close(self) -> None:
        """Lets go of the files and of the lock."""
        if self._high_water is not None:
            self._high_water.close()
        self._segments.close()
        self.subjects.close()
        self._lock.release()

    # Reading.

    @property
    def segment_bytes(self) -> int:
        """Bytes of all segments on disk."""
        return self._segments.total_bytes

    @property
    def segment_paths(self) -> list[Path]:
        """The segments, in order."""
        return list(self._segments.paths)

    def entries_of_key(self, key_id: bytes) -> int:
        """Returns how many entries a subject's key encrypts."""
        return self._entries_of_key[key_id]

    def get(self, tenant: str, leaf_index: int) -> Stored:
        """Returns a tenant's entry.

        Raises:
            NotFoundError: UNKNOWN_LEAF, also for an entry of another tenant.
            DataLossError: CORRUPT_LEDGER.
        """
        line = self._line_of(tenant, leaf_index)
        return Stored(leaf_index, line.leaf, self._private(line))

    def find(self, tenant: str, entry_id: str) -> int:
        """Returns the leaf index of a tenant's entry.

        Raises:
            NotFoundError: UNKNOWN_LEAF.
            DataLossError: CORRUPT_LEDGER.
        """
        self.check()
        fingerprint = self._entries.fingerprint(tenant, canonical_json(entry_id))
        for index in self._entries.candidates(fingerprint):
            if index < self.head.size and is_named(self._line(index), tenant, entry_id):
                return index
        raise NotFoundError(
            f"no entry {entry_id!r} in {tenant!r}", Reason.UNKNOWN_LEAF, entry_id=entry_id
        )

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
        return self._tree.consistency_path(first, second), second

    def _line_of(self, tenant: str, leaf_index: int) -> EntryLine:
        self.check()
        line = self._line(leaf_index) if leaf_index < self.head.size else None
        if line is None or line.tenant != tenant:
            raise NotFoundError(
                f"no leaf {leaf_index} in {tenant!r}",
                Reason.UNKNOWN_LEAF,
                leaf_index=str(leaf_index),
            )
        return line

    def _line(self, index: int) -> EntryLine:
        """Reads an entry again; what was changed since the log was opened is seen here."""
        segment = bisect_right(self._first_leaves, index) - 1
        place = Place(segment, self._offsets[index])
        line = parse_line(self._segments.read_line(place))
        if not isinstance(line, EntryLine) or leaf_hash(line.leaf) != self._tree.leaf(index):
            file = self._segments.paths[segment].name
            raise DataLossError(
                f"leaf {index} in {file}, byte {place.offset}, is not what was sealed",
                Reason.CORRUPT_LEDGER,
                file=file,
                offset=str(place.offset),
            )
        return line

    def _private(self, line: EntryLine) -> Private | None:
        key = self.subjects.find(key_id_of(line.sealed))
        return None if key is None else unseal(line.sealed, key)

    def _receipt(self, index: int, leaf: bytes, head: Head) -> Receipt:
        return Receipt(
            leaf_index=index,
            leaf=leaf,
            leaf_hash=self._tree.leaf(index),
            inclusion_path=tuple(self._tree.inclusion_path(index, head.size)),
            checkpoint=head.note,
            log_public_key=self.public_key,
        )

    # Writing.

    def commit(self, batch: Sequence[Entry]) -> list[Receipt | MeshError]:
        """Seals a batch durably; returns, for each entry, its receipt or its error.

        Raises:
            BudgetSpentError: STORAGE_FULL; nothing of the batch was kept.
            DataLossError: CORRUPT_LEDGER; the log is damaged.
        """
        self.check()
        fresh: dict[tuple[str, str], _New] = {}  # by tenant and entry id
        placed = [self._place(entry, fresh) for entry in batch]
        if fresh:
            self._write(list(fresh.values()))
        leaves = {new.index: new.leaf for new in fresh.values()}
        head = self.head
        return [
            place
            if isinstance(place, MeshError)
            else self._receipt(place, leaves.get(place) or self._line(place).leaf, head)
            for place in placed
        ]

    def _place(self, entry: Entry, fresh: dict[tuple[str, str], _New]) -> int | MeshError:
        """Returns the leaf index that an entry has, or will get."""
        fingerprint = self._entries.fingerprint(entry.tenant, canonical_json(entry.entry_id))
        for index in self._entries.candidates(fingerprint):
            line = self._line(index)
            if is_named(line, entry.tenant, entry.entry_id):
                same = is_sealed_as(line, self._private(line), entry)
                return index if same else conflict(entry, index)
        name = (entry.tenant, entry.entry_id)
        new = fresh.setdefault(name, _New(entry, fingerprint, self._tree.size + len(fresh)))
        return new.index if new.entry == entry else conflict(entry, new.index)

    def _write(self, fresh: Sequence[_New]) -> None:
        size = self._tree.size
        try:
            if self._segments.roll():
                self._first_leaves.append(size)
            lines = self._seal(fresh)
            checkpoint = Checkpoint(
                self._signer.verifier_key.name, self._tree.size, self._tree.root()
            )
            note = self._signer.sign(checkpoint.text())
            self._segments.append(b"".join((*lines, encode_checkpoint(note))))
        except OSError as error:
            self._give_up(size, error)
        self._publish(fresh, note)

    def _seal(self, fresh: Sequence[_New]) -> list[bytes]:
        keys = self.subjects.ensure({(new.entry.tenant, new.entry.subject) for new in fresh})
        lines = []
        offset = self._segments.end.offset
        for new in fresh:
            key = keys[new.entry.tenant, new.entry.subject]
            new.leaf, sealed = seal(new.entry, when_from_ns(self._now_ns()), key, self._random)
            new.key_id, new.offset = key.key_id, offset
            hashed = leaf_hash(new.leaf)
            self._tree.append(hashed)
            lines.append(encode_entry(new.index, new.leaf, hashed, sealed))
            offset += len(lines[-1])
        return lines

    def _give_up(self, size: int, error: OSError) -> NoReturn:
        """Forgets a batch that could not be written, and says so."""
        self._tree.truncate(size)
        if isinstance(error, UndoError):
            end = self._segments.end
            self._refuse(
                Problem(self._segments.paths[-1].name, end.offset, None, error.strerror or "")
            )
        if error.errno in STORAGE_ERRORS:
            _logger.warning("a batch was refused by the disk: %s", error)
            raise storage_error(error, self.directory) from error
        raise error

    def _publish(self, fresh: Sequence[_New], note: str) -> None:
        for new in fresh:
            self._offsets.append(new.offset)
            self._entries.add(new.fingerprint, new.index)
            self._entries_of_key[new.key_id] += 1
        self.head = Head(self._tree.size, note, self._segments.end)
        assert self._high_water is not None  # noqa: S101 - there is one while nothing is damaged
        try:
            self._high_water.write(note)
        except OSError:
            # The batch is durable; only the check against a log cut short gets weaker.
            _logger.exception("the high-water mark could not be written")
