"""The dataset that ships with ArenaLab keeps the shape that voting and the demo rest on."""

import json
import re
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

FOLDER = Path(__file__).parents[3] / "services" / "arenalab" / "curator" / "builtin"
REQUIRED = {
    "id", "source", "who", "did", "this", "when", "status", "if_ok", "confirmed_by", "context",
    "metadata",
}  # fmt: skip
ACTIONS = {"ask_question", "ask_how_to", "report_problem"}
NEGATION = re.compile(
    r"\b(not|never|without|no|nor|none|neither|cannot|nothing)\b|n't\b", re.IGNORECASE
)

Span = dict[str, Any]


@pytest.fixture(scope="module")
def spans() -> list[Span]:
    lines = (FOLDER / "arenalab.ndjson").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def demo() -> list[dict[str, str | None]]:
    questions: list[dict[str, str | None]] = json.loads(
        (FOLDER / "demo_questions.json").read_text(encoding="utf-8")
    )
    return questions


@pytest.fixture(scope="module")
def phrasings(spans: list[Span]) -> dict[str, list[Span]]:
    """Opening questions by outcome; follow-ups need their conversation and are left out."""
    by_outcome = defaultdict(list)
    for span in spans:
        if "previous_spans" not in span["context"]:
            by_outcome[span["if_ok"]].append(span)
    return by_outcome


def time_of(span: Span) -> datetime:
    return datetime.strptime(span["when"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def test_holds_at_least_300_spans(spans: list[Span]) -> None:
    assert len(spans) >= 300


def test_every_span_has_the_keys_of_a_completed_builtin_span(spans: list[Span]) -> None:
    for span in spans:
        assert span.keys() == REQUIRED
        assert (span["source"], span["status"]) == ("builtin", "completed")
        assert span["did"] in ACTIONS
        assert span["this"].strip() == span["this"] != ""
        assert span["context"]["stakes"] in {"low", "medium", "high"}
        assert span["metadata"]["tags"] == sorted(set(span["metadata"]["tags"]))


def test_every_outcome_has_at_least_four_phrasings(
    spans: list[Span], phrasings: dict[str, list[Span]]
) -> None:
    assert {span["if_ok"] for span in spans} == phrasings.keys()
    assert min(len(group) for group in phrasings.values()) >= 4


def test_all_phrasings_of_an_outcome_lie_in_one_domain(spans: list[Span]) -> None:
    domains = defaultdict(set)
    for span in spans:
        domains[span["if_ok"]].add(span["context"]["environment"])
    assert all(len(found) == 1 for found in domains.values())
    assert 6 <= len({domain for found in domains.values() for domain in found}) <= 12


def test_ids_are_unique_and_uuidv7_of_the_span_s_time(spans: list[Span]) -> None:
    assert len({span["id"] for span in spans}) == len(spans)
    for span in spans:
        parsed = UUID(span["id"])
        assert str(parsed) == span["id"]
        assert parsed.version == 7
        assert parsed.int >> 80 == time_of(span).timestamp() * 1000


def test_no_question_appears_twice(spans: list[Span]) -> None:
    questions = [span["this"].casefold() for span in spans]
    assert len(set(questions)) == len(questions)


def test_a_follow_up_names_spans_above_it_in_the_order_of_time(spans: list[Span]) -> None:
    seen: dict[str, Span] = {}
    follow_ups = 0
    for span in spans:
        if "previous_spans" in span["context"]:
            turns = [*(seen[i] for i in span["context"]["previous_spans"]), span]
            times = [time_of(turn) for turn in turns]
            assert times == sorted(set(times))
            assert len(turns) >= 2
            follow_ups += 1
        seen[span["id"]] = span
    assert follow_ups >= 10


def test_only_the_negated_side_of_a_contrast_has_negation_words(
    phrasings: dict[str, list[Span]],
) -> None:
    sides = {True: 0, False: 0}
    for group in phrasings.values():
        tags = group[0]["metadata"]["tags"]
        if "contrast" in tags:
            negated = "negated" in tags
            sides[negated] += 1
            assert all(bool(NEGATION.search(span["this"])) is negated for span in group)
    assert sides[True] == sides[False] >= 8


def test_demo_questions_are_five_and_not_in_the_dataset(
    spans: list[Span], demo: list[dict[str, str | None]]
) -> None:
    known = {span["this"].casefold() for span in spans}
    assert sorted(str(entry["kind"]) for entry in demo) == [
        "ambiguous", "known", "known", "negation", "outside",
    ]  # fmt: skip
    assert not known & {str(entry["question"]).casefold() for entry in demo}


def test_an_expected_demo_answer_begins_exactly_one_outcome(
    demo: list[dict[str, str | None]], phrasings: dict[str, list[Span]]
) -> None:
    for entry in demo:
        expects = entry["expects"]
        begun = [] if expects is None else [o for o in phrasings if o.startswith(expects)]
        assert len(begun) == (entry["kind"] in {"known", "negation"})
