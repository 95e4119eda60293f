"""BERT's uncased WordPiece: a text becomes the ids of word pieces between [CLS] and [SEP].

Written on the standard library so that the default install needs no tokenizer package. The ids
equal those of the reference implementation; tests/conformance compares the two. Two differences are
known. "[SEP]" and its like inside a text are plain characters, never control tokens, so that a
user's text cannot change the structure of the input. And characters newer than the reference's
Unicode tables (503 code points under Python 3.11) are classified by Python's.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import lru_cache

CLS_PIECE, SEP_PIECE, UNKNOWN_PIECE = "[CLS]", "[SEP]", "[UNK]"
# Longer words are unknown as a whole: the reference's max_input_chars_per_word.
MAX_WORD_CHARS = 100
# Bounds the memory for words met so far; an English vocabulary in use is smaller than this.
WORD_CACHE_SIZE = 50_000

_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
_ASCII_WORD = re.compile(r"[0-9a-z]+|[!-/:-@\[-`{-~]")
_ASCII_CONTROL = {code: None for code in (*range(0x20), 0x7F) if chr(code) not in "\t\n\r"}
# The blocks that the reference calls Chinese characters; Hiragana, Katakana and Hangul are not.
_IDEOGRAPHS = (
    range(0x3400, 0x4DC0),
    range(0x4E00, 0xA000),
    range(0xF900, 0xFB00),
    range(0x20000, 0x2A6E0),
    range(0x2A700, 0x2B740),
    range(0x2B740, 0x2B820),
    range(0x2B920, 0x2CEB0),
    range(0x2F800, 0x2FA20),
)


class WordPiece:
    """A vocabulary and the greedy longest-match cut of words into its pieces."""

    def __init__(self, vocabulary: str, max_tokens: int) -> None:
        """Takes the pieces one a line in the order of their ids; `##` starts one inside a word."""
        # Not splitlines(): some pieces are characters that it would take for line ends.
        pieces = vocabulary.rstrip("\n").split("\n")
        self._ids = {piece: number for number, piece in enumerate(pieces)}
        self._cls = self._ids[CLS_PIECE]
        self._sep = self._ids[SEP_PIECE]
        self._unknown = (self._ids[UNKNOWN_PIECE],)
        self._room = max_tokens - 2
        self._cut: Callable[[str], tuple[int, ...]] = lru_cache(WORD_CACHE_SIZE)(self._cut_word)

    def encode(self, text: str) -> list[int]:
        """Returns the ids with [CLS] first and [SEP] last, at most `max_tokens` of them."""
        ids: list[int] = []
        for word in _words(text):
            ids += self._pieces_of(word)
            if len(ids) >= self._room:
                break
        return [self._cls, *ids[: self._room], self._sep]

    def count(self, text: str) -> int:
        """Returns the number of ids that the text has uncut, [CLS] and [SEP] included."""
        return 2 + sum(len(self._pieces_of(word)) for word in _words(text))

    def _pieces_of(self, word: str) -> tuple[int, ...]:
        return self._cut(word) if len(word) <= MAX_WORD_CHARS else self._unknown

    def _cut_word(self, word: str) -> tuple[int, ...]:
        """One stretch without a matching piece makes the whole word unknown."""
        pieces = []
        start = 0
        while start < len(word):
            found = self._longest_piece(word, start)
            if found is None:
                return self._unknown
            number, start = found
            pieces.append(number)
        return tuple(pieces)

    def _longest_piece(self, word: str, start: int) -> tuple[int, int] | None:
        prefix = "##" if start else ""
        for end in range(len(word), start, -1):
            number = self._ids.get(prefix + word[start:end])
            if number is not None:
                return number, end
        return None


def _words(text: str) -> Iterable[str]:
    """Lower-cased words and single punctuation marks; ASCII takes a path three times as fast."""
    if not text.isascii():
        return text.translate(_REWRITES).split()
    if not text.isprintable():
        text = text.translate(_ASCII_CONTROL)
    return _ASCII_WORD.findall(text.lower())


def _rewrite(char: str) -> str:
    """Returns what takes the place of one character before the text is split at blanks."""
    category = unicodedata.category(char)
    if char in "\t\n\r" or category.startswith("Z"):
        return " "
    if category in ("Cc", "Cf", "Co", "Cs") or char == "\ufffd":
        return ""
    bare = "".join(map(_lower, unicodedata.normalize("NFD", char)))
    return f" {bare} " if any(ord(char) in block for block in _IDEOGRAPHS) else bare


def _lower(char: str) -> str:
    """Lower case by single characters, as the reference does: no rule for a final sigma."""
    category = unicodedata.category(char)
    if category == "Mn":
        return ""
    if char in _PUNCTUATION or category.startswith("P"):
        return f" {char} "
    return char.lower()


class _Rewrites(dict[int, str]):
    """A table for str.translate that works a character out when it first meets it."""

    def __missing__(self, code: int) -> str:
        self[code] = rewritten = _rewrite(chr(code))
        return rewritten


_REWRITES = _Rewrites()
