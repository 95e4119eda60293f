"""What is read of an open log, by any thread, while one thread appends.

Every line is checked against the tree when it is read again: what was changed on the
disk since is seen, and never handed out.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from arenalab.ledger.catalog import Catalog
from arenalab.ledger.entry import Private, decrypt, sealed_hash
from arenalab.ledger.line import EntryLine, parse_line
from arenalab.ledger.matching import is_named
from arenalab.ledger.packing import open_lines
from arenalab.ledger.replay import Place, Problem
from arenalab.ledger.segment_files import SegmentFiles
from arenalab.ledger.segment_index import fingerprint
from arenalab.ledger.store import LogStore
from arenalab.ledger.subjects import SubjectKeys
from arenalab.mesh import BusyError, DataLossError, InvalidInputError, NotFoundError, Reason
from arenalab.proof import KeyRing, MerkleTree, ProofError, Receipt, leaf_hash

_logger = logging.getLogger(__name__)


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


class ReadableLog:
    """The part of an open log that any thread may call; `Log` opens it, and appends."""

    keys: KeyRing
    public_keys: list[str]  # the current one first
    public_key: str
    head: Head
    tree: MerkleTree
    catalog: Catalog
    subjects: SubjectKeys
    _store: LogStore
    _damage: Problem | None = None
    _taken_over: bool = False

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

    def _check_whose_it_is(self) -> None:
        if self._taken_over:
            raise BusyError(
                f"another process took the log {self.origin} over after {self.head.size} leaves",
                job="ledger",
            )

    @property
    def segment_bytes(self) -> int:
        """Bytes of all segments on disk."""
        return self._store.total_bytes

    @property
    def segment_paths(self) -> list[Path]:
        """The files of lines, in order."""
        return [files.lines for files in self._store.files]

    @property
    def segment_files(self) -> list[SegmentFiles]:
        """The files of each segment, in order."""
        return list(self._store.files)

    def entries_of_key(self, key_id: bytes) -> int:
        """Returns how many entries a subject's key encrypts."""
        return sum(1 for _ in self.catalog.find(fingerprint("key", "", key_id.hex())))

    def get(self, tenant: str, leaf_index: int) -> Stored:
        """Returns a tenant's entry.

        Raises:
            NotFoundError: UNKNOWN_LEAF, also for an entry of another tenant.
            DataLossError: CORRUPT_LEDGER.
            BusyError: Another process took the log over, and may have erased it there.
        """
        line = self._line_of(tenant, leaf_index)
        self._check_whose_it_is()
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
        return self._checked(index, place, self._store.read_line(place))

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
        with open_lines(self._store.files[number].lines) as file:
            for index in range(first, min(last, end)):
                place = self.catalog.place(index)
                file.seek(place.offset)
                yield self._checked(index, place, file.readline())

    def _private(self, line: EntryLine) -> Private | None:
        key = self.subjects.find(line.key_id)
        if key is None:
            return None
        segment = self.catalog.segment_of(line.index)
        sealed = self._store.read_content(segment, line.offset, line.content_bytes)
        if sealed_hash(sealed) != line.sealed_hex:
            place = self.catalog.place(line.index)
            raise self._changed(place, f"the content of leaf {line.index} is not what was sealed")
        return decrypt(sealed, key)

    def _changed(self, place: Place, message: str) -> DataLossError:
        file = self._store.files[place.segment].lines.name
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
