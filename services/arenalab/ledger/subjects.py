"""The keys of subjects' content, in a file of fixed records that are erased in place.

Not SQLite: its journal keeps a copy of what it overwrites, and a key that must be
destroyed may have no copies. On a disk that moves blocks when it rewrites them (SSDs
do), overwriting is a best effort; full-disk encryption covers the rest.

A record names its subject only by a keyed hash. It is live, then erasing (the key is
zeros, the erasure not yet sealed), then erased (the hash is zeros too).
"""

import os
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blake3 import blake3

from arenalab.ledger.disk import sync_directory, write_all
from arenalab.ledger.entry import KEY_ID_BYTES, Randomness, SubjectKey
from arenalab.mesh import DataLossError, Reason

NAME: Final = "subjects.keys"
# A power of two, so that no record straddles a sector and a crash cannot tear one.
RECORD_BYTES: Final = 128
_MAGIC: Final = b"arenalab subject keys 1\n"
_KEY_BYTES: Final = 32
_CHECK_BYTES: Final = 15
_LIVE, _ERASING, _ERASED = 1, 2, 3
_NO_KEY: Final = bytes(_KEY_BYTES)

Subject = tuple[str, str]  # tenant, subject


@dataclass(frozen=True, slots=True)
class _Record:
    key_id: bytes
    tag: bytes
    key: bytes
    state: int

    def encode(self) -> bytes:
        body = self.key_id + self.tag + self.key + bytes([self.state])
        body = body.ljust(RECORD_BYTES - _CHECK_BYTES, b"\0")
        return body + blake3(body).digest(_CHECK_BYTES)

    @classmethod
    def decode(cls, data: bytes) -> "_Record | None":
        body, check = data[:-_CHECK_BYTES], data[-_CHECK_BYTES:]
        if blake3(body).digest(_CHECK_BYTES) != check:
            return None
        tag, key, state = KEY_ID_BYTES, KEY_ID_BYTES + _KEY_BYTES, KEY_ID_BYTES + 2 * _KEY_BYTES
        return cls(body[:tag], body[tag:key], body[key:state], body[state])


