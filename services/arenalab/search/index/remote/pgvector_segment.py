"""One table of PostgreSQL: the statements that search it."""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from psycopg import sql

from arenalab.mesh import DataLossError
from arenalab.planning import Engine
from arenalab.search.condition import ONLINE, Filter
from arenalab.search.index.protocol import FloatArray, Nearest, nearest_of
from arenalab.search.index.remote.connections import Connection, Connections
from arenalab.search.index.remote.fields import stored_text
from arenalab.search.index.remote.naming import SegmentName
from arenalab.search.index.remote.protocol import Candidates
from arenalab.search.index.remote.pushdown import Expression, pushed
from arenalab.search.index.selection import IntArray

Statement: TypeAlias = tuple[sql.SQL | sql.Composed, Sequence[Any]]

_MAX_EF_SEARCH: Final = 1000  # of pgvector
# Rows named in one statement of a comparison of many.
_BATCH_ROWS: Final = 100_000
# The server sums in float32, which is off by less than this for d <= 4096 (measured: 2e-7
# at 384): rows that close to the last one wanted are fetched too, and compared again.
_SUM_ERROR: Final = 1e-5
_SPARE_ROWS: Final = 16
_WIDER: Final = 4
# What a graph may look at for each row wanted before it gives up on a condition.
_SCANNED_EACH: Final = 200
_MIN_SCANNED: Final = 20_000

# In one statement, for one round trip. `set_config` takes parameters, SET LOCAL does not.
_SETTINGS: Final = sql.SQL(
    "SELECT set_config('statement_timeout', %s, true), set_config('hnsw.ef_search', %s, true),"
    " set_config('hnsw.iterative_scan', 'relaxed_order', true),"
    " set_config('hnsw.max_scan_tuples', %s, true), set_config('jit', 'off', true),"
    " set_config('enable_seqscan', %s, true)"
)
# Orders by an expression that the index is not of: always a comparison of all rows.
_EXACT: Final = sql.SQL(
    "SELECT row_id, vector_send(embedding) FROM (SELECT row_id, embedding FROM {table} {where}"
    " ORDER BY embedding <#> %s::vector, row_id LIMIT %s) AS nearest"
)
_NEAR: Final = sql.SQL(
    "SELECT row_id, vector_send(embedding) FROM {table} {where}"
    " ORDER BY embedding::halfvec({dimension}) <#> %s::vector::halfvec({dimension}) LIMIT %s"
)
_VECTORS: Final = sql.SQL(
    "SELECT row_id, vector_send(embedding) FROM {table} WHERE row_id = ANY(%s::int4[])"
)
_LISTED: Final = sql.SQL("WHERE row_id = ANY(%s::int4[])")
_ALL: Final = sql.SQL("")


