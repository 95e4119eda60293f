"""Writing a version: files first, then the signed manifest, then one rename."""

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import zstandard
from blake3 import blake3
from nacl.signing import SigningKey

from arenalab.atomic import JSON, Span, dump_line
from arenalab.dataset.manifest import (
    Counts,
    Embedder,
    Manifest,
    Settings,
    merkle_root,
    parse_manifest,
    version_of,
)
from arenalab.dataset.names import (
    CALIBRATION_FILE,
    EMBEDDINGS_FILE,
    FILES,
    MANIFEST_FILE,
    OPTIONAL_FILES,
    SPANS_FILE,
    VIEWS_FILE,
)
from arenalab.dataset.version import DatasetVersion, Vectors, hash_file
from arenalab.durable import sync_folder
from arenalab.mesh import DataLossError

# Level 3 compresses text of spans about fivefold at hundreds of MB/s.
_LEVEL: Final = 3


class Staging:
    """One version in the making: a folder that nobody takes for a version.

    Write the spans, the vectors in the same order and the calibration, then seal.
    """

    def __init__(self, path: Path, tenant: str, name: str) -> None:
        self.path = path
        self._tenant = tenant
        self._name = name
        self._domains: Counter[str] = Counter()
        self._outcomes: set[bytes] = set()
        self._range: tuple[tuple[int, str], tuple[int, str]] | None = None

    @property
    def name(self) -> str:
        """The folder's name below the dataset's."""
        return self.path.name

    def write_spans(self, spans: Iterable[Span]) -> int:
        """Writes the spans as they come; returns how many."""
        count = 0
        with (self.path / SPANS_FILE).open("xb") as file:
            with zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).stream_writer(
                file, closefd=False
            ) as stream:
                for span in spans:
                    stream.write(dump_line(span))
                    self._count(span)
                    count += 1
            _sync(file)
        return count

    def write_embeddings(self, blocks: Iterable[Vectors], *, rows: int, dimension: int) -> None:
        """Writes the vectors of the spans, in their order.

        Args:
            blocks: Matrices that together have `rows` rows.
            rows: How many there are.
            dimension: Columns of each.

        Raises:
            ValueError: The blocks do not have this shape.
        """
        written = 0
        with (self.path / EMBEDDINGS_FILE).open("xb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (rows, dimension)}
            np.lib.format.write_array_header_1_0(file, header)
            for block in blocks:
                if block.ndim != 2 or block.shape[1] != dimension:  # noqa: PLR2004 - a matrix
                    raise ValueError(f"a block must be (n, {dimension}), got {block.shape}")
                file.write(np.ascontiguousarray(block, dtype="<f4").tobytes())
                written += len(block)
            if written != rows:
                raise ValueError(f"blocks must have {rows} rows together, got {written}")
            _sync(file)

    def write_calibration(self, artefact: bytes, views: bytes = b"") -> None:
        """Writes the predictor's artefact, and its views unless they are empty."""
        self._write(CALIBRATION_FILE, artefact)
        if views:
            self._write(VIEWS_FILE, views)

    def seal(
        self,
        key: SigningKey,
        *,
        embedder: Embedder,
        settings: Settings,
        quality: Mapping[str, JSON],
        calibration: Mapping[str, JSON],
        build_time: str,
    ) -> DatasetVersion:
        """Signs the manifest and gives the folder the name of its version.

        When that version is there already it stays as it is, unless it was damaged:
        then this one takes its place.

        Returns:
            The version, durable on disk.
        """
        optional = [name for name in OPTIONAL_FILES if (self.path / name).exists()]
        files = tuple(hash_file(self.path / name) for name in (*FILES, *optional))
        first, last = self._range or ((0, ""), (0, ""))
        manifest = Manifest(
            tenant=self._tenant,
            name=self._name,
            version=version_of(self._tenant, self._name, files, embedder, settings),
            counts=Counts(self._domains.total(), len(self._outcomes)),
            domains=dict(self._domains),
            first_when=first[1],
            last_when=last[1],
            embedder=embedder,
            settings=settings,
            files=files,
            merkle_root=merkle_root(files),
            quality=quality,
            calibration=calibration,
            build_time=build_time,
            public_key="",
        ).signed(key)
        self._write(MANIFEST_FILE, manifest.to_bytes())
        return self._rename(manifest)

    def _rename(self, manifest: Manifest) -> DatasetVersion:
        target = self.path.parent / manifest.version
        if target.exists():
            if (there := _sound(target)) is not None:
                return there
            # The damaged folder goes where the next publication sweeps it away.
            target.rename(self.path.with_name(f"{self.path.name}.damaged"))
        sync_folder(self.path)
        self.path.rename(target)
        for folder in target.parents[:3]:  # up to the root: they may be new as well
            sync_folder(folder)
        return DatasetVersion(target, manifest)

    def _count(self, span: Span) -> None:
        self._domains[span.context.environment] += 1
        if span.outcome is not None:
            self._outcomes.add(blake3(span.outcome.encode()).digest(16))
        here = (span.when_ns, span.when)
        first, last = self._range or (here, here)
        self._range = (min(first, here), max(last, here))

    def _write(self, name: str, data: bytes) -> None:
        with (self.path / name).open("xb") as file:
            file.write(data)
            _sync(file)


def sweep(folder: Path) -> None:
    """Removes what publications that did not end have left in a dataset's folder."""
    for left in folder.glob(".staging-*"):
        shutil.rmtree(left, ignore_errors=True)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sound(path: Path) -> DatasetVersion | None:
    try:
        version = DatasetVersion(path, parse_manifest((path / MANIFEST_FILE).read_bytes()))
        version.verify()
    except (OSError, DataLossError):
        return None
    return version
