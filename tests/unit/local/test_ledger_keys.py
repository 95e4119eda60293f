"""`arenalab ledger keys` and `rotate-key` on a home of their own."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from arenalab.local.cli.app import app
from arenalab.local.home import Home
from arenalab.local.keys import log_public_key, log_public_keys


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("LEDGER_SIGNING_KEY", raising=False)
    return Home.create(tmp_path / "home")[0]


def run(home: Home, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["ledger", *arguments, "--home", str(home.path)])


def test_a_rotated_key_is_listed_beside_the_one_before_it(home: Home) -> None:
    old = log_public_key(home)
    rotated = run(home, "rotate-key", "--overlap-days", "7")
    assert rotated.exit_code == 0, rotated.stderr
    assert log_public_keys(home)[1:] == [old]
    assert f"new key: {log_public_key(home)}" in rotated.stdout
    assert "at its next start" in rotated.stdout
    listed = json.loads(run(home, "keys", "--json").stdout)["keys"]
    assert [(key["verifier_key"], key["state"]) for key in listed] == [
        (log_public_key(home), "current"),
        (old, "overlapping"),
    ]
    assert listed[0]["hash"] == log_public_key(home).split("+")[1]
    assert listed[0]["until"] is None
    assert listed[1]["until"].endswith("Z")
    lines = run(home, "keys").stdout.splitlines()
    assert lines[0] == f"{log_public_key(home)}  current"
    assert lines[1] == f"{old}  overlapping until {listed[1]['until']}"


def test_a_second_rotation_must_be_forced(home: Home) -> None:
    run(home, "rotate-key")
    refused = run(home, "rotate-key")
    assert refused.exit_code == 1
    assert "signs until" in refused.stderr
    assert len(log_public_keys(home)) == 2
    assert run(home, "rotate-key", "--force").exit_code == 0
    assert len(log_public_keys(home)) == 3


def test_no_seed_is_shown(home: Home) -> None:
    seeds = [home.ledger_key.read_text().strip()]
    shown = run(home, "rotate-key").output + run(home, "keys").output
    shown += run(home, "keys", "--json").output + run(home, "rotate-key").output
    seeds.append(home.ledger_key.read_text().strip())
    assert not any(seed in shown for seed in seeds)


def test_a_key_from_the_environment_is_listed_and_not_rotated_here(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = home.ledger_key.read_bytes()
    monkeypatch.setenv("LEDGER_SIGNING_KEY", "11" * 32)
    listed = json.loads(run(home, "keys", "--json").stdout)["keys"]
    assert listed[0]["verifier_key"] != log_public_key(home)
    refused = run(home, "rotate-key")
    assert refused.exit_code == 1
    assert "LEDGER_SIGNING_KEY" in refused.stderr
    assert "11" * 32 not in refused.output
    assert home.ledger_key.read_bytes() == before
