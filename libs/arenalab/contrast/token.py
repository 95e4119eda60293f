"""A question as words with their places in the text, so that one of them can be exchanged."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

_WORD: Final = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+(?:['\u2019][^\W\d_]+)?|\d+")


@dataclass(frozen=True, slots=True)
class Tokens:
    """The words of a text: in lower case, and where each stands."""

    text: str
    words: tuple[str, ...]
    places: tuple[tuple[int, int], ...]  # start and end of each in the text

    @classmethod
    def of(cls, text: str) -> Self:
        found = list(_WORD.finditer(text))
        words = tuple(match[0].casefold().replace("\u2019", "'") for match in found)
        return cls(text, words, tuple(match.span() for match in found))

    def written(self, at: int) -> str:
        """Returns a word as it is written."""
        start, end = self.places[at]
        return self.text[start:end]

    def between(self, at: int) -> str:
        """Returns what stands between a word and the one after it."""
        end = self.places[at + 1][0] if at + 1 < len(self.places) else len(self.text)
        return self.text[self.places[at][1] : end]

    def replaced(self, at: int, word: str) -> str:
        """Returns the text with another word, written in the case of the one that it replaces."""
        return self.spliced(at, at + 1, cased(word, self.written(at)))

    def spliced(self, start: int, end: int, text: str) -> str:
        """Returns the text with other text for the words from `start` up to, not with, `end`."""
        return self.text[: self.places[start][0]] + text + self.text[self.places[end - 1][1] :]

    def swapped(self, left: tuple[int, int], right: tuple[int, int]) -> str:
        """Returns the text with two stretches of words, each from and up to, in other places."""
        ours = self.text[self.places[left[0]][0] : self.places[left[1] - 1][1]]
        theirs = self.text[self.places[right[0]][0] : self.places[right[1] - 1][1]]
        middle = self.text[self.places[left[1] - 1][1] : self.places[right[0]][0]]
        head = self.text[: self.places[left[0]][0]]
        return head + theirs + middle + ours + self.text[self.places[right[1] - 1][1] :]


def cased(word: str, like: str) -> str:
    """Returns a word in lower case in the case of another: lower, capitalised or all capitals."""
    if len(like) > 1 and like.isupper():
        return word.upper()
    return word[:1].upper() + word[1:] if like[:1].isupper() else word


def replaced_at(words: Sequence[str], at: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns what stands before a word and after it: the frame that other words may fill."""
    return tuple(words[:at]), tuple(words[at + 1 :])
