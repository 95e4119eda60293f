"""Which outputs of memory are calls of a request's tools."""

import json
from typing import Any

import pytest

from arenalab.api.common.v1 import answer_pb2
from arenalab.ensemble.tools import Call, NoCallError, Tools, named_tool, read_tools
from arenalab.mesh import InvalidInputError

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "get_time"}}
GREP = {"type": "custom", "custom": {"name": "grep"}}
PARIS = '{"city": "Paris"}'


def _tools(*tools: Any, **more: Any) -> Tools:
    found = read_tools({"tools": list(tools or (WEATHER, CLOCK)), **more})
    assert found is not None
    return found


def _spans(*spans: tuple[str, str], supports: bool = True) -> list[answer_pb2.Evidence]:
    return [
        answer_pb2.Evidence(action=action, outcome=outcome, supports=supports)
        for action, outcome in spans
    ]


def _named(name: str, kind: str = "function") -> dict[str, Any]:
    return {"type": kind, kind: {"name": name}}


def _allowed(mode: str, *tools: Any) -> dict[str, Any]:
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": list(tools)}}


@pytest.mark.parametrize(
    "action", ["get_weather", "get-weather", "Get Weather", "getWeather", "GET.WEATHER"]
)
def test_an_action_names_a_tool_whatever_its_case_and_separators(action: str) -> None:
    assert _tools().call(PARIS, _spans((action, PARIS))) == Call("get_weather", '{"city":"Paris"}')


@pytest.mark.parametrize("action", ["weather", "get_weathers", "set_weather", "ask_question", ""])
def test_an_action_that_is_only_like_a_name_calls_nothing(action: str) -> None:
    with pytest.raises(NoCallError, match="names none of the tools"):
        _tools().call(PARIS, _spans((action, PARIS)))


def test_two_tools_spelt_alike_are_told_apart_by_the_exact_name_only() -> None:
    assert named_tool("get_time", ["getTime", "get_time"]) == "get_time"
    assert named_tool("Get Time", ["getTime", "get_time"]) == ""


def test_an_action_that_is_not_known_names_no_tool() -> None:
    assert named_tool("", ["_", "-"]) == ""
    assert named_tool("-", ["_"]) == ""


def test_every_span_that_supports_the_output_must_call_the_tool() -> None:
    other = _spans(("ask_question", PARIS))
    with pytest.raises(NoCallError, match="'ask_question' names none"):
        _tools().call(PARIS, [*_spans(("get_weather", PARIS)), *other])
    with pytest.raises(NoCallError, match="different tools"):
        _tools().call("{}", _spans(("get_weather", "{}"), ("get_time", "{}")))
    beside = _spans(("ask_question", "Sunny."), supports=False)
    assert _tools().call(PARIS, [*_spans(("get_weather", PARIS)), *beside])
    with pytest.raises(NoCallError, match="no span supports"):
        _tools().call(PARIS, beside)


def test_spans_that_differ_in_their_arguments_are_no_call() -> None:
    spans = _spans(("get_weather", PARIS), ("get_weather", '{"city": "Lyon"}'))
    with pytest.raises(NoCallError, match="differ in their arguments"):
        _tools().call(PARIS, spans)
    spaced = _spans(("get_weather", PARIS), ("get_weather", '{"city":"Paris"}'))
    assert _tools().call(PARIS, spaced).arguments == '{"city":"Paris"}'


@pytest.mark.parametrize(
    ("output", "why"),
    [
        ("Sunny.", "not the JSON"),
        ("[1]", "not a JSON object"),
        ('"x"', "not a JSON object"),
        ("{}", "not valid under the schema"),
        ('{"city": 5}', "not valid under the schema"),
        ('{"city": NaN}', "not the JSON"),
        ('{"name": "get_time", "arguments": {"city": "Paris"}}', "not valid under the schema"),
        ('{"name": "get_weather", "arguments": "Paris"}', "not the JSON"),
    ],
)
def test_an_outcome_that_holds_no_valid_arguments_is_no_call(output: str, why: str) -> None:
    with pytest.raises(NoCallError, match=why):
        _tools().call(output, _spans(("get_weather", output)))


