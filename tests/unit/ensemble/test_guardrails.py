"""Guardrails: the same words and the same verdict however a text is cut; nothing found is told."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenalab.api.common.v1 import answer_pb2, message_pb2
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.ensemble.guardrails.answers import Speech
from arenalab.ensemble.guardrails.guarded import Guarded
from arenalab.ensemble.guardrails.guardrail import Action, Found, Guardrail, Stage
from arenalab.ensemble.guardrails.loading import load_guardrails
from arenalab.ensemble.guardrails.patterns import MAX_MATCH, Pattern, Patterns, compiled
from arenalab.ensemble.guardrails.questions import screen
from arenalab.mesh import ConfigError, NotReadyError


def _pattern(*rule: Any, **more: Any) -> Patterns:
    return Patterns([_rule(*rule, **more)])


def _rule(
    expression: str,
    action: Action = Action.REDACT,
    replacement: str = "*",
    stages: Sequence[Stage] = tuple(Stage),
) -> Pattern:
    found, longest = compiled(expression)
    return Pattern(
        name=expression,
        expression=found,
        longest=longest,
        action=action,
        replacement=replacement,
        stages=frozenset(stages),
        reason="test",
    )


# Expressions whose matches overlap, touch, look at their surroundings, and feed one another.
EXPRESSIONS = (
    "ab", "a{1,4}", r"\bab\b", "a|ab|abb", "^b", "b$", "[ab]{2,3}c", r"\*", "(?i)AB?c", "é",
    "(?m)^a", "b\n",
)  # fmt: skip
# Texts in the pieces in which they come: short, so that every finding is cut somewhere.
_PIECES = st.lists(st.text(alphabet="aaabbbc *\né", max_size=4), min_size=2, max_size=12)
_RULES = st.builds(
    _rule,
    st.sampled_from(EXPRESSIONS),
    st.sampled_from([Action.REDACT] * 4 + [Action.BLOCK]),
    st.sampled_from(["", "*", "ab"]),
)
_GUARDRAILS = st.lists(
    st.builds(Patterns, st.lists(_RULES, min_size=1, max_size=3)), min_size=1, max_size=2
)


@settings(max_examples=200)
@given(guardrails=_GUARDRAILS, pieces=_PIECES)
def test_how_a_text_is_cut_changes_neither_its_words_nor_its_verdict(
    guardrails: list[Patterns], pieces: list[str]
) -> None:
    whole, cut = Guarded(guardrails, Stage.OUTPUT), Guarded(guardrails, Stage.OUTPUT)
    told = "".join([cut.feed(piece) for piece in pieces]) + cut.finish()
    assert told == whole.whole("".join(pieces))
    assert cut.found() == whole.found()


@given(expression=st.sampled_from(EXPRESSIONS), pieces=_PIECES)
def test_a_pattern_finds_what_a_search_of_the_whole_text_finds(
    expression: str, pieces: list[str]
) -> None:
    check = _pattern(expression).check(Stage.OUTPUT)
    assert check is not None
    told = "".join([check.feed(piece) for piece in pieces]) + check.finish()
    # In Python's own engine; "$" is the very end, and an ASCII \b as in RE2.
    reference = re.compile(expression.replace("b$", r"b\Z"), re.ASCII)
    assert (told, check.found()[0].findings) == reference.subn("*", "".join(pieces))


@given(pieces=_PIECES)
def test_nothing_of_a_finding_is_told_before_it_is_found(pieces: list[str]) -> None:
    text = "".join(pieces)
    first = re.search("[ab]{2,3}c", text)
    guarded = Guarded([_pattern("[ab]{2,3}c", Action.BLOCK)], Stage.OUTPUT)
    told = ""
    for piece in pieces:
        told += guarded.feed(piece)
        assert text.startswith(told)
        assert first is None or len(told) <= first.start()


def test_no_more_is_held_back_than_a_match_can_have() -> None:
    guarded = Guarded([Patterns([_rule("x{1,8}y"), _rule("z{1,4}")])], Stage.OUTPUT)
    assert len(guarded.feed("words " * 10)) == 60 - 9


def test_of_two_findings_the_first_counts() -> None:
    rules = [_rule("bc", replacement="1"), _rule("ab", replacement="2"), _rule("abc")]
    assert Guarded([Patterns(rules)], Stage.OUTPUT).whole("abc bc") == "2c 1"


def test_a_long_text_is_read_in_time_like_its_length() -> None:
    guarded = Guarded([_pattern(r"(a|aa){1,20}b"), _pattern("c")], Stage.OUTPUT)
    assert guarded.whole("a" * 60_000 + "c") == "a" * 60_000 + "*"


def test_after_a_block_nothing_is_told() -> None:
    guarded = Guarded([_pattern("stop", Action.BLOCK), _pattern("a")], Stage.OUTPUT)
    assert guarded.feed("a word. sto") == "* word"
    assert guarded.feed("p it") + guarded.finish() == ". "
    assert guarded.is_blocked


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("a+", "write {1,64} instead"),
        ("a{512}b{600}", f"at most {MAX_MATCH}"),
        ("a*", "empty text"),
        ("", "empty text"),
        ("(?=a)b", "RE2 does not know it"),
        (r"(a)\1", "RE2 does not know it"),
        (r"\pL", "Python's re"),
        ("a{,2}", "RE2 takes that literally"),
        ("(", "RE2 does not know it"),
    ],
)
def test_an_expression_without_a_longest_match_is_refused(expression: str, why: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(why)):
        compiled(expression)


# --- an answer as it is told


def _told(deltas: Sequence[pb.TextDelta]) -> tuple[str, str, list[Any]]:
    calls = [json.loads(delta.tool_calls_json) for delta in deltas if delta.tool_calls_json]
    return "".join(d.text for d in deltas), "".join(d.refusal for d in deltas), calls


def _speak(guardrails: Sequence[Guardrail], *deltas: pb.TextDelta) -> tuple[Speech, Any]:
    speech = Speech(guardrails)
    told = [one for delta in deltas for one in speech.say(delta)]
    return speech, _told([*told, *speech.finish()])


def _call(name: str, arguments: str, call_id: str = "c1") -> pb.TextDelta:
    function = {"name": name, "arguments": arguments}
    delta = {"index": 0, "id": call_id, "type": "function", "function": function}
    return pb.TextDelta(tool_calls_json=json.dumps([delta]))


def test_without_guardrails_everything_passes_as_it_is() -> None:
    deltas = [pb.TextDelta(text="a"), _call("f", '{"a":'), _call("", "1}"), pb.TextDelta(text="")]
    speech = Speech(())
    assert [speech.say(delta) for delta in deltas] == [[deltas[0]], [deltas[1]], [deltas[2]], []]
    assert speech.finish() == []
    assert speech.verdicts() == []
    assert speech.calls.whole() == [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    ]


def test_a_tool_call_is_told_once_it_is_whole() -> None:
    speech = Speech([_pattern("ab")])
    assert speech.say(_call("f", '{"x": "a')) == []
    assert speech.say(_call("f", 'b"}')) == []
    _, _, [[call]] = _told(speech.finish())
    assert call["function"] == {"name": "f", "arguments": '{"x": "*"}'}
    assert (call["index"], call["id"]) == (0, "c1")
    assert [one.findings for one in speech.verdicts()] == [1]


def test_a_block_in_a_tool_call_or_before_it_tells_no_call() -> None:
    block = _pattern("ab", Action.BLOCK)
    speech, (text, _, calls) = _speak([block], pb.TextDelta(text="so "), _call("f", "ab"))
    assert (text, calls, speech.is_blocked) == ("so ", [], True)
    speech, (text, _, calls) = _speak([block], pb.TextDelta(text="so ab"), _call("f", "{}"))
    assert (text, calls, speech.is_blocked) == ("so ", [], True)


def test_a_refusal_is_read_too() -> None:
    speech, (_, refusal, _) = _speak([_pattern("ab")], pb.TextDelta(refusal="no ab"))
    assert refusal == "no *"
    assert "".join(speech.refusals) == "no *"


def test_a_malformed_tool_call_is_the_providers_failure() -> None:
    for bad in ("{", "[5]", '[{"function": {}}]', '[{"index": Infinity}]', "5"):
        with pytest.raises(NotReadyError, match="malformed"):
            Speech(()).say(pb.TextDelta(tool_calls_json=bad))


def test_halves_of_a_character_in_two_pieces_are_one_character() -> None:
    speech = Speech(())
    for arguments in ('{"a":"\ud83d', '\ude00\ud83d"}'):
        speech.say(_call("f", arguments))
    [call] = speech.calls.whole()
    assert call["function"]["arguments"] == '{"a":"😀\ufffd"}'


def test_a_verdict_tells_the_gravest_action_and_all_findings_but_no_words() -> None:
    guardrails = [_pattern("ab"), _pattern("c", Action.BLOCK), _pattern("zz")]
    speech, _ = _speak(guardrails, pb.TextDelta(text="ab ab"), pb.TextDelta(refusal="c"))
    verdicts = [(one.guardrail, one.action, one.reason, one.findings) for one in speech.verdicts()]
    assert verdicts == [
        ("ab", pb.GUARDRAIL_ACTION_REDACT, "test", 2),
        ("c", pb.GUARDRAIL_ACTION_BLOCK, "test", 1),
        ("zz", pb.GUARDRAIL_ACTION_PASS, "", 0),
    ]


def test_what_is_known_of_an_answer_holds_nothing_that_was_found() -> None:
    item = answer_pb2.Evidence(question="is it ab?", outcome="ab")
    finished = pb.AnswerFinished(
        evidence=[item],
        sentences=[answer_pb2.Sentence(text="ab.")],
        alternatives=[answer_pb2.Alternative(outcome="an ab")],
        outcome_set=answer_pb2.OutcomeSet(outcomes=["ab"]),
        reasoning="ab won",
        abstention=answer_pb2.Abstention(
            explanation="ab?",
            wanted="more ab",
            nearest=[item],
            data=[answer_pb2.WantedData(outcome="ab", terms=["ab"])],
        ),
        rephrasing=pb.Rephrasing(unsupported=["ab"], explanation="no ab"),
    )
    Speech([_pattern("zz", stages=[Stage.INPUT])]).clean(finished)
    assert "ab" in str(finished)
    Speech([_pattern("ab")]).clean(finished)
    assert "ab" not in re.sub(r"[a-z_]+:|\{|abstention|rephrasing", "", str(finished))


# --- a question


def _request(content: str, turns: Any = None) -> pb.AnswerRequest:
    message = message_pb2.Message(role=message_pb2.ROLE_USER, content=content)
    return pb.AnswerRequest(
        messages=[message], messages_json="" if turns is None else json.dumps(turns)
    )


def test_a_question_in_which_nothing_is_found_is_left_as_it_is() -> None:
    request = _request("How?")
    assert screen(request, [_pattern("ab", stages=[Stage.OUTPUT])]) == (request, [], False)
    same, [verdict], is_blocked = screen(request, [_pattern("ab")])
    assert same is request
    assert (verdict.action, is_blocked) == (pb.GUARDRAIL_ACTION_PASS, False)


def test_what_is_found_in_a_question_is_replaced_wherever_its_turns_hold_text() -> None:
    turns = [
        {"role": "user", "content": "ab"},
        {"role": "user", "content": [
            {"type": "text", "text": "ab"},
            {"type": "image_url", "image_url": {"url": "data:ab"}},
        ]},
        {"role": "assistant", "content": None, "refusal": "ab", "tool_calls": [
            {"id": "ab", "type": "function", "function": {"name": "ab", "arguments": '"ab"'}},
            {"id": "c", "type": "custom", "custom": {"name": "ab", "input": "ab"}},
        ]},
    ]  # fmt: skip
    found, [verdict], is_blocked = screen(_request("an ab", turns), [_pattern("ab")])
    assert not is_blocked
    assert [message.content for message in found.messages] == ["an *"]
    told = json.loads(found.messages_json)
    assert told[0]["content"] == told[1]["content"][0]["text"] == told[2]["refusal"] == "*"
    assert told[1]["content"][1]["image_url"] == {"url": "data:ab"}
    [function, custom] = told[2]["tool_calls"]
    assert function == {"id": "ab", "type": "function",
                        "function": {"name": "ab", "arguments": '"*"'}}  # fmt: skip
    assert custom["custom"] == {"name": "ab", "input": "*"}
    assert (verdict.action, verdict.stage) == (
        pb.GUARDRAIL_ACTION_REDACT,
        pb.GUARDRAIL_STAGE_INPUT,
    )


def test_half_a_character_in_a_question_is_none() -> None:
    found, _, _ = screen(
        _request("ab", [{"role": "user", "content": "ab \ud83d"}]), [_pattern("ab")]
    )
    assert json.loads(found.messages_json)[0]["content"] == "* \ufffd"


def test_a_question_can_be_blocked() -> None:
    _, [verdict], is_blocked = screen(_request("an ab"), [_pattern("ab", Action.BLOCK)])
    assert is_blocked
    assert verdict.action == pb.GUARDRAIL_ACTION_BLOCK


# --- the file


def _file(folder: Path, content: Any) -> Path:
    path = folder / "guardrails.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_file_configures_patterns_in_its_order(tmp_path: Path) -> None:
    card = {"name": "card", "pattern": r"\d{13,19}", "action": "redact", "reason": "a card"}
    word = {"name": "word", "pattern": "x", "action": "block", "stages": ["input"]}
    guardrails = load_guardrails(_file(tmp_path, {"patterns": [card, word]}))
    output, question = (Guarded(guardrails, stage) for stage in (Stage.OUTPUT, Stage.INPUT))
    assert output.whole("pay 4111111111111111 x") == "pay [card] x"
    assert output.found() == [Found("card", Action.REDACT, 1, "a card")]
    assert question.whole("an x") == "an "
    assert [found.name for found in question.found()] == ["card", "word"]
    assert load_guardrails(None) == ()


@pytest.mark.parametrize(
    "content",
    [
        "{", [], {"rules": []}, {"patterns": 5}, {"patterns": [5]}, {"patterns": [{}]},
        {"patterns": [{"name": "", "pattern": "a", "action": "block"}]},
        {"patterns": [{"name": "n", "pattern": "a+", "action": "block"}]},
        {"patterns": [{"name": "n", "pattern": "a", "action": "warn"}]},
        {"patterns": [{"name": "n", "pattern": "a", "action": "block", "stages": []}]},
        {"patterns": [{"name": "n", "pattern": "a", "action": "block", "when": "now"}]},
        {"patterns": [{"name": "n", "pattern": 1, "action": "block"}]},
        {"patterns": [{"name": "n", "pattern": "a", "action": "block"}] * 2},
        {"plugins": ["none"]},
    ],
)  # fmt: skip
def test_a_file_that_holds_no_guardrails_stops_the_start(tmp_path: Path, content: Any) -> None:
    with pytest.raises(ConfigError):
        load_guardrails(_file(tmp_path, content))


def test_a_file_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_guardrails(tmp_path / "none.json")


PLUGIN = """
from arenalab.ensemble.guardrails.patterns import Pattern, Patterns, compiled
from arenalab.ensemble.guardrails.guardrail import Action

def loud():
    found, longest = compiled("[A-Z]{3}")
    return Patterns([Pattern("loud", found, longest, Action.REDACT, "!")])
"""


def test_an_installed_package_offers_a_guardrail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loud_plugin.py").write_text(PLUGIN)
    info = tmp_path / "loud_plugin-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: loud-plugin\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[arenalab.guardrails]\nloud = loud_plugin:loud\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    [loud] = load_guardrails(_file(tmp_path, {"plugins": ["loud"]}))
    assert Guarded([loud], Stage.OUTPUT).whole("it is HOT") == "it is !"
