"""curl: plain HTTP, as a shell script speaks it."""

import json
import subprocess
from typing import Any

from tests.conformance.clients.checks import ANY, Asked, Checks

checks = Checks("curl")


def _curl(path: str, body: Any = None, key: str = checks.key) -> tuple[int, str]:
    """Returns the status and the body."""
    command = ["curl", "--silent", "--no-buffer", "--max-time", "30", f"{checks.url}{path}"]
    command += ["--header", f"authorization: Bearer {key}", "--write-out", "\n%{http_code}"]
    if body is not None:
        command += ["--header", "content-type: application/json", "--data", json.dumps(body)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
    text, _, status = out.rpartition("\n")
    return int(status), text


def _body(asked: Asked, **members: Any) -> dict[str, Any]:
    return {"model": "arenalab", "messages": asked.messages, **members}


@checks.feature("chat")
def chat(asked: Asked) -> None:
    status, text = _curl("/chat/completions", _body(asked))
    assert status == 200, text
    asked.check(json.loads(text)["choices"][0]["message"]["content"])


@checks.feature("stream")
def stream(asked: Asked) -> None:
    status, text = _curl("/chat/completions", _body(asked, stream=True))
    assert status == 200, text
    *frames, done = [line for line in text.splitlines() if line]
    assert done == "data: [DONE]"
    chunks = [json.loads(frame.removeprefix("data: ")) for frame in frames]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    asked.check("".join(delta.get("content") or "" for delta in deltas))


@checks.feature("feedback")
def feedback(asked: Asked) -> None:
    _, text = _curl("/chat/completions", _body(asked))
    told = {"prediction_id": json.loads(text)["arenalab"]["prediction_id"], "helpful": True}
    status, text = _curl("/feedback", told)
    assert status == 200, text
    assert _curl("/feedback", told | {"prediction_id": "no-such"})[0] == 404


@checks.feature("responses")
def responses(asked: Asked) -> None:
    status, text = _curl("/responses", {"model": "arenalab", "input": asked.question})
    assert status == 200, text
    asked.check(json.loads(text)["output"][0]["content"][0]["text"])


@checks.feature("embeddings", ANY)
def embeddings(_: Asked) -> None:
    status, text = _curl("/embeddings", {"model": "arenalab", "input": "one"})
    assert (status, len(json.loads(text)["data"][0]["embedding"])) == (200, 384)


@checks.feature("models", ANY)
def models(_: Asked) -> None:
    status, text = _curl("/models")
    assert status == 200
    assert json.loads(text)["object"] == "list"
    assert _curl("/models/arenalab/memory-only")[0] == 200
    assert _curl("/models/no-such")[0] == 404


@checks.feature("errors", ANY)
def errors(asked: Asked) -> None:
    for expected, (status, text) in (
        (400, _curl("/chat/completions", {"model": "arenalab"})),
        (400, _curl("/chat/completions", ["no object"])),
        (401, _curl("/models", key="sk-wrong")),
        (404, _curl("/chat/completions", _body(asked, model="no-such/model"))),
        (404, _curl("/no-such-path")),
        (405, _curl("/chat/completions")),
    ):
        error = json.loads(text)["error"]
        assert status == expected, (status, text)
        assert error.keys() == {"message", "type", "param", "code"}, error


if __name__ == "__main__":
    checks.run()
