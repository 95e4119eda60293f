"""Does BM25 beside similarity find more of what is right? On five public sets."""

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from arenalab.search.embedder.protocol import Embedder
from arenalab.search.index.exact import ExactIndex
from arenalab.search.index.protocol import rescore
from arenalab.search.index.selection import IntArray
from arenalab.search.lexical import LexicalIndex
from arenalab.search.ranking import Candidates, Ranking, rank, useful_candidates
from arenalab.testing.data import data_file

WEIGHTS: Final = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0)
CONSTANTS: Final = (60, 3)
SHARES: Final = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
DEPTH: Final = 10

Recall = tuple[float, float]  # share of questions with a right text at 1 and at DEPTH


@dataclass(frozen=True)
class Hits:
    """What would be ranked for one question."""

    rows: IntArray
    candidates: Candidates


@dataclass(frozen=True)
class Task:
    """Texts to be found, and questions whose right ones are known by a label."""

    name: str
    texts: Sequence[str]
    labels: Sequence[object]
    questions: Sequence[str]
    answers: Sequence[object]

    def candidates(self, embedder: Embedder) -> list[Hits]:
        """Returns what a search would rank: the best by vector and the best by words."""
        vectors = embedder.embed_many(self.texts)
        dense, lexical = ExactIndex(vectors), LexicalIndex.build(self.texts)
        fetch = min(useful_candidates(DEPTH, Ranking(lexical_weight=0.5)), len(vectors))
        found = []
        asked = embedder.embed_many(self.questions)
        for question, vector in zip(self.questions, asked, strict=True):
            near = dense.search(vector, fetch).rows
            rows = np.union1d(near, lexical.search(question, fetch).rows)
            candidates = Candidates(
                similarities=rescore(vectors, rows, vector),
                lexical_scores=lexical.scores(question, rows),
            )
            found.append(Hits(rows, candidates))
        return found


def tasks() -> list[Task]:
    """Returns the sets; the last two look for answers by questions, the others for questions."""
    return [_clinc(), _stackfaq(), _covid(), _stackfaq_answers(), _covid_answers()]


def by_ranks(task: Task, hits: Sequence[Hits], constant: int) -> list[Recall]:
    """Returns the recall of reciprocal rank fusion for each of WEIGHTS."""
    rankings = [Ranking(lexical_weight=weight, rrf_constant=constant) for weight in WEIGHTS]

    def ordered(ranking: Ranking) -> Callable[[Candidates], IntArray]:
        return lambda candidates: rank(candidates, ranking, 0, DEPTH)[0]

    return [_recall(task, hits, ordered(ranking)) for ranking in rankings]


def by_scores(task: Task, hits: Sequence[Hits]) -> list[Recall]:
    """Returns the recall of a sum of scores, BM25 relative to its best, for each of SHARES.

    No ranking does this: it is what reciprocal ranks are to be judged by.
    """

    def ordered(share: float) -> Callable[[Candidates], IntArray]:
        def order(candidates: Candidates) -> IntArray:
            assert candidates.lexical_scores is not None
            best = candidates.lexical_scores.max(initial=0) or 1.0
            words = candidates.lexical_scores / best
            scores = (1 - share) * candidates.similarities + share * words
            return np.argsort(-scores, kind="stable")[:DEPTH]

        return order

    return [_recall(task, hits, ordered(share)) for share in SHARES]


def _recall(task: Task, hits: Sequence[Hits], ordered: Callable[[Candidates], IntArray]) -> Recall:
    first = any_of = 0
    for found, answer in zip(hits, task.answers, strict=True):
        rows = found.rows[ordered(found.candidates)].tolist()
        is_right = [task.labels[row] == answer for row in rows]
        first += is_right[0]
        any_of += any(is_right)
    return first / len(hits), any_of / len(hits)


def _clinc() -> Task:
    data = json.loads(data_file("clinc150/data_full.json").read_text())
    texts, intents = zip(*data["train"], strict=True)
    questions, answers = zip(*data["test"], strict=True)
    return Task("CLINC150 utterances", texts, intents, questions, answers)


def _threads() -> list[dict[str, list[str] | str]]:
    path = data_file("stackfaq/stackExchange-FAQ.json")
    threads: list[dict[str, list[str] | str]] = json.loads(path.read_text())["root"]["qapair"]
    return threads


def _stackfaq() -> Task:
    threads = _threads()
    asked = [
        (text, number)
        for number, thread in enumerate(threads)
        for text in thread["rephr"]
        if text and text != "*"
    ]
    questions, answers = zip(*asked, strict=True)
    texts = [str(thread["question"]) for thread in threads]
    return Task("StackFAQ rephrasings", texts, range(len(texts)), questions, answers)


def _stackfaq_answers() -> Task:
    threads = _threads()
    given = [
        (text, number)
        for number, thread in enumerate(threads)
        for text in ([thread["answer"]] if isinstance(thread["answer"], str) else thread["answer"])
        if text and text != "*"
    ]
    texts, labels = zip(*given, strict=True)
    questions = [str(thread["question"]) for thread in threads]
    return Task("StackFAQ answers", texts, labels, questions, range(len(questions)))


def _covid() -> Task:
    path = data_file("deepset_covid_faq/eval_question_similarity_en.csv")
    with path.open(newline="") as file:
        pairs = list(csv.DictReader(file))
    texts = list(dict.fromkeys(pair["question_1"] for pair in pairs))
    same = [pair for pair in pairs if pair["similar"] == "1"]
    questions = [pair["question_2"] for pair in same]
    return Task("COVID rephrasings", texts, texts, questions, [p["question_1"] for p in same])


def _covid_answers() -> Task:
    with data_file("deepset_covid_faq/faq_covidbert.csv").open(newline="") as file:
        faqs = [faq for faq in csv.DictReader(file) if faq["question"] and faq["answer"]]
    texts = [faq["answer"] for faq in faqs]
    return Task("COVID answers", texts, texts, [faq["question"] for faq in faqs], texts)
