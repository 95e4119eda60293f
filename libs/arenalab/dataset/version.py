"""Reading a version: its spans, vectors and calibration, each checked."""

import hmac
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import zstandard
from blake3 import blake3
from numpy.typing import NDArray

from arenalab.atomic import Span, SpanError, parse_line
from arenalab.dataset.manifest import FileEntry, Manifest, corrupt
from arenalab.dataset.names import CALIBRATION_FILE, EMBEDDINGS_FILE, FILES, SPANS_FILE, VIEWS_FILE

Vectors: TypeAlias = NDArray[np.float32]

_READ_BYTES: Final = 1 << 20


class _Content:
    """The files that a version and a version in the making have alike."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def spans(self) -> Iterator[Span]:
        """Yields the spans in row order.

        Raises:
            DataLossError: The file is damaged, or does not hold one span per vector.
        """
        expected = self._expected_spans()
        count = 0
        try:
            with (
                (self.path / SPANS_FILE).open("rb") as file,
                zstandard.ZstdDecompressor().stream_reader(file) as stream,
                io.BufferedReader(stream, _READ_BYTES) as lines,
            ):
                for line in lines:
                    yield parse_line(line)
                    count += 1
        except (OSError, zstandard.ZstdError, SpanError) as error:
            raise corrupt(SPANS_FILE, f"row {count} cannot be read: {error}") from error
        # The decompressor ends without a word where a file was cut short.
        if count != expected:
            raise corrupt(SPANS_FILE, f"must hold {expected} spans, holds {count}")

    def embeddings(self) -> Vectors:
        """Returns the vectors, shape (n, d), mapped from disk: row i is of span i.

        Raises:
            DataLossError: The file is damaged.
        """
        try:
            vectors = np.load(self.path / EMBEDDINGS_FILE, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError, SyntaxError) as error:
            raise corrupt(EMBEDDINGS_FILE, f"cannot be read: {error}") from error
        if vectors.dtype != np.float32 or vectors.ndim != 2:  # noqa: PLR2004 - a matrix
            raise corrupt(
                EMBEDDINGS_FILE,
                f"must be a float32 matrix, is {vectors.dtype} in {vectors.ndim} dimensions",
            )
        return vectors  # type: ignore[no-any-return]

    def _expected_spans(self) -> int:
        return len(self.embeddings())


class StagedVersion(_Content):
    """A version in the making, as the curator has staged it."""


class DatasetVersion(_Content):
    """A finished version. Nothing of it ever changes."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        super().__init__(path)
        self.manifest = manifest

    def calibration(self) -> bytes:
        """Returns the predictor's artefact.

        Raises:
            DataLossError: The file is missing or is not the one of the manifest.
        """
        return self._checked(CALIBRATION_FILE)

    def views(self) -> bytes:
        """Returns the predictor's views; empty for a version without.

        Raises:
            DataLossError: The file is missing or is not the one of the manifest.
        """
        if all(entry.name != VIEWS_FILE for entry in self.manifest.files):
            return b""
        return self._checked(VIEWS_FILE)

    def _checked(self, name: str) -> bytes:
        entry = self.manifest.file(name)
        try:
            data = (self.path / name).read_bytes()
        except OSError as error:
            raise corrupt(name, f"cannot be read: {error}") from error
        _compare(entry, len(data), blake3(data).hexdigest())
        return data

    def embeddings(self) -> Vectors:
        vectors = super().embeddings()
        expected = (self.manifest.counts.spans, self.manifest.dimension)
        if vectors.shape != expected:
            raise corrupt(EMBEDDINGS_FILE, f"must have shape {expected}, has {vectors.shape}")
        return vectors

    def verify(self, trusted_public_key: bytes | None = None) -> None:
        """Checks the signature, the version, the Merkle root and the hash of every file.

        Args:
            trusted_public_key: The 32 bytes of the one key that may have signed;
                None accepts the key that the manifest names.

        Raises:
            DataLossError: Something does not fit; it names the file.
        """
        self.manifest.check_signature(trusted_public_key)
        self.manifest.check_identity()
        for name in FILES:
            self.manifest.file(name)
        for entry in self.manifest.files:
            found = hash_file(self.path / entry.name)
            _compare(entry, found.size, found.blake3)
        self.embeddings()

    def _expected_spans(self) -> int:
        return self.manifest.counts.spans


def hash_file(path: Path) -> FileEntry:
    """Returns the entry of the file at `path`.

    Raises:
        DataLossError: It cannot be read.
    """
    digest = blake3()
    try:
        with path.open("rb") as file:
            while block := file.read(_READ_BYTES):
                digest.update(block)
            return FileEntry(path.name, file.tell(), digest.hexdigest())
    except OSError as error:
        raise corrupt(path.name, f"cannot be read: {error}") from error


def _compare(entry: FileEntry, size: int, digest: str) -> None:
    if size != entry.size:
        raise corrupt(entry.name, f"must be {entry.size:,} bytes, is {size:,}")
    if not hmac.compare_digest(digest, entry.blake3):
        raise corrupt(entry.name, "its content does not have the hash of the manifest")
