"""Factoid questions, judged by exact match: memory can only know what was asked before."""

import json
from pathlib import Path

import numpy as np

from arenalab.local.evaluation.suites.sources import NQ_OPEN, WEBQUESTIONS, find
from arenalab.local.evaluation.task import Known, Question, Round, Task, exact_match_key

_NQ_FILES = ("NQ-open.dev.jsonl", "NQ-open.efficientqa.dev.1.1.jsonl")
_WQ_FILES = ("trainmodel.json", "val.json", "devtest.json")
_EXPECT = (
    "exact match after SQuAD's normalisation; a question counts as in scope when any span's "
    "answer happens to match"
)

Fact = tuple[str, list[str]]  # question, answers that are right


def read_nq_open(root: Path) -> list[Fact]:
    """Returns NQ-open's development questions and EfficientQA's.

    Raises:
        NotFoundError: The data is not there.
    """
    facts = []
    for name in _NQ_FILES:
        with find(root, NQ_OPEN, name).open(encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines if line.strip()]
        facts += [(row["question"], row["answer"]) for row in rows]
    return facts


def read_webquestions(root: Path, *names: str) -> list[Fact]:
    """Returns the questions of files of WebQuestions.

    Raises:
        NotFoundError: The data is not there.
    """
    rows = [row for name in names for row in json.loads(find(root, WEBQUESTIONS, name).read_text())]
    return [(row["qText"], row["answers"]) for row in rows if row["answers"]]


def read_facts(root: Path) -> list[Known]:
    """Returns all questions of both data sets as spans.

    Raises:
        NotFoundError: One of them is not there.
    """
    facts = read_nq_open(root) + read_webquestions(root, *_WQ_FILES, "test.json")
    return _known(facts)


def load_nq_open(root: Path, seed: int) -> Task:
    """Returns NQ-open: one half of the questions known, the other asked.

    Raises:
        NotFoundError: The data is not there.
    """
    facts = read_nq_open(root)
    order = np.random.default_rng([seed, 7]).permutation(len(facts))
    half = len(order) // 2
    one = Round(
        _known([facts[at] for at in order[:half]]), _asked([facts[at] for at in order[half:]])
    )
    return Task(
        "nq_open",
        "NQ-open, half of it known",
        [one],
        (_EXPECT,),
        flattered=True,
        key=exact_match_key,
    )


def load_webquestions(root: Path, seed: int) -> Task:
    """Returns WebQuestions: its training and development questions known, its test asked.

    Raises:
        NotFoundError: The data is not there.
    """
    del seed  # its splits are its own
    one = Round(
        _known(read_webquestions(root, *_WQ_FILES)), _asked(read_webquestions(root, "test.json"))
    )
    return Task("webquestions", "WebQuestions", [one], (_EXPECT,), key=exact_match_key)


def _known(facts: list[Fact]) -> list[Known]:
    return [Known(text, answers[0]) for text, answers in facts]


def _asked(facts: list[Fact]) -> list[Question]:
    return [Question(text, frozenset(map(exact_match_key, answers))) for text, answers in facts]
