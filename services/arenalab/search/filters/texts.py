"""Which of the distinct texts of a field a condition means."""

import re
from bisect import bisect_left
from collections.abc import Sequence
from functools import cached_property
from typing import Final

from arenalab.search.columns.coded import text_bytes

_WORD: Final = re.compile(r"[a-z0-9]+")
_ENTRY_BYTES: Final = 100  # of a dictionary, its key's object included


def words_of(text: str) -> list[str]:
    """Returns the words of an action: runs of letters and digits, lower case."""
    return _WORD.findall(text.lower())


def is_word(text: str) -> bool:
    """Returns whether a text is one word as `words_of` gives it."""
    return _WORD.fullmatch(text) is not None


class Texts:
    """The distinct values of a field, by text."""

    def __init__(self, values: Sequence[str]) -> None:
        self._values = values

    def equal(self, wanted: Sequence[str]) -> set[int]:
        """Returns the numbers of the values that are among some."""
        found = (self._numbers.get(text) for text in wanted)
        return {number for number in found if number is not None}

    def within(self, ancestors: Sequence[str]) -> set[int]:
        """Returns the numbers of the values that are, or lie below, one of some paths."""
        found = self.equal(ancestors)
        for ancestor in ancestors:
            # "0" comes after "/": between the two is all that starts with "ancestor/".
            first = bisect_left(self._sorted, f"{ancestor}/")
            end = bisect_left(self._sorted, f"{ancestor}0", first)
            found.update(self._numbers[text] for text in self._sorted[first:end])
        return found

    def with_words(self, words: Sequence[str]) -> set[int]:
        """Returns the numbers of the values in which all of some words occur."""
        lists = sorted((self._by_word.get(word, ()) for word in words), key=len)
        return set(lists[0]).intersection(*lists[1:])

    @property
    def memory_bytes(self) -> int:
        """About how many bytes are held beside the values themselves."""
        held = vars(self)
        total = _ENTRY_BYTES * len(self._values) if "_numbers" in held else 0
        total += 8 * len(self._values) if "_sorted" in held else 0
        if "_by_word" in held:
            total += text_bytes(list(self._by_word))
            total += sum(_ENTRY_BYTES + 8 * len(numbers) for numbers in self._by_word.values())
        return total

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {text: number for number, text in enumerate(self._values)}

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted(self._values)

    @cached_property
    def _by_word(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for number, text in enumerate(self._values):
            for word in dict.fromkeys(words_of(text)):
                found.setdefault(word, []).append(number)
        return found
