"""Texts of rows, held as numbers into the texts that occur."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt

from arenalab.search.index.selection import BoolArray, IntArray

CodeArray = npt.NDArray[np.unsignedinteger[Any]]
RowArray = npt.NDArray[np.uint32]


@dataclass(frozen=True, eq=False)
class Coded:
    """One text a row."""

    codes: CodeArray  # in the smallest type that holds them
    values: tuple[str, ...]  # each in use

    @classmethod
    def of(cls, texts: Sequence[str]) -> Self:
        values = tuple(dict.fromkeys(texts))
        numbers = {value: number for number, value in enumerate(values)}
        codes = np.fromiter(map(numbers.__getitem__, texts), code_type(len(values)), len(texts))
        return cls(codes, values)

    def joined(self, other: "Coded", order: IntArray) -> "Coded":
        """Returns both, one after the other, then in another order."""
        numbers = {value: number for number, value in enumerate(self.values)}
        moved = [numbers.setdefault(value, len(numbers)) for value in other.values]
        dtype = code_type(len(numbers))
        codes = np.concatenate(
            [self.codes.astype(dtype, copy=False), np.array(moved, dtype)[other.codes]]
        )
        return Coded(codes[order], tuple(numbers))

    def taken(self, keep: BoolArray) -> "Coded":
        """Returns the rows that `keep` marks."""
        codes, values = self.codes[keep], self.values
        used = np.bincount(codes, minlength=len(values)) > 0
        if used.all():
            return Coded(codes, values)
        values = tuple(values[number] for number in np.flatnonzero(used).tolist())
        numbers = np.cumsum(used) - 1
        return Coded(numbers.astype(code_type(len(values)))[codes], values)

    def counts(self) -> dict[str, int]:
        """Returns how many rows have each value."""
        counted = np.bincount(self.codes, minlength=len(self.values)).tolist()
        return dict(zip(self.values, counted, strict=True))

    @cached_property
    def memory_bytes(self) -> int:
        """Bytes of numbers and texts."""
        return int(self.codes.nbytes) + text_bytes(self.values)


@dataclass(frozen=True, eq=False)
class Postings(Mapping[str, RowArray]):
    """Any number of texts a row: for each text, the rows that have it, ascending."""

    texts: tuple[str, ...]  # each in use
    starts: IntArray  # shape (values + 1,): where each one's rows start, and the end
    rows: RowArray

    @classmethod
    def of(cls, joined: Sequence[str]) -> Self:
        """Returns the postings of the texts of each row, joined by spaces."""
        combined = Coded.of(joined)
        sets = [tuple(dict.fromkeys(texts.split())) for texts in combined.values]
        values = tuple(dict.fromkeys(chain.from_iterable(sets)))
        numbers = {value: number for number, value in enumerate(values)}
        flat = np.fromiter(map(numbers.__getitem__, chain.from_iterable(sets)), np.int64)
        lengths = np.fromiter(map(len, sets), np.int64, len(sets))
        firsts = np.cumsum(lengths) - lengths
        return cls.of_pairs(values, *_pairs(combined.codes, lengths, firsts, flat))

    @classmethod
    def of_pairs(cls, values: tuple[str, ...], numbers: IntArray, rows: IntArray) -> Self:
        """Returns the postings of (number of a value, row), each pair once."""
        counted = np.bincount(numbers, minlength=len(values))
        order = np.lexsort((rows, numbers))
        used = np.flatnonzero(counted).tolist()
        starts = np.concatenate([[0], np.cumsum(counted[used])]).astype(np.int64)
        return cls(tuple(values[number] for number in used), starts, rows[order].astype(np.uint32))

    def __getitem__(self, value: str) -> RowArray:
        return self.rows_of(self.numbers[value])

    def __iter__(self) -> Iterator[str]:
        return iter(self.texts)

    def __len__(self) -> int:
        return len(self.texts)

    def rows_of(self, number: int) -> RowArray:
        """Returns the rows of a value by its number."""
        return self.rows[self.starts[number] : self.starts[number + 1]]

    @cached_property
    def numbers(self) -> Mapping[str, int]:
        """The number of each value."""
        return {value: number for number, value in enumerate(self.texts)}

    @property
    def pairs(self) -> tuple[IntArray, IntArray]:
        """Number of the value and row, of each row of each value."""
        numbers = np.repeat(np.arange(len(self.texts)), np.diff(self.starts))
        return numbers, self.rows.astype(np.int64)

    def joined(self, other: "Postings", offset: int, places: IntArray) -> "Postings":
        """Returns the postings of both, other's rows coming after `offset` of self's.

        Args:
            other: To be joined.
            offset: The number of self's rows.
            places: Where each of the rows of both is afterwards.
        """
        joint = dict(self.numbers)
        moved = [joint.setdefault(value, len(joint)) for value in other.texts]
        (numbers, rows), (others, other_rows) = self.pairs, other.pairs
        return Postings.of_pairs(
            tuple(joint),
            np.concatenate([numbers, np.array(moved, np.int64)[others]]),
            places[np.concatenate([rows, other_rows + offset])],
        )

    def taken(self, keep: BoolArray) -> "Postings":
        """Returns the rows that `keep` marks."""
        numbers, rows = self.pairs
        kept = keep[rows]
        places = np.cumsum(keep) - 1
        return Postings.of_pairs(self.texts, numbers[kept], places[rows[kept]])

    @cached_property
    def memory_bytes(self) -> int:
        """Bytes of rows and texts."""
        return int(self.rows.nbytes + self.starts.nbytes) + text_bytes(self.texts)


def code_type(count: int) -> np.dtype[np.unsignedinteger[Any]]:
    """Returns the smallest type for the numbers of so many values."""
    return cast("np.dtype[np.unsignedinteger[Any]]", np.min_scalar_type(max(count - 1, 0)))


def text_bytes(texts: Sequence[str]) -> int:
    """Returns about how much memory texts take: an object each, and their characters."""
    return 64 * len(texts) + sum(map(len, texts))


def _pairs(
    codes: CodeArray, lengths: IntArray, firsts: IntArray, flat: IntArray
) -> tuple[IntArray, IntArray]:
    """Expands rows of codes, each standing for a run of `flat`, to (number, row)."""
    counts = lengths[codes]
    rows = np.repeat(np.arange(len(codes)), counts)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    return flat[np.repeat(firsts[codes], counts) + within], rows
