"""Each format gives its spans, and every row that is none with its line and the reason."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from arenalab.atomic import Span, Status, dump_line
from arenalab.curator.formats import Format, Item, Origin, Reject, Row, Skip, open_reader
from arenalab.curator.formats.qa_csv import domain_of
from arenalab.mesh import InvalidInputError, Reason
from arenalab.testing.data import data_file
from arenalab.testing.spans import make_span

WHEN = "2026-01-02T03:04:05Z"


def read(name: Format, data: bytes, **origin: Any) -> list[Item]:
    reader = open_reader(name, Origin("file.txt", WHEN, **origin))
    pieces = [data[start : start + 7] for start in range(0, min(len(data), 70_000), 7)]
    rest = data[70_000:]
    return [item for piece in (*pieces, rest) for item in reader.feed(piece)] + [*reader.close()]


def spans_of(items: Sequence[Item]) -> list[Span]:
    return [item.span for item in items if isinstance(item, Row)]


def rejects_of(items: Sequence[Item]) -> list[tuple[int, str]]:
    return [(item.line, item.reason) for item in items if isinstance(item, Reject)]


def test_span_lines_are_spans_as_they_are() -> None:
    spans = [make_span(f"question {n}", "outcome", quality=50) for n in range(3)]
    data = b"\xef\xbb\xbf" + b"\n".join(dump_line(span) for span in spans)
    items = read(Format.SPANS, data)
    assert spans_of(items) == spans
    assert [item.line for item in items] == [1, 3, 5]  # blank lines are counted, but no rows


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{not json", "must be one object"),
        (b'{"id": 1}', "must be present"),
        (dump_line(make_span("q", "o")).replace(b'"q"', b'"\xff"'), "utf-8"),
        (dump_line(make_span("q", "o")).replace(b'"q"', b'" "'), "this must not be blank"),
        (dump_line(make_span("q", "o")).replace(b'"who"', b'"whom"'), "whom is not a key"),
        (b'"' + b"x" * (3 << 20) + b'"', "at most 2,097,152 bytes"),
    ],
)
def test_a_line_that_is_no_span_is_rejected_with_the_rule(line: bytes, reason: str) -> None:
    good = dump_line(make_span("q", "o"))
    items = read(Format.SPANS, good + line.rstrip(b"\n") + b"\n" + good)
    ((number, why),) = rejects_of(items)
    assert number == 2
    assert reason in why
    assert len(spans_of(items)) == 2


CSV = (
    "\ufeffType,Category,Question,Best Answer,Correct Answers,Source\r\n"
    'A,Confusion: People,"What is it,\nreally?",An answer,One; Two,https://example.org/\r\n'
    "A,Law,Too few\r\n"
    "\r\n"
    "A,Law,Blank answer,   ,,\r\n"
    "B,,Last?,Fin,,\r\n"
).encode()


def test_qa_csv_maps_its_columns() -> None:
    items = read(Format.QA_CSV, CSV)
    first, last = spans_of(items)
    assert (first.this, first.if_ok) == ("What is it,\nreally?", "An answer")
    assert (first.context.environment, first.confirmed_by) == (
        "confusion/people",
        "https://example.org/",
    )
    assert first.metadata.attributes == {
        "file": "file.txt",
        "line": 2,
        "correct_answers": ["One", "Two"],
    }
    assert (first.when, first.status, first.source) == (WHEN, Status.COMPLETED, "user_upload")
    assert (last.this, last.confirmed_by, last.context.environment) == ("Last?", None, "")


def test_qa_csv_rejects_carry_the_line_where_the_row_begins() -> None:
    # The first row takes two lines.
    assert rejects_of(read(Format.QA_CSV, CSV)) == [
        (4, "the header has 6 columns, the row has 3"),
        (6, "if_ok must not be blank, got ''"),
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"\xff\xfe,answer", "the row is not UTF-8: byte 0 of it"),
        (b'"a"b,answer', "the row is not CSV"),
        (b'"never closed,answer', "a quote is never closed"),
        (b"x" * 40_000 + b",answer", "this must be at most 32,768 bytes"),
        (b"a\x00b,answer", "this must not contain NUL"),
    ],
)
def test_a_bad_csv_row_spoils_itself_alone(row: bytes, reason: str) -> None:
    items = read(Format.QA_CSV, b"question,BEST ANSWER\n" + row + b"\ngood,one\n")
    ((line, why),) = rejects_of(items)
    assert line == 2
    assert reason in why
    assert [span.if_ok for span in spans_of(items)] == ["one"]


@pytest.mark.parametrize(
    ("category", "domain"),
    [
        ("Misconceptions: Topical", "misconceptions/topical"),
        (" Myths and Fairytales ", "myths_and_fairytales"),
        ("?!", ""),
        ("", ""),
        ("Ünï", "n"),
    ],
)
def test_a_category_becomes_a_domain(category: str, domain: str) -> None:
    assert domain_of(category) == domain


CLINC = {
    "oos_train": [["who are you", "oos"]],
    "val": [["hi there", "greeting"]],
    "train": [
        ["what is my balance", "balance"],
        ["tell me", "oos"],
        ["only text"],
        [" ", "balance"],
    ],
}


def test_clinc150_reads_the_splits_asked_for() -> None:
    items = read(Format.CLINC150, json.dumps(CLINC).encode(), domains={"balance": "banking"})
    (span,) = spans_of(items)
    assert (span.this, span.if_ok, span.did) == ("what is my balance", "balance", "classify_intent")
    assert span.context.environment == "banking"
    assert sum(isinstance(item, Skip) for item in items) == 3  # two other splits, one "oos"
    assert [reason for _, reason in rejects_of(items)] == [
        'a row must be ["text", "intent"], two texts',
        "this must not be blank, got ''",
    ]
    both = read(Format.CLINC150, json.dumps(CLINC).encode(), splits=frozenset({"val", "train"}))
    assert {span.if_ok for span in spans_of(both)} == {"balance", "greeting"}


def test_a_split_that_is_not_there_is_named() -> None:
    with pytest.raises(InvalidInputError, match="no split 'test'; it has oos_train, train, val"):
        read(Format.CLINC150, json.dumps(CLINC).encode(), splits=frozenset({"test"}))


STACKFAQ: Mapping[str, Any] = {
    "root": {
        "qapair": [
            {"question": "How?", "rephr": ["How so?", "*", None, 7], "answer": ["So.", "Thus."]},
            {"question": "Why?", "rephr": [], "answer": "Because."},
            {"question": "No answer", "rephr": [], "answer": []},
            {"question": "No rephr", "answer": "x"},
        ]
    }
}


def test_stackfaq_gives_each_phrasing_the_first_answer() -> None:
    items = read(Format.STACKFAQ, json.dumps(STACKFAQ, indent=1).encode())
    spans = spans_of(items)
    assert [(span.this, span.if_ok) for span in spans] == [
        ("How?", "So."),
        ("How so?", "So."),
        ("Why?", "Because."),
    ]
    assert spans[0].metadata.attributes["other_answers"] == ["Thus."]
    assert sum(isinstance(item, Skip) for item in items) == 2
    assert [reason for _, reason in rejects_of(items)] == [
        "a question must be a text",
        "answer must be one text or more, none of them blank",
        "a thread must have question, rephr (an array) and answer",
    ]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (Format.QA_CSV, b""),
        (Format.QA_CSV, b"id,text\n1,a\n"),
        (Format.QA_CSV, b"\x89PNG\r\n\x1a\n\x00"),
        (Format.CLINC150, CSV),
        (Format.CLINC150, json.dumps(STACKFAQ).encode()),
        (Format.CLINC150, b"{}"),
        (Format.STACKFAQ, json.dumps(CLINC).encode()),
        (Format.STACKFAQ, b'{"root": {}}'),
    ],
)
def test_a_file_of_another_format_is_refused(name: Format, data: bytes) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read(name, data)
    assert caught.value.reason is Reason.INVALID_FORMAT
    assert caught.value.metadata["format"] == name
    assert int(caught.value.metadata["line"]) >= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "path", "expected"),
    [
        (Format.CLINC150, "clinc150/data_full.json", {"Row": 15_000, "Skip": 8_700}),
        (Format.STACKFAQ, "stackfaq/stackExchange-FAQ.json", {"Row": 1_374, "Skip": 126}),
        (Format.QA_CSV, "truthfulqa/TruthfulQA.csv", {"Row": 817}),
    ],
)
def test_a_public_data_set_is_read_whole(
    name: Format, path: str, expected: Mapping[str, int]
) -> None:
    reader = open_reader(name, Origin(path, WHEN))
    items = [*reader.feed(data_file(path).read_bytes()), *reader.close()]
    assert Counter(type(item).__name__ for item in items) == expected
    spans = spans_of(items)
    assert len({span.id for span in spans}) == len(spans)
