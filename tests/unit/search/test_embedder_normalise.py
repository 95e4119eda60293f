"""The form of a text before it is embedded."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from arenalab.search.embedder.normalise import normalise, normalise_all
from arenalab.search.embedder.protocol import EmptyTextError, identity_digest


def test_white_space_and_composition_leave_no_trace() -> None:
    assert normalise("  cafe\u0301 \r\n\t au\u00a0lait ") == "caf\u00e9 au lait"


@pytest.mark.parametrize(
    "text", ["", " ", "\n\t\u3000", "\u200b\ufeff", "\x00", "\u0301", "\ufffd"]
)
def test_a_text_without_a_visible_character_is_refused(text: str) -> None:
    with pytest.raises(EmptyTextError, match="at least one visible character"):
        normalise(text)


@pytest.mark.parametrize("text", ["?", "0", "👍", "北", "\u0378", "\u200ba"])
def test_one_visible_character_is_enough(text: str) -> None:
    assert normalise(text)


def test_an_empty_text_among_many_is_named_by_its_index() -> None:
    with pytest.raises(EmptyTextError, match="index 1") as caught:
        normalise_all(["a", " ", "b"])
    assert caught.value.index == 1


@given(st.text())
def test_normalising_twice_is_normalising_once(text: str) -> None:
    try:
        once = normalise(text)
    except EmptyTextError:
        assume(False)  # noqa: FBT003 - hypothesis's own call
    assert normalise(once) == once


def test_the_digest_of_an_identity_ignores_order_and_sees_every_fact() -> None:
    facts = {"id": "a", "graph": "b"}

    assert identity_digest(facts) == identity_digest(dict(reversed(facts.items())))
    assert identity_digest(facts) != identity_digest({**facts, "graph": "c"})
    assert identity_digest({"ab": "c"}) != identity_digest({"a": "bc"})