class PgvectorSegment:
    """Asks for what a RemoteIndex needs."""

    engine = Engine.PGVECTOR
    library = "pgvector"
    # Rounding to 11 bits moves an inner product of unit vectors by 2^-12 / sqrt(d) or so:
    # this is seven times as much at 384 dimensions.
    code_error = 1e-4
    max_listed = 4096  # which the server compares in some milliseconds

    def __init__(
        self,
        connections: Connections,
        timeout_s: float,
        name: SegmentName,
        table: sql.Identifier,
        *,
        size: int,
        dimension: int,
    ) -> None:
        self._connections = connections
        self._timeout_ms = str(max(1, int(timeout_s * 1000)))
        self.name = name
        self.size = size
        self.dimension = dimension
        self._parts = {"table": table, "dimension": sql.Literal(dimension)}

    def near(
        self, queries: FloatArray, count: int, *, ef_search: int, condition: Filter | None
    ) -> list[Candidates]:
        wanted = pushed(condition, PostgresDialect())
        where, values = _ALL, ()
        if wanted is not None:
            # The text is the dialect's own; what a caller said is among the values.
            where = sql.SQL(f"WHERE {wanted.text}")
            values = wanted.values
        statement = _NEAR.format(**self._parts, where=where)
        statements = [(statement, (*values, query, count)) for query in queries]
        return self._candidates(statements, count, ef_search, is_by_graph=True)

    def among(self, queries: FloatArray, count: int, rows: IntArray) -> list[Candidates]:
        statement = _EXACT.format(**self._parts, where=_LISTED)
        listed, count = rows.tolist(), count + _SPARE_ROWS
        return self._candidates([(statement, (listed, query, count)) for query in queries], count)

    def exact(self, query: FloatArray, limit: int, rows: IntArray | None) -> Nearest:
        if rows is None:
            return self._exact(query, limit, None)
        parts = [
            self._exact(query, limit, rows[start : start + _BATCH_ROWS])
            for start in range(0, len(rows), _BATCH_ROWS)
        ]
        found = np.concatenate([part.rows for part in parts])
        similarities = np.concatenate([part.similarities for part in parts])
        order = np.lexsort((found, -similarities))[:limit]
        return Nearest(found[order], similarities[order])

    def vectors(self, rows: IntArray) -> FloatArray:
        unique, places = np.unique(rows, return_inverse=True)
        vectors = np.empty((len(unique), self.dimension), np.float32)
        statement = _VECTORS.format(**self._parts)
        for start in range(0, len(unique), _BATCH_ROWS // 10):
            part = unique[start : start + _BATCH_ROWS // 10]
            [found] = self._candidates([(statement, (part.tolist(),))], len(part))
            if len(found.rows) != len(part):
                raise DataLossError("rows of a segment are gone from pgvector", engine=self.engine)
            vectors[np.searchsorted(unique, found.rows)] = found.vectors
        return vectors[places]

    def _exact(self, query: FloatArray, limit: int, rows: IntArray | None) -> Nearest:
        reachable = self.size if rows is None else len(rows)
        limit = min(limit, reachable)
        statement = _EXACT.format(**self._parts, where=_ALL if rows is None else _LISTED)
        named = () if rows is None else (rows.tolist(),)
        count = limit + _SPARE_ROWS
        while True:
            [found] = self._candidates([(statement, (*named, query, count))], count)
            if len(found.rows) < min(count, reachable):
                raise DataLossError("rows of a segment are gone from pgvector", engine=self.engine)
            order = np.argsort(found.rows)
            best = nearest_of(found.vectors[order], np.arange(len(order)), query, len(order))
            scores = best.similarities
            is_certain = scores[-1] < scores[limit - 1] - 2 * _SUM_ERROR
            if count >= reachable or is_certain:
                return Nearest(found.rows[order][best.rows[:limit]], scores[:limit])
            count *= _WIDER

    def _candidates(
        self,
        statements: Sequence[Statement],
        count: int,
        ef_search: int = 1,
        *,
        is_by_graph: bool = False,
    ) -> list[Candidates]:
        """Returns what statements find, all of them in one round trip."""
        settings = (
            self._timeout_ms,
            str(min(ef_search, _MAX_EF_SEARCH)),
            str(max(_MIN_SCANNED, _SCANNED_EACH * count)),
            "off" if is_by_graph else "on",
        )

        def ask(connection: Connection) -> list[Candidates]:
            with connection.pipeline(), connection.transaction():
                connection.execute(_SETTINGS, settings)
                cursors = [
                    connection.execute(statement, values, binary=True)
                    for statement, values in statements
                ]
            return [_candidates_of(cursor.fetchall(), self.dimension) for cursor in cursors]

        return self._connections.read(ask)


def _candidates_of(found: list[tuple[Any, ...]], dimension: int) -> Candidates:
    rows = np.array([row for row, _ in found], np.int64)
    # Each is two 16-bit numbers, the dimension and zero, then the components.
    sent = np.frombuffer(b"".join(sent for _, sent in found), ">f4")
    vectors = sent.reshape(len(found), 1 + dimension)[:, 1:].astype(np.float32)
    return Candidates(rows, vectors)


class PostgresDialect:
    """Conditions in SQL; every text of a caller is a parameter."""

    def leaf(self, name: str, value: Any) -> Expression | None:
        said: Expression | None = getattr(self, f"_{name}", _unsaid)(value)
        return said

    @staticmethod
    def _domains(wanted: Sequence[str]) -> Expression | None:
        if any("\0" in domain for domain in wanted):  # in no text of PostgreSQL
            return None
        return Expression(
            "(domain = ANY(%s::text[]) OR domain ^@ ANY(%s::text[]))",
            (list(wanted), [f"{domain}/" for domain in wanted]),
        )

    @staticmethod
    def _actions(wanted: Sequence[str]) -> Expression:
        return Expression("action = ANY(%s::text[])", ([stored_text(text) for text in wanted],))

    @staticmethod
    def _sources(wanted: Sequence[str]) -> Expression:
        return Expression("source = ANY(%s::text[])", ([stored_text(text) for text in wanted],))

    @staticmethod
    def _creatures(wanted: Sequence[str]) -> Expression:
        return Expression("creature = ANY(%s::text[])", ([stored_text(text) for text in wanted],))

    @staticmethod
    def _statuses(wanted: Sequence[int]) -> Expression:
        return Expression("status = ANY(%s::int4[])", (list(wanted),))

    @staticmethod
    def _not_before(wanted: Any) -> Expression:
        return Expression(
            "(when_s, when_ns) >= (%s::int8, %s::int4)", (wanted.seconds, wanted.nanos)
        )

    @staticmethod
    def _before(wanted: Any) -> Expression:
        return Expression(
            "(when_s, when_ns) < (%s::int8, %s::int4)", (wanted.seconds, wanted.nanos)
        )

    @staticmethod
    def _min_quality(wanted: float) -> Expression:
        return Expression("quality >= %s::float8", (max(0.0, wanted),))

    @staticmethod
    def _tags(wanted: Sequence[str]) -> Expression | None:
        if any("\0" in tag for tag in wanted):
            return None
        return Expression("tags @> %s::text[]", (list(wanted),))

    @staticmethod
    def _origins(wanted: Sequence[str]) -> Expression | None:
        # The server does not know which version the rows that were published are of.
        return Expression("online") if set(wanted) == {ONLINE} else None


def _unsaid(_value: object) -> None:
    """Returns None: the words of actions are known to search alone."""
