import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from arenalab.predictor.inference import infer_situation
from arenalab.predictor.neighbourhood import Query, Situation
from arenalab.predictor.sentiment import emotion_of, valence_of

PLAIN = np.array([0.5, 0.3, 0.2])
NEIGHBOURS = [
    Situation(domain="bank", stakes=3),
    Situation(domain="bank", stakes=2),
    Situation(domain="travel"),
]


def test_the_domain_and_the_stakes_are_those_of_the_near_spans() -> None:
    inferred = infer_situation(Query("where is my money"), NEIGHBOURS, PLAIN)
    assert inferred == Situation(domain="bank", stakes=3)


def test_a_domain_without_half_of_the_weight_is_a_guess() -> None:
    spread = [Situation(domain=name) for name in ("a", "b", "c")]
    inferred = infer_situation(Query("x"), spread, np.array([0.4, 0.3, 0.3]))
    assert inferred == Situation()


def test_words_show_emotion_and_danger() -> None:
    query = Query("I am so frustrated: our production is down")
    inferred = infer_situation(query, [Situation()] * 3, PLAIN)
    assert (inferred.emotion, inferred.stakes) == ("negative", 3)


def test_a_negation_turns_a_feeling_round_and_a_named_thing_is_none() -> None:
    assert emotion_of("I am happy with the new card") == "positive"
    assert emotion_of("I am not happy with the new card") == "negative"
    assert emotion_of("how do I freeze my account") == ""
    assert emotion_of("") == ""


def test_what_the_caller_states_is_never_changed() -> None:
    stated = Situation("travel", "pleased", 1, ("ask",))
    assert infer_situation(Query("urgent", stated), NEIGHBOURS, PLAIN) == stated
    half = Situation(domain="travel")
    assert infer_situation(Query("where", half), NEIGHBOURS, PLAIN).domain == "travel"


VADER = SentimentIntensityAnalyzer()
PIECES = (
    "not",
    "GREAT!!",
    "(good)",
    ":)",
    ":D",
    "kind",
    "of",
    "bus",
    "but",
    "no",
    "\U0001f62d",
    "?",
)


@given(st.text(max_size=40) | st.lists(st.sampled_from(PIECES), max_size=6).map(" ".join))
def test_valence_is_what_vader_says_though_it_is_seldom_asked(text: str) -> None:
    assert valence_of(text) == VADER.polarity_scores(text)["compound"]
