"""The process of Search, before it serves."""

import sys
from collections.abc import Iterator

import pytest

from arenalab.search.__main__ import SWITCH_INTERVAL_S, main


@pytest.fixture
def interval_s() -> Iterator[float]:
    before = sys.getswitchinterval()
    yield before
    sys.setswitchinterval(before)


def test_threads_give_way_to_readers_soon(
    interval_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEARCH_INDEX", "no such engine")  # ends it before it serves
    with pytest.raises(SystemExit):
        main()
    assert sys.getswitchinterval() == pytest.approx(SWITCH_INTERVAL_S)
    assert interval_s > SWITCH_INTERVAL_S
