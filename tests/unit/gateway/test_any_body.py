import json

import pytest
from hypothesis import given, settings

from tests.fuzz.bodies import SEEDS, bodies, read


@settings(deadline=None)
@given(bodies())
def test_any_body_is_read_or_refused_with_a_reason(case: tuple[str, bytes]) -> None:
    assert read(*case)


@pytest.mark.parametrize("endpoint", SEEDS)
def test_a_right_body_is_read(endpoint: str) -> None:
    assert read(endpoint, json.dumps(SEEDS[endpoint]).encode()) == "read"
