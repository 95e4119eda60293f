"""Dataset versions as the predictor needs them: their vectors by span, and their calibration."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Final

from arenalab.atomic import Span
from arenalab.dataset import DatasetStore, DatasetVersion
from arenalab.mesh import PreconditionError
from arenalab.mesh import Reason as ErrorReason
from arenalab.predictor.artefact import Artefact, ArtefactError, load_artefact
from arenalab.predictor.calibrated import Calibrated
from arenalab.predictor.hits import HitReader, SpanRows
from arenalab.predictor.monitoring.label_log import LabelLog, LabelStore
from arenalab.predictor.monitoring.monitor import Monitor
from arenalab.predictor.neighbourhood import Vectors  # noqa: TC001 - as its neighbours
from arenalab.predictor.overrides import Overrides
from arenalab.predictor.view_files import load_views
from arenalab.predictor.views import Views

# Versions kept open: the live ones of a process, and those being replaced.
MAX_OPEN: Final = 32


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
        self.reader = HitReader(SpanRows(_noting(version.spans(), actions)))
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
