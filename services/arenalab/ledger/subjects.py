"""The keys of subjects' content: made when a subject is new, destroyed when it is erased."""

import threading
from collections.abc import Collection, Mapping

from blake3 import blake3

from arenalab.ledger.entry import KEY_ID_BYTES, Randomness, SubjectKey
from arenalab.ledger.key_records import (
    ERASED,
    ERASING,
    KEY_BYTES,
    LIVE,
    NO_KEY,
    KeyRecord,
    KeyRecords,
)
from arenalab.mesh import DataLossError, Reason

Subject = tuple[str, str]  # tenant, subject


class SubjectKeys:
    """The keys, all in memory; every change is durable before the method returns."""

    def __init__(self, kept: KeyRecords, random: Randomness) -> None:
        """Loads the records, and lets go of them where that fails.

        Raises:
            DataLossError: CORRUPT_LEDGER; a record fails its check.
        """
        self._kept = kept
        self._random = random
        self._lock = threading.Lock()
        self._records: list[KeyRecord] = []
        self._by_tag: dict[bytes, int] = {}  # live ones
        self._by_id: dict[bytes, int] = {}
        try:
            for record in kept.load():
                self._remember(record)
        except BaseException:
            kept.close()
            raise

    def ensure(self, subjects: Collection[Subject]) -> Mapping[Subject, SubjectKey]:
        """Returns the key of each subject, making those that are missing.

        Raises:
            OSError: The disk is full; no key was made.
            MeshError: The keys are kept elsewhere and could not be; ask again.
        """
        with self._lock:
            self._settle()
            tags = {subject: self._tag(subject) for subject in subjects}
            missing = sorted({tag for tag in tags.values() if tag not in self._by_tag})
            if missing:
                made = [
                    KeyRecord(self._random(KEY_ID_BYTES), tag, self._random(KEY_BYTES), LIVE)
                    for tag in missing
                ]
                self._kept.append(made)
                for record in made:
                    self._remember(record)
            found = {}
            for subject, tag in tags.items():
                record = self._records[self._by_tag[tag]]
                found[subject] = SubjectKey(record.key_id, record.key)
            return found

    def find(self, key_id: bytes) -> SubjectKey | None:
        """Returns a key by its id, or None when it was destroyed.

        Raises:
            DataLossError: CORRUPT_LEDGER; there never was such a key.
        """
        number = self._by_id.get(key_id)
        if number is None:
            raise DataLossError(
                f"{self._kept.name} has no record of the key {key_id.hex()}",
                Reason.CORRUPT_LEDGER,
                file=self._kept.name,
            )
        record = self._records[number]
        return SubjectKey(record.key_id, record.key) if record.state == LIVE else None

    def destroy(self, tenant: str, subject: str) -> list[bytes]:
        """Overwrites the subject's key for good; returns the ids of keys to seal as erased.

        Ids whose erasure was not confirmed by `confirm_erased` come back again, so
        that a crash between the two leaves nothing undone.

        Raises:
            MeshError: The keys are kept elsewhere and could not be reached; ask again.
        """
        tag = self._tag((tenant, subject))
        with self._lock:
            self._settle()
            number = self._by_tag.get(tag)
            if number is not None:
                record = self._records[number]
                self._overwrite(number, KeyRecord(record.key_id, tag, NO_KEY, ERASING))
                del self._by_tag[tag]
            return [r.key_id for r in self._records if r.state == ERASING and r.tag == tag]

    def destroy_key(self, key_id: bytes) -> bool:
        """Overwrites a key whose erasure is sealed; returns whether it was there."""
        with self._lock:
            number = self._by_id.get(key_id)
            if number is None or self._records[number].state == ERASED:
                return False
            tag = self._records[number].tag
            self._overwrite(number, KeyRecord(key_id, NO_KEY, NO_KEY, ERASED))
            if self._by_tag.get(tag) == number:
                del self._by_tag[tag]
            return True

    def confirm_erased(self, key_id: bytes) -> None:
        """Forgets whose key it was, once the erasure is sealed."""
        with self._lock:
            self._overwrite(self._by_id[key_id], KeyRecord(key_id, NO_KEY, NO_KEY, ERASED))

    def close(self) -> None:
        """Lets go of what keeps the records."""
        self._kept.close()

    def _tag(self, subject: Subject) -> bytes:
        return blake3("\0".join(subject).encode(), key=self._kept.secret).digest()

    def _settle(self) -> None:
        for record in self._kept.settle():
            self._remember(record)

    def _remember(self, record: KeyRecord) -> None:
        number = len(self._records)
        self._records.append(record)
        self._by_id[record.key_id] = number
        if record.state == LIVE:
            self._by_tag[record.tag] = number

    def _overwrite(self, number: int, record: KeyRecord) -> None:
        self._kept.overwrite(number, record)
        self._records[number] = record
