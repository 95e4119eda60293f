"""Taking a dataset version out of the dataset store, checked before it is served."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np

from arenalab.dataset import DatasetStore, DatasetVersion
from arenalab.mesh import DataLossError, PreconditionError, Reason
from arenalab.search.embedder.protocol import EmbedderIdentity
from arenalab.search.index import FloatArray
from arenalab.search.store.row import NewRow, row_of

_KEY_BYTES: Final = 32
# How far a stored vector's squared length may be from 1.
_UNIT_TOLERANCE: Final = 1e-3


class Datasets:
    """Opens versions that the trusted key signed and the running embedder embedded."""

    def __init__(
        self,
        store: DatasetStore,
        embedder: EmbedderIdentity,
        trusted_key: Callable[[], bytes | None] = lambda: None,
    ) -> None:
        """Keeps its arguments; `trusted_key` is asked at each opening, None trusts any key."""
        self._store = store
        self._embedder = embedder
        self._trusted_key = trusted_key

    def open(self, tenant: str, dataset: str, version: str) -> DatasetVersion:
        """Returns a version whose every hash and signature is right.

        Raises:
            NotFoundError: UNKNOWN_DATASET; the version is not there.
            DataLossError: CORRUPT_DATASET; something in it does not fit.
            PreconditionError: EMBEDDER_MISMATCH, or MISSING_KEY.
        """
        opened = self._store.open(tenant, dataset, version)
        opened.verify(self._trusted_key())
        manifest = opened.manifest
        self.check_embedder(manifest.embedder_id, manifest.embedder_digest)
        check_vectors(opened.embeddings(), self._embedder.dimension)
        return opened

    def check_embedder(self, embedder_id: str, digest: str) -> None:
        """Raises PreconditionError, EMBEDDER_MISMATCH, for vectors of another embedder."""
        if digest != self._embedder.digest:
            expected, found = self.name(embedder_id, digest), self.name(*self._own)
            raise PreconditionError(
                f"the dataset was embedded by {expected}, search runs {found}: publish it again,"
                " or start search with that embedder",
                Reason.EMBEDDER_MISMATCH,
                expected=expected,
                found=found,
            )

    @property
    def _own(self) -> tuple[str, str]:
        return self._embedder.id, self._embedder.digest

    @staticmethod
    def name(embedder_id: str, digest: str) -> str:
        """Returns an embedder's name for people: its id and the start of its digest."""
        return f"{embedder_id}@{digest[:12]}"


def rows_of(version: DatasetVersion) -> list[NewRow]:
    """Returns the rows of a version in the order of its vectors.

    Raises:
        DataLossError: CORRUPT_DATASET; a span is damaged, missing, or there twice.
    """
    rows = list(_rows(version))
    if len(rows) != len(version.embeddings()):
        raise _corrupt(
            "spans.ndjson.zst", f"holds {len(rows)} spans for {len(version.embeddings())} vectors"
        )
    return rows


def _rows(version: DatasetVersion) -> Iterator[NewRow]:
    seen: set[str] = set()
    for span in version.spans():
        if span.id in seen:
            raise _corrupt("spans.ndjson.zst", f"holds span {span.id} twice")
        seen.add(span.id)
        yield row_of(span)


def check_vectors(vectors: FloatArray, dimension: int) -> None:
    """Raises DataLossError, CORRUPT_DATASET, for anything but unit vectors of that dimension."""
    name = "embeddings.npy"
    if vectors.shape[1:] != (dimension,):
        raise _corrupt(name, f"must have {dimension} columns, has shape {vectors.shape}")
    lengths = np.einsum("ij,ij->i", vectors, vectors)
    # Written so that a NaN fails it too.
    if not np.all(np.abs(lengths - 1.0) <= _UNIT_TOLERANCE):
        raise _corrupt(name, "holds a row that is not a unit vector")


def read_public_key(path: Path) -> bytes:
    """Returns the 32 bytes of an Ed25519 public key, kept as they are or in hexadecimal.

    Raises:
        PreconditionError: MISSING_KEY; the file is not there or holds no key.
    """
    try:
        data = path.read_bytes()
        key = data if len(data) == _KEY_BYTES else bytes.fromhex(data.decode("ascii").strip())
    except (OSError, ValueError) as error:
        raise _missing(path) from error
    if len(key) != _KEY_BYTES:
        raise _missing(path)
    return key


def _missing(path: Path) -> PreconditionError:
    return PreconditionError(
        f"{path} must hold the {_KEY_BYTES} bytes of the public key that signs datasets",
        Reason.MISSING_KEY,
        key=str(path),
    )


def _corrupt(file: str, message: str) -> DataLossError:
    return DataLossError(f"{file}: {message}", Reason.CORRUPT_DATASET, file=file)
