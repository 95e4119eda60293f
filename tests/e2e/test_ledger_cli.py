"""From the shell: entries, proofs, superseded spans, exports, and a subject that is erased."""

import base64
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from arenalab.local.home import Home
from arenalab.local.keys import log_public_key
from arenalab.proof import TileReader, VerifierKey, open_checkpoint
from tests.e2e.shell import Shell, Start, running_provider, shell_on

pytestmark = pytest.mark.slow
QUESTION = "Is one tenant able to look at another tenant's data?"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture(scope="module")
def shell(published_home: Callable[[str], Home], start_mesh: Start) -> Iterator[Shell]:
    with shell_on(published_home("ledger-cli"), start_mesh, audit_rate=1.0) as running:
        yield running


@pytest.fixture(scope="module")
def answer(shell: Shell) -> dict[str, Any]:
    """An answer, told under a trace."""
    headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    told: dict[str, Any] = shell.ask(QUESTION, headers=headers, user="ada")["arenalab"]
    return told


def test_an_entry_is_shown_by_id_and_by_index(shell: Shell, answer: dict[str, Any]) -> None:
    by_id = shell.json("ledger", "show", answer["prediction_id"])
    assert by_id == shell.json("ledger", "show", str(by_id["leaf_index"]))
    leaf = by_id["leaf"]
    assert (leaf["kind"], leaf["facts"]["route"], leaf["facts"]["dataset"]) == (
        "prediction",
        "memory",
        "help",
    )
    assert leaf["evidence_ids"] == [item["span_id"] for item in answer["evidence"]]
    assert leaf["dataset_version"] == answer["dataset_version"]
    assert len(leaf["model_digest"]) == 64
    assert leaf["trace_id"] == TRACE
    assert by_id["content_state"] == "present"
    assert by_id["subject"] == "ada"
    assert json.loads(by_id["content"]["request"])["messages"][0]["content"] == QUESTION
    shown = shell.run("ledger", "show", answer["prediction_id"])
    assert QUESTION in shown.stdout
    assert QUESTION not in json.dumps(leaf)


def test_entries_are_listed_by_kind_time_and_trace(shell: Shell, answer: dict[str, Any]) -> None:
    everything = shell.lines("ledger", "scan", "--limit", "0")
    kinds = [one["leaf"]["kind"] for one in everything]
    assert kinds[0] == "publication"
    for kind in ("publication", "prediction"):
        found = shell.lines("ledger", "scan", "--kind", kind, "--limit", "0")
        assert len(found) == kinds.count(kind)
    assert len(shell.lines("ledger", "scan", "--limit", "1")) == 1
    when = everything[-1]["leaf"]["time"]
    assert shell.lines("ledger", "scan", "--since", when)[0]["leaf"]["time"] >= when
    assert not shell.lines("ledger", "scan", "--until", "2020-01-01")
    assert shell.lines("ledger", "scan", "--since", "1h", "--limit", "0") == everything
    assert not shell.lines("ledger", "scan", "--scope", "nobody")
    traced = shell.json("ledger", "trace", TRACE)["entries"]
    assert [one["leaf"]["entry_id"] for one in traced] == [answer["prediction_id"]]
    assert answer["prediction_id"] in shell.run("ledger", "trace", TRACE).stdout
    assert "nothing was sealed" in shell.run("ledger", "trace", "0" * 31 + "1").stdout
    assert answer["prediction_id"] in shell.run("ledger", "scan").stdout


def test_feedback_is_an_entry_that_names_its_prediction(
    shell: Shell, answer: dict[str, Any]
) -> None:
    shell.json("feedback", answer["prediction_id"], "--right", "--comment", "thanks a lot")
    said = shell.json("ledger", "show", f"feedback:{answer['prediction_id']}")
    assert said["leaf"]["kind"] == "feedback"
    assert said["leaf"]["parent_id"] == answer["prediction_id"]
    assert said["leaf"]["facts"] == {"helpful": True, "source": "feedback", "verdict": "right"}
    assert (said["content"], said["subject"]) == ({"comment": "thanks a lot"}, "ada")


