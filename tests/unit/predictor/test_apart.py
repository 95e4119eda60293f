import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from arenalab.mesh import InvalidInputError, MeshError
from arenalab.predictor.apart import run_apart

ECHO = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])"
FAIL = "import sys; sys.stdin.read(); sys.exit('out of wool')"
REFUSE = """
from arenalab.mesh import InvalidInputError
from arenalab.predictor.apart import refusals_on_stderr

with refusals_on_stderr():
    raise InvalidInputError("too small", field="size")
"""
WAIT = """
import os, signal, sys

with open(sys.stdin.read(), "w") as fifo:
    fifo.write(str(os.getpid()))
signal.pause()
"""


@pytest.fixture
def knit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], object]:
    """Writes the code of a module named `knitting`."""
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    return (tmp_path / "knitting.py").write_text


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


async def test_what_goes_in_is_worked_on_and_comes_out(knit: Callable[[str], object]) -> None:
    knit(ECHO)
    job = bytes(range(256)) * 1_000
    assert await run_apart("knitting", job) == job[::-1]


async def test_a_failure_says_what_the_process_said(knit: Callable[[str], object]) -> None:
    knit(FAIL)
    with pytest.raises(MeshError, match="status 1: out of wool"):
        await run_apart("knitting", b"")


async def test_a_refusal_is_raised_as_it_was(knit: Callable[[str], object]) -> None:
    knit(REFUSE)
    with pytest.raises(InvalidInputError, match="too small") as caught:
        await run_apart("knitting", b"")
    assert caught.value.metadata["field"] == "size"


async def test_a_caller_that_goes_away_ends_the_process(
    knit: Callable[[str], object], fifo: Path
) -> None:
    knit(WAIT)
    running = asyncio.create_task(run_apart("knitting", str(fifo).encode()))
    pid = int(await asyncio.to_thread(fifo.read_text))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
