"""What the predictor decides from: a question, and the past spans nearest to it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from arenalab.contrast.phrase import Phrase, parse

FloatArray = npt.NDArray[np.float64]
Vectors = npt.NDArray[np.float32]

# Spans asked of search for one question; calibration uses the same number.
K: Final = 50
# Steps walked back through previous_spans (completeness is 1 from 5 on).
TRAJECTORY_DEPTH: Final = 10


@dataclass(frozen=True, slots=True)
class Situation:
    """The context of a span or of a live question; what is empty or None is not known."""

    domain: str = ""
    emotion: str = ""
    stakes: int | None = None  # 1 low, 2 medium, 3 high
    actions: tuple[str, ...] = ()  # oldest first, the span's own last


@lru_cache(maxsize=8_192)
def situation_with(
    domain: str, emotion: str, stakes: int | None, actions: tuple[str, ...]
) -> Situation:
    """Returns the situation of these values: the same object for the same ones."""
    return Situation(domain, emotion, stakes, actions)


# What a span counts whose quality nobody has measured, in [0, 1].
UNMEASURED_QUALITY: Final = 0.5


@dataclass(frozen=True, slots=True)
class Memory:
    """One past span with an outcome."""

    span_id: str
    question: str
    outcome: str
    situation: Situation = Situation()
    trajectory_depth: int = 0
    is_fragment: bool = False  # the walk back ended at a span whose own past is not there
    when_s: float = 0.0  # Unix time at which it began
    earlier: tuple[str, ...] = ()  # questions of the spans before it, nearest first
    quality: float = UNMEASURED_QUALITY  # of the quality meter, in [0, 1]
    is_measured: bool = False  # the quality
    phrase: Phrase = field(init=False, compare=False)
    outcome_key: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "phrase", parse(self.question))
        object.__setattr__(self, "outcome_key", outcome_key(self.outcome))


@dataclass(frozen=True, slots=True)
class Query:
    """A live question and what is known of its situation."""

    text: str
    situation: Situation = Situation()
    action: str = ""  # expected; empty: any
    # Actions that mean what is expected, beside those that are spelt like it.
    accepted: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """The spans nearest to a question, by descending similarity.

    `similarities` are cosines with the question, `semantic` cosines with the whole
    conversation (the same where there is one turn); `vectors` are the spans' own
    embeddings, one row a span.
    """

    memories: Sequence[Memory]
    similarities: FloatArray
    semantic: FloatArray
    vectors: Vectors

    def __len__(self) -> int:
        return len(self.memories)


def outcome_key(outcome: str) -> str:
    """Returns what two outcomes must share to be one: the text, trimmed and case-folded."""
    return outcome.strip().casefold()
