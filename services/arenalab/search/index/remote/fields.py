"""The fields that a server keeps beside each vector, so that filters can be pushed down."""

import re
from collections.abc import Iterator
from hashlib import blake2b
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np

from arenalab.search.columns.columns import Columns

# Longer texts, and those with control characters, are kept and asked for by their hash.
MAX_TEXT_BYTES: Final = 1024
_HASHED: Final = "blake2b:"
# PostgreSQL keeps no NUL; Milvus's expressions have no one way of writing the others.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
NO_QUALITY: Final = -1.0  # scores are in [0, 100]; a server's own null would need its own logic


class SpanFields(NamedTuple):
    """What a server keeps of one row."""

    domain: str
    action: str
    status: int
    when_s: int
    when_ns: int
    quality: float  # NO_QUALITY: not measured
    tags: list[str]
    source: str
    creature: str
    online: bool


def stored_text(text: str) -> str:
    """Returns a text as servers keep it: itself where all can, else one that stands for it."""
    is_plain = not _CONTROL.search(text) and not text.startswith(_HASHED)
    if is_plain and len(text.encode()) <= MAX_TEXT_BYTES:
        return text
    return _HASHED + blake2b(text.encode(), digest_size=32).hexdigest()


class FieldReader:
    """Turns columns into rows, some at a time."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._texts = {
            name: [stored_text(value) for value in getattr(columns, name).values]
            for name in ("actions", "sources", "creatures")
        }
        numbers, rows = columns.tags.pairs
        order = np.argsort(rows, kind="stable")
        self._tag_rows = rows[order]
        self._tag_numbers = numbers[order]

    def read(self, start: int, stop: int) -> Iterator[SpanFields]:
        """Yields the fields of the rows from `start` up to `stop`, in their order."""
        columns, part = self._columns, slice(start, stop)
        domains = columns.domains
        quality = columns.quality[part]
        fields = zip(
            [domains.values[code] for code in domains.codes[part].tolist()],
            self._text_of("actions", part),
            columns.statuses[part].tolist(),
            columns.when_s[part].tolist(),
            columns.when_ns[part].tolist(),
            np.where(np.isnan(quality), NO_QUALITY, quality).tolist(),
            self._tags_of(start, stop),
            self._text_of("sources", part),
            self._text_of("creatures", part),
            columns.online[part].tolist(),
            strict=True,
        )
        return (SpanFields(*row) for row in fields)

    def _text_of(self, name: str, part: slice) -> list[str]:
        texts = self._texts[name]
        return [texts[code] for code in getattr(self._columns, name).codes[part].tolist()]

    def _tags_of(self, start: int, stop: int) -> Iterator[list[str]]:
        values = list(self._columns.tags)
        places = np.searchsorted(self._tag_rows, np.arange(start, stop + 1)).tolist()
        for begin, end in pairwise(places):
            yield [values[number] for number in self._tag_numbers[begin:end].tolist()]
