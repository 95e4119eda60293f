"""From the shell: answers are audited, found wrong, and not given any more."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from arenalab.local.cli.app import app
from arenalab.local.configs import Settings
from arenalab.local.home import Home, Running

pytestmark = pytest.mark.slow
QUESTION = "Is one tenant able to look at another tenant's data?"


@dataclass(frozen=True)
class Shell:
    """Commands on a mesh of this test's own, which audits every answer."""

    home: Home
    running: Running

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, [*arguments, "--home", str(self.home.path)])

    def json(self, *arguments: str) -> Any:
        result = self.run(*arguments, "--json")
        assert result.stdout, result.stderr
        return json.loads(result.stdout)


@pytest.fixture
def shell(
    tmp_path_factory: pytest.TempPathFactory,
    start_mesh: Callable[[Home, Settings], AbstractContextManager[Running]],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Shell]:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    home, _ = Home.create(tmp_path_factory.mktemp("audited"))
    settings = replace(Settings.of(home, {}), otlp_endpoint=None, audit_rate=1.0)
    with home.locked(), start_mesh(home, settings) as running, home.announced(running):
        yield Shell(home, running)


def test_audits_found_wrong_end_the_answers(
    shell: Shell, publish_builtin: Callable[[str], Any]
) -> None:
    assert "nothing is published" in shell.run("guarantee").stdout
    publish_builtin(shell.running.addresses["curator"])
    before = shell.run("guarantee")
    assert before.exit_code == 0, before.stderr
    assert "help: valid" in before.stdout
    assert "error of served answers not known" in before.stdout

    answer = shell.json("ask", QUESTION)["arenalab"]
    assert (answer["route"], answer["audited"]) == ("memory", True)
    assert answer["audit_propensity"] == 1.0
    shown = shell.run("audits")
    assert answer["prediction_id"] in shown.stdout
    assert QUESTION in shown.stdout
    assert "1 to label" in shown.stdout

    said = shell.run("feedback", answer["prediction_id"], "--wrong", "--audit")
    assert "memory was wrong" in said.stdout
    again = shell.run("feedback", answer["prediction_id"], "--right", "--audit")
    assert "memory was wrong" in again.stdout
    assert "which stands" in again.stdout
    for _ in range(6):
        asked = shell.json("ask", QUESTION)["arenalab"]
        if asked["route"] != "memory":
            break
        told = shell.json("feedback", asked["prediction_id"], "--actual", "Never.", "--audit")
        assert told == {"verdict": "wrong", "known": False}

    void = shell.run("guarantee")
    assert void.exit_code == 1
    assert "help: void" in void.stdout
    assert "audit test: e-value" in void.stdout
    [state] = shell.json("guarantee")["datasets"]
    assert state["guarantee"]["status"] == "GUARANTEE_STATUS_VOID"
    asked = shell.json("ask", QUESTION)["arenalab"]
    assert (asked["route"], asked["abstain"]["reason"]) == ("abstain", "guarantee_void")
    ready = httpx.get(f"{shell.running.gateway}/ready")
    assert ready.status_code == 200
    assert ready.json()["guarantees"] == {"help": "void"}
    metrics = httpx.get(f"{shell.running.gateway}/metrics").text
    assert 'arenalab_guarantee_status{dataset="help",tenant="default"} 3.0' in metrics

    few = shell.run("recalibrate")
    assert few.exit_code == 1
    assert "at least 50 examples" in few.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("feedback", "p", "--right"), "UNKNOWN_PREDICTION"),
        (("feedback", "p", "--right", "--wrong"), "contradict"),
        (("feedback", "p"), "must be set"),
        (("recalibrate",), "NO_DATASET"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    shell: Shell, arguments: tuple[str, ...], message: str
) -> None:
    result = shell.run(*arguments)
    assert result.exit_code == 1
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
