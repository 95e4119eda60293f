"""A guardrail that finds what regular expressions match.

An expression runs in RE2, in time like the text's length whatever it says, and can match no
more characters than it holds back: an expression without a longest match is refused when it is
read. So a match is decided as soon as that many characters after its beginning are known.
"""

import importlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import re2

from arenalab.ensemble.guardrails.guardrail import Action, Check, Found, Stage
from arenalab.mesh import ConfigError

# Characters that may be held back; what a reader waits for.
MAX_MATCH: Final = 1_024
# Characters looked at at once: each look costs as much as all of them.
_PIECE: Final = 2_048
_MAX_PROGRAM_BYTES: Final = 8 << 20


@dataclass(frozen=True)
class Pattern:
    """What one expression finds is replaced, or ends the text."""

    name: str
    expression: Any  # of RE2
    longest: int  # characters that a match can have
    action: Action
    replacement: str = ""
    stages: frozenset[Stage] = frozenset(Stage)
    reason: str = ""


class Patterns:
    """A guardrail of patterns; of two that match, the one that begins first counts.

    Of two that begin together it is the first in order. All read the text at once, so that the
    longest match of any is held back, and not the sum of them.
    """

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._patterns = patterns

    def check(self, stage: Stage) -> Check | None:
        looking = [pattern for pattern in self._patterns if stage in pattern.stages]
        return PatternsCheck(looking) if looking else None


class PatternsCheck:
    """One text, as far as it has come."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._patterns = patterns
        self._longest = max(pattern.longest for pattern in patterns)
        self._findings = [0] * len(patterns)
        self._is_blocked = False
        self._text = ""  # undecided, behind one character that was decided
        self._at = 0  # where the undecided begins

    def found(self) -> list[Found]:
        return [
            Found(one.name, one.action if times else Action.PASS, times, one.reason)
            for one, times in zip(self._patterns, self._findings, strict=True)
        ]

    def feed(self, text: str) -> str:
        pieces = (text[at : at + _PIECE] for at in range(0, len(text), _PIECE))
        return "".join([self._feed(piece) for piece in pieces])

    def _feed(self, piece: str) -> str:
        self._text += piece
        # A match that begins before this can be seen whole, with the character after it.
        return self._decide(len(self._text) - self._longest)

    def finish(self) -> str:
        return self._decide(len(self._text))

    def _decide(self, until: int) -> str:
        """Returns what is safe of the characters before `until`, with findings replaced."""
        if self._is_blocked:
            return ""
        safe: list[str] = []
        nexts = [(-1, -1)] * len(self._patterns)  # each pattern's next match
        while self._at < until:
            nexts = [self._next(n, span) for n, span in enumerate(nexts)]
            first = min(range(len(nexts)), key=lambda n: (nexts[n][0], n))
            start, end = nexts[first]
            safe.append(self._text[self._at : min(start, until)])
            if start >= until:
                self._at = until
                break
            self._at = end
            self._findings[first] += 1
            if self._patterns[first].action is Action.BLOCK:
                self._is_blocked = True
                return "".join(safe)
            safe.append(self._patterns[first].replacement)
        if self._at:  # one character stays: a word's boundary lies between two
            self._text, self._at = self._text[self._at - 1 :], 1
        return "".join(safe)

    def _next(self, n: int, known: tuple[int, int]) -> tuple[int, int]:
        """Returns where a pattern's next match begins and ends, if it is not known yet."""
        if known[0] >= self._at:
            return known
        match = self._patterns[n].expression.search(self._text, self._at)
        return (len(self._text), -1) if match is None else (match.start(), match.end())


def compiled(expression: str) -> tuple[Any, int]:
    """Returns an expression of RE2, and how many characters it can match.

    Raises:
        ConfigError: It is none, matches nothing at all, or has no longest match.
    """
    if "{," in expression:
        raise ConfigError("write {0,n} for {,n}: RE2 takes that literally")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_PROGRAM_BYTES
    try:
        found = re2.compile(expression, options)
    except re2.error as error:
        raise ConfigError(f"RE2 does not know it: {_words(error)}") from error
    shortest, longest = _widths(expression)
    if not shortest:
        raise ConfigError("it must not match the empty text")
    if longest > MAX_MATCH:
        raise ConfigError(
            f"it must match at most {MAX_MATCH} characters: write {{1,64}} instead of +"
        )
    return found, longest


def _widths(expression: str) -> tuple[int, int]:
    """Returns the least and the most characters that a match can have."""
    # RE2 does not tell. The standard library's parser does, and reads the common syntax alike;
    # what it does not know is refused, so that nothing is read in two ways.
    parser = importlib.import_module("re._parser")
    try:
        shortest, longest = parser.parse(expression).getwidth()
    except (re.error, RecursionError, OverflowError) as error:
        raise ConfigError(f"it must be one for Python's re too: {error}") from error
    return shortest, longest


def _words(error: Exception) -> str:
    told = error.args[0] if error.args else ""
    return told.decode(errors="replace") if isinstance(told, bytes) else str(told)
