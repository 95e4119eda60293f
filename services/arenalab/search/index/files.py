"""An index on disk: one file of the engine, and one that says what it must be.

Each is written under another name, synced, then renamed, so that a name stands for a
whole file. A file that was cut short, or is of other vectors, is refused here; damage
within a file of the right size is for whoever keeps hashes of the folder to find.
"""

import errno
import json
import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from arenalab.durable import sync_folder
from arenalab.planning import Engine
from arenalab.search.index.protocol import FloatArray, check_form
from arenalab.vectors import load_faiss

_FORMAT: Final = 1
_ABOUT: Final = "index.json"
_CONTENT: Final = "index.bin"


class IndexFileError(ValueError):
    """A folder that no index can be loaded from, and why."""


class IndexFile:
    """The files of one kind of index."""

    def __init__(self, engine: Engine, library: str) -> None:
        self._engine = engine
        self._library = library

    def write(
        self,
        folder: Path,
        vectors: FloatArray,
        write: Callable[[str], None] | None = None,
        **more: float,
    ) -> None:
        """Writes the files of an index over some vectors into a folder that exists.

        Args:
            folder: Where to.
            vectors: What the index was built from; they are not written.
            write: Writes the engine's own file to a path; None: there is none.
            **more: Figures for `read` to return.

        Raises:
            OSError: The disk is full, or the folder cannot be written to.
        """
        size_bytes = 0
        if write is not None:
            replace_file(folder / _CONTENT, write)
            size_bytes = (folder / _CONTENT).stat().st_size
        about = {
            **more,
            "format": _FORMAT,
            "engine": self._engine.value,
            "library": self._library,
            "size": len(vectors),
            "dimension": vectors.shape[1],
            "bytes": size_bytes,
        }
        replace_file(folder / _ABOUT, lambda path: _write_text(path, json.dumps(about)))
        sync_folder(folder)

    def read(self, folder: Path, vectors: FloatArray) -> dict[str, Any]:
        """Returns what was written about an index, after checking that it fits the vectors.

        Raises:
            IndexFileError: It does not, or a file is missing or cut short.
        """
        check_form(vectors)
        try:
            about = json.loads((folder / _ABOUT).read_text())
        except (OSError, ValueError) as error:
            raise IndexFileError(f"{_ABOUT} cannot be read: {error}") from error
        expected = {
            "format": _FORMAT,
            "engine": self._engine.value,
            "library": self._library,
            "size": len(vectors),
            "dimension": vectors.shape[1],
        }
        for name, value in expected.items():
            found = about.get(name) if isinstance(about, dict) else None
            if found != value:
                raise IndexFileError(f"{name} of the index is {found!r}, expected {value!r}")
        size_bytes = self.content(folder).stat().st_size if about.get("bytes") else 0
        if size_bytes != about.get("bytes"):
            raise IndexFileError(
                f"{_CONTENT} has {size_bytes} bytes, expected {about.get('bytes')}"
            )
        return {name: value for name, value in about.items() if name not in expected}

    def content(self, folder: Path) -> Path:
        """Returns the path of the engine's own file.

        Raises:
            IndexFileError: There is none.
        """
        path = folder / _CONTENT
        if not path.is_file():
            raise IndexFileError(f"{_CONTENT} is missing")
        return path


def held_bytes(vectors: FloatArray) -> int:
    """Returns the bytes that vectors take in memory: none where they are mapped from a file."""
    beneath: Any = vectors
    while beneath is not None:
        if isinstance(beneath, mmap.mmap):
            return 0
        beneath = getattr(beneath, "base", None)
    return vectors.nbytes


def write_faiss(index: Any, path: str) -> None:
    """Writes an index of faiss.

    Raises:
        OSError: The disk is full, or the path cannot be written to.
    """
    try:
        load_faiss().write_index(index, path)
    except RuntimeError as error:  # all that faiss raises: the cause is in its words
        for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            if os.strerror(code) in str(error):
                raise OSError(code, os.strerror(code), path) from error
        raise OSError(errno.EIO, str(error), path) from error


def read_faiss(path: Path) -> Any:
    """Returns an index of faiss whose arrays are mapped from the file.

    Raises:
        IndexFileError: It is not an index of faiss.
    """
    faiss = load_faiss()
    try:
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError as error:
        raise IndexFileError(f"{path.name} cannot be read: {error}") from error


def replace_file(path: Path, write: Callable[[str], None]) -> None:
    """Writes a file under another name, syncs and renames it; `sync_folder` makes that last.

    Raises:
        OSError: The disk is full, or the folder cannot be written to.
    """
    making = path.with_name(path.name + ".making")
    try:
        write(str(making))
        with making.open("rb") as file:
            os.fsync(file.fileno())
        making.replace(path)
    except BaseException:
        making.unlink(missing_ok=True)
        raise


def _write_text(path: str, text: str) -> None:
    Path(path).write_text(text)
