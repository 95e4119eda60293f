"""The suites, from files made up here; and the real ones, where they are."""

import csv
import json
from pathlib import Path

import pytest

from arenalab.local.evaluation.suites.choices import ChoiceTask, load_mmlu, load_truthfulqa
from arenalab.local.evaluation.suites.faqs import load_covid_faq, load_stackfaq
from arenalab.local.evaluation.suites.intents import load_clinc150
from arenalab.local.evaluation.suites.registry import SUITES, load_suite
from arenalab.local.evaluation.task import Task, exact_match_key
from arenalab.mesh import InvalidInputError, NotFoundError
from arenalab.testing.data import data_file


@pytest.mark.parametrize(
    ("suite", "source"),
    [
        ("clinc150", "CLINC150 .* github.com/clinc/oos-eval"),
        ("stackfaq", "StackFAQ .* Karan and Šnajder"),
        ("deepset_covid_faq", "COVID-19 .* github.com/deepset-ai/COVID-QA"),
        ("nq_open", "NQ-open .*google-research-datasets"),
        ("webquestions", "WebQuestions .* github.com/brmson"),
        ("truthfulqa", "TruthfulQA .* github.com/sylinrl/TruthfulQA"),
        ("mmlu", "MMLU .* github.com/hendrycks/test"),
    ],
)
def test_missing_data_is_named_with_its_source(tmp_path: Path, suite: str, source: str) -> None:
    with pytest.raises(NotFoundError, match=source):
        load_suite(suite, tmp_path, 0)


def test_an_unknown_suite_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"clinc150, stackfaq, .*--format"):
        load_suite("nothing", tmp_path, 0)


def test_clinc150_knows_its_training_split_alone(tmp_path: Path) -> None:
    full = {
        "train": [["how much", "balance"]],
        "val": [["not read", "balance"]],
        "test": [["what is left", "balance"]],
        "oos_train": [["not read either", "oos"]],
        "oos_test": [["who are you", "oos"]],
    }
    (tmp_path / "data_full.json").write_text(json.dumps(full))
    (tmp_path / "domains.json").write_text(json.dumps({"banking": ["balance"]}))
    [one] = load_clinc150(tmp_path, 0).rounds
    assert [(k.text, k.outcome, k.domain) for k in one.known] == [
        ("how much", "balance", "banking")
    ]
    asked = [(question.text, set(question.right)) for question in one.questions]
    assert asked == [("what is left", {"balance"}), ("who are you", set())]


def test_stackfaq_asks_one_rephrasing_and_knows_half_of_the_threads(tmp_path: Path) -> None:
    threads = [
        {"question": f"q{n}", "rephr": [f"r{n}-0", "*" if n == 1 else f"r{n}-1", None]}
        for n in range(6)
    ]
    file = tmp_path / "stackExchange-FAQ.json"
    file.write_text(json.dumps({"root": {"qapair": threads}}))
    task = load_stackfaq(tmp_path, 0)
    assert [len(one.questions) for one in task.rounds] == [6, 5, 0]
    for one in task.rounds:
        known = {known.text for known in one.known}
        assert not known & {question.text for question in one.questions}
        assert len({known.outcome for known in one.known}) == 3
        in_scope = {text[1] for text in known}
        for question in one.questions:
            assert bool(question.right) == (question.text[1] in in_scope)
    assert task.flattered


def test_covid_questions_are_asked_with_and_without_their_own(tmp_path: Path) -> None:
    with (tmp_path / "eval_question_similarity_en.csv").open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["question_1", "question_2", "similar"])
        for n in range(4):
            writer.writerow([f"first {n}", f"second {n}", "1"])
            writer.writerow([f"first {n}", f"second {(n + 1) % 4}", "0"])
    rounds = load_covid_faq(tmp_path, 0).rounds
    assert [len(one.known) for one in rounds] == [2, 2]
    for one in rounds:
        known = {known.outcome: known.text[-1] for known in one.known}
        for question in one.questions:
            assert {known[key] for key in question.right} <= {question.text[-1]}
        assert sum(bool(question.right) for question in one.questions) == 2