def test_a_receipt_verifies_offline_and_shows_spans_that_were_superseded(
    shell: Shell, answer: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "receipt.json"
    fresh = shell.run("ledger", "receipt", answer["prediction_id"], "--out", str(file))
    assert fresh.exit_code == 0, fresh.output
    assert "none of its evidence was superseded" in fresh.stdout
    verified = shell.run("ledger", "verify", "--receipt", str(file))
    assert verified.exit_code == 0, verified.output

    first, second, third = (item["span_id"] for item in answer["evidence"][:3])
    arguments = ("--span", first, "--reason", "it was about plan B", "--replacement", second)
    sealed = shell.json("ledger", "supersede", *arguments)
    assert sealed["affected"] == len(shell.lines("ledger", "affected", "--span", first)) >= 1
    hidden = shell.run(
        "spans", "quarantine", second, "--dataset", "help", "--reason", "out of date"
    )
    assert "1 hidden" in hidden.stdout
    assert f"past answers leaned on {second}" in hidden.stdout
    assert f"arenalab ledger affected --span {second}" in hidden.stdout
    # Of a span that is not there nothing is sealed.
    deleted = shell.json("spans", "delete", third, "0" * 32, "--dataset", "help")
    assert (deleted["deleted"], deleted["missing"]) == (1, 1)
    assert list(deleted["affected"]) == [third]
    released = shell.json("spans", "quarantine", second, "--dataset", "help", "--release")
    assert "affected" not in released

    said = shell.json("ledger", "receipt", answer["prediction_id"])["supersessions"]
    assert [(one["span_id"], one["reason"], one["replacement_id"]) for one in said] == [
        (first, "it was about plan B", second),
        (second, "out of date", ""),
        (third, "deleted by an operator", ""),
    ]
    assert said[0]["leaf_index"] == sealed["leaf_index"]
    shown = shell.run("ledger", "receipt", answer["prediction_id"]).stdout
    assert f"span {first}: it was about plan B; instead: {second}" in shown
    affected = shell.lines("ledger", "affected", "--span", first)
    assert answer["prediction_id"] in [one["leaf"]["entry_id"] for one in affected]
    assert "answers leaned on it" in shell.run("ledger", "affected", "--span", first).stdout


def test_an_export_grows_with_the_log_and_refuses_another(
    shell: Shell, answer: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "static"
    first = shell.json("ledger", "export", str(folder))
    assert first["entries"] == first["tree_size"]
    key = VerifierKey.parse(log_public_key(shell.home))
    for _ in range(2):
        shell.ask(QUESTION)
    note = (folder / "checkpoint").read_text()
    second = shell.json("ledger", "export", str(folder))
    assert (second["entries"], second["tree_size"]) == (2, first["tree_size"] + 2)
    assert (folder / "checkpoint").read_text() != note
    checkpoint = open_checkpoint((folder / "checkpoint").read_text(), [key])
    tree = TileReader(lambda path: (folder / path).read_bytes(), checkpoint)
    leaves = list(tree.leaves(0, checkpoint.size))
    assert answer["prediction_id"] in [json.loads(leaf)["entry_id"] for leaf in leaves]
    assert shell.json("ledger", "export", str(folder))["entries"] == 0
    assert not [path for path in folder.rglob("*") if path.name.endswith(".new")]
    # What is in the directory must be of this log, and the log must go on from it.
    (folder / "checkpoint").write_text(note.replace("arenalab.local", "somewhere.else"))
    refused = shell.run("ledger", "export", str(folder))
    assert refused.exit_code == 1
    assert "another log" in refused.stderr


def test_the_checkpoint_and_the_logs_are_shown(shell: Shell) -> None:
    [log] = shell.json("ledger", "logs")["logs"]
    newest = shell.json("ledger", "checkpoint")
    assert log["is_open"]
    assert log["tree_size"] == newest["tree_size"]
    assert newest["damage"] is None
    key = log_public_key(shell.home)
    assert newest["public_keys"] == [key]
    assert newest["checkpoint"] in shell.run("ledger", "checkpoint").stdout
    assert log["log"] in shell.run("ledger", "logs").stdout
    found = shell.json("ledger", "verify", "--processes", "1")
    assert found["valid"]
    command = [sys.executable, "-m", "arenalab.local", "ledger", "checkpoint", "--watch", "--json"]
    with subprocess.Popen(  # noqa: S603 - our own command
        [*command, "--home", str(shell.home.path)], stdout=subprocess.PIPE, text=True
    ) as watching:
        assert watching.stdout is not None
        sizes = [json.loads(watching.stdout.readline())["tree_size"]]
        shell.ask(QUESTION)
        sizes.append(json.loads(watching.stdout.readline())["tree_size"])
        watching.terminate()
    assert sizes == [newest["tree_size"], newest["tree_size"] + 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "nobody"), "UNKNOWN_LEAF"),
        (("receipt", "999999"), "UNKNOWN_LEAF"),
        (("trace", "xyz"), "trace_id must be 32"),
        (("scan", "--kind", "gossip"), "kind must be one of"),
        (("scan", "--since", "soon"), "since must be a time such as"),
        (("affected", "--span", ""), "span_id must have 1 to 64"),
        (("supersede", "--span", "s", "--reason", ""), "reason must have 1 to 1024"),
        (("erase", "--subject", "nobody", "--yes"), "UNKNOWN_LEAF"),
        (("checkpoint", "--log", "somewhere.else/log"), "UNKNOWN_LOG"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    shell: Shell, arguments: tuple[str, ...], message: str
) -> None:
    result = shell.run("ledger", *arguments)
    assert result.exit_code == 1
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


WORD = "quetzalcoatlus"


def _files_with_the_word(home: Home) -> list[str]:
    """Returns every file of a home that holds the word, in clear or in base64."""
    found = []
    for path in home.path.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            if path.name == "unsealed.ndjson":
                data += b"".join(base64.b64decode(line) for line in data.splitlines())
            if WORD.encode() in data.lower():
                found.append(str(path.relative_to(home.path)))
    return found


def test_an_erased_subjects_words_are_nowhere_in_the_home(
    published_home: Callable[[str], Home], start_mesh: Start
) -> None:
    home = published_home("erased")
    question = f"{QUESTION} Asks {WORD}"
    with running_provider() as provider:
        with shell_on(home, start_mesh, providers=(provider,), audit_rate=1.0) as shell:
            answers = [
                shell.ask(question, user="ada")["arenalab"],
                shell.ask(question, user="ada")["arenalab"],
                shell.ask(f"What does a {WORD} eat?", user="ada")["arenalab"],
            ]
            other = shell.ask(QUESTION, user="bob")["arenalab"]
            shell.json("feedback", answers[0]["prediction_id"], "--actual", WORD, "--audit")
            shell.json("feedback", answers[1]["prediction_id"], "--wrong", "--comment", WORD)
            assert {path.split("/")[0] for path in _files_with_the_word(home)} == {
                "ensemble",
                "predictor",
            }

            refused = shell.run("ledger", "erase", "--subject", "ada", stdin="n\n")
            assert refused.exit_code == 1
            assert _files_with_the_word(home)
            erased = shell.json("ledger", "erase", "--subject", "ada", "--yes")
            assert (erased["entries"], erased["predictions"], erased["labels"]) == (5, 3, 2)
            assert _files_with_the_word(home) == []
            for answer in answers:
                shown = shell.json("ledger", "show", answer["prediction_id"])
                assert (shown["content_state"], shown["content"]) == ("erased", None)
                assert "ERASED" in shell.run("ledger", "show", answer["prediction_id"]).stdout
            assert shell.json("ledger", "show", other["prediction_id"])["content"]
        assert _files_with_the_word(home) == []
    with shell_on(home, start_mesh) as shell:
        assert _files_with_the_word(home) == []
        [audit] = shell.json("audits")["audits"]
        assert audit["prediction_id"] == other["prediction_id"]
        shown = shell.json("ledger", "show", answers[0]["prediction_id"])
        assert shown["content_state"] == "erased"
        assert shell.json("ledger", "verify")["valid"]
