"""The model's files: their names and hashes, where they are, whether they are the right ones.

The hashes are the only thing that makes a downloaded or copied file trustworthy, so nothing is read
without being checked.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

MODEL_ID = "minilm-l6-v2-int8-token"
DIMENSION = 384
# The model was trained on at most this many tokens; its position table has more rows.
MAX_TOKENS = 256
INPUT_NAME, OUTPUT_NAME = "ids", "vector"

GRAPH_NAME = f"{MODEL_ID}.onnx"
VOCABULARY_NAME = "vocab.txt"
WEIGHTS_NAME = "model.safetensors"
TOKENIZER_NAME = "tokenizer.json"

# What the build reads: all-MiniLM-L6-v2 as its authors published it.
SOURCE_SHA256: Mapping[str, str] = {
    WEIGHTS_NAME: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    TOKENIZER_NAME: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
# What the build writes. Changing `graph.py` changes the first, and with it the identity of every
# vector stored so far.
MODEL_SHA256: Mapping[str, str] = {
    GRAPH_NAME: "f4923a289fa797d9c39208dea1cb27fe49142a2632be4a404a7555b53a754342",
    VOCABULARY_NAME: "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}

# Inside the package, so that the wheel and the image carry the model along.
DEFAULT_MODEL_DIR = Path(__file__).resolve().parent.parent / "model"


class ModelFilesError(RuntimeError):
    """A file of the model is missing or is not the expected one."""


def sha256_hex(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def verify_file(path: Path, sha256: str, *, remedy: str) -> None:
    """Raises ModelFilesError with the path, both hashes and the remedy if the file is another one.

    Reads in pieces: a copy of the whole file would stay in the process's memory.
    """
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ModelFilesError(f"cannot read {path}: {reason}. {remedy}") from error
    _compare(str(path), sha256, found, remedy)


def verify_bytes(content: bytes, sha256: str, *, name: str, remedy: str) -> None:
    """Raises ModelFilesError if the content of the named file has another hash."""
    _compare(name, sha256, sha256_hex(content), remedy)


def _compare(name: str, expected: str, found: str, remedy: str) -> None:
    if found != expected:
        raise ModelFilesError(f"{name}: expected sha256 {expected}, found {found}. {remedy}")
