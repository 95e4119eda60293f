"""Dataset versions on disk: immutable, content-addressed, signed.

    <root>/<tenant>/<name>/<version>/
        manifest.json       what the version is, signed
        spans.ndjson.zst    one span a line, in row order
        embeddings.npy      float32, row i belongs to span i
        calibration.json    the predictor's artefact
        calibration.npz     the predictor's views, where outcomes repeat

One service writes (curator), many read (search, predictor). A folder gets the name
of its version by one rename, when everything in it is on disk; whatever else lies
beside it begins with a dot and is nobody's version.
"""

from arenalab.dataset.manifest import Counts, Embedder, FileEntry, Manifest, Settings
from arenalab.dataset.staging import Staging
from arenalab.dataset.store import DatasetStore
from arenalab.dataset.version import DatasetVersion, StagedVersion

__all__ = [
    "Counts",
    "DatasetStore",
    "DatasetVersion",
    "Embedder",
    "FileEntry",
    "Manifest",
    "Settings",
    "StagedVersion",
    "Staging",
]
