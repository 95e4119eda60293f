"""FAQs: every outcome once or a few times, and half of what is asked is not in them."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from arenalab.local.evaluation.suites.sources import COVID_FAQ, STACKFAQ, find
from arenalab.local.evaluation.task import Known, Question, Round, Task

_MISSING: Final = frozenset({"*", "", None})  # for a rephrasing that nobody wrote
_POOLED: Final = (
    "the questions of all rounds are pooled: one text may be asked in scope and out of it, so "
    "the intervals are a little too narrow"
)


def load_stackfaq(root: Path, seed: int) -> Task:
    """Returns StackFAQ: in each round one rephrasing of every thread is asked.

    A round knows half of the threads (drawn anew from the seed), by their question and their
    other rephrasings; the other half is out of scope. The outcome is the thread's first answer.

    Raises:
        NotFoundError: The data is not there.
    """
    data = json.loads(find(root, STACKFAQ, "stackExchange-FAQ.json").read_text())
    threads = data["root"]["qapair"]
    rounds = []
    for left_out in range(max(len(thread["rephr"]) for thread in threads)):
        order = np.random.default_rng([seed, 5, left_out]).permutation(len(threads))
        in_scope = set(order[: len(threads) // 2].tolist())
        rounds.append(_stackfaq_round(threads, left_out, in_scope))
    notes = (
        (
            f"{len(threads)} threads, {len(rounds)} rounds: in each, one rephrasing of every "
            "thread is left out and asked, half the threads are out of scope, and a predictor "
            "of its own is fitted"
        ),
        _POOLED,
    )
    return Task("stackfaq", "StackFAQ, one rephrasing left out", rounds, notes, flattered=True)


def _stackfaq_round(threads: Sequence[Any], left_out: int, in_scope: set[int]) -> Round:
    known, asked = [], []
    for at, thread in enumerate(threads):
        outcome = f"thread-{at}"
        texts = [thread["question"], *thread["rephr"]]
        if at in in_scope:
            known += [
                Known(text, outcome)
                for number, text in enumerate(texts)
                if number != left_out + 1 and text not in _MISSING
            ]
        if left_out < len(thread["rephr"]) and thread["rephr"][left_out] not in _MISSING:
            text = thread["rephr"][left_out]
            asked.append(Question(text, frozenset({outcome}) if at in in_scope else frozenset()))
    return Round(known, asked)


def load_covid_faq(root: Path, seed: int) -> Task:
    """Returns the COVID-19 question pairs: the first questions known, the second asked.

    A second question is right for the first questions that a pair calls similar to it. Each is
    asked twice: with its half of the first questions in memory, and with the other half, where
    it is out of scope.

    Raises:
        NotFoundError: The data is not there.
    """
    file = find(root, COVID_FAQ, "eval_question_similarity_en.csv")
    with file.open(newline="", encoding="utf-8") as lines:
        pairs = list(csv.DictReader(lines))
    firsts = sorted({pair["question_1"] for pair in pairs})
    outcome = {text: f"faq-{at}" for at, text in enumerate(firsts)}
    right: dict[str, set[str]] = {pair["question_2"]: set() for pair in pairs}
    for pair in pairs:
        if pair["similar"] == "1":
            right[pair["question_2"]].add(outcome[pair["question_1"]])
    order = np.random.default_rng([seed, 6]).permutation(len(firsts))
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    rounds = []
    for half in halves:
        known = [Known(firsts[at], outcome[firsts[at]]) for at in sorted(half.tolist())]
        here = {one.outcome for one in known}
        asked = [Question(text, frozenset(right[text] & here)) for text in sorted(right)]
        rounds.append(Round(known, asked))
    notes = (
        (
            f"{len(pairs)} pairs; every outcome occurs once; each second question is asked with "
            "its first question in memory and without"
        ),
        _POOLED,
    )
    return Task("deepset_covid_faq", "COVID-19 FAQ question pairs", rounds, notes)
