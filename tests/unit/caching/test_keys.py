"""Keys of caches: two things never share one."""

from hypothesis import example, given
from hypothesis import strategies as st

from arenalab.caching.keys import KEY_BYTES, cache_key, encoded

PARTS = st.lists(st.one_of(st.text(max_size=9), st.binary(max_size=9)), max_size=5).map(tuple)


@given(PARTS, PARTS)
@example(("ab", "c"), ("a", "bc"))
@example(("a", ""), ("a",))
@example(("a",), (b"a",))
@example(("\ud800",), ("?",))
def test_different_tuples_have_different_encodings_and_keys(
    one: tuple[str | bytes, ...], other: tuple[str | bytes, ...]
) -> None:
    assert (encoded(*one) == encoded(*other)) == (one == other)
    assert (cache_key(*one) == cache_key(*other)) == (one == other)
    assert len(cache_key(*one)) == KEY_BYTES
