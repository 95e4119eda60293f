from hypothesis import given
from hypothesis import strategies as st

from arenalab.contrast import Contrast, parse
from arenalab.predictor.contrast import find_group_clashes

WORDINGS = [
    parse("how do I back up my account"),
    parse("saving a copy of the account somewhere safe"),
    parse("account backup"),
]


def test_an_outcome_whose_nearest_wording_clashes_does_so_as_a_whole() -> None:
    flags = find_group_clashes(parse("how do I not back up my account"), WORDINGS, [(0, 1, 2)])
    assert all(flag & Contrast.NEGATION for flag in flags)


def test_another_wording_that_is_nearer_and_agrees_speaks_for_the_outcome() -> None:
    evidence = [
        parse("turn the night light off at once please"),
        parse("switch on the night light"),
    ]
    flags = find_group_clashes(parse("please switch on the night light"), evidence, [(0, 1)])
    assert flags[1] is Contrast.NONE
    apart = find_group_clashes(parse("please switch on the night light"), evidence, [(0,), (1,)])
    assert apart[1] is Contrast.NONE


def test_an_outcome_that_is_given_for_both_does_not_clash() -> None:
    evidence = [parse("turn the light on"), parse("turn the light off"), parse("turn it on")]
    assert not any(find_group_clashes(parse("turn the light on now"), evidence, [(0, 1, 2)]))


QUESTIONS = st.lists(
    st.sampled_from(["enable", "disable", "not", "5", "7", "Paris", "Rome", "logs", "to"]),
    min_size=1,
    max_size=6,
).map(lambda words: parse(" ".join(words)))


@given(st.lists(QUESTIONS, min_size=1, max_size=5))
def test_a_recorded_question_alone_with_its_outcome_never_clashes(questions: list[object]) -> None:
    first = questions[0]
    assert find_group_clashes(first, [first], [(0,)]) == [Contrast.NONE]  # type: ignore[arg-type, list-item]
