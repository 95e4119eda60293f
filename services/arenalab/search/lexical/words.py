"""The words of a text, the same for what is indexed and for what is asked."""

import re
import unicodedata
from typing import Final

# Part of what is written of an index: change it whenever `words_of` gives another result
# for any text.
WORDS: Final = "nfkc-fold-1"

_WORD: Final = re.compile(r"\w+")


def words_of(text: str) -> list[str]:
    """Returns the words of a text in their order, folded to one case.

    Runs of letters, digits and underscores. None is left out: what a list of stop words
    would drop ("not", "no", "off") turns a question around, and BM25 gives the frequent
    ones next to nothing by itself. None is stemmed: that needs to know the language.
    """
    if text.isascii():
        return _WORD.findall(text.lower())
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
