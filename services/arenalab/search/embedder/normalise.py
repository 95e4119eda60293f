"""The form of a text that is embedded, the same for every embedder.

Spans written by different programs differ in ways nobody sees (composed or decomposed accents,
line breaks, double blanks); they must not get different vectors, or deduplication misses them.
"""

import unicodedata
from collections.abc import Sequence

from arenalab.search.embedder.protocol import EmptyTextError

# Part of every embedder's digest: change it whenever `normalise` gives another result for any text.
NORMALISATION = "nfc-ws-1"

# Control, format, private use and surrogate characters, separators, and marks without a letter.
_INVISIBLE = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp", "Zs", "Mn", "Mc", "Me"})
_REPLACEMENT = "\ufffd"


def normalise(text: str) -> str:
    """Returns the text in NFC with every run of white space as one blank and none at the ends.

    Raises:
        EmptyTextError: Nothing visible is left to embed.
    """
    composed = text if text.isascii() else unicodedata.normalize("NFC", text)
    words = " ".join(composed.split())
    if not any(map(_is_visible, words)):
        raise EmptyTextError("text must hold at least one visible character")
    return words


def normalise_all(texts: Sequence[str]) -> list[str]:
    """Returns every text normalised; an empty one is refused with its index."""
    done = []
    for index, text in enumerate(texts):
        try:
            done.append(normalise(text))
        except EmptyTextError as error:
            raise EmptyTextError(f"{error}; text at index {index} has none", index) from None
    return done


def _is_visible(char: str) -> bool:
    return unicodedata.category(char) not in _INVISIBLE and char != _REPLACEMENT
