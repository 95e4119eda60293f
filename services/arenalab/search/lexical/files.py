"""A lexical index in a folder: its arrays, its words, and what they must be."""

import json
import os
from pathlib import Path
from typing import Any, Final

import numpy as np

from arenalab.search.columns.files import Array, read_array, read_texts, write_columns
from arenalab.search.lexical.building import K1, B
from arenalab.search.lexical.postings import Postings
from arenalab.search.lexical.statistics import Statistics
from arenalab.search.lexical.words import WORDS

_FORMAT: Final = 1
_ABOUT: Final = "lexical.json"
# What an index must have in common with this program to be used.
_FIXED: Final = {"format": _FORMAT, "words": WORDS, "k1": K1, "b": B}


def write(folder: Path, words: tuple[str, ...], postings: Postings, statistics: Statistics) -> None:
    """Writes an index to a folder that exists; each file is on disk afterwards.

    Raises:
        OSError: The disk is full, or the folder cannot be written to.
    """
    counts = [statistics.texts_with.get(word, 0) for word in words]
    arrays: dict[str, Array] = {
        "starts": postings.starts,
        "rows": postings.rows,
        "gains": postings.gains,
        "most": postings.most,
        "texts_with": np.array(counts, np.int64),
    }
    write_columns(folder, arrays, {"words": words})
    about = {
        **_FIXED,
        "size": postings.size,
        "vocabulary": len(words),
        "postings": len(postings.rows),
        "texts": statistics.texts,
        "mean_length": statistics.mean_length,
    }
    with (folder / _ABOUT).open("w") as file:
        json.dump(about, file)
        file.flush()
        os.fsync(file.fileno())


def read(folder: Path) -> tuple[tuple[str, ...], Postings, Statistics]:
    """Returns the words, postings and statistics of an index.

    Raises:
        OSError: A file is missing.
        ValueError: A file is cut short, does not fit the others, or is of another format.
    """
    about = _about(folder)
    words = read_texts(folder).get("words", ())
    if len(words) != about["vocabulary"]:
        raise ValueError(f"the index has {len(words)} words, expected {about['vocabulary']}")
    count = about["postings"]
    postings = Postings(
        starts=read_array(folder, "starts", np.int64, len(words) + 1),
        rows=read_array(folder, "rows", np.int32, count),
        gains=read_array(folder, "gains", np.float32, count),
        size=about["size"],
        most=read_array(folder, "most", np.float32, len(words)),
    )
    _check(postings)
    counts = read_array(folder, "texts_with", np.int64, len(words)).tolist()
    texts_with = dict(zip(words, counts, strict=True))
    return words, postings, Statistics(about["texts"], about["mean_length"], texts_with)


def _about(folder: Path) -> dict[str, Any]:
    about = json.loads((folder / _ABOUT).read_text())
    if not isinstance(about, dict):
        raise ValueError(f"{_ABOUT} holds no object")  # noqa: TRY004 - of a file, not a caller
    for name, expected in _FIXED.items():
        if about.get(name) != expected:
            raise ValueError(f"{name} of the index is {about.get(name)!r}, expected {expected!r}")
    for name in ("size", "vocabulary", "postings", "texts"):
        if type(about.get(name)) is not int or about[name] < 0:
            raise ValueError(f"{name} of the index is {about.get(name)!r}, expected a count")
    if type(about.get("mean_length")) is not float or not about["mean_length"] > 0:
        raise ValueError(f"mean_length of the index is {about.get('mean_length')!r}")
    return about


def _check(postings: Postings) -> None:
    """Raises ValueError for postings that a search could fail on."""
    starts, rows = postings.starts, postings.rows
    if starts[0] != 0 or starts[-1] != len(rows) or (np.diff(starts) < 1).any():
        raise ValueError("starts.npy does not fit rows.npy")
    if len(rows) and not 0 <= rows.min() <= rows.max() < postings.size:
        raise ValueError(f"rows.npy holds a row outside [0, {postings.size})")