def _truthfulqa(folder: Path) -> None:
    tasks = [
        {
            "question": f"q{n}",
            "mc1_targets": {"no": 0, f"yes {n}": 1},
            "mc2_targets": {f"yes {n}": 1, "indeed": 1, "no": 0},
        }
        for n in range(10)
    ]
    (folder / "mc_task.json").write_text(json.dumps(tasks))
    (folder / "TruthfulQA.csv").write_text("\ufeffCategory,Question\nLaw,q3\n", encoding="utf-8")


def test_truthfulqa_is_cross_validated_and_says_what_it_lacks(tmp_path: Path) -> None:
    _truthfulqa(tmp_path)
    task = load_truthfulqa(tmp_path, 0)
    own, other = task.variants
    assert [len(one.questions) for one in own.rounds] == [2] * 5
    for one in own.rounds:
        assert not {known.text for known in one.known} & {q.text for q in one.questions}
    asked = {question.text: question for one in own.rounds for question in one.questions}
    assert (asked["q3"].category, asked["q4"].category) == ("Law", "unknown")
    assert asked["q3"].single[asked["q3"].single_right] == "yes 3"
    assert asked["q3"].multiple_right == (True, True, False)
    assert not other.rounds
    assert "NQ-open is not at" in other.why_not


def test_mmlu_reads_every_subject_and_refuses_another_shape(tmp_path: Path) -> None:
    for split in ("dev", "test"):
        (tmp_path / split).mkdir()
        text = f'question,choice0,choice1,choice2,choice3,answer\n"Why, {split}?",a,b,c,d,2\n'
        (tmp_path / split / f"law_{split}.csv").write_text(text)
    [one] = load_mmlu(tmp_path, 0).variants[0].rounds
    assert [(known.text, known.outcome) for known in one.known] == [("Why, dev?", "c")]
    assert [(q.category, q.single_right) for q in one.questions] == [("law", 2)]
    (tmp_path / "test/art_test.csv").write_text("Why?,a,b,c,d,E\n")
    with pytest.raises(InvalidInputError, match=r"art_test\.csv: line 1: must be a question"):
        load_mmlu(tmp_path, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suite", "file", "spans", "questions"),
    [
        ("clinc150", "data_full.json", 15_000, 5_500),
        ("deepset_covid_faq", "eval_question_similarity_en.csv", 46, 484),
        ("nq_open", "NQ-open.dev.jsonl", 2_705, 2_705),
        ("webquestions", "test.json", 3_778, 2_032),
    ],
)
def test_a_real_suite_has_its_known_size(suite: str, file: str, spans: int, questions: int) -> None:
    root = data_file(f"{suite}/{file}").parents[1]
    task = SUITES[suite](root, 0)
    assert isinstance(task, Task)
    assert (task.spans, task.questions) == (spans, questions)


@pytest.mark.slow
def test_the_real_stackfaq_leaves_no_text_in_both() -> None:
    root = data_file("stackfaq/stackExchange-FAQ.json").parents[1]
    task = load_stackfaq(root, 0)
    assert len(task.rounds) == 11
    in_scope = [bool(question.right) for one in task.rounds for question in one.questions]
    assert 0.45 < sum(in_scope) / len(in_scope) < 0.55


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suite", "file", "questions"), [("truthfulqa", "mc_task.json", 817), ("mmlu", "dev", 7_658)]
)
def test_a_real_multiple_choice_suite_has_its_known_size(
    suite: str, file: str, questions: int
) -> None:
    root = data_file(f"{suite}/{file}").parents[1]
    task = SUITES[suite](root, 0)
    assert isinstance(task, ChoiceTask)
    assert sum(len(one.questions) for one in task.variants[0].rounds) == questions


def test_real_answers_are_compared_without_their_articles() -> None:
    assert exact_match_key("The 14th of  December") == "14th of december"
