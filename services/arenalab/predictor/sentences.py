"""A text cut into its sentences, so that each can be traced to the spans that say it."""

import re
from collections.abc import Sequence
from typing import Final

# Sentences of one answer; what comes after them stays one piece.
MAX_SENTENCES: Final = 64

# A sentence ends at its mark (with closing quotes) before a space, or at a line's end. A list's
# number or letter ("1.", "b.") ends none, nor do the commonest abbreviations or an initial.
_END: Final = re.compile(r"[.!?\u2026]+[\"'\u201d\u2019)\]]*(?=\s)|[\u3002\uff01\uff1f]+|(?=\n)")
_NO_END: Final = re.compile(
    r"(?:^|[\s(])(?:[a-z]|\d{1,3}|e\.g|i\.e|etc|vs|cf|mr|mrs|ms|dr|prof|st|no|fig|approx)\.$",
    re.IGNORECASE,
)


def sentences_of(text: str) -> list[str]:
    """Returns the sentences in order, trimmed, none blank, at most `MAX_SENTENCES`.

    Nothing but blank space is lost: joined, they hold every other character of the text.
    """
    pieces: list[str] = []
    start = 0
    for found in _END.finditer(text):
        piece = text[start : found.end()]
        if not piece.strip() or _NO_END.search(piece):
            continue
        if len(pieces) == MAX_SENTENCES - 1:
            break
        pieces.append(piece.strip())
        start = found.end()
    rest = text[start:].strip()
    return [*pieces, rest] if rest else pieces


def squeezed(sentence: str) -> str:
    """Returns what two sentences must share to be one: words and marks, whatever the spacing."""
    return " ".join(sentence.casefold().split())


def holding(sentence: str, texts: Sequence[str]) -> list[int]:
    """Returns the positions of the texts that hold a sentence; texts are `squeezed`."""
    wanted = squeezed(sentence)
    return [at for at, text in enumerate(texts) if wanted in text]
