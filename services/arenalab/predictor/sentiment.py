"""The feeling that a text shows, by VADER.

VADER is a lexicon of 7,500 words rated by people, with rules for negation, degree and emphasis: it
knows "not happy" from "happy", which a word list does not. Questions name things that are rated
though nobody feels them ("kill a process", "freeze my account"), so only a clear feeling counts.

Source: Hutto and Gilbert (2014), VADER: A Parsimonious Rule-based Model for Sentiment Analysis of
Social Media Text, ICWSM-14.
"""

from functools import lru_cache
from string import punctuation
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

# The authors' own limit of neutral is 0.05; "how do I freeze my account" has 0.052.
CLEAR: Final = 0.3
POSITIVE: Final = "positive"
NEGATIVE: Final = "negative"
# VADER's rules look at every pair of words: only the head of a long text is rated.
_MAX_CHARS: Final = 500


@lru_cache(maxsize=4096)
def valence_of(text: str) -> float:
    """Returns VADER's compound score of a text, in [-1, 1]; 0 where nothing in it is rated."""
    head = text[:_MAX_CHARS]
    if not _may_be_rated(head):
        return 0.0
    scores: dict[str, float] = _analyzer().polarity_scores(head)
    return scores["compound"]


def _may_be_rated(text: str) -> bool:
    """Whether VADER may rate a word of a text: of most questions it rates none.

    It strips a word of its marks unless little is left. What is not ASCII may be an emoji, which
    it reads as several words.
    """
    rated = _analyzer().lexicon
    return not text.isascii() or any(
        word in rated or word.strip(punctuation) in rated for word in text.lower().split()
    )


def emotion_of(text: str) -> str:
    """Returns "positive" or "negative" for a text that clearly is; empty for any other."""
    valence = valence_of(text)
    if abs(valence) < CLEAR:
        return ""
    return POSITIVE if valence > 0 else NEGATIVE


@lru_cache(maxsize=1)
def _analyzer() -> "SentimentIntensityAnalyzer":
    # Reads its lexicon: 50 ms, once, and not for those who never ask.
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()
