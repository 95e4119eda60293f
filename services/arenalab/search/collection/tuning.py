"""How hard one index must be searched: measured, raised by what searches miss, kept."""

import json
import logging
import threading
from pathlib import Path
from typing import Final, Self

from arenalab.durable import sync_folder
from arenalab.planning import UNREACHABLE
from arenalab.planning.recall import harder
from arenalab.search.index.files import replace_file

_logger = logging.getLogger(__name__)

_FILE: Final = "effort.json"


class Tuning:
    """Holds the effort of an index; shared by all states of its segment.

    It never falls: what searches of one index have shown stays true of it, and an effort
    that went up and down would leave none of its estimates valid. A new index has another.
    Any thread may use it.
    """

    def __init__(self, effort: float = 1.0, *, is_measured: bool = False) -> None:
        """Keeps its arguments; `effort` is as of `arenalab.planning.Facts`."""
        self._effort = effort
        self._is_measured = is_measured
        self._folder: Path | None = None
        self._changing = threading.Lock()

    @property
    def effort(self) -> float:
        """By how much harder than the tables say the index is searched."""
        return self._effort

    @property
    def is_measured(self) -> bool:
        """Whether that was measured, and is not what most indexes need."""
        return self._is_measured

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Returns what a folder keeps, and what changes is kept there too.

        Without a file, or with one that is damaged, it is not measured.
        """
        tuning = cls()
        try:
            tuning = cls(_read(folder / _FILE), is_measured=True)
        except FileNotFoundError:
            pass
        except (OSError, ValueError, LookupError, TypeError) as error:
            _logger.warning("%s of %s is measured again: %s", _FILE, folder.name, error)
        tuning._folder = folder
        return tuning

    def keep_in(self, folder: Path) -> None:
        """Writes the effort into a folder, if it was measured; from now on changes too."""
        with self._changing:
            self._folder = folder
            self._keep()

    def measured(self, effort: float) -> None:
        """Takes in what was measured; what searches have shown meanwhile may be more."""
        with self._changing:
            self._effort = max(self._effort, effort)
            self._is_measured = True
            self._keep()

    def raise_from(self, effort: float) -> bool:
        """Goes one step up from an effort that was too little; returns whether it did.

        It does not where the index is searched harder already.
        """
        with self._changing:
            if self._effort > effort or effort >= UNREACHABLE:
                return False
            self._effort = harder(effort)
            self._is_measured = True
            self._keep()
            return True

    def _keep(self) -> None:
        if self._folder is None or not self._is_measured:
            return
        body = json.dumps({"effort": self._effort})
        try:
            replace_file(self._folder / _FILE, lambda path: _write(path, body))
            sync_folder(self._folder)
        except OSError as error:  # another start measures again, and searches teach again
            _logger.warning("effort of %s is not kept: %s", self._folder.name, error)


def _read(path: Path) -> float:
    effort = float(json.loads(path.read_text())["effort"])
    if not 1.0 <= effort <= UNREACHABLE:  # also refuses NaN
        raise ValueError(f"effort is {effort}")
    return effort


def _write(path: str, body: str) -> None:
    Path(path).write_text(body)
