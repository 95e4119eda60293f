"""Some spans, their vectors and what finds them: never changed once made."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from arenalab.search.columns import Columns
from arenalab.search.index import BoolArray, ExactIndex, FloatArray, VectorIndex
from arenalab.search.row import StoredRow


@dataclass(frozen=True, eq=False)
class Segment:
    """Spans by ascending id; row i of everything in it belongs to the same span."""

    columns: Columns
    vectors: FloatArray
    exact: ExactIndex
    graph: VectorIndex | None = None  # built when the segment is large

    @classmethod
    def of(cls, columns: Columns, vectors: FloatArray) -> Self:
        return cls(columns, vectors, ExactIndex(vectors))

    @classmethod
    def of_version(cls, rows: list[StoredRow], embeddings: FloatArray) -> Self:
        """Returns the segment of a version.

        Args:
            rows: The version's spans by ascending id.
            embeddings: Its vectors, shape (n, d), in the order of its ordinals.
        """
        ordinals = np.array([row.ordinal for row in rows], np.int64)
        # A scan reads every vector, so they are held in memory, in the order of the ids.
        return cls.of(Columns.of(rows), np.asarray(embeddings, np.float32)[ordinals])

    def __len__(self) -> int:
        return len(self.columns)

    def with_graph(self, graph: VectorIndex) -> Self:
        """Returns this segment with a graph over the same vectors."""
        return replace(self, graph=graph)

    def joined(self, other: "Segment") -> "Segment":
        """Returns one segment of the spans of both, which share none."""
        columns, order = self.columns.joined(other.columns)
        return Segment.of(columns, np.concatenate([self.vectors, other.vectors])[order])

    def taken(self, keep: BoolArray) -> "Segment":
        """Returns the segment of the rows that `keep` marks."""
        return Segment.of(self.columns.taken(keep), self.vectors[keep])
