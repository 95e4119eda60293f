import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from arenalab.predictor.actions import MAX_CANDIDATES, MAX_COMPARED, candidates, compared, spoken
from arenalab.predictor.neighbourhood import Situation
from tests.unit.predictor.made_up import appraisal_of, span

ACTIONS = ["ask_question", "ask_questions", "again_ask_question", "enquire", "open_ticket", "pay"]


def _unit(cosine: float) -> list[float]:
    return [cosine, float(np.sqrt(1 - cosine**2))]


def test_candidates_match_by_letters_then_words_then_meaning() -> None:
    meant = compared("ask_question", ACTIONS)
    assert meant == ["enquire", "open_ticket", "pay"]
    vectors = np.array([_unit(1.0), _unit(0.8), _unit(0.3), _unit(0.69)], np.float32)
    found = candidates("ask_question", ACTIONS, meant, vectors)
    assert found == ["ask_question", "ask_questions", "again_ask_question", "enquire"]


def test_without_vectors_letters_and_words_decide() -> None:
    meant = compared("ask_question", ACTIONS)
    assert "enquire" not in candidates("ask_question", ACTIONS, meant, None)


def test_opposite_actions_are_no_candidates_however_near() -> None:
    vectors = np.array([_unit(1.0), _unit(0.99)], np.float32)
    assert candidates("open_ticket", ["close_ticket"], ["close_ticket"], vectors) == []


def test_an_accepted_action_answers_and_others_do_not() -> None:
    spans = [
        (span(0, "q", "a", situation=_did("enquire")), 0.9),
        (span(1, "r", "b", situation=_did("pay")), 0.8),
    ]
    assert len(appraisal_of("q", *spans, action="ask_question").neighbourhood) == 0
    accepting = appraisal_of("q", *spans, action="ask_question", accepted=frozenset({"enquire"}))
    assert [m.span_id for m in accepting.neighbourhood.memories] == ["s0"]


def _did(action: str) -> Situation:
    return Situation(actions=(action,))


@given(st.lists(st.from_regex(r"[a-z]{1,4}(_[a-z]{1,4}){0,2}", fullmatch=True), max_size=120))
def test_what_is_compared_and_found_is_bounded_and_of_the_dataset(actions: list[str]) -> None:
    meant = compared("ask_question", actions)
    assert len(meant) <= MAX_COMPARED
    vectors = np.ones((len(meant) + 1, 1), np.float32)
    found = candidates("ask_question", actions, meant, vectors)
    assert len(found) <= MAX_CANDIDATES
    assert set(found) <= set(actions)
    assert spoken("ask_question") == "ask question"
