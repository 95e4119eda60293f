"""Dataset versions as the predictor needs them: their vectors by span, and their calibration."""

import asyncio
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from arenalab.atomic import Span
from arenalab.dataset import DatasetStore, DatasetVersion
from arenalab.mesh import PreconditionError
from arenalab.mesh import Reason as ErrorReason
from arenalab.predictor.artefact import Artefact, ArtefactError, load_artefact
from arenalab.predictor.calibrated import Calibrated
from arenalab.predictor.monitoring.label_log import LabelLog, LabelStore
from arenalab.predictor.monitoring.monitor import Monitor
from arenalab.predictor.neighbourhood import Vectors  # noqa: TC001 - as its neighbours
from arenalab.predictor.overrides import Overrides
from arenalab.predictor.view_files import load_views
from arenalab.predictor.views import Views

# Versions kept open: the live ones of a process, and those being replaced.
MAX_OPEN: Final = 32

# Rows kept of each version, for spans found before: about 100 bytes each.
_KEPT_ROWS: Final = 16_384

_Ids = npt.NDArray[np.bytes_]


class SpanRows:
    """Which row of the embeddings belongs to which span, in 24 bytes a span.

    The same spans are found again and again: the rows of those found last are kept.
    """

    def __init__(self, span_ids: Iterable[str]) -> None:
        ids = np.array([_packed(span_id) for span_id in span_ids], dtype="S16")
        self._order = np.argsort(ids, kind="stable")
        self._ids: _Ids = ids[self._order]
        self._row = lru_cache(maxsize=_KEPT_ROWS)(self._find)

    def rows(self, span_ids: Sequence[str]) -> npt.NDArray[np.intp]:
        """Returns the row of each span, -1 for one that is not there, shape (n,)."""
        return np.array([self._row(span_id) for span_id in span_ids], dtype=np.intp)

    def _find(self, span_id: str) -> int:
        wanted = _packed(span_id)
        at = bisect_left(self._ids, wanted)
        return int(self._order[at]) if at < len(self._ids) and self._ids[at] == wanted else -1


class LoadedVersion:
    """One version, open for reading; its calibration may be replaced."""

    def __init__(self, version: DatasetVersion, override: Artefact | None, log: LabelLog) -> None:
        """Reads the ids and the calibration of the version; vectors stay on disk.

        Raises:
            DataLossError: A file of the version is damaged.
            PreconditionError: NOT_CALIBRATED, its calibration is of another program.
        """
        name = version.manifest.name
        self.vectors: Vectors = version.embeddings()
        actions: set[str] = set()
        self.rows = SpanRows(_noting(version.spans(), actions))
        self.actions = frozenset(actions)
        try:
            own = load_artefact(version.calibration())
            self.views = load_views(version.views())
            _check_views(self.views, own, self.vectors.shape[1])
        except ArtefactError as error:
            raise PreconditionError(
                f"dataset {name!r} has no usable calibration: {error}",
                ErrorReason.NOT_CALIBRATED,
                dataset=name,
            ) from error
        self.calibrated = Calibrated(override or own, self.views)
        self.monitor = Monitor(log, self.calibrated)


def _check_views(views: Views | None, artefact: Artefact, dimension: int) -> None:
    """Checks that the views are those that the artefact was made with."""
    if (views is None) != (artefact.mixing is None):
        raise ArtefactError("calibration.json and calibration.npz are not of one training")
    if views is not None and views.head.weights.shape[1] != dimension:
        raise ArtefactError("the views are of another embedder")


class Versions:
    """The versions in use, each loaded once, off the event loop."""

    def __init__(self, store: DatasetStore, overrides: Overrides, labels: LabelStore) -> None:
        self._store = store
        self._overrides = overrides
        self._labels = labels
        self._loaded: OrderedDict[tuple[str, str, str], LoadedVersion] = OrderedDict()
        self._lock = asyncio.Lock()

    async def get(self, tenant: str, dataset: str, version: str) -> LoadedVersion:
        """Returns a version.

        Raises:
            NotFoundError: UNKNOWN_DATASET, the store does not have it.
            DataLossError: CORRUPT_DATASET, a file of it is damaged.
            PreconditionError: NOT_CALIBRATED.
        """
        key = (tenant, dataset, version)
        known = self._loaded.get(key)
        if known is None:
            async with self._lock:  # one load at a time: they are rare, and heavy
                known = self._loaded.get(key)
                if known is None:
                    known = await asyncio.to_thread(self._load, *key)
                    self._loaded[key] = known
                    if len(self._loaded) > MAX_OPEN:
                        self._loaded.popitem(last=False)
        return known

    async def replace(self, tenant: str, dataset: str, version: str, artefact: Artefact) -> None:
        """Stores a calibration by labelled traffic, and uses it from now on, its tests begun anew.

        Raises:
            OSError: It cannot be stored; nothing changes.
            BudgetSpentError: STORAGE_FULL; as before, until the next start uses it.
        """
        loaded = await self.get(tenant, dataset, version)
        await asyncio.to_thread(self._overrides.save, tenant, dataset, version, artefact)
        calibrated = Calibrated(artefact, loaded.views)
        await loaded.monitor.restart(calibrated)
        loaded.calibrated = calibrated

    def loaded(self) -> list[tuple[tuple[str, str, str], LoadedVersion]]:
        """Returns the versions in memory, with tenant, dataset and version of each."""
        return list(self._loaded.items())

    def _load(self, tenant: str, dataset: str, version: str) -> LoadedVersion:
        # First the store: it checks the names, which become paths.
        opened = self._store.open(tenant, dataset, version)
        override = self._overrides.load(tenant, dataset, version)
        return LoadedVersion(opened, override, self._labels.open(tenant, dataset, version))


def _noting(spans: Iterable[Span], actions: set[str]) -> Iterator[str]:
    # Ids and actions in one pass: the spans are read from disk.
    for span in spans:
        actions.add(span.did)
        yield span.id


def _packed(span_id: str) -> bytes:
    # Without zero bytes at the end, which what is read from an S16 array lacks too.
    return bytes.fromhex(span_id.replace("-", "")).rstrip(b"\0")
