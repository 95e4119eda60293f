"""What an evaluation asks: spans that memory holds, and questions with the outcomes that are right.

A task may have several rounds, each with spans of its own: leaving one rephrasing of every FAQ out
in turn is ten rounds. The questions of all rounds are scored first and pooled afterwards.
"""

import re
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from arenalab.predictor.neighbourhood import outcome_key

# At least this many calibration questions, as for the predictor's own Calibrate.
MIN_CALIBRATION: Final = 50
# The split of the published figures: 1,800 of CLINC150's 5,500 questions.
CALIBRATION_N: Final = 1_800

_ARTICLES: Final = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION: Final = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True, slots=True)
class Known:
    """A span that memory holds."""

    text: str
    outcome: str
    domain: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """A question and the keys of the outcomes that are right; none: memory must not answer."""

    text: str
    right: frozenset[str]


@dataclass(frozen=True, slots=True)
class Round:
    """Questions, asked of one set of spans."""

    known: Sequence[Known]
    questions: Sequence[Question]


@dataclass(frozen=True)
class Task:
    """A suite ready to be asked."""

    name: str
    title: str
    rounds: Sequence[Round]
    notes: tuple[str, ...] = ()  # what a reader of the figures must know
    flattered: bool = False  # the embedder was trained on data of this kind
    key: Callable[[str], str] = outcome_key  # what two outcomes must share to be one

    @property
    def questions(self) -> int:
        """Questions of all rounds."""
        return sum(len(one.questions) for one in self.rounds)

    @property
    def spans(self) -> int:
        """Spans of the largest round."""
        return max((len(one.known) for one in self.rounds), default=0)


def calibration_size(questions: int, wanted: int | None = None) -> int:
    """Returns how many questions calibrate: those wanted, else 1,800, at most half of them."""
    return min(wanted or CALIBRATION_N, questions // 2)


def exact_match_key(answer: str) -> str:
    """Returns an answer without case, punctuation, articles and extra blanks.

    Source: Rajpurkar et al. (2016), SQuAD; the normalisation of NQ-open's exact match.
    """
    bare = _ARTICLES.sub(" ", answer.casefold().translate(_PUNCTUATION))
    return " ".join(bare.split())
