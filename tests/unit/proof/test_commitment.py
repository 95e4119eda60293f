"""Commitments bind what they commit to, and only under their salt."""

from hypothesis import given
from hypothesis import strategies as st

from arenalab.proof import content_commitment, subject_commitment

SALT = bytes(range(32))


@given(st.text(), st.text(), st.text(), st.text())
def test_two_contents_have_two_commitments(a: str, b: str, c: str, d: str) -> None:
    same = content_commitment(SALT, a, b) == content_commitment(SALT, c, d)
    assert same == ((a, b) == (c, d))


def test_another_salt_gives_another_commitment() -> None:
    assert content_commitment(SALT, "a", "b") != content_commitment(bytes(32), "a", "b")
    assert subject_commitment(SALT, "a") != subject_commitment(bytes(32), "a")


def test_a_subject_is_not_a_content() -> None:
    assert subject_commitment(SALT, "a") != content_commitment(SALT, "a", "")
