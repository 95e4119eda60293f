"""TruthfulQA and MMLU: questions with choices, of which memory is to pick the right one."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from arenalab.local.evaluation.suites.facts import read_facts
from arenalab.local.evaluation.suites.sources import MMLU, TRUTHFULQA, find
from arenalab.local.evaluation.task import Known
from arenalab.mesh import InvalidInputError, NotFoundError
from arenalab.predictor.guarantee import BoolArray

FOLDS: Final = 5
_COLUMNS: Final = 6  # question, four choices, the number of the right one


@dataclass(frozen=True, slots=True)
class ChoiceQuestion:
    """A question with choices: one is right in `single`, several may be in `multiple`."""

    text: str
    category: str
    single: tuple[str, ...]
    single_right: int
    multiple: tuple[str, ...] = ()  # empty: the benchmark has no such form
    multiple_right: tuple[bool, ...] = ()


@dataclass(frozen=True, slots=True)
class ChoiceRound:
    """Questions, asked of one set of spans."""

    known: Sequence[Known]
    questions: Sequence[ChoiceQuestion]


@dataclass(frozen=True)
class Variant:
    """The same questions with one kind of memory; without rounds: not measured, and why."""

    name: str
    rounds: Sequence[ChoiceRound]
    why_not: str = ""


@dataclass(frozen=True)
class Published:
    """A published result, in percent."""

    system: str
    figure: str
    percent: float
    source: str


@dataclass(frozen=True)
class ChoiceTask:
    """A multiple-choice suite; the first variant is the one whose figures lead."""

    name: str
    title: str
    variants: Sequence[Variant]
    notes: tuple[str, ...]
    claim: str  # of the founding document, as it stands
    claimed: tuple[float, float]  # its range, in percent
    tiers: tuple[tuple[str, float], ...]  # the founding document's, best first: name, percent
    published: tuple[Published, ...]
    flattered: bool = False


_LIN: Final = "Lin, Hilton and Evans (2022), ACL, and its repository"
_HENDRYCKS: Final = "Hendrycks et al. (2021), ICLR, and its repository"


def load_truthfulqa(root: Path, seed: int) -> ChoiceTask:
    """Returns TruthfulQA: with its own spans (five folds), and with other facts only.

    Raises:
        NotFoundError: The data is not there.
    """
    tasks = json.loads(find(root, TRUTHFULQA, "mc_task.json").read_text())
    with find(root, TRUTHFULQA, "TruthfulQA.csv").open(newline="", encoding="utf-8-sig") as lines:
        category = {row["Question"]: row["Category"] for row in csv.DictReader(lines)}
    questions = [_truthful(task, category.get(task["question"], "unknown")) for task in tasks]
    fold = np.random.default_rng([seed, 9]).permutation(len(questions)) % FOLDS
    own = [_fold(questions, fold == number) for number in range(FOLDS)]
    return ChoiceTask(
        name="truthfulqa",
        title="TruthfulQA, multiple choice",
        variants=(Variant("with_own_spans", own), _without_own(root, questions)),
        notes=(
            (
                "with_own_spans: memory holds TruthfulQA's own questions and best answers, in "
                f"{FOLDS} folds, so that no question meets its own answer; what it learns is how "
                "true answers are worded here more than what is true, as the other variant shows"
            ),
            (
                "without_own_spans: memory holds the questions and answers of NQ-open and "
                "WebQuestions, about 11,000 spans, on which the embedder was partly trained"
            ),
        ),
        claim="TruthfulQA 55-65 % with 10k diamonds",
        claimed=(55.0, 65.0),
        tiers=(("diamond", 90.0), ("gold", 80.0), ("silver", 72.0), ("bronze", 65.0)),
        published=(
            Published("GPT-3 175B", "mc1", 21.0, _LIN),
            Published("GPT-3 175B", "mc2", 33.0, _LIN),
            Published("GPT-J 6B", "mc1", 20.0, _LIN),
            Published("GPT-2 1.5B", "mc1", 22.0, _LIN),
            Published("UnifiedQA 3B", "mc1", 19.0, _LIN),
            Published("best model, generated answers judged true", "generation", 58.0, _LIN),
            Published("humans, generated answers judged true", "generation", 94.0, _LIN),
        ),
    )


def _truthful(task: Any, category: str) -> ChoiceQuestion:
    single, multiple = task["mc1_targets"], task["mc2_targets"]
    return ChoiceQuestion(
        text=task["question"],
        category=category,
        single=tuple(single),
        single_right=list(single.values()).index(1),
        multiple=tuple(multiple),
        multiple_right=tuple(value == 1 for value in multiple.values()),
    )


def _fold(questions: Sequence[ChoiceQuestion], held: BoolArray) -> ChoiceRound:
    known = [
        Known(one.text, one.single[one.single_right])
        for one, is_held in zip(questions, held, strict=True)
        if not is_held
    ]
    return ChoiceRound(
        known, [one for one, is_held in zip(questions, held, strict=True) if is_held]
    )


def _without_own(root: Path, questions: Sequence[ChoiceQuestion]) -> Variant:
    try:
        return Variant("without_own_spans", [ChoiceRound(read_facts(root), questions)])
    except NotFoundError as error:
        return Variant("without_own_spans", [], str(error))


def load_mmlu(root: Path, seed: int) -> ChoiceTask:
    """Returns MMLU: the development questions known, the test questions asked.

    Raises:
        NotFoundError: The data is not there.
        InvalidInputError: A row has another shape.
    """
    del seed  # its splits are its own
    dev, test = _mmlu_folder(root, "dev"), _mmlu_folder(root, "test")
    known = [Known(one.text, one.single[one.single_right]) for one in dev]
    subjects = len({one.category for one in test})
    return ChoiceTask(
        name="mmlu",
        title="MMLU",
        variants=(Variant("dev_as_data", [ChoiceRound(known, test)]),),
        notes=(
            (
                f"memory holds the {len(dev)} development questions; {len(test):,} test "
                f"questions of {subjects} subjects are asked, and the average is over these"
            ),
            "the test asks what nobody asked before: a memory can only guess, and chance is 25 %",
        ),
        claim="MMLU 65-72 %",
        claimed=(65.0, 72.0),
        tiers=(("diamond", 90.0), ("gold", 85.0), ("silver", 78.0), ("bronze", 70.0)),
        published=(
            Published("random", "mc1", 25.0, _HENDRYCKS),
            Published("GPT-2", "mc1", 32.4, _HENDRYCKS),
            Published("GPT-3 (few-shot)", "mc1", 43.9, _HENDRYCKS),
            Published("UnifiedQA", "mc1", 48.9, _HENDRYCKS),
        ),
    )


def _mmlu_folder(root: Path, split: str) -> list[ChoiceQuestion]:
    files = sorted(find(root, MMLU, split).glob("*.csv"))
    if not files:
        find(root, MMLU, f"{split}/*.csv")  # raises: the folder is there, and empty
    return [one for file in files for one in _mmlu_file(file, split)]


def _mmlu_file(file: Path, split: str) -> list[ChoiceQuestion]:
    subject = file.stem.removesuffix(f"_{split}")
    questions = []
    with file.open(newline="", encoding="utf-8") as lines:
        reader = csv.reader(lines)
        for row in reader:
            if row[0] == "question":
                continue
            if len(row) != _COLUMNS or row[-1] not in {"0", "1", "2", "3"}:
                rule = f"{file}: line {reader.line_num}: must be a question, four choices and 0-3"
                raise InvalidInputError(rule, field="data")
            questions.append(ChoiceQuestion(row[0], subject, tuple(row[1:5]), int(row[5])))
    return questions
