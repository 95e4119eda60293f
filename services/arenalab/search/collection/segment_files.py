"""A segment on disk: what a start reads instead of building it again.

A folder holds the columns, the vectors in full precision, the index and the lexical
index, and is complete once it has its name: it is written under another one, synced,
then renamed. It is derived from the span store and the dataset: a folder that is
damaged, or of another embedder, costs a rebuild, never a span.
"""

import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from blake3 import blake3

from arenalab.durable import sync_folder
from arenalab.mesh import MeshError
from arenalab.planning import Engine
from arenalab.search.collection.segment import Made, Segment
from arenalab.search.collection.tuning import Tuning
from arenalab.search.collection.words import Words
from arenalab.search.columns.columns import Columns
from arenalab.search.index.builders import load_index
from arenalab.search.index.protocol import FloatArray, VectorIndex
from arenalab.search.lexical import LexicalIndex
from arenalab.search.store.span_store import Record

_logger = logging.getLogger(__name__)

_FORMAT: Final = 1
_MANIFEST: Final = "segment.json"
_VECTORS: Final = "vectors.npy"
_CHUNK_ROWS: Final = 8192
_NAME: Final = re.compile(r"[0-9]{1,18}-[0-9]{1,18}-[0-9]{1,9}")  # part, generation, edition


LoadIndex = Callable[[Record, Engine, Path, FloatArray | None, str], VectorIndex]


def _load_index(
    _record: Record, engine: Engine, folder: Path, vectors: FloatArray | None, library: str
) -> VectorIndex:
    return load_index(engine, folder, vectors, library=library)


class SegmentFileError(Exception):
    """A folder that cannot be served from, and why."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A segment as a folder had it."""

    segment: Segment
    generation: int  # of the collection when the folder was begun

    def segment_as(self, other: Segment) -> Segment:
        """Returns the segment with serial number and tuning of the one it was written from."""
        return replace(self.segment, serial=other.serial, tuning=other.tuning)


class SegmentFiles:
    """The folders of all collections, below one root."""

    def __init__(self, root: Path, load_index: LoadIndex = _load_index) -> None:
        """Keeps its arguments.

        Args:
            root: Above the folders; need not exist.
            load_index: Reads the index of a folder.
        """
        self._root = root
        self._load_index = load_index

    def write(self, record: Record, segment: Segment) -> Loaded:
        """Writes a segment as it was in a generation; returns it served from the files.

        Raises:
            OSError: The disk is full, or the root cannot be written to.
        """
        folder = self._new_folder(record)
        making = folder.with_name(folder.name + ".making")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        try:
            self._fill(making, record, segment)
            making.rename(folder)
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            raise
        sync_folder(self._root)
        # Beside what the manifest vouches for: it may change while the folder is served.
        segment.tuning.keep_in(folder)
        return self._load(folder, record, 0)

    def load(self, record: Record, log_begins: int = 0) -> Loaded | None:
        """Returns the segment of a collection's newest folder; None without a usable one.

        A folder that is not usable is removed: it would be in the way of the next.

        Args:
            record: The collection.
            log_begins: The generation that a folder must have at least, since what
                changed before it is forgotten.
        """
        for folder in sorted(self._folders(record), key=_age_of, reverse=True):
            try:
                return self._load(folder, record, log_begins)
            except MeshError as error:  # a server that holds it is away
                _logger.warning("segment of %s is not used now: %s", record.dataset, error)
            except Exception as error:  # noqa: BLE001 - whatever a damaged folder may raise
                _logger.warning(
                    "segment file %s of %s is removed: %s", folder.name, record.dataset, error
                )
                shutil.rmtree(folder, ignore_errors=True)
        return None

    def tidy(self, records: "list[Record]") -> None:
        """Removes the folders that no collection is served from."""
        wanted = set()
        for record in records:
            newest = max(self._folders(record), key=_age_of, default=None)
            if newest is not None:
                wanted.add(newest.name)
        if self._root.is_dir():
            for folder in self._root.iterdir():
                if folder.name not in wanted:
                    shutil.rmtree(folder, ignore_errors=True)

    def _new_folder(self, record: Record) -> Path:
        # Never the name of one that is there: it is the only good one until this is.
        editions = [_age_of(folder) for folder in self._folders(record)]
        same = [edition for generation, edition in editions if generation == record.generation]
        edition = max(same, default=0) + 1
        return self._root / f"{record.live_part}-{record.generation}-{edition}"

    def _folders(self, record: Record) -> Iterator[Path]:
        for folder in self._root.glob(f"{record.live_part}-*"):
            if _NAME.fullmatch(folder.name):
                yield folder

    def _fill(self, folder: Path, record: Record, segment: Segment) -> None:
        segment.columns.save(_made(folder / "columns"))
        segment.index.save(_made(folder / "index"))
        if segment.index.engine in _OWN_VECTORS:
            _write_vectors(folder / _VECTORS, segment)
        if segment.words.index is not None:
            segment.words.index.save(_made(folder / "words"))
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        manifest = {
            "format": _FORMAT,
            "tenant": record.tenant,
            "dataset": record.dataset,
            "version": record.version,
            "live_part": record.live_part,
            "published_at_ns": record.published_at_ns,
            "generation": record.generation,
            "embedder_digest": record.embedder_digest,
            "dimension": record.dimension,
            "size": len(segment),
            "engine": segment.index.engine.value,
            "library": segment.index.library,
            "build_s": segment.made.build_s,
            "removed": segment.removed.to_array().tolist(),
            "hidden": segment.hidden.to_array().tolist(),
            "files": {
                str(path.relative_to(folder)): [path.stat().st_size, _digest(path)]
                for path in files
            },
        }
        with (folder / _MANIFEST).open("w") as file:
            body = json.dumps(manifest)
            file.write(f"{blake3(body.encode()).hexdigest()}\n{body}\n")
            file.flush()
            os.fsync(file.fileno())
        for parent in {path.parent for path in files} | {folder}:
            sync_folder(parent)

    def _load(self, folder: Path, record: Record, log_begins: int) -> Loaded:
        manifest = _read_manifest(folder / _MANIFEST)
        _check(manifest, record, log_begins)
        disk_bytes = _check_files(folder, manifest["files"])
        columns = Columns.load(folder / "columns")
        vectors = _mapped(folder / _VECTORS, manifest) if (folder / _VECTORS).exists() else None
        engine = Engine(manifest["engine"])
        index = self._load_index(record, engine, folder / "index", vectors, manifest["library"])
        if len(columns) != manifest["size"] or index.size != manifest["size"]:
            raise SegmentFileError("columns and index are of another size")
        words = folder / "words"
        segment = Segment.of(columns, index, record.version)
        segment = segment.restored(
            removed=manifest["removed"],
            hidden=manifest["hidden"],
            made=Made(manifest["build_s"], disk_bytes),
            tuning=Tuning.load(folder),
            words=Words(LexicalIndex.load(words) if words.exists() else None),
        )
        return Loaded(segment, manifest["generation"])


