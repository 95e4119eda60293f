"""The question of a conversation, and the text to search for.

The last user turn is the question. It stands alone unless it leans on what came before: it opens
like a follow-up ("and on Windows?"), points back with a pronoun and says little else ("how do I
undo it?"), or has no word of its own ("why?"). Then the search text is the user's earlier turn,
back to one that stands alone, followed by the question. In every conversation of several turns
the user's last turns together are the second text that search compares: the semantic factor of
the context match.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from arenalab.predictor.lexicon import DETERMINERS, FOLLOW_UPS, POINTERS
from arenalab.predictor.phrase import is_filler, parse, words_of

# Turns that a follow-up may reach back, and that make up the conversation's text.
MAX_TURNS: Final = 4
# search's own limit on a text.
MAX_TEXT_BYTES: Final = 32_768

_MAX_POINTING_WORDS: Final = 2
_MAX_BARE_WORDS: Final = 2


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked, and what is searched."""

    question: str  # the last user turn
    text: str  # to search for
    extra_text: str  # the conversation; empty for a single turn

    @property
    def is_joined(self) -> bool:
        """Whether earlier turns are part of the search text."""
        return self.text != self.question


def read_conversation(user_turns: Sequence[str]) -> Asked:
    """Returns the question of the user's turns, oldest first; blank turns say nothing.

    The last turn must not be blank.
    """
    turns = [turn for turn in user_turns if turn.strip()]
    question = turns[-1]
    needed = 1
    while needed < min(len(turns), MAX_TURNS) and leans_back(turns[-needed]):
        needed += 1
    recent = turns[-MAX_TURNS:] if len(turns) > 1 else []
    return Asked(question, _joined(turns[-needed:]), _joined(recent))


def leans_back(text: str) -> bool:
    """Whether a turn cannot be understood without an earlier one."""
    words, content = words_of(text), parse(text).content
    if len(words) <= _MAX_BARE_WORDS and len(content) <= 1:
        return True
    if any(tuple(words[: len(opening)]) == opening for opening in FOLLOW_UPS):
        return True
    return not content or (_points_back(words) and len(content) <= _MAX_POINTING_WORDS)


def _points_back(words: Sequence[str]) -> bool:
    return any(
        word in POINTERS or (word in DETERMINERS and (not after or is_filler(after)))
        for word, after in zip(words, [*words[1:], ""], strict=True)
    )


def _joined(turns: Sequence[str]) -> str:
    # Earlier turns give way when the whole is too long; the last one never does.
    kept: list[str] = []
    size = 0
    for turn in reversed(turns):
        size += len(turn.encode()) + 1
        if kept and size > MAX_TEXT_BYTES:
            break
        kept.append(turn)
    return "\n".join(reversed(kept))