class SubjectKeys:
    """The keys, all in memory; every change is on disk before the method returns."""

    def __init__(self, directory: Path, random: Randomness) -> None:
        """Opens the file, or makes a new one.

        Raises:
            DataLossError: CORRUPT_LEDGER; a record fails its check.
        """
        self._path = directory / NAME
        self._random = random
        self._lock = threading.Lock()
        if not self._path.exists():
            self._create()
        self._fd = os.open(self._path, os.O_RDWR)
        self._records: list[_Record] = []
        self._by_tag: dict[bytes, int] = {}  # live ones
        self._by_id: dict[bytes, int] = {}
        self._read()

    def ensure(self, subjects: Collection[Subject]) -> Mapping[Subject, SubjectKey]:
        """Returns the key of each subject, making those that are missing.

        Raises:
            OSError: The disk is full; no key was made.
        """
        with self._lock:
            tags = {subject: self._tag(subject) for subject in subjects}
            missing = sorted({tag for tag in tags.values() if tag not in self._by_tag})
            if missing:
                self._append(
                    [
                        _Record(self._random(KEY_ID_BYTES), tag, self._random(_KEY_BYTES), _LIVE)
                        for tag in missing
                    ]
                )
            found = {}
            for subject, tag in tags.items():
                record = self._records[self._by_tag[tag]]
                found[subject] = SubjectKey(record.key_id, record.key)
            return found

    def find(self, key_id: bytes) -> SubjectKey | None:
        """Returns a key by its id, or None when it was destroyed.

        Raises:
            DataLossError: CORRUPT_LEDGER; there never was such a key in this file.
        """
        number = self._by_id.get(key_id)
        if number is None:
            raise DataLossError(
                f"{self._path.name} has no record of the key {key_id.hex()}",
                Reason.CORRUPT_LEDGER,
                file=self._path.name,
            )
        record = self._records[number]
        return SubjectKey(record.key_id, record.key) if record.state == _LIVE else None

    def destroy(self, tenant: str, subject: str) -> list[bytes]:
        """Overwrites the subject's key for good; returns the ids of keys to seal as erased.

        Ids whose erasure was not confirmed by `confirm_erased` come back again, so
        that a crash between the two leaves nothing undone.
        """
        tag = self._tag((tenant, subject))
        with self._lock:
            number = self._by_tag.get(tag)
            if number is not None:
                record = self._records[number]
                self._overwrite(number, _Record(record.key_id, tag, _NO_KEY, _ERASING))
                del self._by_tag[tag]
            return [r.key_id for r in self._records if r.state == _ERASING and r.tag == tag]

    def destroy_key(self, key_id: bytes) -> bool:
        """Overwrites a key whose erasure is sealed; returns whether it was there."""
        with self._lock:
            number = self._by_id.get(key_id)
            if number is None or self._records[number].state == _ERASED:
                return False
            tag = self._records[number].tag
            self._overwrite(number, _Record(key_id, _NO_KEY, _NO_KEY, _ERASED))
            if self._by_tag.get(tag) == number:
                del self._by_tag[tag]
            return True

    def confirm_erased(self, key_id: bytes) -> None:
        """Forgets whose key it was, once the erasure is sealed."""
        with self._lock:
            self._overwrite(self._by_id[key_id], _Record(key_id, _NO_KEY, _NO_KEY, _ERASED))

    def close(self) -> None:
        os.close(self._fd)

    def _tag(self, subject: Subject) -> bytes:
        return blake3("\0".join(subject).encode(), key=self._secret).digest()

    def _create(self) -> None:
        aside = self._path.with_suffix(".new")
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            header = _MAGIC + self._random(_KEY_BYTES)
            write_all(fd, header.ljust(RECORD_BYTES, b"\0"))
            os.fsync(fd)
        finally:
            os.close(fd)
        aside.replace(self._path)
        sync_directory(self._path.parent)

    def _read(self) -> None:
        data = self._path.read_bytes()
        header, body = data[:RECORD_BYTES], data[RECORD_BYTES:]
        if len(header) < RECORD_BYTES or not header.startswith(_MAGIC):
            raise self._corrupt(0)
        self._secret = header[len(_MAGIC) : len(_MAGIC) + _KEY_BYTES]
        whole = len(body) // RECORD_BYTES
        # A torn end, or one that a power failure left empty: no entry was sealed under it.
        while whole and not any(body[(whole - 1) * RECORD_BYTES : whole * RECORD_BYTES]):
            whole -= 1
        if len(body) != whole * RECORD_BYTES:
            os.ftruncate(self._fd, (1 + whole) * RECORD_BYTES)
        for number in range(whole):
            record = _Record.decode(body[number * RECORD_BYTES : (number + 1) * RECORD_BYTES])
            if record is None:
                raise self._corrupt((1 + number) * RECORD_BYTES)
            self._remember(record)

    def _remember(self, record: _Record) -> None:
        number = len(self._records)
        self._records.append(record)
        self._by_id[record.key_id] = number
        if record.state == _LIVE:
            self._by_tag[record.tag] = number

    def _append(self, records: list[_Record]) -> None:
        end = (1 + len(self._records)) * RECORD_BYTES
        try:
            os.lseek(self._fd, end, os.SEEK_SET)
            write_all(self._fd, b"".join(record.encode() for record in records))
            os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, end)
            raise
        for record in records:
            self._remember(record)

    def _overwrite(self, number: int, record: _Record) -> None:
        os.pwrite(self._fd, record.encode(), (1 + number) * RECORD_BYTES)
        os.fsync(self._fd)
        self._records[number] = record

    def _corrupt(self, offset: int) -> DataLossError:
        return DataLossError(
            f"{self._path.name} is damaged at byte {offset}",
            Reason.CORRUPT_LEDGER,
            file=self._path.name,
            offset=str(offset),
        )
