"""A writer that is killed at any moment, on a disk that fails, has lost nothing it told."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_kills_lose_nothing_and_leave_nothing_half_written() -> None:
    # A process of its own: it forks, and a test runner has threads. `make crash-ledger`
    # kills 200 times, or as often as it is told.
    command = [sys.executable, "-m", "tests.crash.ledger", "--kills", "60", "--seed", "20261128"]
    run = subprocess.run(  # noqa: S603 - our own module
        command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    outcome = json.loads(run.stdout.splitlines()[-1])
    assert (outcome["kills"], outcome["lost"], outcome["half_written"]) == (60, 0, 0)
    # It would show nothing if nothing had been told, failed or erased.
    assert outcome["acknowledged"] > 60
    assert outcome["faults"] > 0
    assert outcome["erased"] > 0
