"""The streams of a log as NATS shows them to whoever runs it."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from arenalab.ledger.jetstream import JetStreamSettings
from arenalab.ledger.jetstream.connection import Connection

WAIT_S = 60.0


class Raw:
    """Streams without any of the log's own rules."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._js = connection.jetstream(WAIT_S)

    def payloads(self, stream: str) -> list[bytes]:
        """Returns every message that is left."""
        state = self._call(self._js.stream_info(stream)).state
        found = []
        for sequence in range(1, state.last_seq + 1):
            try:
                found.append(self._call(self._js.get_msg(stream, sequence)).data)
            except Exception as error:  # noqa: BLE001 - a class of an optional package
                assert "no message found" in str(error)  # noqa: PT017 - erased
        return found

    def publish(self, stream: str, subject: str, payload: bytes) -> None:
        self._call(self._js.publish(f"{stream}.{subject}", payload))

    def make(self, stream: str, like: str = "", **changes: Any) -> None:
        """Makes a stream, with the settings of another one where it is named."""
        config = self._call(self._js.stream_info(like)).config if like else None
        changes |= {"name": stream, "subjects": [f"{stream}.>"]}
        if config is not None:
            self._call(self._js.add_stream(dataclasses.replace(config, **changes)))
        else:
            self._call(self._js.add_stream(**changes))

    def change(self, stream: str, **changes: Any) -> None:
        """Changes the settings of a stream."""
        config = self._call(self._js.stream_info(stream)).config
        self._call(self._js.update_stream(dataclasses.replace(config, **changes)))

    def delete(self, *streams: str) -> None:
        for stream in streams:
            self._call(self._js.delete_stream(stream))

    def leader(self, stream: str) -> str:
        """Returns the name of the server that leads a stream."""
        cluster = self._call(self._js.stream_info(stream)).cluster
        return str(cluster.leader)

    def _call(self, coroutine: Any) -> Any:
        return self._connection.call(coroutine, WAIT_S)


@contextmanager
def raw(servers: tuple[str, ...]) -> Iterator[Raw]:
    connection = Connection(JetStreamSettings(servers=servers, timeout_s=WAIT_S))
    try:
        yield Raw(connection)
    finally:
        connection.close()
