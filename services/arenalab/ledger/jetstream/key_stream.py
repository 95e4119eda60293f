"""The records of subjects' keys, each a message of its own in a JetStream stream.

A message that is overwritten in place of a key is published first, and only then is
the key's own message erased: the servers fill it with random bytes, on every replica.
A replica that is down does so when it is back. What the cluster's own consensus log
remembers of the message goes with its next compaction, some minutes later.
"""

from collections.abc import Sequence
from typing import Final

from arenalab.ledger.entry import Randomness
from arenalab.ledger.jetstream.stream import Kept, Message, Stream
from arenalab.ledger.key_records import KEY_BYTES, KeyRecord
from arenalab.mesh import DataLossError, Reason

_TAGGER: Final = "tagger"
_KEY: Final = "key"
_AT_ONCE: Final = 1024  # messages of some hundred bytes


class KeyStream:
    """Records in a stream; used under the lock of `SubjectKeys`."""

    def __init__(self, stream: Stream, random: Randomness) -> None:
        """Reads the stream, or begins it with a new secret.

        Raises:
            DataLossError: CORRUPT_LEDGER; the stream does not begin with a secret.
            NotReadyError: The cluster did not answer in time.
            BusyError: Another process began it at this moment.
        """
        self.name = stream.name
        self._stream = stream
        if not stream.last:
            stream.publish([Message(stream.subject(_TAGGER), random(KEY_BYTES))])
        self._messages = list(stream.read(1, _AT_ONCE))
        first = self._messages[0].message
        if first.subject != stream.subject(_TAGGER) or len(first.payload) != KEY_BYTES:
            raise self._corrupt(1)
        self.secret = first.payload
        self._sequences: dict[bytes, list[int]] = {}  # of the messages of each key
        self._unseen: list[KeyRecord] = []

    def load(self) -> list[KeyRecord]:
        """Returns the newest record of each key, once older ones are erased.

        Raises:
            DataLossError: CORRUPT_LEDGER; one fails its check.
            NotReadyError: The cluster did not answer in time.
        """
        newest: dict[bytes, KeyRecord] = {}
        for kept in self._messages[1:]:
            record = self._remember(kept)
            newest[record.key_id] = record
        self._messages.clear()
        for key_id in newest:  # an erasure that a crash came in between
            self._erase_older(key_id)
        return list(newest.values())

    def settle(self) -> list[KeyRecord]:
        """Returns the records that are there although their append failed.

        Raises:
            NotReadyError: The cluster did not answer in time.
            BusyError: Another process took the log over.
        """
        self._take(self._stream.settle())
        unseen, self._unseen = self._unseen, []
        return unseen

    def append(self, records: Sequence[KeyRecord]) -> None:
        """Publishes records.

        Raises:
            NotReadyError: The cluster did not answer in time; `settle` will tell.
            BusyError: Another process took the log over.
        """
        settled = self._stream.publish([self._message(record) for record in records])
        self._take(settled[: -len(records)])
        for kept in settled[-len(records) :]:
            self._remember(kept)

    def overwrite(self, number: int, record: KeyRecord) -> None:
        """Publishes a record, then erases those before it of the same key.

        Raises:
            NotReadyError: The cluster did not answer in time; ask again.
            BusyError: Another process took the log over.
        """
        del number  # here a record goes by its key
        self._take(self._stream.publish([self._message(record)]))
        self._erase_older(record.key_id)

    def close(self) -> None:
        """Does nothing: the connection is not its own."""

    def _message(self, record: KeyRecord) -> Message:
        return Message(self._stream.subject(_KEY, record.key_id.hex()), record.encode())

    def _take(self, settled: Sequence[Kept]) -> None:
        for kept in settled:
            is_new = self._key_of(kept) not in self._sequences
            record = self._remember(kept)
            if is_new:
                self._unseen.append(record)

    def _key_of(self, kept: Kept) -> bytes:
        return bytes.fromhex(kept.message.subject.rpartition(".")[2])

    def _remember(self, kept: Kept) -> KeyRecord:
        record = KeyRecord.decode(kept.message.payload)
        if record is None or kept.message.subject != self._message(record).subject:
            raise self._corrupt(kept.sequence)
        self._sequences.setdefault(record.key_id, []).append(kept.sequence)
        return record

    def _erase_older(self, key_id: bytes) -> None:
        sequences = self._sequences[key_id]
        while len(sequences) > 1:
            self._stream.erase(sequences[0])
            del sequences[0]

    def _corrupt(self, sequence: int) -> DataLossError:
        return DataLossError(
            f"{self.name} is damaged at message {sequence}",
            Reason.CORRUPT_LEDGER,
            file=self.name,
            offset=str(sequence),
        )
