"""The actions of a dataset that answer to the one expected: by letters, by words, by meaning."""

from collections.abc import Iterable, Sequence
from typing import Final

from arenalab.contrast.phrase import parse
from arenalab.predictor.context_match import ActionMatch, match_action
from arenalab.predictor.contrast import Contrast, compare
from arenalab.predictor.neighbourhood import Vectors

# Cosine from which two actions mean the same: "cancel order" and "stop order" have 0.75,
# "refund payment" and "make payment" 0.57.
ONE_FROM: Final = 0.7
# Actions that are compared by meaning, so that one request cannot embed a whole vocabulary.
MAX_COMPARED: Final = 256
# As many as a filter takes.
MAX_CANDIDATES: Final = 64

_RANK: Final = {ActionMatch.EXACT: 0, ActionMatch.FUZZY: 1, ActionMatch.SEMANTIC: 2}


def spoken(action: str) -> str:
    """Returns an action as words: "ask_question" is "ask question"."""
    return " ".join(action.replace("_", " ").replace("-", " ").replace(".", " ").split())


def compared(expected: str, actions: Iterable[str]) -> list[str]:
    """Returns the actions to compare by meaning: those that letters and words do not settle."""
    open_ones = [a for a in actions if match_action(expected, a) is ActionMatch.NONE]
    return sorted(set(open_ones))[:MAX_COMPARED]


def candidates(
    expected: str, actions: Iterable[str], meant: Sequence[str], vectors: Vectors | None
) -> list[str]:
    """Returns the actions that answer to the one expected, best first, at most `MAX_CANDIDATES`.

    Args:
        expected: As the caller named it.
        actions: Those that the dataset knows.
        meant: What `compared` returned for them.
        vectors: Unit vectors of the expected one and then of `meant`, each as `spoken`; None
            when they could not be had: then letters and words alone decide.
    """
    found = {action: match_action(expected, action) for action in actions}
    if vectors is not None and meant:
        cosines = vectors[1:] @ vectors[0]
        asked = parse(spoken(expected))
        for action, cosine in zip(meant, cosines.tolist(), strict=True):
            # "open ticket" and "close ticket" have 0.77. One word for another is no clash here:
            # of two words it is what every other action has.
            clash = compare(asked, parse(spoken(action))) & ~Contrast.ITEM
            if cosine >= ONE_FROM and not clash:
                found[action] = ActionMatch.SEMANTIC
    matching = [action for action, match in found.items() if match is not ActionMatch.NONE]
    return sorted(matching, key=lambda action: (_RANK[found[action]], action))[:MAX_CANDIDATES]
