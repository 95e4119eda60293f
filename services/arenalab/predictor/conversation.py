"""The question of a conversation, and the text to search for.

The last user turn is the question. It stands alone unless it leans on what came before: it opens
like a follow-up ("and on Windows?"), points back with a pronoun and says little else ("how do I
undo it?"), or has no word of its own ("why?"). Then the search text is the user's earlier turn,
back to one that stands alone, followed by the question; or, where the follow-up only puts one
thing in the place of another ("and for Windows?"), the earlier turn with that put in its place.
A search text made of both would be nearest to spans that answer the turn before. What such a
question turns on is kept (`terms`), so that an answer which does not speak of it is not served.

Some questions cannot be read at all: they point at one of several things that were said ("what
about the other one?"), or lean on a turn that is not there. They are `is_dangling`.

In every conversation of several turns the user's last turns together are the second text that
search compares: the semantic factor of the context match.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from arenalab.contrast.phrase import is_filler, parse
from arenalab.predictor.ellipsis import is_unnamed, leans_on_nothing, replaced
from arenalab.predictor.lexicon import DETERMINERS, FOLLOW_UPS, POINTERS

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
    opening: str = ""  # the turn that a follow-up leans on; empty for a whole question
    terms: frozenset[str] = frozenset()  # stems that the follow-up adds to it
    is_dangling: bool = False  # it cannot be read: what it points at is not named

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
    recent = _joined(turns[-MAX_TURNS:]) if len(turns) > 1 else ""
    opening, follow_ups = turns[-needed], turns[len(turns) - needed + 1 :]
    is_dangling = is_unnamed(question) or leans_on_nothing(opening)
    if not follow_ups:
        return Asked(question, question, recent, is_dangling=is_dangling)
    return Asked(
        question,
        _resolved(opening, follow_ups),
        recent,
        opening,
        frozenset().union(*(parse(turn).content for turn in follow_ups)),
        is_dangling,
    )


def _resolved(opening: str, follow_ups: Sequence[str]) -> str:
    """Returns the opening with each follow-up put in its place, or followed by it."""
    read = [opening]
    for turn in follow_ups:
        whole = replaced(read[-1], turn)
        if whole is None:
            read.append(turn)
        else:
            read[-1] = whole
    return _joined(read)


def leans_back(text: str) -> bool:
    """Whether a turn cannot be understood without an earlier one."""
    phrase = parse(text)
    words, content = phrase.spoken, phrase.content
    if len(words) <= _MAX_BARE_WORDS and len(content) <= 1:
        return True
    if any(words[: len(opening)] == opening for opening in FOLLOW_UPS):
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
