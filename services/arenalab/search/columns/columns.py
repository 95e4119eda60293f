"""What is known of each span of a segment, one array a field: what filters read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import repeat
from operator import is_
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from arenalab.search.columns.coded import Coded, Postings
from arenalab.search.columns.files import read_any, read_array, read_texts, write_columns
from arenalab.search.columns.ids import ID_TYPE, IdArray, ids_of, read_ids
from arenalab.search.index.selection import BoolArray, IntArray
from arenalab.search.store.row import StoredRow

RowidArray = npt.NDArray[np.integer[Any]]

# Of what is neither Coded nor Postings, the row numbers apart.
_TYPES: Final[dict[str, npt.DTypeLike]] = {
    "ids": ID_TYPE,
    "statuses": np.int8,
    "when_s": np.int64,
    "when_ns": np.int32,
    "quality": np.float64,
    "outcomes": np.int64,
    "weights": np.float32,
    "online": np.bool_,
    "hidden": np.bool_,
}
# Of the store's row numbers, which seldom need more than the first.
_ROWID_TYPES: Final = (np.dtype(np.uint32), np.dtype(np.int64))
_PLAIN: Final = (*_TYPES, "rowids")
_CODED: Final = ("domains", "actions", "sources", "creatures")
_TAG_STARTS: Final = "tag_starts"
_TAG_ROWS: Final = "tag_rows"
# Rows turned into columns at once: their tuples stay in the processor's cache, which
# takes a sixth of the time of all at once.
_CHUNK_ROWS: Final = 256


@dataclass(frozen=True, eq=False)
class Columns:
    """The fields of n spans, by ascending span id; all arrays have shape (n,).

    Arrays may be mapped from files and are never written to.
    """

    ids: IdArray
    rowids: RowidArray
    domains: Coded
    actions: Coded
    sources: Coded
    creatures: Coded  # empty for a span without one
    statuses: npt.NDArray[np.int8]
    when_s: IntArray
    when_ns: npt.NDArray[np.int32]
    quality: npt.NDArray[np.float64]  # NaN: not measured
    outcomes: IntArray  # NO_OUTCOME while pending
    weights: npt.NDArray[np.float32]
    online: BoolArray  # added, not of the published version
    hidden: BoolArray  # in quarantine when these columns were made
    tags: Postings

    @classmethod
    def of(cls, rows: Sequence[StoredRow]) -> Self:
        """Returns the columns of rows by ascending span id."""
        by_field = _by_field(rows)
        arrays = {
            "ids": ids_of(by_field.span_id),
            "statuses": by_field.status,
            "when_s": by_field.when_s,
            "when_ns": by_field.when_ns,
            "quality": by_field.quality,  # numpy makes NaN of None
            "outcomes": by_field.outcome_key,
            "weights": by_field.weight,
            "online": np.fromiter(map(is_, by_field.ordinal, repeat(None)), np.bool_, len(rows)),
            "hidden": by_field.hidden,
        }
        return cls(
            **{name: np.array(values, _TYPES[name]) for name, values in arrays.items()},
            rowids=_rowids_of(by_field.rowid),
            domains=Coded.of(by_field.domain),
            actions=Coded.of(by_field.action),
            sources=Coded.of(by_field.source),
            creatures=Coded.of(by_field.creature),
            tags=Postings.of(by_field.tags),
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Returns the columns that were saved to a folder, mapped from its files.

        Raises:
            OSError: A file is missing.
            ValueError: A file is cut short, or does not fit the others.
        """
        texts = read_texts(folder)
        if set(texts) != {"size", "tags", *_CODED}:
            raise ValueError(f"expected texts of domains, actions and so on, got {sorted(texts)}")
        count = int(texts["size"][0])
        arrays: dict[str, Any] = {
            name: read_array(folder, name, dtype, count) for name, dtype in _TYPES.items()
        }
        arrays["rowids"] = read_any(folder, "rowids", count)
        if arrays["rowids"].dtype not in _ROWID_TYPES:
            raise ValueError(f"rowids.npy holds {arrays['rowids'].dtype}")
        for name in _CODED:
            codes = read_any(folder, name, count)
            if codes.dtype.kind != "u" or (count and int(codes.max()) >= len(texts[name])):
                raise ValueError(f"{name}.npy holds numbers of no text")
            arrays[name] = Coded(codes, texts[name])
        return cls(**arrays, tags=_load_tags(folder, texts["tags"], count))

    def save(self, folder: Path) -> None:
        """Writes the columns to a folder that exists; all is on disk afterwards.

        Raises:
            OSError: The disk is full, or the folder cannot be written to.
        """
        arrays: dict[str, npt.NDArray[Any]] = {name: getattr(self, name) for name in _PLAIN}
        texts: dict[str, Sequence[str]] = {"size": (str(len(self)),), "tags": self.tags.texts}
        for name in _CODED:
            coded: Coded = getattr(self, name)
            arrays[name], texts[name] = coded.codes, coded.values
        arrays[_TAG_STARTS], arrays[_TAG_ROWS] = self.tags.starts, self.tags.rows
        write_columns(folder, arrays, texts)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def memory_bytes(self) -> int:
        """Bytes of all arrays and texts, whether held in memory or mapped from a file."""
        plain: int = sum(getattr(self, name).nbytes for name in _PLAIN)
        coded: int = sum(getattr(self, name).memory_bytes for name in (*_CODED, "tags"))
        return plain + coded

    def find(self, ids: Sequence[str]) -> IntArray:
        """Returns the row of each id, -1 for one that is not there."""
        if not len(self):
            return np.full(len(ids), -1, np.int64)
        wanted, is_id = read_ids(ids)
        rows = np.searchsorted(self.ids, wanted)
        rows[rows == len(self)] = 0
        found: IntArray = np.where(is_id & (self.ids[rows] == wanted), rows, -1)
        return found

    def joined(self, other: "Columns") -> tuple["Columns", IntArray]:
        """Returns the columns of both, by ascending id, and the order that gives it.

        Row i of the result is row `order[i]` of self followed by other. No id may be
        in both.
        """
        ids = np.concatenate([self.ids, other.ids])
        order = np.argsort(ids, kind="stable")
        places = np.empty(len(order), np.int64)
        places[order] = np.arange(len(order))
        joined: dict[str, Any] = {
            name: np.concatenate([getattr(self, name), getattr(other, name)])[order]
            for name in _PLAIN
        }
        for name in _CODED:
            joined[name] = getattr(self, name).joined(getattr(other, name), order)
        tags = self.tags.joined(other.tags, len(self), places)
        return Columns(**joined, tags=tags), order

    def taken(self, keep: BoolArray) -> "Columns":
        """Returns the columns of the rows that `keep` marks."""
        taken: dict[str, Any] = {name: getattr(self, name)[keep] for name in _PLAIN}
        taken |= {name: getattr(self, name).taken(keep) for name in (*_CODED, "tags")}
        return Columns(**taken)

    def with_weights(self, rows: IntArray, weights: npt.NDArray[np.float32]) -> "Columns":
        """Returns these columns with other weights for some rows."""
        changed = self.weights.copy()
        changed[rows] = weights
        return replace(self, weights=changed)

    def with_hidden(self, rows: IntArray) -> "Columns":
        """Returns these columns with some rows in quarantine, and no others."""
        hidden = np.zeros(len(self), np.bool_)
        hidden[rows] = True
        return replace(self, hidden=hidden)


