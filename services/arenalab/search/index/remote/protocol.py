"""What a distributed engine does for search."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from arenalab.planning import Engine
from arenalab.search.columns.columns import Columns
from arenalab.search.condition import Filter
from arenalab.search.index.protocol import FloatArray, Nearest, VectorIndex
from arenalab.search.index.remote.naming import SegmentName
from arenalab.search.index.selection import IntArray


class Candidates(NamedTuple):
    """Rows that a server found for one query, nearest first, and their vectors."""

    rows: IntArray  # shape (k,), each row once
    vectors: FloatArray  # shape (k, d), in full precision


class RemoteSegment(Protocol):
    """One segment on a server, to be asked from any thread.

    All methods raise NotReadyError while the server cannot be reached or does not
    answer in time, and DataLossError once the segment is gone from it.
    """

    @property
    def engine(self) -> Engine: ...

    @property
    def library(self) -> str: ...

    @property
    def name(self) -> SegmentName: ...

    @property
    def size(self) -> int: ...

    @property
    def dimension(self) -> int: ...

    @property
    def code_error(self) -> float:
        """How far the similarities that `near` goes by are from the true ones."""

    @property
    def max_listed(self) -> int:
        """How many rows `among` compares sooner than the graph is walked."""

    def near(
        self, queries: FloatArray, count: int, *, ef_search: int, condition: Filter | None
    ) -> list[Candidates]:
        """Returns for each query about `count` of the nearest rows by the graph.

        Args:
            queries: Unit vectors, shape (q, d).
            count: How many are wanted; fewer may come back.
            ef_search: Length of the graph's candidate list, at least `count`.
            condition: Rows that do not pass may be left out, as far as the server can tell.
        """

    def among(self, queries: FloatArray, count: int, rows: IntArray) -> list[Candidates]:
        """Returns for each query at least the `count` nearest of at most `max_listed` rows."""

    def exact(self, query: FloatArray, limit: int, rows: IntArray | None) -> Nearest:
        """Returns the true `limit` nearest of some rows, ascending; None means all."""

    def vectors(self, rows: IntArray) -> FloatArray:
        """Returns the vectors of rows, shape (len(rows), d)."""


class RemoteEngine(Protocol):
    """A server that holds segments."""

    def build(
        self,
        name: SegmentName,
        vectors: FloatArray,
        columns: Columns,
        stopped: Callable[[], bool] = lambda: False,
    ) -> VectorIndex:
        """Returns the index of a new segment, which takes the place of one of its name.

        Until the end the segment is not there for `load`.

        Raises:
            ValueError: The vectors are no unit vectors, or not as many as the columns.
            BuildStoppedError: `stopped` returned true.
            NotReadyError: The server cannot be reached, or did not answer in time.
            OSError: The server's disk is full.
        """

    def load(self, name: SegmentName, *, size: int, dimension: int) -> VectorIndex:
        """Returns the index of a segment that was built before.

        Raises:
            RemoteSegmentError: It is missing, incomplete, or of other vectors.
            NotReadyError: The server cannot be reached, or did not answer in time.
        """

    def drop(self, name: SegmentName) -> None:
        """Removes a segment, and what a build of it left behind; none is fine.

        Raises:
            NotReadyError: The server cannot be reached, or did not answer in time.
        """

    def close(self) -> None:
        """Ends all connections; what was loaded cannot be searched afterwards."""
