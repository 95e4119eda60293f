"""The LiteLLM proxy, in an environment of its own, with its local cache in front of the stub."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx

VERSION: Final = "1.106.*"
MODEL: Final = "fixed"
_ENVIRONMENT: Final = Path("build/litellm")
_START_S: Final = 120.0


def installed() -> Path:
    """Returns the program, which the first call installs below build/."""
    program = _ENVIRONMENT / "bin" / "litellm"
    if not program.exists():
        print(f"installing litellm[proxy] {VERSION} into {_ENVIRONMENT} …", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(_ENVIRONMENT)], check=True)  # noqa: S603
        python = str(_ENVIRONMENT / "bin" / "python")
        wanted = f"litellm[proxy]=={VERSION}"
        subprocess.run([python, "-m", "pip", "install", "--quiet", wanted], check=True)  # noqa: S603
    return program


@contextmanager
def running_proxy(program: Path, folder: Path, stub: str, workers: int) -> Iterator[str]:
    """Runs the proxy for the length of the block; yields its base URL."""
    port = _free_port()
    config = {
        "model_list": [
            {
                "model_name": MODEL,
                "litellm_params": {
                    "model": "openai/stub-1",
                    "api_base": stub,
                    "api_key": "sk-stub",
                },
            }
        ],
        "litellm_settings": {
            "cache": True,
            "cache_params": {"type": "local"},
            "telemetry": False,
            "num_retries": 0,
        },
    }
    path = folder / "litellm.json"  # JSON is YAML
    path.write_text(json.dumps(config))
    command = [str(program.absolute()), "--config", str(path), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--num_workers", str(workers), "--telemetry", "False"]
    with (
        (folder / "litellm.log").open("wb") as log,
        subprocess.Popen(  # noqa: S603 - the program that was installed
            command, cwd=folder, env=_variables(), stdout=log, stderr=log
        ) as process,
    ):
        try:
            _wait(port, process, folder / "litellm.log")
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()


def _variables() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return inherited | {
        # Without a master key; it is asked on loopback only.
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it fetches one from the network
        "LITELLM_LOG": "ERROR",
        "LITELLM_MODE": "PRODUCTION",
    }


def _wait(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    ends_s = time.monotonic() + _START_S
    while time.monotonic() < ends_s:
        if process.poll() is not None:
            break
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health/liveliness", timeout=5).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise RuntimeError(f"LiteLLM did not start:\n{log.read_text()[-4000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
