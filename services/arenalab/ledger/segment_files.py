"""Which files a log's directory holds.

    00000000.ndjson    lines: entries and checkpoints
    00000000.content   the entries' private parts, encrypted, back to back
    00000000.index     of a closed segment: where its entries are; made anew if lost
    high-water         the newest checkpoint that was acknowledged
    subjects.keys      the keys of the private parts; nothing else holds one
    quarantine/        torn tails that were cut off, for people to look at

A closed segment may be compressed: 00000000.ndjson.zst (packing.py). Standard library only.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

LINES: Final = ".ndjson"
CONTENT: Final = ".content"
INDEX: Final = ".index"
QUARANTINE: Final = "quarantine"
_DIGITS: Final = 8


@dataclass(frozen=True, slots=True)
class SegmentFiles:
    """The files of one segment."""

    lines: Path
    content: Path
    index: Path

    @classmethod
    def of(cls, directory: Path, number: int) -> Self:
        """Returns the files of the segment with this number."""
        name = f"{number:0{_DIGITS}}"
        return cls(
            directory / f"{name}{LINES}",
            directory / f"{name}{CONTENT}",
            directory / f"{name}{INDEX}",
        )


def list_segments(directory: Path) -> list[SegmentFiles]:
    """Returns the segments of a log, in order of their numbers."""
    names = {
        path.name.removesuffix(suffix)
        for suffix in (LINES, f"{LINES}.zst")
        for path in directory.glob(f"*{suffix}")
    }
    numbers = sorted(int(n) for n in names if len(n) == _DIGITS and n.isdecimal())
    return [SegmentFiles.of(directory, number) for number in numbers]
