"""The verifier runs with blake3 and pynacl alone, without services and other packages."""

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from .conftest import PUBLIC_KEY, an_entry, open_log

ROOT = Path(__file__).parents[3]
PROGRAM = """
import runpy
import sys

ALLOWED = {"arenalab", "blake3", "nacl", "cffi", "_cffi_backend", "pycparser"}  # cffi: of pynacl


class OnlyWhatAVerifierHas:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in ALLOWED and top not in sys.stdlib_module_names:
            raise ImportError(f"{name} is not there")


sys.meta_path.insert(0, OnlyWhatAVerifierHas())
runpy.run_module("arenalab.ledger.verify", run_name="__main__", alter_sys=True)
"""


def verify(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", PROGRAM, *arguments],
        env={"PYTHONPATH": os.pathsep.join((str(ROOT / "libs"), str(ROOT / "services")))},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_log_is_verified_with_the_standard_library_blake3_and_pynacl_alone(
    tmp_path: Path,
) -> None:
    with closing(open_log(tmp_path / "log", segment_bytes=2000)) as log:
        for n in range(12):
            log.commit([an_entry(f"e{n}")])
    run = verify("--public-key", PUBLIC_KEY, str(log.directory), "--processes", "2")
    assert (run.stdout, run.stderr) == ("valid: 12 entries, 12 checkpoints\n", "")
    assert run.returncode == 0
    path = log.directory / "00000000.ndjson"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b"memory", b"forged", 1))
    run = verify("--public-key", PUBLIC_KEY, str(log.directory))
    assert run.returncode == 1
    assert run.stdout.startswith("00000000.ndjson at byte 0: ")
