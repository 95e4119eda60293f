"""What is known of each span of a segment, one array a field: what filters read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from arenalab.search.index import BoolArray, IntArray
from arenalab.search.row import StoredRow

CodeArray = npt.NDArray[np.int32]
IdArray = npt.NDArray[np.bytes_]


@dataclass(frozen=True, eq=False)
class Coded:
    """One text a row, held as a number into the texts that occur."""

    codes: CodeArray
    values: tuple[str, ...]

    @classmethod
    def of(cls, texts: Sequence[str]) -> Self:
        numbers: dict[str, int] = {}
        codes = [numbers.setdefault(text, len(numbers)) for text in texts]
        return cls(np.array(codes, np.int32), tuple(numbers))

    def joined(self, other: "Coded", order: IntArray) -> "Coded":
        """Returns both, one after the other, then in another order."""
        numbers = {value: number for number, value in enumerate(self.values)}
        moved = [numbers.setdefault(value, len(numbers)) for value in other.values]
        others = np.array(moved, np.int32)[other.codes] if moved else other.codes
        return Coded(np.concatenate([self.codes, others])[order], tuple(numbers))

    def counts(self) -> dict[str, int]:
        """Returns how many rows have each value."""
        counted = np.bincount(self.codes, minlength=len(self.values)).tolist()
        return dict(zip(self.values, counted, strict=True))


@dataclass(frozen=True, eq=False)
class Columns:
    """The fields of n spans, by ascending span id; all arrays have shape (n,)."""

    ids: IdArray
    rowids: IntArray
    domains: Coded
    actions: Coded
    statuses: npt.NDArray[np.int8]
    when_s: IntArray
    when_ns: npt.NDArray[np.int32]
    quality: npt.NDArray[np.float64]  # NaN: not measured
    outcomes: IntArray  # NO_OUTCOME while pending
    tags: Mapping[str, IntArray]  # rows that carry the tag, ascending

    @classmethod
    def of(cls, rows: Sequence[StoredRow]) -> Self:
        """Returns the columns of rows by ascending span id."""
        tags: dict[str, list[int]] = {}
        for number, row in enumerate(rows):
            for tag in row.tags.split():
                tags.setdefault(tag, []).append(number)
        return cls(
            ids=np.array([row.span_id.encode() for row in rows], "S36"),
            rowids=np.array([row.rowid for row in rows], np.int64),
            domains=Coded.of([row.domain for row in rows]),
            actions=Coded.of([row.action for row in rows]),
            statuses=np.array([row.status for row in rows], np.int8),
            when_s=np.array([row.when_s for row in rows], np.int64),
            when_ns=np.array([row.when_ns for row in rows], np.int32),
            quality=np.array(
                [np.nan if row.quality is None else row.quality for row in rows], np.float64
            ),
            outcomes=np.array([row.outcome_key for row in rows], np.int64),
            tags={tag: np.array(numbers, np.int64) for tag, numbers in tags.items()},
        )

    def __len__(self) -> int:
        return len(self.ids)

    def find(self, ids: Sequence[str]) -> IntArray:
        """Returns the row of each id, -1 for one that is not there."""
        if not len(self):
            return np.full(len(ids), -1, np.int64)
        # Characters outside ASCII are in no id; "?" is not either.
        wanted = np.array([span_id.encode("ascii", "replace") for span_id in ids], "S64")
        rows = np.searchsorted(self.ids, wanted)
        rows[rows == len(self)] = 0
        found: IntArray = np.where(self.ids[rows] == wanted, rows, -1)
        return found

    def joined(self, other: "Columns") -> tuple["Columns", IntArray]:
        """Returns the columns of both, by ascending id, and the order that gives it.

        Row i of the result is row `order[i]` of self followed by other. No id may be
        in both.
        """
        ids = np.concatenate([self.ids, other.ids])
        order = np.argsort(ids, kind="stable")
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        none = np.empty(0, np.int64)
        tags = {
            tag: np.sort(
                place[
                    np.concatenate(
                        [self.tags.get(tag, none), len(self) + other.tags.get(tag, none)]
                    )
                ]
            )
            for tag in {**self.tags, **other.tags}
        }
        joined = Columns(
            ids=ids[order],
            rowids=np.concatenate([self.rowids, other.rowids])[order],
            domains=self.domains.joined(other.domains, order),
            actions=self.actions.joined(other.actions, order),
            statuses=np.concatenate([self.statuses, other.statuses])[order],
            when_s=np.concatenate([self.when_s, other.when_s])[order],
            when_ns=np.concatenate([self.when_ns, other.when_ns])[order],
            quality=np.concatenate([self.quality, other.quality])[order],
            outcomes=np.concatenate([self.outcomes, other.outcomes])[order],
            tags=tags,
        )
        return joined, order

    def taken(self, keep: BoolArray) -> "Columns":
        """Returns the columns of the rows that `keep` marks."""
        place = np.cumsum(keep) - 1
        tags = {tag: place[rows[keep[rows]]] for tag, rows in self.tags.items()}
        return Columns(
            ids=self.ids[keep],
            rowids=self.rowids[keep],
            domains=Coded(self.domains.codes[keep], self.domains.values),
            actions=Coded(self.actions.codes[keep], self.actions.values),
            statuses=self.statuses[keep],
            when_s=self.when_s[keep],
            when_ns=self.when_ns[keep],
            quality=self.quality[keep],
            outcomes=self.outcomes[keep],
            tags={tag: rows for tag, rows in tags.items() if len(rows)},
        )
