import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenalab.fallback.evidence import Record, pack, without_repetitions
from arenalab.fallback.prompt import line_of

EXAMPLES = 40
_texts = st.text(st.characters(codec="utf-8"), max_size=60)
_records = st.lists(st.builds(Record, st.uuids().map(str), _texts, _texts), max_size=8)


def tokens_of(text: str) -> int:
    return -(-len(text) // 4)


def numbers(*records: tuple[str, str]) -> list[tuple[int, tuple[str, ...]]]:
    given = [Record(f"s{n}", *each) for n, each in enumerate(records, start=1)]
    return [(source.number, source.span_ids) for source in without_repetitions(given)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("Which port?", "8080"), ("which port", "8080.")),
        (("Which port does the gateway use?", "8080"), ("Which port does gateway use?", "8080")),
        (
            ("How do I log in?", "Open the settings page, choose Account and press Sign in."),
            ("I cannot sign in", "open the settings page, choose account and press sign in"),
        ),
    ],
)
def test_what_says_the_same_is_there_once_with_both_spans(
    first: tuple[str, str], second: tuple[str, str]
) -> None:
    assert numbers(first, ("Who?", "Ann"), second) == [(1, ("s1", "s3")), (2, ("s2",))]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (
            ("Which port does the gateway use?", "8080"),
            ("Which port does the gateway use?", "8081"),
        ),
        (("Is it on?", "yes"), ("Is it safe to delete the database?", "yes")),
        (
            ("Can it be undone?", "It can be undone after the first save of the day"),
            ("Can it be undone?", "It cannot be undone after the first save of the day"),
        ),
        (
            ("How long is it kept for a user of the free plan", "30 days"),
            ("How long is it kept for a user of the paid plan", "30 days"),
        ),
    ],
)
def test_what_an_answer_could_hang_on_is_no_repetition(
    first: tuple[str, str], second: tuple[str, str]
) -> None:
    assert len(numbers(first, second)) == 2


def test_a_record_keeps_the_number_of_its_place() -> None:
    found = numbers(("a?", "1"), ("a?", "1"), ("b?", "2"))
    assert [number for number, _ in found] == [1, 3]


@settings(max_examples=EXAMPLES)
@given(_records)
def test_every_span_is_somewhere_and_only_once(records: list[Record]) -> None:
    sources = without_repetitions(records)
    ids = [span_id for source in sources for span_id in source.span_ids]
    assert sorted(ids) == sorted(record.span_id for record in records)
    for source in sources:
        assert records[source.number - 1] == source.record


@settings(max_examples=EXAMPLES)
@given(_records, st.integers(30, 400))
def test_the_evidence_stays_within_its_tokens_in_the_order_of_the_records(
    records: list[Record], max_tokens: int
) -> None:
    sources = pack(records, max_tokens, tokens_of, line_of)
    assert bool(sources) == bool(records)
    assert [s.number for s in sources] == sorted(s.number for s in sources)
    written = [tokens_of(line_of(s.number, s.record)) + 1 for s in sources]
    assert sum(written) <= max_tokens


def test_a_shorter_record_may_go_in_where_a_longer_one_does_not() -> None:
    records = [Record("s1", "a?", "one"), Record("s2", "b?", "two " * 100), Record("s3", "c?", "3")]
    assert [s.number for s in pack(records, 40, tokens_of, line_of)] == [1, 3]


def test_a_first_record_that_does_not_fit_is_cut() -> None:
    long = "one two three " * 200
    (source,) = pack([Record("s1", long, long)], 100, tokens_of, line_of)
    assert tokens_of(line_of(source.number, source.record)) < 100
    assert source.record.outcome.endswith("…")
    assert long.startswith(source.record.outcome.removesuffix("…"))
    assert len(source.record.outcome) > 50
