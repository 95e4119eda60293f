from pathlib import Path

import pytest

from arenalab.api.common.v1 import filter_pb2
from arenalab.mesh import ConfigError
from arenalab.predictor.creatures import Creature, all_creatures, read_creatures
from arenalab.predictor.slices import creature_filter, narrowed

BAKER = Creature("baker", "hobby", ("food", "craft/oven"), ("bake", "ask"), 60.0)


def _file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "creatures.toml"
    path.write_text(text)
    return path


def test_a_file_names_slices(tmp_path: Path) -> None:
    text = (
        '[[creature]]\nname="baker"\ndataset="hobby"\ndomains=["food","craft/oven"]\n'
        'actions=["bake","ask"]\nmin_quality=60\n[[creature]]\nname="all"\ndataset="hobby"\n'
    )
    baker, whole = read_creatures(_file(tmp_path, text))
    assert baker == BAKER
    assert whole.is_whole
    assert not baker.is_whole
    assert read_creatures(None) == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("creature = 1", "tables only"),
        ("[[creature]]\nname='a'", "dataset must be a text"),
        ("[[creature]]\nname='a'\ndataset='b'\ncolour='c'", "has only"),
        ("[[creature]]\nname='a'\ndataset='b'\ndomains='c'", "list of texts"),
        ("[[creature]]\nname='a'\ndataset='b'\nmin_quality=101", "min_quality"),
        ("[[creature]]\nname='a'\ndataset='b'\nmin_quality=true", "min_quality"),
        ("[[creature]]\nname='a'\ndataset='b'\n" * 2, "unique"),
        ("not toml", "creatures file"),
        ("[other]", "tables only"),
    ],
)
def test_a_file_that_breaks_the_format_stops_the_start(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        read_creatures(_file(tmp_path, text))


def test_a_missing_file_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"creatures\.toml"):
        read_creatures(tmp_path / "creatures.toml")


def test_every_dataset_is_a_creature_and_named_ones_follow() -> None:
    own = Creature("faq", "faq")
    gone = Creature("x", "gone")
    assert all_creatures(["faq", "hobby"], [BAKER, gone]) == [
        own,
        Creature("hobby", "hobby"),
        BAKER,
    ]
    hidden = Creature("faq", "faq", ("food",))
    assert all_creatures(["faq"], [hidden]) == [hidden]


def test_a_filter_holds_both_sides_conditions() -> None:
    wanted = filter_pb2.SpanFilter(
        domains=["craft", "food/bread", "travel"], actions=["ask"], min_quality=70, tags=["t"]
    )
    merged = narrowed(BAKER, wanted)
    assert merged == filter_pb2.SpanFilter(
        domains=["food/bread", "craft/oven"], actions=["ask"], min_quality=70, tags=["t"]
    )
    assert narrowed(BAKER, filter_pb2.SpanFilter()) == creature_filter(BAKER)


def test_conditions_that_exclude_each_other_leave_nothing() -> None:
    assert narrowed(BAKER, filter_pb2.SpanFilter(domains=["travel"])) is None
    assert narrowed(BAKER, filter_pb2.SpanFilter(actions=["fly"])) is None
    # A shared beginning is not a shared domain.
    assert narrowed(BAKER, filter_pb2.SpanFilter(domains=["foods"])) is None
