"""One collection of Milvus: the requests that search it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Protocol

import numpy as np

from arenalab.mesh import DataLossError
from arenalab.planning import Engine
from arenalab.search.condition import ONLINE, Filter
from arenalab.search.index.protocol import FloatArray, Nearest, nearest_of
from arenalab.search.index.remote.fields import stored_text
from arenalab.search.index.remote.naming import SegmentName
from arenalab.search.index.remote.protocol import Candidates
from arenalab.search.index.remote.pushdown import Expression, pushed
from arenalab.search.index.selection import IntArray

METRIC: Final = "IP"  # of unit vectors, the cosine
ROW: Final = "row_id"
VECTOR: Final = "embedding"

# Rows fetched by their number in one request, and the bytes of their vectors.
_BATCH_ROWS: Final = 4096
_BATCH_BYTES: Final = 16 * 2**20


class Call(Protocol):
    """Calls a method of MilvusClient, by name, in the time that is given."""

    def __call__(self, method: str, *arguments: Any, **named: Any) -> Any: ...


class MilvusSegment:
    """Asks for what a RemoteIndex needs."""

    engine = Engine.MILVUS
    library = "milvus"
    code_error = 0.0  # its graph is over the vectors themselves
    max_listed = 2048  # fetched and compared here: the server would walk the graph for them

    def __init__(
        self, call: Call, name: SegmentName, collection: str, *, size: int, dimension: int
    ) -> None:
        self._call = call
        self._collection = collection
        self.name = name
        self.size = size
        self.dimension = dimension

    def near(
        self, queries: FloatArray, count: int, *, ef_search: int, condition: Filter | None
    ) -> list[Candidates]:
        wanted = pushed(condition, MilvusDialect())
        return self._search(queries, count, ef_search, "" if wanted is None else wanted.text)

    def among(
        self,
        queries: FloatArray,
        count: int,  # noqa: ARG002 - all of them are returned
        rows: IntArray,
    ) -> list[Candidates]:
        parts = list(self._batches(rows))
        vectors = np.concatenate([part.vectors for part in parts])
        return [Candidates(rows, vectors)] * len(queries)

    def exact(self, query: FloatArray, limit: int, rows: IntArray | None) -> Nearest:
        """Compares here: no request makes Milvus do it for rows that have a graph."""
        best = Nearest(np.empty(0, np.int64), np.empty(0, np.float64))
        for found in self._batches(np.arange(self.size) if rows is None else rows):
            part = nearest_of(found.vectors, np.arange(len(found.rows)), query, limit)
            both = np.concatenate([best.rows, found.rows[part.rows]])
            similarities = np.concatenate([best.similarities, part.similarities])
            order = np.lexsort((both, -similarities))[:limit]
            best = Nearest(both[order], similarities[order])
        return best

    def vectors(self, rows: IntArray) -> FloatArray:
        unique, places = np.unique(rows, return_inverse=True)
        parts = [found.vectors for found in self._batches(unique)]
        vectors = np.concatenate(parts) if parts else np.empty((0, self.dimension), np.float32)
        return vectors[places]

    def _batches(self, rows: IntArray) -> Iterator[Candidates]:
        """Yields some rows, ascending, and their vectors."""
        step = max(1, min(_BATCH_ROWS, _BATCH_BYTES // (4 * self.dimension)))
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            is_run = part[-1] - part[0] == len(part) - 1
            found = _candidates_of(
                self._call(
                    "query",
                    self._collection,
                    filter=f"{ROW} >= {part[0]} and {ROW} <= {part[-1]}"
                    if is_run
                    else _listed(part),
                    output_fields=[ROW, VECTOR],
                ),
                self.dimension,
            )
            order = np.argsort(found.rows)
            if not np.array_equal(found.rows[order], part):
                raise DataLossError("rows of a segment are gone from milvus", engine=self.engine)
            yield Candidates(part, found.vectors[order])

    def _search(
        self, queries: FloatArray, count: int, ef_search: int, expression: str
    ) -> list[Candidates]:
        found = self._call(
            "search",
            self._collection,
            data=list(queries),
            filter=expression,
            limit=count,
            output_fields=[ROW, VECTOR],
            search_params={"metric_type": METRIC, "params": {"ef": ef_search}},
        )
        return [_candidates_of([hit["entity"] for hit in hits], self.dimension) for hits in found]


def _candidates_of(entities: Sequence[dict[str, Any]], dimension: int) -> Candidates:
    rows = np.array([entity[ROW] for entity in entities], np.int64)
    vectors = np.array([entity[VECTOR] for entity in entities], np.float32)
    return Candidates(rows, vectors.reshape(len(rows), dimension))


def _listed(rows: IntArray) -> str:
    return f"{ROW} in {rows.tolist()}"


def ancestors_of(domain: str) -> list[str]:
    """Returns a domain and all that it lies below: what Milvus compares, without patterns."""
    ends = [place for place, character in enumerate(domain) if character == "/"]
    return [domain[:end] for end in ends] + [domain]


class MilvusDialect:
    """Conditions as expressions of Milvus; every text is written as a literal.

    Parameters would do the same, but milvus-lite has none.
    """

    def leaf(self, name: str, value: Any) -> Expression | None:
        say = _SAYINGS.get(name)
        text = None if say is None else say(value)
        return None if text is None else Expression(text)


def literal(text: str) -> str:
    """Returns a text as an expression of Milvus has it."""
    escaped = stored_text(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _texts(wanted: Sequence[str]) -> str:
    return f"[{', '.join(map(literal, wanted))}]"


def _not_before(wanted: Any) -> str:
    return (
        f"(when_s > {wanted.seconds} or (when_s == {wanted.seconds} and when_ns >= {wanted.nanos}))"
    )


def _origins(wanted: Sequence[str]) -> str | None:
    # The server does not know which version the rows that were published are of.
    return "online == true" if set(wanted) == {ONLINE} else None


# By field of Filter; the words of actions are known to search alone.
_SAYINGS: Final[dict[str, Callable[[Any], str | None]]] = {
    "domains": lambda wanted: f"ARRAY_CONTAINS_ANY(ancestors, {_texts(wanted)})",
    "actions": lambda wanted: f"action in {_texts(wanted)}",
    "sources": lambda wanted: f"source in {_texts(wanted)}",
    "creatures": lambda wanted: f"creature in {_texts(wanted)}",
    "statuses": lambda wanted: f"status in {list(map(int, wanted))}",
    "not_before": _not_before,
    "before": lambda wanted: f"not {_not_before(wanted)}",
    "min_quality": lambda wanted: f"quality >= {max(0.0, float(wanted))!r}",
    "tags": lambda wanted: f"ARRAY_CONTAINS_ALL(tags, {_texts(wanted)})",
    "origins": _origins,
}
