"""Connections to PostgreSQL: a bounded number, each call with an end, new ones after an outage."""

import errno
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from math import ceil
from time import monotonic
from typing import Any, Final, Self, TypeVar

import psycopg
from psycopg import conninfo, errors
from psycopg.abc import PQGen

from arenalab.mesh import ConfigError, DataLossError, NotReadyError
from arenalab.planning import Engine
from arenalab.search.index.protocol import BuildStoppedError
from arenalab.search.index.remote.settings import RemoteSettings

_T = TypeVar("_T")
# Between two looks at whether a build was told to stop.
_LOOK_S: Final = 0.1
_CANCEL_S: Final = 2.0


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection whose every wait ends: a server that hangs keeps its sockets open."""

    deadline_s: float  # on the clock of `monotonic`
    stopped: Callable[[], bool] | None = None

    def wait(self, gen: PQGen[_T], interval: float = _LOOK_S, timeout: float | None = None) -> _T:
        """Waits as psycopg does, no longer than the deadline."""
        left_s = max(0.0, self.deadline_s - monotonic())
        if timeout is not None:
            left_s = min(timeout, left_s)
        watched = gen if self.stopped is None else _watched(gen, self.stopped)
        try:
            return super().wait(watched, interval, left_s)
        except errors.OperationalError:
            if monotonic() >= self.deadline_s:
                # It would be ended by the garbage collector, which warns of what that raises.
                self.pgconn.finish()
                with suppress(psycopg.Error):
                    gen.close()
            raise


def _watched(gen: PQGen[_T], stopped: Callable[[], bool]) -> Generator[Any, Any, _T]:
    """Passes a generator on, and ends it when `stopped` returns true."""
    try:
        state = next(gen)
        while True:
            ready = yield state
            if not ready and stopped():  # nothing happened during one interval
                raise BuildStoppedError
            state = gen.send(ready)
    except StopIteration as end:
        value: _T = end.value
        return value


class Connections:
    """Lends connections to one call at a time."""

    def __init__(self, settings: RemoteSettings, prepare: Callable[[Connection], None]) -> None:
        """Opens nothing yet.

        Args:
            settings: Where to and how many.
            prepare: Called with each new connection.

        Raises:
            ConfigError: The URI cannot be parsed.
        """
        try:
            self._parameters = conninfo.conninfo_to_dict(settings.uri)
        except psycopg.ProgrammingError:
            # What the parser says quotes the URI, and with it the password.
            raise ConfigError("the URI of pgvector cannot be parsed") from None
        self._settings = settings
        self._prepare = prepare
        self._slots = threading.BoundedSemaphore(settings.connections)
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._is_closed = False

    def read(self, work: Callable[[Connection], _T]) -> _T:
        """Returns what `work` does, which is done twice if a kept connection turns out dead.

        Raises:
            NotReadyError: The server cannot be reached, or did not answer in time.
            DataLossError: A table is gone.
        """
        timeout_s = self._settings.timeout_s
        with self._slot(timeout_s), self._translated(timeout_s):
            kept = self._take()
            if kept is not None:
                try:
                    return self._done(kept, work, timeout_s)
                except (errors.OperationalError, psycopg.InterfaceError):
                    if not kept.broken or monotonic() >= kept.deadline_s:
                        raise
                    self._forget()  # the server was restarted: the others are dead too
            return self._done(self._opened(timeout_s), work, timeout_s)

    @contextmanager
    def opened(
        self, timeout_s: float, stopped: Callable[[], bool] | None = None
    ) -> Iterator[Connection]:
        """Yields a connection of its own, for work that must not be done twice.

        Raises:
            NotReadyError: The server cannot be reached, or did not answer in time.
            BuildStoppedError: `stopped` returned true.
            OSError: The server's disk is full.
        """
        with self._slot(self._settings.timeout_s), self._translated(timeout_s):
            connection = self._opened(self._settings.timeout_s)
            connection.deadline_s = monotonic() + timeout_s
            connection.stopped = stopped
            try:
                yield connection
            except BaseException:
                # A server looks for a lost client only once a statement has ended.
                connection.stopped = None
                connection.deadline_s = monotonic() + _CANCEL_S
                with suppress(psycopg.Error):
                    connection.cancel_safe(timeout=_CANCEL_S)
                raise
            finally:
                connection.close()

    def close(self) -> None:
        """Closes all connections, and those that are lent when they come back."""
        self._is_closed = True
        self._forget()

    def _done(
        self, connection: Connection, work: Callable[[Connection], _T], timeout_s: float
    ) -> _T:
        connection.deadline_s = monotonic() + timeout_s
        try:
            result = work(connection)
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._idle.append(connection)
        if self._is_closed:
            self._forget()
        return result

    def _take(self) -> Connection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _forget(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _opened(self, timeout_s: float) -> Connection:
        if self._is_closed:
            raise NotReadyError("pgvector is closed", engine=Engine.PGVECTOR.value)
        connection = Connection.connect(
            **{  # type: ignore[arg-type]  # of libpq, not of `connect`
                "application_name": "arenalab-search",
                **self._parameters,
                "connect_timeout": ceil(timeout_s),
            },
            autocommit=True,
            # Poolers between here and the server lose prepared statements.
            prepare_threshold=None,
        )
        try:
            connection.deadline_s = monotonic() + timeout_s
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _slot(self, timeout_s: float) -> Iterator[None]:
        if not self._slots.acquire(timeout=timeout_s):
            raise NotReadyError(
                f"all {self._settings.connections} connections to pgvector are busy",
                engine=Engine.PGVECTOR.value,
            )
        try:
            yield
        finally:
            self._slots.release()

    @contextmanager
    def _translated(self, timeout_s: float) -> Iterator[Self]:
        started_s = monotonic()
        try:
            yield self
        except errors.DiskFull as error:
            raise OSError(errno.ENOSPC, "the disk of pgvector's server is full") from error
        except (errors.UndefinedTable, errors.InvalidSchemaName) as error:
            raise DataLossError(
                "a segment is gone from pgvector", engine=Engine.PGVECTOR.value
            ) from error
        except (errors.OperationalError, psycopg.InterfaceError) as error:
            # Without the server's own words: they name hosts and users.
            is_late = isinstance(error, errors.QueryCanceled | errors.LockNotAvailable) or (
                monotonic() - started_s >= timeout_s
            )
            what = f"did not answer within {timeout_s:g} s" if is_late else "cannot be reached"
            raise NotReadyError(f"pgvector {what}", engine=Engine.PGVECTOR.value) from error
