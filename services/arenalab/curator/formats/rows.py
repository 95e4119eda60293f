"""What every reader takes and gives."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from arenalab.atomic import Span, SpanError
from arenalab.mesh import InvalidInputError, Reason


@dataclass(frozen=True, slots=True)
class Row:
    """A good row."""

    line: int  # from 1: where the row begins
    span: Span


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that cannot be used."""

    line: int
    reason: str
    raw: bytes
    # The row has nothing of the format: a file of only such rows is another kind of file.
    foreign: bool = False


@dataclass(frozen=True, slots=True)
class Skip:
    """A row that was not asked for, or is marked as missing in the file itself."""

    line: int


Item: TypeAlias = Row | Reject | Skip


@dataclass(frozen=True, slots=True)
class Origin:
    """What is known of a file besides its bytes."""

    file_name: str
    when: str  # stands in for rows without a time
    splits: frozenset[str] = frozenset()
    domains: Mapping[str, str] = field(default_factory=dict)


class Reader(Protocol):
    """Reads one file of one format."""

    def feed(self, data: bytes) -> Iterator[Item]:
        """Yields what is complete with these bytes.

        Raises:
            InvalidInputError: INVALID_FORMAT; the file is not of the format.
        """
        ...

    def close(self) -> Iterator[Item]:
        """Yields what the end of the file completes.

        Raises:
            InvalidInputError: INVALID_FORMAT; the file is not of the format.
        """
        ...


def row_or_reject(line: int, raw: bytes, build: Callable[[], Span]) -> Row | Reject:
    """Returns the row of the span that `build` returns, or the rule that the span breaks."""
    try:
        return Row(line, build())
    except SpanError as error:
        return Reject(line, str(error), raw)


def not_of_format(name: str, line: int, why: str) -> InvalidInputError:
    """Returns the error for a file that is of another format."""
    return InvalidInputError(
        f"the file is not of the format {name}: line {line}: {why}",
        Reason.INVALID_FORMAT,
        format=name,
        line=str(line),
    )
