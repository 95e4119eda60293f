"""From the shell: an answer is asked again of the data that it came from."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from arenalab.local.home import Home
from tests.e2e.shell import Shell, Start, running_provider, shell_on

pytestmark = pytest.mark.slow
QUESTION = "Is one tenant able to look at another tenant's data?"
UNKNOWN = "Which wine goes well with grilled salmon?"


@pytest.fixture(scope="module")
def home(published_home: Callable[[str], Home]) -> Home:
    return published_home("replayed")


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture(scope="module")
def shell(home: Home, start_mesh: Start) -> Iterator[Shell]:
    with shell_on(home, start_mesh) as running:
        yield running


def _size(shell: Shell) -> int:
    return int(shell.json("ledger", "checkpoint")["tree_size"])


@pytest.mark.parametrize(
    ("question", "policy", "route"),
    [
        (QUESTION, {}, "memory"),
        (QUESTION, {"alpha": 0.1, "guarantee_kind": "expectation", "max_evidence": 9}, "memory"),
        (QUESTION, {"max_age_s": 3e9, "strategy": "cascade"}, "memory"),
        (UNKNOWN, {}, "abstain"),  # no provider is configured, and the answer says so
        (UNKNOWN, {"fallback": "never"}, "abstain"),
    ],
)
def test_the_same_version_gives_the_same_bytes_and_seals_nothing(
    shell: Shell, tmp_path: Path, question: str, policy: dict[str, Any], route: str
) -> None:
    completion = shell.ask(question, arenalab=policy, user="ada")
    assert completion["arenalab"]["route"] == route
    file = tmp_path / "answer.json"
    file.write_text(json.dumps(completion))
    before = _size(shell)
    result = shell.run("ledger", "replay", str(file))
    assert result.exit_code == 0, result.output
    assert "byte-identical on help" in result.stdout
    again = shell.json("ledger", "replay", completion["arenalab"]["prediction_id"])
    assert again["identical"]
    assert again["versions"] == {"help": completion["arenalab"]["dataset_version"]}
    assert again["answer"]["sealed"] == again["answer"]["replayed"]
    assert _size(shell) == before


def test_another_receipt_than_the_ledgers_is_not_replayed(shell: Shell, tmp_path: Path) -> None:
    receipt = shell.ask(QUESTION)["arenalab"]["receipt"]
    receipt["leaf_index"] += 1
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps(receipt))
    result = shell.run("ledger", "replay", str(file))
    assert result.exit_code == 2
    assert "error:" in result.stderr


def test_what_is_no_answer_is_not_replayed(shell: Shell) -> None:
    publication = shell.lines("ledger", "scan", "--kind", "publication")[0]
    result = shell.run("ledger", "replay", str(publication["leaf_index"]))
    assert result.exit_code == 2
    assert "is a publication, not an answer" in result.stderr
    assert shell.run("ledger", "replay", "nothing-has-this-id").exit_code == 2


def test_an_erased_answer_is_told_as_erased(shell: Shell) -> None:
    answer = shell.ask(QUESTION, user="to-be-forgotten")["arenalab"]
    shell.json("ledger", "erase", "--subject", "to-be-forgotten", "--yes")
    result = shell.run("ledger", "replay", answer["prediction_id"])
    assert result.exit_code == 2
    assert "ERASED" in result.stderr


def test_a_changed_dataset_leaves_old_answers_as_they_were(
    published_home: Callable[[str], Home],
    start_mesh: Start,
    tmp_path: Path,
) -> None:
    home = published_home("changed")
    with shell_on(home, start_mesh) as shell:
        first = shell.ask(QUESTION)["arenalab"]
        best = first["evidence"][0]["span_id"]
        spans = tmp_path / "more.csv"
        spans.write_text(f'question,best answer\n"{QUESTION}","Never, since last week."\n')
        read = shell.run("ingest", str(spans), "--format", "qa-csv", "--dataset", "help")
        assert read.exit_code == 0, read.output
        published = shell.run("publish", "help", "--force")
        assert published.exit_code == 0, published.output
        second = shell.ask(QUESTION)["arenalab"]
        assert second["dataset_version"] != first["dataset_version"]
        shell.run("spans", "quarantine", best, "--dataset", "help")
        for answer in (first, second):
            again = shell.json("ledger", "replay", answer["prediction_id"])
            assert again["versions"] == {"help": answer["dataset_version"]}
            assert again["identical"]
        # What was hidden by hand is in no version: the replay finds it again, and says so.
        third = shell.ask(QUESTION)["arenalab"]
        assert best not in [item["span_id"] for item in third["evidence"]]
        hidden = shell.run("ledger", "replay", third["prediction_id"])
        assert hidden.exit_code == 1
        assert "evidence_ids" in hidden.stdout
        assert "hidden or weighed by hand" in hidden.stdout
        shutil.rmtree(home.path / "datasets" / "default" / "help" / first["dataset_version"])
        gone = shell.run("ledger", "replay", first["prediction_id"])
        assert gone.exit_code == 2
        assert first["dataset_version"] in gone.stderr


def test_another_calibration_is_shown_as_the_difference(
    published_home: Callable[[str], Home], start_mesh: Start
) -> None:
    home = published_home("doctored")
    with shell_on(home, start_mesh) as shell:
        answer = shell.ask(QUESTION)["arenalab"]
        version = home.path / "datasets" / "default" / "help" / answer["dataset_version"]
        artefact = json.loads((version / "calibration.json").read_bytes())
        artefact["alpha"] = 0.001
        override = home.path / "predictor" / "calibration" / "default" / "help"
        override.mkdir(parents=True)
        (override / f"{answer['dataset_version']}.json").write_text(json.dumps(artefact))
        result = shell.run("ledger", "replay", answer["prediction_id"])
        assert result.exit_code == 1, result.output
        assert "it differs" in result.stdout
        assert "config.help.calibration" in result.stdout
        assert "guarantee.alpha" in result.stdout
        told = shell.run("ledger", "replay", answer["prediction_id"], "--json")
        assert told.exit_code == 1
        form = json.loads(told.stdout)
        assert not form["identical"]
        assert form["differences"]["guarantee.alpha"]["replayed"] == 0.001


def test_a_providers_answer_cannot_be_replayed(
    published_home: Callable[[str], Home], start_mesh: Start
) -> None:
    home = published_home("fallen")
    with (
        running_provider() as provider,
        shell_on(home, start_mesh, providers=(provider,)) as shell,
    ):
        answer = shell.ask(UNKNOWN)["arenalab"]
        assert answer["route"] == "fallback"
        result = shell.run("ledger", "replay", answer["prediction_id"])
        assert result.exit_code == 2
        assert "local gave this answer" in result.stderr