def _by_field(rows: Sequence[StoredRow]) -> Any:
    """Returns something with the names of a StoredRow, each a list of one value a row."""
    columns: list[list[Any]] = [[] for _ in StoredRow._fields]
    for start in range(0, len(rows), _CHUNK_ROWS):
        chunk = zip(*rows[start : start + _CHUNK_ROWS], strict=True)
        for column, values in zip(columns, chunk, strict=True):
            column.extend(values)
    return SimpleNamespace(**dict(zip(StoredRow._fields, columns, strict=True)))


def _rowids_of(numbers: Sequence[int]) -> RowidArray:
    rowids = np.array(numbers, np.int64)
    small, _ = _ROWID_TYPES
    return rowids.astype(small) if max(numbers, default=0) <= np.iinfo(small).max else rowids


def _load_tags(folder: Path, values: tuple[str, ...], count: int) -> Postings:
    starts = read_array(folder, _TAG_STARTS, np.int64, len(values) + 1)
    if starts[0] != 0 or np.any(np.diff(starts) <= 0):
        raise ValueError(f"{_TAG_STARTS}.npy does not ascend")
    rows = read_array(folder, _TAG_ROWS, np.uint32, int(starts[-1]))
    if len(rows) and int(rows.max()) >= count:
        raise ValueError(f"{_TAG_ROWS}.npy names rows that are not there")
    return Postings(values, starts, rows)
