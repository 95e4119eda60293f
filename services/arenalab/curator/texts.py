"""Texts as the curator compares them."""

import re
import unicodedata
from typing import Final

_WORD: Final = re.compile(r"\w+")
# Scripts that put no space between words: Thai, kana, Han, Hangul.
_UNSPACED: Final = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
# What people write into a field that must not be empty.
_NON_ANSWERS: Final = frozenset({"n/a", "na", "null", "nil", "undefined", "tbd", "idk", "todo"})
# Words that turn a question round, in English, German, French and Spanish.
_NEGATION: Final = re.compile(
    r"no|not|(?:do|does|did|is|are|was|were|ca|could|wo|would|should|has|have)nt|never|nor|neither|none|without|cannot"
    r"|nicht|nie|keine?|ohne|pas|jamais|sans|nunca|sin"
)
_CLOSING: Final = ".?!… "
# How much sense a question of so many words makes on its own. One word may be a
# keyboard's; two are a search; three can say what is asked.
_SENSE_OF_WORDS: Final = (0.0, 0.2, 0.6, 1.0)


def normalised(text: str) -> str:
    """Returns `text` without what does not change a question: case, spacing, the last mark.

    Other punctuation stays: "C" and "C++" are different questions.
    """
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return folded.rstrip(_CLOSING) or folded


def turns(text: str) -> frozenset[str]:
    """Returns what of a question changes it though it hardly moves its vector.

    These are numbers, and "not" for any negation. "When does it not?" and "When does
    it?" are two questions, and so are the same words about 2023 and 2024.
    """
    words = _WORD.findall(text.casefold().replace("\u2019", "").replace("'", ""))
    numbers = frozenset(word for word in words if any(map(str.isnumeric, word)))
    return numbers | {"not"} if any(map(_NEGATION.fullmatch, words)) else numbers


def question_sense(text: str) -> float:
    """Returns how far a text alone looks like a question, in [0, 1]; 1 from three words."""
    words = {word for word in _WORD.findall(text.casefold()) if not word.isnumeric()}
    count = len(words) + len(_UNSPACED.findall(text)) // 2
    letters = sum(character.isalnum() for character in text)
    visible = sum(not character.isspace() for character in text)
    share = letters / visible if visible else 0.0
    return _SENSE_OF_WORDS[min(count, 3)] * min(1.0, 2.0 * share)


def outcome_sense(text: str) -> float:
    """Returns how far a text can be an outcome, in [0, 1]; a number or a label can."""
    folded = normalised(text)
    if folded in _NON_ANSWERS:
        return 0.0
    count = sum(character.isalnum() for character in folded)
    return 1.0 if count >= 2 or _UNSPACED.search(folded) else 0.5 * count  # noqa: PLR2004