# Engines whose vectors in full precision are ours to keep.
_OWN_VECTORS: Final = frozenset({Engine.EXACT, Engine.HNSW, Engine.IVF})


def _read_manifest(path: Path) -> Any:
    digest, _, body = path.read_text().partition("\n")
    body = body.removesuffix("\n")
    if blake3(body.encode()).hexdigest() != digest:
        raise SegmentFileError(f"{path.name} is damaged")
    return json.loads(body)


def _check(manifest: Any, record: Record, log_begins: int) -> None:
    for name, expected in (
        ("format", _FORMAT),
        ("tenant", record.tenant),
        ("dataset", record.dataset),
        ("version", record.version),
        ("live_part", record.live_part),
        # Numbers of parts begin anew in another store; the time of a publication does not.
        ("published_at_ns", record.published_at_ns),
        ("embedder_digest", record.embedder_digest),
        ("dimension", record.dimension),
    ):
        if manifest.get(name) != expected:
            raise SegmentFileError(f"{name} is {manifest.get(name)!a}, expected {expected!a}")
    if manifest["generation"] > record.generation:  # the store is older: a restored copy
        raise SegmentFileError(f"it is of generation {manifest['generation']}, the store is older")
    if manifest["generation"] < log_begins:
        raise SegmentFileError(f"it is of generation {manifest['generation']}, the log is younger")


def _check_files(folder: Path, files: dict[str, list[Any]]) -> int:
    """Returns the size of all files; raises SegmentFileError for one that does not fit."""
    total = 0
    for name, (size, digest) in files.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            raise SegmentFileError(f"{name} is missing or cut short")
        if _digest(path) != digest:
            raise SegmentFileError(f"{name} is damaged")
        total += size
    return total


def _mapped(path: Path, manifest: Any) -> FloatArray:
    vectors: FloatArray = np.load(path, mmap_mode="r", allow_pickle=False)
    if vectors.shape != (manifest["size"], manifest["dimension"]) or vectors.dtype != np.float32:
        raise SegmentFileError(f"vectors have shape {vectors.shape} of {vectors.dtype}")
    return vectors


def _write_vectors(path: Path, segment: Segment) -> None:
    shape = (len(segment), segment.index.dimension)
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(segment), _CHUNK_ROWS):
            rows = np.arange(start, min(len(segment), start + _CHUNK_ROWS))
            file.write(segment.index.vectors(rows).astype("<f4").tobytes())
        file.flush()
        os.fsync(file.fileno())


def _digest(path: Path) -> str:
    hasher = blake3(max_threads=blake3.AUTO)
    hasher.update_mmap(path)
    return hasher.hexdigest()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _age_of(folder: Path) -> tuple[int, int]:
    """Returns generation and edition of a folder."""
    _, generation, edition = folder.name.split("-")
    return int(generation), int(edition)
