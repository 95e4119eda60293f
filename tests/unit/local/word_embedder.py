"""An embedder of words, and a task of made-up questions: small, fast, the same everywhere."""

import zlib
from collections.abc import Sequence

import numpy as np

from arenalab.local.evaluation.task import Known, Question, Round, Task
from arenalab.predictor.neighbourhood import FloatArray, Vectors

_TOPICS = ("password", "invoice", "delivery", "refund", "account", "printer")
_OPENINGS = ("how do i fix my", "please help with the", "there is trouble with our", "what about a")
_ENDINGS = ("today", "at home", "from work", "again", "on monday", "quickly", "by phone", "abroad")


class WordEmbedder:
    """Texts as sums of one random direction a word."""

    id = "words"
    dimension = 64

    def __init__(self) -> None:
        self.embedded: list[str] = []

    def embed_many(self, texts: Sequence[str]) -> Vectors:
        self.embedded += texts
        rows = np.array([sum(map(_direction, text.casefold().split())) for text in texts])
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def _direction(word: str) -> FloatArray:
    return np.random.default_rng(zlib.crc32(word.encode())).normal(size=64)


def rows(labels: int = 6) -> list[tuple[str, str]]:
    """Returns (text, label) of so many labels, 32 texts each."""
    return [
        (f"{opening} {topic} {ending}", topic)
        for topic in _TOPICS[:labels]
        for opening in _OPENINGS
        for ending in _ENDINGS
    ]


def outside(size: int = 80) -> list[str]:
    """Returns questions about something else, worded alike."""
    return [
        f"{_OPENINGS[at % 4]} {noun}{at} {_ENDINGS[at % 8]}"
        for at, noun in zip(range(size), ("garden", "engine", "piano") * size, strict=False)
    ]


def made_up_task() -> Task:
    """Returns a task with 128 questions, 64 of them in scope."""
    known, asked = [], []
    for at, (text, label) in enumerate(rows()):
        if at % 3:
            known.append(Known(text, label))
        else:
            asked.append(Question(text, frozenset({label})))
    asked += [Question(text, frozenset()) for text in outside(64)]
    return Task("made_up", "Made-up questions", [Round(known, asked)])
