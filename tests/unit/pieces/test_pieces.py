"""What comes in pieces, put together again."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.mesh import NotReadyError
from arenalab.pieces import TextJoiner, ToolCalls


@given(st.text(st.characters(codec="utf-8")), st.data())
def test_a_text_cut_between_its_escapes_is_joined_again(text: str, data: st.DataObject) -> None:
    units = text.encode("utf-16-le", "surrogatepass")
    halves = [
        units[n : n + 2].decode("utf-16-le", "surrogatepass") for n in range(0, len(units), 2)
    ]
    cuts = [0, *sorted(data.draw(st.lists(st.integers(0, len(halves))))), len(halves)]
    joiner = TextJoiner()
    pieces = [joiner.feed("".join(halves[a:b])) for a, b in pairwise(cuts)]
    assert "".join(pieces) + joiner.finish() == text


@given(st.lists(st.text("a\ud83d\ude00é")))
def test_what_comes_out_is_always_utf8(pieces: list[str]) -> None:
    joiner = TextJoiner()
    out = "".join([joiner.feed(piece) for piece in pieces] + [joiner.finish()])
    assert out.encode().decode() == out
    assert out.count("a") == "".join(pieces).count("a")


@given(st.lists(st.lists(st.text(max_size=5), min_size=1, max_size=4), min_size=1, max_size=3))
def test_tool_calls_survive_however_they_are_cut(calls: list[list[str]]) -> None:
    received = ToolCalls()
    joined: dict[int, dict[str, str]] = {}
    for index, pieces in enumerate(calls):
        for arguments in pieces:
            delta = {
                "index": index,
                "id": f"call_{index}",
                "type": "function",
                "function": {"name": "f", "arguments": arguments},
            }
            for fresh in received.add(json.dumps([delta])):
                seen = joined.setdefault(fresh["index"], {"id": "", "name": "", "arguments": ""})
                seen["id"] += fresh.get("id", "")
                seen["name"] += fresh["function"].get("name", "")
                seen["arguments"] += fresh["function"]["arguments"]
    wanted = [
        {"id": f"call_{n}", "name": "f", "arguments": "".join(pieces)}
        for n, pieces in enumerate(calls)
    ]
    assert list(joined.values()) == wanted
    assert [{"id": call["id"], **call["function"]} for call in received.whole()] == wanted


@pytest.mark.parametrize("text", ["", "{}x", "[1]", '[{"id": "a"}]', '[{"index": "b"}]', "5"])
def test_a_malformed_tool_call_is_the_providers_failure(text: str) -> None:
    with pytest.raises(NotReadyError, match="malformed"):
        ToolCalls().add(text)


def test_half_a_character_of_the_arguments_waits_for_its_other_half() -> None:
    calls = ToolCalls()
    text = json.dumps([{"index": 0, "id": "c", "function": {"name": "f", "arguments": "😀!"}}])
    first, second = (
        text.replace("\\ude00!", ""),
        '[{"index": 0, "function": {"arguments": "\\ude00!"}}]',
    )
    told = [calls.add(piece)[0]["function"]["arguments"] for piece in (first, second)]
    assert told == ["", "😀!"]
    assert calls.whole()[0]["function"]["arguments"] == "😀!"


@pytest.mark.parametrize("kind", ["function", "custom"])
def test_a_call_that_says_what_it_is_by_its_body_alone(kind: str) -> None:
    calls = ToolCalls()
    calls.add(json.dumps([{"index": 3, "id": "c", kind: {"name": "f"}}]))
    (whole,) = calls.whole()
    assert (whole["type"], whole[kind]["name"], calls.indexes) == (kind, "f", [3])
