"""Opens logs in one cluster, over one connection: their batches, and their subjects' keys.

Of the log of shard S and period P, the stream is NAME_S_S_P_P, where NAME is that of the
settings; the keys of the shard are in NAME_S_S_KEYS. Shards and periods have no capital
letters, so that no two logs share a stream.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

from arenalab.ledger.division import LogName
from arenalab.ledger.entry import Randomness
from arenalab.ledger.jetstream.batches import JetStreamSegments
from arenalab.ledger.jetstream.connection import Connection
from arenalab.ledger.jetstream.key_stream import KeyStream
from arenalab.ledger.jetstream.settings import JetStreamSettings
from arenalab.ledger.jetstream.stream import Stream, stream_names
from arenalab.ledger.subjects import SubjectKeys

_SHARD: Final = "_S_"
_PERIOD: Final = "_P_"
_KEYS: Final = "_KEYS"
_ONE_LOG: Final = LogName("", "")


class JetStreamLogs:
    """The logs of one service in one cluster."""

    def __init__(self, settings: JetStreamSettings) -> None:
        """Connects.

        Raises:
            NotReadyError: No server could be reached in time.
            ConfigError: The credentials or certificates cannot be read.
        """
        self.settings = settings
        self._connection = Connection(settings)

    def names(self) -> list[LogName]:
        """Returns the logs that the cluster has, so that an empty machine can open them.

        Raises:
            NotReadyError: The cluster did not answer in time.
        """
        form = re.compile(
            rf"{re.escape(self.settings.stream)}(?:{_SHARD}([a-z0-9_-]+))?(?:{_PERIOD}([0-9-]+))?"
        )
        found = (
            form.fullmatch(name) for name in stream_names(self._connection, self.settings.timeout_s)
        )
        return sorted(
            (LogName(match[1] or "", match[2] or "") for match in found if match),
            key=lambda name: (name.period, name.shard),
        )

    def storage(self, name: LogName = _ONE_LOG) -> "JetStreamStorage":
        """Returns what one log is kept in; closing it leaves the connection."""
        return JetStreamStorage(self._settings_of(name), self._connection)

    def subjects(self, shard: str, random: Randomness) -> SubjectKeys:
        """Opens the keys that the logs of a shard share.

        Raises:
            NotReadyError: The cluster did not answer in time.
            ConfigError: There is a stream of this name that would lose keys.
            DataLossError: CORRUPT_LEDGER; a record is damaged.
        """
        settings = self._settings_of(LogName(shard, ""))
        return _open_keys(self._connection, settings, random)

    def close(self) -> None:
        """Closes the connection, once every log and the keys are closed."""
        self._connection.close()

    def _settings_of(self, name: LogName) -> JetStreamSettings:
        stream = self.settings.stream
        if name.shard:
            stream += _SHARD + name.shard
        if name.period:
            stream += _PERIOD + name.period
        return replace(self.settings, stream=stream)


class JetStreamStorage:
    """One log in one cluster; the replicated `Storage`."""

    is_replicated = True

    def __init__(self, settings: JetStreamSettings, shared: Connection | None = None) -> None:
        """Connects, unless there is a connection already, which stays its owner's.

        Raises:
            NotReadyError: No server could be reached in time.
            ConfigError: The credentials or certificates cannot be read.
        """
        self._settings = settings
        self._is_shared = shared is not None
        self._connection = shared or Connection(settings)

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
        return _open_keys(self._connection, self._settings, random)

    def close(self) -> None:
        """Closes the connection, if it is its own."""
        if not self._is_shared:
            self._connection.close()


def _open_keys(
    connection: Connection, settings: JetStreamSettings, random: Randomness
) -> SubjectKeys:
    stream = Stream(connection, settings, settings.stream + _KEYS, erasable=True)
    return SubjectKeys(KeyStream(stream, random), random)
