import numpy as np
import pytest

from arenalab.predictor.appraisal import appraise
from arenalab.predictor.neighbourhood import Memory, Neighbourhood, Query
from arenalab.predictor.recorded import agreement, is_recorded, said


def _hood(*memories: Memory, nearest: float = 1.0) -> Neighbourhood:
    similarities = np.linspace(nearest, 0.8, len(memories))
    vectors = np.eye(len(memories), 8, dtype=np.float32)
    return Neighbourhood(memories, similarities, similarities, vectors)


DOOR = Memory("1", "How do I open the door?", "Turn the knob.")
LID = Memory("2", "How is the lid closed?", "Press it.")


@pytest.mark.parametrize(
    "text",
    ["How do I open the door?", "how do i open the DOOR", "Hi, how do I open the door, please"],
)
def test_case_marks_and_courtesy_change_no_question(text: str) -> None:
    assert is_recorded(appraise(Query(text), _hood(DOOR, LID)))


@pytest.mark.parametrize(
    "text",
    ["How do I not open the door?", "When do I open the door?", "The door how do I open?", "?"],
)
def test_other_words_are_another_question(text: str) -> None:
    assert not is_recorded(appraise(Query(text), _hood(DOOR, LID)))


def test_words_with_two_outcomes_are_not_recorded() -> None:
    rival = Memory("3", "how do I open the door", "Call the janitor.")
    assert not is_recorded(appraise(Query(DOOR.question), _hood(DOOR, rival, LID)))


def test_a_follow_up_is_not_recorded_without_its_conversation() -> None:
    follow_up = Memory("4", "And how do I open it?", "Turn it.", trajectory_depth=1)
    assert not is_recorded(appraise(Query(follow_up.question), _hood(follow_up, LID)))


def test_agreement_counts_spans_that_share_words_and_outcome() -> None:
    again = Memory("5", "how do I open the door", "turn the knob.")
    assert agreement([DOOR, again, LID]) == 4 / 5
    rival = Memory("3", "How do I open the door", "Call the janitor.")
    assert agreement([DOOR, rival, LID]) == 2 / 5
    assert agreement([]) == 1 / 2


def test_the_words_of_a_question_keep_their_order() -> None:
    assert said("Please, is A before B?") == ("is", "a", "before", "b")
