from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.gateway.completion import Answer
from arenalab.gateway.openai import parse_chat
from arenalab.gateway.usage import Usage, asked_text, reported, said_text
from arenalab.tokens import Tokens

ASKED = {"role": "user", "content": "How?"}
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}


def test_a_prompt_is_its_messages_calls_and_definitions() -> None:
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    chat = parse_chat(
        {
            "messages": [
                ASKED,
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "c1", "content": "3"},
            ],
            "tools": [tool],
        }
    )
    text = asked_text(chat)
    for part in ("How?", "add", '{"a": 1}', "3", '"parameters":{"type":"object"}'):
        assert part in text
    assert asked_text(parse_chat({"messages": [ASKED]})) == "How?"


def test_a_completion_is_its_words_its_refusal_and_its_calls() -> None:
    answer = Answer(created=1, started=pb.AnswerStarted(prediction_id="p"))
    answer.take(pb.TextDelta(text="So"))
    answer.take(pb.TextDelta(refusal="no"))
    answer.take(pb.TextDelta(tool_calls_json='[{"index":0,"function":{"name":"f"}}]'))
    answer.take(
        pb.TextDelta(tool_calls_json='[{"index":0,"function":{"name":"f","arguments":"{}"}}]')
    )
    assert said_text(answer) == "So\nno\nf\n{}"


def test_real_tokens_are_counted() -> None:
    # As OpenAI's tokenizer page shows for o200k.
    assert Tokens().count("How do I rotate the signing key?") == 8


def test_what_a_provider_reports_keeps_its_details() -> None:
    usage = reported(
        pb.Usage(prompt_tokens=10, completion_tokens=4, cached_prompt_tokens=6, reasoning_tokens=3)
    )
    assert usage == Usage(10, 4, 6, 3)
    chat, response = usage.of_chat(), usage.of_response()
    assert chat["prompt_tokens_details"] == {"cached_tokens": 6}
    assert chat["completion_tokens_details"] == {"reasoning_tokens": 3}
    assert response["input_tokens_details"] == {"cached_tokens": 6, "cache_write_tokens": 0}
    assert chat["total_tokens"] == response["total_tokens"] == 14
