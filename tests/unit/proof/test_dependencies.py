"""Who verifies needs blake3 and pynacl, and nothing else of what ArenaLab depends on."""

import subprocess
import sys
from pathlib import Path

LIBS = Path(__file__).parents[3] / "libs"
PROGRAM = """
import sys

ALLOWED = {"arenalab", "blake3", "nacl", "cffi", "_cffi_backend", "pycparser"}  # cffi: of pynacl


class OnlyWhatAVerifierHas:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in ALLOWED and top not in sys.stdlib_module_names:
            raise ImportError(f"{name} is not there")
        if name.startswith("arenalab.") and not name.startswith("arenalab.proof"):
            raise ImportError(f"{name} is not there")


sys.meta_path.insert(0, OnlyWhatAVerifierHas())
for refused in ("grpc", "rfc8785", "arenalab.mesh", "arenalab.proof.proto_form"):
    try:
        __import__(refused)
    except ImportError:
        continue
    raise SystemExit(f"{refused} could be imported")

import importlib
import pkgutil

import arenalab.proof

for module in pkgutil.iter_modules(arenalab.proof.__path__):
    if module.name != "proto_form":
        importlib.import_module(f"arenalab.proof.{module.name}")
ring = arenalab.proof.KeyRing(arenalab.proof.Signer("example.org/log", bytes(32)))
print(arenalab.proof.open_note(ring.sign("text\\n"), ring.verifier_keys), end="")
"""


def test_proofs_need_the_standard_library_blake3_and_pynacl_alone() -> None:
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", PROGRAM],
        env={"PYTHONPATH": str(LIBS)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("text\n", "", 0)
