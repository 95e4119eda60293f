"""PostgreSQL with pgvector: a table a segment, and a row of the registry once it is whole.

A segment is loaded, indexed and registered in one transaction, so that nobody ever sees
half of one, and nothing is left of one that was given up. A table each, rather than one
for all: the graph of a segment is searched alone, other tenants' rows are in no reach of
a query, and to drop a segment gives its disk space back at once.

Vectors are kept in full precision, those of the graph in half of it (halfvec): it fits
more dimensions and half the memory, and what it finds is re-scored.
"""

from collections.abc import Callable, Iterator
from secrets import token_hex
from typing import Any, Final

import psycopg
from pgvector.psycopg import register_vector
from psycopg import errors, sql

from arenalab.mesh import ConfigError
from arenalab.planning import Engine
from arenalab.search.columns.columns import Columns
from arenalab.search.index.protocol import BuildStoppedError, FloatArray, check_vectors
from arenalab.search.index.remote.connections import Connection, Connections
from arenalab.search.index.remote.fields import FieldReader, stored_text
from arenalab.search.index.remote.index import RemoteIndex
from arenalab.search.index.remote.naming import RemoteSegmentError, SegmentName
from arenalab.search.index.remote.pgvector_segment import PgvectorSegment
from arenalab.search.index.remote.settings import RemoteSettings

_MIN_VERSION: Final = (0, 8)  # the first that goes on with a scan that a filter thinned out
_MAX_DIMENSION: Final = 4000  # of a graph over halfvec
_PREPARE_LOCK: Final = 0x6172656E61  # any number that all processes here share

_REGISTRY: Final = sql.SQL(
    "CREATE TABLE IF NOT EXISTS {registry} (key text PRIMARY KEY, table_name text NOT NULL,"
    " size int8 NOT NULL, dimension int4 NOT NULL, embedder text NOT NULL,"
    " tenant text NOT NULL, dataset text NOT NULL, part text NOT NULL,"
    " built_at timestamptz NOT NULL DEFAULT now())"
)
_REGISTER: Final = sql.SQL(
    "INSERT INTO {registry} (key, table_name, size, dimension, embedder, tenant, dataset, part)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (key) DO UPDATE SET"
    " table_name = EXCLUDED.table_name, size = EXCLUDED.size, dimension = EXCLUDED.dimension,"
    " embedder = EXCLUDED.embedder, built_at = now()"
)
_FIND: Final = sql.SQL(
    "SELECT table_name, size, dimension, embedder FROM {registry} WHERE key = %s"
)
# The widest first, so that nothing is lost to alignment.
_TABLE: Final = sql.SQL(
    "CREATE TABLE {table} (when_s int8 NOT NULL, quality float8 NOT NULL, row_id int4 NOT NULL,"
    " when_ns int4 NOT NULL, status int2 NOT NULL, online bool NOT NULL, domain text NOT NULL,"
    " action text NOT NULL, source text NOT NULL, creature text NOT NULL, tags text[] NOT NULL,"
    " embedding vector({dimension}) NOT NULL)"
)
_COPY: Final = sql.SQL(
    "COPY {table} (when_s, quality, row_id, when_ns, status, online, domain, action, source,"
    " creature, tags, embedding) FROM STDIN (FORMAT BINARY)"
)
_TYPES: Final = (
    "int8", "float8", "int4", "int4", "int2", "bool",
    "text", "text", "text", "text", "text[]", "vector",
)  # fmt: skip
# After loading: rows are found a few times faster than they are added to an index.
_KEY: Final = sql.SQL("ALTER TABLE {table} ADD PRIMARY KEY (row_id)")
_GRAPH: Final = sql.SQL(
    "CREATE INDEX ON {table} USING hnsw ((embedding::halfvec({dimension})) halfvec_ip_ops)"
    " WITH (m = {links}, ef_construction = {ef_construction})"
)


