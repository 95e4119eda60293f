"""`arenalab explain`, as a person uses it: a real home, a mesh of the command's own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from arenalab.local.home import Home

pytestmark = pytest.mark.slow
ARENALAB = Path(sys.executable).parent / "arenalab"


def _run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own command
        [str(ARENALAB), *arguments],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        env={**os.environ, "ARENALAB_HOME": str(home), "NO_COLOR": "1", "COLUMNS": "200"},
    )


@pytest.fixture(scope="module")
def home(published_home: Callable[[str], Home]) -> Path:
    return published_home("explain").path


def test_a_plan_is_shown_with_its_reason(home: Path) -> None:
    done = _run(home, "explain", "how do I start it?", "--domain", "operations")
    assert done.returncode == 0, done.stderr
    assert "chosen" in done.stdout
    assert "domains" in done.stdout
    assert "spans pass the filter" in done.stdout


def test_an_analysis_carries_the_plans_out(home: Path) -> None:
    done = _run(home, "explain", "how do I start it?", "--analyze", "--json", "--limit", "3")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)["plan"]
    assert plan["measured"]["hits"] == 3
    assert plan["measured"]["engine"] == "exact"
    assert plan["measured"]["search_us"] > 0
    assert str(plan["measured"]["matches"]) == plan["expected_matches"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--since", "yesterday"), "since must be an RFC 3339"),
        (("--recall", "2"), "recall must be in (0, 1]"),
        (("--recall", "0"), "recall must be in (0, 1], got 0"),
        (("--recall", "nan"), "recall must be in (0, 1]"),
        (("--dataset", "nothing"), "nothing"),
    ],
)
def test_what_cannot_be_planned_is_one_line(
    home: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = _run(home, "explain", "anything", *arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("question", ["", "  \n"])
def test_a_blank_question_is_refused(home: Path, question: str) -> None:
    done = _run(home, "explain", question)
    assert done.returncode == 1
    assert "question must not be blank" in done.stderr
    assert "EMPTY_TEXT" in done.stderr
