import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.gateway.body import depth_of, parse_object
from arenalab.gateway.errors import ApiError

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"))
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), VALUES, max_size=4), st.booleans())
def test_every_json_object_is_read(value: dict[str, object], ascii_only: bool) -> None:  # noqa: FBT001
    assert parse_object(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.binary())
def test_any_bytes_are_an_object_or_a_bad_request(body: bytes) -> None:
    try:
        assert isinstance(parse_object(body), dict)
    except ApiError as error:
        assert error.code == "invalid_json"  # noqa: PT017 - either outcome may be


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "empty"),
        (b"\xff", "byte 0"),
        (b"[]", "object"),
        (b'{"a": }', "line 1 column 7"),
        (b'{"a": Infinity}', "Infinity"),
        (b'{"a": -1e400}', "too large"),
        (b'{"\\udc00": 1}', "surrogate"),
        (b'{"a":' * 100_000, "too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too long"),
    ],
)
def test_what_is_refused_is_named(body: bytes, why: str) -> None:
    with pytest.raises(ApiError, match=why):
        parse_object(body)


def test_of_duplicate_keys_the_last_counts() -> None:
    assert parse_object(b'{"a": 1, "a": 2}') == {"a": 2}


@given(st.integers(0, 200), SCALARS)
def test_depth_counts_the_nesting(depth: int, value: object) -> None:
    for n in range(depth):
        value = [0, value] if n % 2 else {"a": 0, "b": value}
    assert depth_of(value) == depth
