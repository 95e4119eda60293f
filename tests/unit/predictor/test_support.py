from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.predictor.support import Checked, check, texts_of
from arenalab.predictor.synthesis import Traced

EVIDENCE = [
    Traced("Send form A38 to the Berlin office within 14 days.", ("s1", "s2")),
    Traced("You can pay the fee by card.", ("s3",)),
]


def _check(sentence: str, *cosines: float, evidence: Sequence[Traced] = EVIDENCE) -> Checked:
    """Checks one sentence that has these cosines with the evidence, and with all of it."""
    assert len(texts_of([sentence], evidence)) == len(cosines) + 1
    rows = np.eye(len(cosines) + 1, dtype=np.float32)
    rows[0, 1:] = cosines
    [checked] = check([sentence], evidence, rows)
    return checked


def test_the_same_in_other_words_is_supported_by_the_spans_that_say_it() -> None:
    checked = _check("Within 14 days, send the form A38 to the office in Berlin.", 0.9, 0.2, 0.7)
    assert checked.is_supported
    assert checked.sentence.span_ids == ("s1", "s2")
    assert checked.similarity == pytest.approx(0.9)
    assert checked.overlap > 0.6
    assert checked.foreign == ()


@pytest.mark.parametrize(
    ("sentence", "foreign"),
    [
        ("Send form A38 to the Berlin office within 30 days.", ("30",)),
        ("Send form B12 to the Berlin office within 14 days.", ("B12", "12")),
        ("Send form A38 to the Munich office within 14 days.", ("Munich",)),
        (
            "Send form A38 to the office at www.example.com/a within 14 days.",
            ("www.example.com/a",),
        ),
        ("Send form A38 to the Berlin office within three days.", ("three days",)),
    ],
)
def test_numbers_and_names_of_its_own_have_no_support(
    sentence: str, foreign: tuple[str, ...]
) -> None:
    checked = _check(sentence, 0.97, 0.2, 0.8)
    assert not checked.is_supported
    assert set(checked.foreign) & set(foreign)
    assert checked.sentence.span_ids == ()


def test_the_opposite_has_no_support_however_near() -> None:
    assert _check("You can pay the fee by card.", 0.2, 1.0, 0.7).is_supported
    assert not _check("You cannot pay the fee by card.", 0.2, 0.97, 0.7).is_supported
    assert not _check("Never pay the fee by card.", 0.2, 0.97, 0.7).is_supported


def test_what_means_something_else_has_no_support_in_the_same_words() -> None:
    assert not _check("The card can pay you the fee.", 0.1, 0.5, 0.4).is_supported


def test_words_of_its_own_have_no_support() -> None:
    checked = _check("Nobody ever refunds lost luggage or late meals.", 0.2, 0.7, 0.7)
    assert not checked.is_supported
    assert checked.overlap < 0.6


def test_a_sentence_too_long_to_compare_has_no_support() -> None:
    text = "You can pay the fee by card. " * 60
    evidence = [Traced(text, ("s1",))]
    assert not _check(text.replace(".", ","), 1.0, 1.0, evidence=evidence).is_supported


@given(st.text("aB1 .'!?n't#/é", min_size=1, max_size=80).filter(str.strip))
def test_what_the_evidence_says_word_for_word_is_supported(text: str) -> None:
    checked = _check(text, 1.0, 0.0, 0.5, evidence=[Traced(text, ("s1",)), EVIDENCE[0]])
    assert checked.is_supported
    assert checked.sentence.span_ids == ("s1",)
