from hypothesis import given
from hypothesis import strategies as st

from arenalab.contrast.phrase import MAX_WORDS, parse, stem, words_of


def test_fillers_and_negations_carry_no_content() -> None:
    assert parse("How do I not restart the servers?").content == {"restart", "server"}


def test_an_odd_number_of_negations_negates() -> None:
    assert parse("which calls are never retried").negated
    assert parse("why isn't it retried").negated
    assert parse("why isn\u2019t it retried").negated
    assert not parse("which calls are not never retried").negated


def test_not_knowing_is_no_negation() -> None:
    assert not parse("I don't know where my phone is").negated
    assert not parse("I can't find my phone").negated
    assert not parse("I'm not really sure how to pay").negated
    assert parse("I can't pay").negated
    assert parse("do not tell my bank").negated
    assert not parse("I do not remember my pin").negated


def test_numbers_are_read_as_digits_and_as_words() -> None:
    assert parse("three retries of 4.5").numbers == {"3", "4.5"}
    assert parse("1,000 of them").numbers == {"1000"}
    assert parse("which one of these").numbers == frozenset()


def test_a_number_is_read_with_its_unit() -> None:
    assert parse("wait 60 minutes").numbers == parse("wait 1 hour").numbers
    assert parse("wait one hour").numbers == parse("wait 3600 s").numbers
    assert parse("wait 5 minutes").numbers != parse("wait 5 hours").numbers
    assert parse("$5 for it").numbers == parse("5 dollars for it").numbers
    assert parse("3% of it").numbers == parse("3 percent of it").numbers


def test_a_name_is_a_capital_inside_a_sentence() -> None:
    assert parse("How do I link Trello to it?").names == {"trello"}
    assert parse("Does GitHub do it?").names == {"github"}
    assert parse("Link Trello To Gmail Now").names == frozenset()  # a title: all are capitals
    assert parse("It works. Why does it?").names == frozenset()


def test_items_of_closed_kinds_are_known_by_any_of_their_names() -> None:
    assert parse("on my iphone").items == parse("on iOS").items == {("platform", "ios")}
    assert parse("next tues").items == {("weekday", "tuesday")}


def test_on_is_the_opposite_of_off_only_where_something_is_switched() -> None:
    assert parse("turn the light on").poles
    assert not parse("remind me on the first night").poles & parse("turn on the light").poles


def test_endings_do_not_hide_an_opposite() -> None:
    (pole,) = parse("it is disabled").poles
    assert parse("disable it").poles == parse("disabling it").poles == {pole}
    assert {(pair, -side) for pair, side in parse("enables").poles} == {pole}


def test_before_and_after_read_in_opposite_directions() -> None:
    assert parse("seal before send").order == {("seal", "send")}
    assert parse("send after seal").order == {("seal", "send")}
    assert parse("from paris to rome").order >= {("pari", "rome")}


def test_only_the_head_of_a_long_text_is_read() -> None:
    assert len(parse("word " * 1000).words) == MAX_WORDS


@given(st.text())
def test_any_text_has_a_phrase(text: str) -> None:
    phrase = parse(text)
    assert phrase.content <= set(phrase.words)
    assert parse(text.swapcase()).numbers == phrase.numbers


@given(st.from_regex(r"[a-z]{1,15}", fullmatch=True))
def test_a_stem_is_the_head_of_its_word(word: str) -> None:
    assert stem(word)
    assert word.startswith(stem(word)) or stem(word).endswith("y")


@given(st.text(max_size=60) | st.sampled_from(["It's 5 % off, don't \u2019wait\u2019", "a " * 300]))
def test_a_phrase_keeps_the_words_as_they_are_said(text: str) -> None:
    phrase = parse(text)
    assert list(phrase.spoken) == words_of(text)
    assert phrase.words == tuple(stem(word) for word in phrase.spoken)
