"""Calibrations by labelled traffic, kept on disk until their dataset version is replaced."""

import logging
from pathlib import Path

from arenalab.durable import replace
from arenalab.predictor.artefact import Artefact, ArtefactError, dump_artefact, load_artefact

_logger = logging.getLogger(__name__)


class Overrides:
    """The files `<home>/calibration/<tenant>/<dataset>/<version>.json`."""

    def __init__(self, home: Path) -> None:
        self._root = home / "calibration"

    def load(self, tenant: str, dataset: str, version: str) -> Artefact | None:
        """Returns the stored calibration; None when there is none that can be used.

        One that cannot be read is left alone and reported: the version's own calibration
        takes its place, and holds.
        """
        path = self._path(tenant, dataset, version)
        try:
            return load_artefact(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ArtefactError) as error:
            _logger.warning("calibration %s is not used: %s", path, error)
            return None

    def save(self, tenant: str, dataset: str, version: str, artefact: Artefact) -> None:
        """Stores a calibration; when this returns, it is on disk, whole.

        Raises:
            OSError: It cannot be stored; the one before it stays.
        """
        path = self._path(tenant, dataset, version)
        replace(path, dump_artefact(artefact))

    def _path(self, tenant: str, dataset: str, version: str) -> Path:
        return self._root / tenant / dataset / f"{version}.json"
