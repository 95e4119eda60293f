"""What the curator has: working sets, and the versions published from them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from arenalab.curator.rejects import RejectFile
from arenalab.curator.working_set import WorkingSet
from arenalab.dataset import DatasetStore
from arenalab.dataset.names import NAME
from arenalab.mesh import DataLossError, NotFoundError, Reason


@dataclass(frozen=True, slots=True)
class VersionEntry:
    """One version of a dataset."""

    version: str
    spans: int
    build_time: str


@dataclass(frozen=True, slots=True)
class DatasetEntry:
    """One dataset."""

    name: str
    working_spans: int
    versions: list[VersionEntry]


class Catalogue:
    """The curator's home: <tenant>/<dataset>.sqlite and <tenant>/<dataset>.rejects/."""

    def __init__(self, home: Path, store: DatasetStore) -> None:
        self._home = home
        self._store = store

    def create(self, tenant: str, dataset: str) -> WorkingSet:
        """Opens a working set, new if need be.

        Raises:
            DataLossError: CORRUPT_DATASET; its file is damaged.
        """
        return WorkingSet(self._path(tenant, dataset))

    def open(self, tenant: str, dataset: str) -> WorkingSet:
        """Opens a working set.

        Raises:
            NotFoundError: UNKNOWN_DATASET; nothing was ever ingested.
            DataLossError: CORRUPT_DATASET; its file is damaged.
        """
        path = self._path(tenant, dataset)
        if not path.exists():
            raise NotFoundError(
                f"nothing was ingested into dataset {dataset!a}",
                Reason.UNKNOWN_DATASET,
                dataset=dataset,
            )
        return WorkingSet(path)

    def reject_file(
        self, tenant: str, dataset: str, at: datetime, random: Callable[[int], bytes]
    ) -> RejectFile:
        """Opens the reject file of an ingestion that begins at this time.

        The caller holds the dataset's lock.
        """
        folder = self._home / tenant / f"{dataset}.rejects"
        for left in folder.glob(".*.ndjson"):  # of ingestions that were killed
            left.unlink()
        return RejectFile(folder / f"{at:%Y%m%dT%H%M%SZ}-{random(4).hex()}.ndjson")

    def relative(self, path: Path | None) -> str:
        """Returns a path as it is called below the home; "" for none."""
        return path.relative_to(self._home).as_posix() if path else ""

    def entries(self, tenant: str) -> list[DatasetEntry]:
        """Returns the tenant's datasets by name."""
        names = {path.stem for path in (self._home / tenant).glob("*.sqlite")}
        names |= set(self._store.names(tenant))
        return [self._entry(tenant, name) for name in sorted(filter(NAME.fullmatch, names))]

    def _entry(self, tenant: str, name: str) -> DatasetEntry:
        versions = []
        for version in self._store.versions(tenant, name):
            try:
                manifest = self._store.open(tenant, name, version).manifest
            except DataLossError:
                continue  # search says so when it is asked to load it
            versions.append(VersionEntry(version, manifest.counts.spans, manifest.build_time))
        return DatasetEntry(name, self._count(tenant, name), versions)

    def _count(self, tenant: str, name: str) -> int:
        if not self._path(tenant, name).exists():
            return 0
        working_set = self.open(tenant, name)
        try:
            return len(working_set)
        finally:
            working_set.close()

    def _path(self, tenant: str, dataset: str) -> Path:
        return self._home / tenant / f"{dataset}.sqlite"
