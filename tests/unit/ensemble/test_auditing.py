import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenalab.ensemble.auditing import KEY_BYTES, Draw, read_key
from arenalab.mesh import ConfigError

KEY = bytes(range(KEY_BYTES))


@settings(deadline=None)
@given(st.text(), st.floats(0, 1))
def test_a_draw_can_be_repeated(prediction_id: str, rate: float) -> None:
    assert Draw(KEY, rate).takes(prediction_id) is Draw(KEY, rate).takes(prediction_id)


@settings(deadline=None)
@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_rate_takes_all_that_a_lower_one_does(
    prediction_id: str, one: float, other: float
) -> None:
    low, high = sorted((one, other))
    assert Draw(KEY, low).takes(prediction_id) <= Draw(KEY, high).takes(prediction_id)


@settings(deadline=None)
@given(st.text())
def test_rates_of_none_and_of_all_are_exact(prediction_id: str) -> None:
    assert not Draw(KEY, 0.0).takes(prediction_id)
    assert Draw(KEY, 1.0).takes(prediction_id)


def test_the_share_drawn_is_the_rate_and_depends_on_the_key() -> None:
    ids = [f"prediction-{n}" for n in range(20_000)]
    drawn = {one for one in ids if Draw(KEY, 0.05).takes(one)}
    assert len(drawn) / len(ids) == pytest.approx(0.05, abs=0.005)
    other = {one for one in ids if Draw(bytes(KEY_BYTES), 0.05).takes(one)}
    assert len(drawn & other) < len(drawn) / 5


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "a" / "audit.key"
    key = read_key(path)
    assert read_key(path) == key
    assert len(key) == KEY_BYTES
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_bytes(b"short")
    with pytest.raises(ConfigError, match="32 bytes, got 5"):
        read_key(path)