class Pgvector:
    """Segments in one schema of a database."""

    engine = Engine.PGVECTOR

    def __init__(self, settings: RemoteSettings) -> None:
        """Connects to nothing yet.

        Raises:
            ConfigError: The URI cannot be parsed.
        """
        self._settings = settings
        self._schema = sql.Identifier(settings.namespace)
        self._registry = sql.Identifier(settings.namespace, "segments")
        self._connections = Connections(settings, self._prepare)
        self._is_prepared = False

    def build(
        self,
        name: SegmentName,
        vectors: FloatArray,
        columns: Columns,
        stopped: Callable[[], bool] = lambda: False,
    ) -> RemoteIndex:
        vectors = check_vectors(vectors)
        if len(vectors) != len(columns):
            raise ValueError(f"got {len(vectors)} vectors for {len(columns)} spans")
        dimension = vectors.shape[1]
        if dimension > _MAX_DIMENSION:
            raise ValueError(f"pgvector indexes at most {_MAX_DIMENSION} dimensions: {dimension}")
        table_name = f"segment_{name.key}_{token_hex(4)}"
        with self._connections.opened(self._settings.build_timeout_s, stopped) as connection:
            with connection.transaction():
                self._set_for_building(connection)
                self._fill(connection, table_name, vectors, columns, stopped)
                replaced = self._register(connection, name, table_name, vectors)
            if replaced is not None:
                self._drop_table(connection, replaced)
        return self._index(name, table_name, len(vectors), dimension)

    def load(self, name: SegmentName, *, size: int, dimension: int) -> RemoteIndex:
        found = self._connections.read(
            lambda connection: connection.execute(
                _FIND.format(registry=self._registry), (name.key,)
            ).fetchone()
        )
        if found is None:
            raise RemoteSegmentError("pgvector has no such segment")
        table_name, *rest = found
        expected = (size, dimension, stored_text(self._settings.embedder_digest))
        for what, is_, wanted in zip(
            ("size", "dimension", "embedder"), rest, expected, strict=True
        ):
            if is_ != wanted:
                raise RemoteSegmentError(f"{what} of the segment is {is_!r}, expected {wanted!r}")
        try:
            rows = self._connections.read(lambda connection: self._rows(connection, table_name))
        except psycopg.ProgrammingError as error:
            raise RemoteSegmentError("the table of the segment cannot be read") from error
        if rows != size:
            raise RemoteSegmentError(f"the segment ends with row {rows - 1}, expected {size - 1}")
        return self._index(name, table_name, size, dimension)

    def drop(self, name: SegmentName) -> None:
        with self._connections.opened(self._settings.timeout_s) as connection:
            found = connection.execute(
                sql.SQL("DELETE FROM {registry} WHERE key = %s RETURNING table_name").format(
                    registry=self._registry
                ),
                (name.key,),
            ).fetchone()
            if found is not None:
                self._drop_table(connection, found[0])

    def close(self) -> None:
        self._connections.close()

    def _index(self, name: SegmentName, table_name: str, size: int, dimension: int) -> RemoteIndex:
        segment = PgvectorSegment(
            self._connections,
            self._settings.timeout_s,
            name,
            self._table(table_name),
            size=size,
            dimension=dimension,
        )
        return RemoteIndex(segment)

    def _table(self, table_name: str) -> sql.Identifier:
        return sql.Identifier(self._settings.namespace, table_name)

    def _rows(self, connection: Connection, table_name: str) -> int:
        """Returns one more than the last row: to count them would read the whole table."""
        found = connection.execute(
            sql.SQL("SELECT coalesce(max(row_id), -1) + 1 FROM {table}").format(
                table=self._table(table_name)
            )
        ).fetchone()
        return 0 if found is None else int(found[0])

    def _prepare(self, connection: Connection) -> None:
        """Makes what all segments need, unless it is there."""
        if not self._is_prepared:
            try:
                with connection.transaction():
                    self._make_schema(connection)
            except errors.InsufficientPrivilege as error:
                raise ConfigError(
                    "pgvector needs the extension `vector` and a schema"
                    f" {self._settings.namespace!r} that its user may create tables in"
                ) from error
            self._is_prepared = True
        register_vector(connection)

    def _make_schema(self, connection: Connection) -> None:
        # Two that create the same thing at the same time: one of them would fail.
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_PREPARE_LOCK,))
        installed = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
        if connection.execute(installed).fetchone() is None:
            connection.execute("CREATE EXTENSION vector")
        [version] = connection.execute(installed).fetchone() or ("0",)
        if tuple(int(part) for part in str(version).split(".")[:2]) < _MIN_VERSION:
            raise ConfigError(f"pgvector must be of version 0.8 or later, got {version}")
        there = connection.execute(
            "SELECT to_regclass(%s)", (self._registry.as_string(connection),)
        ).fetchone()
        if there is None or there[0] is None:
            connection.execute(
                sql.SQL("CREATE SCHEMA IF NOT EXISTS {schema}").format(schema=self._schema)
            )
            connection.execute(_REGISTRY.format(registry=self._registry))

    def _set_for_building(self, connection: Connection) -> None:
        connection.execute(
            "SELECT set_config('statement_timeout', %s, true),"
            " set_config('maintenance_work_mem', %s, true),"
            " set_config('max_parallel_maintenance_workers', %s, true)",
            (
                str(int(self._settings.build_timeout_s * 1000)),
                f"{self._settings.build_memory_mb}MB",
                str(self._settings.build_workers),
            ),
        )

    def _fill(
        self,
        connection: Connection,
        table_name: str,
        vectors: FloatArray,
        columns: Columns,
        stopped: Callable[[], bool],
    ) -> None:
        parts: dict[str, Any] = {
            "table": self._table(table_name),
            "dimension": sql.Literal(vectors.shape[1]),
            "links": sql.Literal(self._settings.links),
            "ef_construction": sql.Literal(self._settings.ef_construction),
        }
        connection.execute(_TABLE.format(**parts))
        with connection.cursor() as cursor, cursor.copy(_COPY.format(**parts)) as copy:
            copy.set_types(_TYPES)
            for row in self._sent(vectors, columns, stopped):
                copy.write_row(row)
        for statement in (_KEY, _GRAPH, sql.SQL("ANALYZE {table}")):
            connection.execute(statement.format(**parts))

    def _sent(
        self, vectors: FloatArray, columns: Columns, stopped: Callable[[], bool]
    ) -> Iterator[tuple[Any, ...]]:
        reader, size = FieldReader(columns), self._settings.batch_rows
        for start in range(0, len(vectors), size):
            if stopped():
                raise BuildStoppedError
            rows = reader.read(start, min(len(vectors), start + size))
            for row_id, fields in enumerate(rows, start):
                yield (
                    fields.when_s, fields.quality, row_id, fields.when_ns, fields.status,
                    fields.online, fields.domain, fields.action, fields.source,
                    fields.creature, fields.tags, vectors[row_id],
                )  # fmt: skip

    def _register(
        self, connection: Connection, name: SegmentName, table_name: str, vectors: FloatArray
    ) -> str | None:
        """Makes a segment visible at the end of the transaction; returns the table it replaces."""
        replaced = connection.execute(
            _FIND.format(registry=self._registry) + sql.SQL(" FOR UPDATE"), (name.key,)
        ).fetchone()
        embedder = stored_text(self._settings.embedder_digest)
        connection.execute(
            _REGISTER.format(registry=self._registry),
            (name.key, table_name, *vectors.shape, embedder, *map(stored_text, name)),
        )
        return None if replaced is None else str(replaced[0])

    def _drop_table(self, connection: Connection, table_name: str) -> None:
        connection.execute(
            sql.SQL("DROP TABLE IF EXISTS {table}").format(table=self._table(table_name))
        )
