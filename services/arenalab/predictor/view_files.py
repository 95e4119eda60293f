"""calibration.npz: the views of a version as plain arrays, never pickles."""

import io
import zipfile
from typing import Final

import numpy as np

from arenalab.predictor.artefact import ArtefactError
from arenalab.predictor.gaussian import Clouds
from arenalab.predictor.head import LinearHead
from arenalab.predictor.views import Views
from arenalab.predictor.wordview import WordView

_VERSION: Final = 1
_TYPES: Final = {
    "version": "<i4",
    "outcomes": "<u8",
    "head_weights": "<f4",
    "head_bias": "<f4",
    "cloud_weights": "<f4",
    "cloud_bias": "<f4",
    "terms": "<u8",
    "starts": "<i4",
    "term_outcomes": "<i4",
    "term_counts": "<i4",
    "sizes": "<i4",
}


def dump_views(views: Views | None) -> bytes:
    """Returns the file; the same views give the same bytes, no views give none."""
    if views is None:
        return b""
    arrays = {
        "version": np.array([_VERSION]),
        "outcomes": views.outcomes,
        "head_weights": views.head.weights,
        "head_bias": views.head.bias,
        "cloud_weights": views.clouds.weights,
        "cloud_bias": views.clouds.bias,
        "terms": views.words.terms,
        "starts": views.words.starts,
        "term_outcomes": views.words.outcomes,
        "term_counts": views.words.counts,
        "sizes": views.words.sizes,
    }
    file = io.BytesIO()
    typed = {name: np.ascontiguousarray(arrays[name], dtype=kind) for name, kind in _TYPES.items()}
    np.savez(file, allow_pickle=False, **typed)
    return file.getvalue()


def load_views(data: bytes) -> Views | None:
    """Returns the views of a file; None for an empty one.

    Raises:
        ArtefactError: Not such a file, or of another version.
    """
    if not data:
        return None
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {name: file[name].astype(kind) for name, kind in _TYPES.items()}
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ArtefactError(f"not a file of views: {error}") from error
    if arrays["version"].tolist() != [_VERSION]:
        raise ArtefactError("the views are of another version; publish again")
    _check(arrays)
    return Views(
        arrays["outcomes"],
        LinearHead(arrays["head_weights"], arrays["head_bias"]),
        Clouds(arrays["cloud_weights"], arrays["cloud_bias"]),
        WordView(
            arrays["terms"],
            arrays["starts"],
            arrays["term_outcomes"],
            arrays["term_counts"],
            arrays["sizes"],
        ),
    )


def _check(arrays: dict[str, np.ndarray]) -> None:
    outcomes, dimension = len(arrays["outcomes"]), arrays["head_weights"].shape[-1]
    entries, terms = len(arrays["term_outcomes"]), len(arrays["terms"])
    expected = {
        "head_weights": (outcomes, dimension),
        "head_bias": (outcomes,),
        "cloud_weights": (outcomes, dimension),
        "cloud_bias": (outcomes,),
        "starts": (terms + 1,),
        "term_counts": (entries,),
        "sizes": (outcomes,),
    }
    for name, shape in expected.items():
        if arrays[name].shape != shape:
            raise ArtefactError(f"{name} must have shape {shape}, has {arrays[name].shape}")
    starts, of = arrays["starts"], arrays["term_outcomes"]
    if starts[-1] != entries or (np.diff(starts) < 0).any():
        raise ArtefactError("the entries of the terms must follow one another")
    if entries and not (of.min() >= 0 and of.max() < outcomes):
        raise ArtefactError("a term must not point outside the outcomes")
