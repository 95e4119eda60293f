"""`arenalab keys`: made, listed, rotated, revoked; a secret is shown once."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from arenalab.local.cli.console import out
from arenalab.local.cli.keys import app, parse_duration
from arenalab.local.home import Home
from arenalab.mesh import InvalidInputError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("GATEWAY_KEYS_URL", "GATEWAY_KEY_PEPPER", "GATEWAY_KEY_PEPPER_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(out, "width", 250)  # or cells of the table break
    made, first = Home.create(tmp_path / "home")
    assert first is not None
    assert first.startswith("al_")
    return made.path


def _run(home: Path, *arguments: str, status: int = 0) -> str:
    ran = CliRunner().invoke(app, [*arguments, "--home", str(home)])
    assert ran.exit_code == status, ran.output
    return ran.stdout


def _json(home: Path, *arguments: str) -> Any:
    return json.loads(_run(home, *arguments, "--json"))


def _listed(home: Path) -> dict[str, Any]:
    """Returns what is listed of each key, by its name."""
    return {key["name"]: key for key in _json(home, "list")["keys"]}


def test_a_key_is_shown_once_and_listed_with_its_terms(home: Path) -> None:
    made = _json(
        home, "create", "--name", "[b]app", "--tenant", "acme", "--model", "arenalab",
        "--model", "openai/*", "--budget-usd-day", "2.5", "--budget-usd-total", "100",
        "--requests-per-minute", "60", "--tokens-per-day", "1000000", "--expires", "30d",
    )  # fmt: skip
    listed = _listed(home)
    assert set(listed) == {"first-key", "[b]app"}
    key = listed["[b]app"]
    assert key["id"] == made["id"]
    assert (key["tenant"], key["state"]) == ("acme", "active")
    assert key["models"] == ["arenalab", "openai/*"]
    assert key["limits"] == {
        "requests_per_minute": 60,
        "requests_per_day": None,
        "tokens_per_minute": None,
        "tokens_per_day": 1_000_000,
        "usd_micros_per_day": 2_500_000,
        "usd_micros_total": 100_000_000,
    }
    assert key["used"]["usd_micros_total"] == 0
    table = _run(home, "list")
    assert "2.5 $/day" in table
    assert "[b]app" in table
    for shown in (table, json.dumps(listed)):
        assert made["key"][16:] not in shown


def test_a_key_is_rotated_and_revoked_by_its_id(home: Path) -> None:
    made = _json(home, "create", "--name", "app")
    fresh = _json(home, "rotate", made["id"], "--overlap", "12h")
    assert fresh["id"] == made["id"]
    assert fresh["key"] != made["key"]
    assert _listed(home)["app"]["previous_secret_until"] is not None
    # A whole key that was pasted in place of its id is not shown again.
    assert fresh["key"][16:] not in _run(home, "revoke", fresh["key"])
    assert _listed(home)["app"]["state"] == "revoked"
    _run(home, "rotate", made["id"], status=1)


@pytest.mark.parametrize(
    "arguments",
    [
        ("revoke", "aaaaaaaaaaaa"),
        ("rotate", "aaaaaaaaaaaa"),
        ("create", "--name", "app", "--tenant", "No Tenant"),
        ("create", "--name", "app", "--expires", "soon"),
        ("create", "--name", "app", "--expires", "0d"),
        ("create", "--name", "app", "--model", "*"),
    ],
)
def test_what_cannot_be_done_changes_nothing(home: Path, arguments: tuple[str, ...]) -> None:
    _run(home, *arguments, status=1)
    assert set(_listed(home)) == {"first-key"}


def test_the_environment_names_another_store(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_KEYS_URL", f"sqlite:///{tmp_path}/other.sqlite")
    monkeypatch.setenv("GATEWAY_KEY_PEPPER", "ab" * 32)
    ran = CliRunner().invoke(app, ["create", "--name", "there", "--json"])
    assert ran.exit_code == 0
    listed = json.loads(CliRunner().invoke(app, ["list", "--json"]).stdout)["keys"]
    assert [key["name"] for key in listed] == ["there"]
    assert set(_listed(home)) == {"first-key"}


@pytest.mark.parametrize(
    ("text", "duration"),
    [("90m", timedelta(minutes=90)), ("12h", timedelta(hours=12)), ("30d", timedelta(days=30))],
)
def test_durations_are_numbers_and_a_unit(text: str, duration: timedelta) -> None:
    assert parse_duration("expires", text) == duration


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5h", "1w", "1d1h"])
def test_another_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="--expires"):
        parse_duration("expires", text)


def test_every_command_is_one_of_the_group() -> None:
    group = typer.main.get_group(app)
    assert set(group.commands) == {"create", "list", "revoke", "rotate"}
