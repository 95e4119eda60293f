"""Canonical JSON: the fast encoder writes what the reference writes."""

import pytest
import rfc8785
from hypothesis import example, given, settings
from hypothesis import strategies as st

from arenalab.atomic import JSON, canonical_json
from arenalab.atomic.canonical import is_plain_number
from arenalab.testing.spans import json_strategy


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(json_strategy())
def test_the_bytes_are_those_of_the_reference(value: JSON) -> None:
    assert canonical_json(value) == rfc8785.dumps(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(1e-4)
@example(9.999999999999999e-5)
@example(4503599627370495.5)
@example(9007199254740991.0)
@example(5e-324)
@example(1e21)
@example(-0.0)
def test_a_number_has_the_bytes_of_the_reference(value: float) -> None:
    assert canonical_json(value) == rfc8785.dumps(value)
    if is_plain_number(value):
        assert repr(value).encode() == rfc8785.dumps(value)


def test_every_character_of_the_basic_plane_is_escaped_as_the_reference_does() -> None:
    text = "".join(map(chr, (*range(0xD800), *range(0xE000, 0x1_0100))))
    assert canonical_json(text) == rfc8785.dumps(text)


def test_keys_sort_by_utf_16_code_units() -> None:
    basic: dict[str, JSON] = {"\uffff": 1, "\ue000": 2, "\ud7ff": 3, "z": 4}
    assert canonical_json(basic) == rfc8785.dumps(basic)
    assert canonical_json({"\ufb33": 1, "\U0001f600": 2}) == '{"\U0001f600":2,"\ufb33":1}'.encode()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53, ["\ud800"], {"\udfff": 1}])
def test_what_has_no_canonical_form_is_refused(value: JSON) -> None:
    with pytest.raises(ValueError, match=r"."):
        canonical_json(value)
