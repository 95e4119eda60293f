"""The dataset store: which versions there are, and where a new one is made."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from arenalab.dataset.manifest import corrupt, parse_manifest
from arenalab.dataset.names import MANIFEST_FILE, NAME, STAGING, VERSION, checked
from arenalab.dataset.staging import Staging, sweep
from arenalab.dataset.version import DatasetVersion, StagedVersion
from arenalab.mesh import DataLossError, NotFoundError, Reason


class DatasetStore:
    """The versions of every dataset below one folder; safe for many readers."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self, tenant: str) -> list[str]:
        """Returns the names of the tenant's datasets that have a version, sorted."""
        folder = self._root / checked(tenant, NAME, "tenant")
        if not folder.is_dir():
            return []
        found = (path.name for path in folder.iterdir() if NAME.fullmatch(path.name))
        return sorted(name for name in found if _version_names(folder / name))

    def versions(self, tenant: str, name: str) -> list[str]:
        """Returns the versions of a dataset, newest first; a damaged one comes last."""
        folder = self._folder(tenant, name)
        built = {}
        for version in _version_names(folder):
            try:
                built[version] = self.open(tenant, name, version).manifest.build_time
            except DataLossError:
                built[version] = ""
        return sorted(built, key=lambda version: (built[version], version), reverse=True)

    def open(self, tenant: str, name: str, version: str) -> DatasetVersion:
        """Returns a version; `verify` it before it is served.

        Raises:
            NotFoundError: UNKNOWN_DATASET, it is not there.
            DataLossError: CORRUPT_DATASET, its manifest is missing or damaged.
        """
        path = self._folder(tenant, name) / checked(version, VERSION, "dataset_version")
        if not path.is_dir():
            raise _unknown(name, f"dataset {name!a} has no version {version}")
        try:
            manifest = parse_manifest((path / MANIFEST_FILE).read_bytes())
        except OSError as error:
            raise corrupt(MANIFEST_FILE, f"cannot be read: {error}") from error
        if (manifest.tenant, manifest.name, manifest.version) != (tenant, name, version):
            raise corrupt(MANIFEST_FILE, "the manifest is of another version")
        return DatasetVersion(path, manifest)

    def open_staging(self, tenant: str, name: str, staging: str) -> StagedVersion:
        """Returns a version in the making.

        Raises:
            NotFoundError: UNKNOWN_DATASET, it is not there.
        """
        path = self._folder(tenant, name) / checked(staging, STAGING, "staging")
        if not path.is_dir():
            raise _unknown(name, f"dataset {name!a} has nothing staged as {staging}")
        return StagedVersion(path)

    @contextmanager
    def staging(self, tenant: str, name: str) -> Iterator[Staging]:
        """Opens a folder for a new version, for one writer per dataset at a time.

        Left-overs of writers that did not end are removed first; a folder that is
        not sealed when the block ends is removed too.
        """
        folder = self._folder(tenant, name)
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        path = folder / f".staging-{secrets.token_hex(8)}"
        path.mkdir()
        try:
            yield Staging(path, tenant, name)
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def _folder(self, tenant: str, name: str) -> Path:
        return self._root / checked(tenant, NAME, "tenant") / checked(name, NAME, "dataset")


def _version_names(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return [path.name for path in folder.iterdir() if VERSION.fullmatch(path.name)]


def _unknown(name: str, message: str) -> NotFoundError:
    return NotFoundError(message, Reason.UNKNOWN_DATASET, dataset=name)