@pytest.mark.parametrize("arguments", [{"city": "Paris"}, '{"city": "Paris"}'])
def test_an_outcome_may_be_stored_as_a_whole_call(arguments: Any) -> None:
    output = json.dumps({"name": "get_weather", "arguments": arguments})
    call = _tools().call(output, _spans(("get_weather", output)))
    assert call == Call("get_weather", '{"city":"Paris"}')


def test_arguments_keep_their_order_and_their_letters() -> None:
    output = '{"z": 1, "city": "Zürich"}'
    call = _tools().call(output, _spans(("get_weather", output)))
    assert call.arguments == '{"z":1,"city":"Zürich"}'


def test_a_schema_that_cannot_be_checked_lets_nothing_pass() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"$ref": "#"}}}
    with pytest.raises(NoCallError, match="cannot be checked"):
        _tools(tool).call("{}", _spans(("f", "{}")))


@pytest.mark.parametrize(
    ("choice", "can_call", "forced"),
    [
        (None, {"get_weather", "get_time"}, ""),
        ("auto", {"get_weather", "get_time"}, ""),
        ("required", {"get_weather", "get_time"}, ""),
        (_named("get_time"), {"get_time"}, "get_time"),
        (_named("grep", "custom"), set(), ""),
        (_allowed("auto", _named("get_time"), _named("grep", "custom")), {"get_time"}, ""),
        (_allowed("required", _named("get_time")), {"get_time"}, "get_time"),
        (_allowed("auto", _named("get_time")), {"get_time"}, ""),
    ],
)
def test_the_choice_says_which_tools_may_be_called(
    choice: Any, can_call: set[str], forced: str
) -> None:
    tools = _tools(WEATHER, CLOCK, GREP, tool_choice=choice)
    assert (set(tools.by_name), tools.forced) == (can_call, forced)


@pytest.mark.parametrize(
    "given", [{}, {"tools": []}, {"tool_choice": "auto"}, {"tools": [CLOCK], "tool_choice": "none"}]
)
def test_without_tools_that_may_be_called_the_answer_is_text(given: Any) -> None:
    assert read_tools(given) is None


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"tools": {}}, "tools"),
        ({"tools": [CLOCK] * 129}, "tools"),
        ({"tools": [5]}, "tools[0].type"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [CLOCK, {"type": "function"}]}, "tools[1].function"),
        ({"tools": [_named("get time")]}, "tools[0].function.name"),
        ({"tools": [_named("x" * 65)]}, "tools[0].function.name"),
        ({"tools": [_named("", "custom")]}, "tools[0].custom.name"),
        ({"tools": [CLOCK, CLOCK]}, "tools[1].function.name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [CLOCK], "tool_choice": "any"}, "tool_choice"),
        ({"tools": [CLOCK], "tool_choice": _named("other")}, "tool_choice.function.name"),
        ({"tools": [CLOCK], "tool_choice": {"type": "x"}}, "tool_choice.type"),
        ({"tools": [CLOCK], "tool_choice": {"type": "allowed_tools"}},
         "tool_choice.allowed_tools.tools"),
        ({"tools": [CLOCK], "tool_choice": _allowed("none")}, "tool_choice.allowed_tools.mode"),
        ({"tools": [CLOCK], "tool_choice": _allowed("auto", _named("x"))},
         "tool_choice.allowed_tools.tools[0].function.name"),
    ],
)  # fmt: skip
def test_what_is_not_as_the_api_has_it_is_refused_by_place(given: Any, field: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        read_tools(given)
    assert refused.value.metadata == {"field": field}


@pytest.mark.parametrize("parameters", [5, {"type": "string"}, {"type": "object", "required": 1}])
def test_parameters_that_are_no_schema_of_an_object_are_refused(parameters: Any) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": parameters}}
    with pytest.raises(InvalidInputError, match="Invalid schema for function 'f'") as refused:
        read_tools({"tools": [tool]})
    assert refused.value.metadata == {"field": "tools[0].function.parameters"}
