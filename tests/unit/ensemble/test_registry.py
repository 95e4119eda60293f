"""Lists of creatures and providers: asked for as seldom as that is right."""

from collections.abc import Sequence

import pytest

from arenalab.ensemble.registry import Remembered


class Owner:
    """Has a list, and counts who asks."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.asked = 0

    async def list(self, _key: str) -> Sequence[str]:
        self.asked += 1
        return list(self.names)


@pytest.mark.parametrize(("keeps_empty", "asked"), [(False, 3), (True, 1)])
async def test_an_empty_list_is_remembered_only_where_that_is_worth_it(
    asked: int, *, keeps_empty: bool
) -> None:
    owner = Owner()
    remembered = Remembered(owner.list, keeps_empty=keeps_empty)
    for _ in range(3):
        assert await remembered.get("") == []
    assert owner.asked == asked
    owner.names = ["one"]
    assert await remembered.get("", refresh=True) == ["one"]


async def test_a_list_is_remembered_for_its_key() -> None:
    owner = Owner()
    owner.names = ["one"]
    remembered = Remembered(owner.list)
    for key in ("ada", "bob", "ada"):
        assert await remembered.get(key) == ["one"]
    assert owner.asked == 2
