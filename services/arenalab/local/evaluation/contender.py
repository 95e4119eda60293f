"""What is compared: anything that proposes an outcome for a question, and says how sure it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from arenalab.local.evaluation.task import Known
from arenalab.predictor.guarantee import BoolArray, IntArray
from arenalab.predictor.neighbourhood import FloatArray, Vectors


@dataclass(frozen=True)
class Memory:
    """Spans with their vectors."""

    known: Sequence[Known]
    keys: Sequence[str]  # of the outcomes: equal keys are one outcome
    vectors: Vectors  # (n, d), unit rows


@dataclass(frozen=True)
class Asked:
    """Questions with their vectors and nearest spans."""

    texts: Sequence[str]
    vectors: Vectors  # (m, d), unit rows
    nearest: IntArray  # (m, k) positions in memory, by descending similarity
    similarities: FloatArray  # (m, k)


@dataclass(frozen=True)
class Proposals:
    """One contender's outcomes, by question."""

    outcomes: Sequence[str]
    confidence: FloatArray  # (m,), claimed probability that the outcome is right
    score: FloatArray  # (m,), what ranks answers; 0 or less: never served
    features: FloatArray | None = None  # (m, f), for the ablation


@dataclass(frozen=True)
class OwnRule:
    """What a contender serves by a rule of its own, which may be random."""

    serving: Mapping[float, FloatArray]  # by tolerated error: probability of serving, (n,) each
    correct: BoolArray  # (n,), whether what it would serve is right


@dataclass(frozen=True)
class Scored:
    """One contender's proposals for all questions of a task, held against the labels."""

    name: str
    confidence: FloatArray  # (n,)
    score: FloatArray  # (n,)
    correct: BoolArray  # (n,)
    in_scope: BoolArray  # (n,), memory holds an outcome that would be right
    own_rule: OwnRule | None = None
    unlabelled: FloatArray | None = (
        None  # (n,), confidence before labels calibrated it, if they did
    )

    def __len__(self) -> int:
        return len(self.score)


class Fitted(Protocol):
    """A contender that has seen a memory."""

    def score(self, asked: Asked) -> Proposals:
        """Returns one proposal for each question; the labels are not seen."""


class Contender(Protocol):
    """A way to answer from memory."""

    @property
    def name(self) -> str:
        """The key in the results."""

    @property
    def described(self) -> str:
        """One sentence for the report."""

    def fit(self, memory: Memory, seed: int) -> Fitted:
        """Returns the contender for one memory."""

    def finish(self, scored: Scored, seed: int) -> Scored:
        """Returns the scores as they are reported, where labels are needed to make them."""


@runtime_checkable
class LearnsOnline(Protocol):
    """A contender whose own rule learns from labelled traffic as it goes."""

    def rule(
        self, memory: Memory, asked: Asked, right: Sequence[frozenset[str]], seed: int
    ) -> OwnRule:
        """Returns what the rule makes of the questions, none of which teaches it about itself.

        `right` are the keys of the right outcomes of each question.
        """


def nearest(memory: Vectors, questions: Vectors, k: int) -> tuple[IntArray, FloatArray]:
    """Returns the k nearest spans of each question: positions and cosines, both (m, k).

    Equal similarities are ordered by position, so that the same data gives the same rows.
    """
    k = min(k, len(memory))
    positions = np.zeros((len(questions), k), dtype=np.intp)
    similarities = np.zeros((len(questions), k), dtype=np.float64)
    block = 512
    for start in range(0, len(questions), block):
        found = questions[start : start + block] @ memory.T
        part = np.argpartition(-found, k - 1, axis=1)[:, :k]
        part.sort(axis=1)
        close = np.take_along_axis(found, part, axis=1)
        order = np.argsort(-close, axis=1, kind="stable")
        positions[start : start + block] = np.take_along_axis(part, order, axis=1)
        similarities[start : start + block] = np.take_along_axis(close, order, axis=1)
    return positions, similarities
