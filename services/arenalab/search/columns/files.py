"""Arrays and texts in a folder: one .npy file an array, one JSON file for all texts."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_TEXTS: Final = "texts.json"


def write_columns(
    folder: Path, arrays: Mapping[str, Array], texts: Mapping[str, Sequence[str]]
) -> None:
    """Writes all to a folder that exists; each file is on disk afterwards.

    Raises:
        OSError: The disk is full, or the folder cannot be written to.
    """
    for name, values in arrays.items():
        with (folder / f"{name}.npy").open("wb") as file:
            np.save(file, values, allow_pickle=False)
            _sync(file)
    with (folder / _TEXTS).open("w", encoding="utf-8") as file:
        json.dump({name: list(values) for name, values in texts.items()}, file)
        _sync(file)


def read_array(folder: Path, name: str, dtype: npt.DTypeLike, count: int) -> Array:
    """Returns an array of `count` values, mapped from its file and not to be written to.

    Raises:
        OSError: There is no such file.
        ValueError: It holds something else, or is cut short.
    """
    array = read_any(folder, name, count)
    if array.dtype != dtype:
        raise ValueError(f"{name}.npy holds {array.dtype}, expected {np.dtype(dtype)}")
    return array


def read_any(folder: Path, name: str, count: int) -> Array:
    """Returns an array as `read_array` does, of any type."""
    path = folder / f"{name}.npy"
    try:
        # Nothing can be mapped of a file without values.
        loaded = np.load(path, mmap_mode="r" if count else None, allow_pickle=False)
    except EOFError as error:
        raise ValueError(f"{name}.npy is cut short") from error
    if not isinstance(loaded, np.ndarray) or loaded.shape != (count,):
        raise ValueError(f"{name}.npy holds {getattr(loaded, 'shape', loaded)}, expected {count}")
    if isinstance(loaded, np.memmap) and path.stat().st_size != loaded.offset + loaded.nbytes:
        raise ValueError(f"{name}.npy is longer than its values")
    # A plain array: what is computed from a memmap stays one, at a cost each time.
    return np.asarray(loaded)


def read_texts(folder: Path) -> dict[str, tuple[str, ...]]:
    """Returns the texts by name.

    Raises:
        OSError: There is no such file.
        ValueError: It is cut short, or holds something else.
    """
    texts = json.loads((folder / _TEXTS).read_text(encoding="utf-8"))
    if not isinstance(texts, dict):
        raise ValueError(f"{_TEXTS} holds no object")  # noqa: TRY004 - the file, not a caller
    for name, values in texts.items():
        if not isinstance(values, list) or not set(map(type, values)) <= {str}:
            raise ValueError(f"{_TEXTS} holds no list of texts as {name!a}")
    return {name: tuple(values) for name, values in texts.items()}


def _sync(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())
