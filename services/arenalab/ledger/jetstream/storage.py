"""Opens a log's streams over one connection."""

from pathlib import Path
from typing import Final

from arenalab.ledger.entry import Randomness
from arenalab.ledger.jetstream.batches import JetStreamSegments
from arenalab.ledger.jetstream.connection import Connection
from arenalab.ledger.jetstream.key_stream import KeyStream
from arenalab.ledger.jetstream.settings import JetStreamSettings
from arenalab.ledger.jetstream.stream import Stream
from arenalab.ledger.subjects import SubjectKeys

_KEYS: Final = "_KEYS"


class JetStreamStorage:
    """One log in one cluster; the replicated `Storage`."""

    is_replicated = True

    def __init__(self, settings: JetStreamSettings) -> None:
        """Connects.

        Raises:
            NotReadyError: No server could be reached in time.
            ConfigError: The credentials or certificates cannot be read.
        """
        self._settings = settings
        self._connection = Connection(settings)

    def open_store(self, directory: Path) -> JetStreamSegments:
        """Opens the stream of batches, and the segments of the directory.

        Raises:
            NotReadyError: The cluster did not answer in time.
            ConfigError: There is a stream of this name that would lose batches.
            DataLossError: CORRUPT_LEDGER; the stream lacks messages.
        """
        name = self._settings.stream
        return JetStreamSegments(
            directory, Stream(self._connection, self._settings, name, erasable=False)
        )

    def open_keys(self, directory: Path, random: Randomness) -> SubjectKeys:
        """Opens the stream of keys; nothing of it is in the directory.

        Raises:
            NotReadyError: The cluster did not answer in time.
            ConfigError: There is a stream of this name that would lose keys.
            DataLossError: CORRUPT_LEDGER; a record is damaged.
        """
        del directory
        name = self._settings.stream + _KEYS
        stream = Stream(self._connection, self._settings, name, erasable=True)
        return SubjectKeys(KeyStream(stream, random), random)

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()
