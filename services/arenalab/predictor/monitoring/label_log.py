"""The labels of one dataset version, on disk: what the running tests are replayed from.

`<home>/labels/<tenant>/<dataset>/<version>.ndjson` holds one JSON object a line:

    {"label": {…}, "at": 1764300000}   a label, in the order in which it came
    {"restart": 1, "at": 1764300000}   a calibration: its tests begin here
    {"kept": {…}}                      a label that "rolled" has counted already
    {"rolled": {…}}                    what the tests had come to when older labels were dropped

Labels are acknowledged after fsync. A torn last line was never acknowledged and is dropped; a
line that cannot be read is left where it is, reported, and not used. The number of answers that
were served lies beside it, in `<version>.served`: it is written now and then, and may lag.
"""

import contextlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from arenalab.durable import append, remove_left_over, replace
from arenalab.mesh import BudgetSpentError
from arenalab.mesh import Reason as ErrorReason
from arenalab.predictor.monitoring.labels import Label, label_form, label_from, without_words

_logger = logging.getLogger(__name__)

# Labels kept of one version; about 300 bytes each. Beyond it the older half is dropped.
MAX_LABELS: Final = 20_000


class LabelLog:
    """Appends to one file, and reads it once; one process writes it."""

    def __init__(
        self, path: Path, now: Callable[[], float], *, max_labels: int = MAX_LABELS
    ) -> None:
        """Reads what is there; `now` is the time in seconds since 1970."""
        self._path = path
        self._now = now
        self._max = max_labels
        self.labels: list[Label] = []
        self.fresh: list[Label] = []  # of them those that `rolled` has not counted
        self.rolled: dict[str, Any] | None = None
        self.restarts = 0
        self.since: float | None = None  # of the last calibration, else of the first label
        self._known: set[tuple[str, str]] = set()
        self._read()

    def has(self, label: Label) -> bool:
        """Returns whether it is there already, from the same source."""
        return label.key in self._known

    def append(self, labels: Sequence[Label]) -> None:
        """Keeps labels durably.

        Raises:
            BudgetSpentError: STORAGE_FULL; none was kept.
        """
        at = int(self._now())
        self._write([{"label": label_form(label), "at": at} for label in labels])
        for label in labels:
            self._take(label)
        self.fresh += labels
        self.since = self.since or at

    def restart(self) -> None:
        """Notes that a new calibration is in use.

        Raises:
            BudgetSpentError: STORAGE_FULL; it was not noted.
        """
        at = int(self._now())
        self._write([{"restart": self.restarts + 1, "at": at}])
        self.restarts += 1
        self.since = at

    def roll(self, state: dict[str, Any]) -> None:
        """Drops the older half where there are too many; `state` is what all have come to.

        Raises:
            BudgetSpentError: STORAGE_FULL; nothing was dropped.
        """
        if len(self.labels) <= self._max:
            return
        kept = self.labels[-self._max // 2 :]
        lines: list[dict[str, Any]] = [{"restart": self.restarts, "at": int(self.since or 0)}]
        lines += [{"kept": label_form(label)} for label in kept]
        lines.append({"rolled": state})
        with _storage(self._path):
            replace(self._path, b"".join(map(_line, lines)))
        self.labels, self.fresh, self.rolled = kept, [], state
        self._known = {label.key for label in kept}

    def erase(self, subject: str) -> int:
        """Takes their words from a subject's labels; returns how many labels there were.

        Lines that cannot be read are dropped: nobody can tell whose words they hold.

        Raises:
            BudgetSpentError: STORAGE_FULL; nothing was erased.
        """
        count = sum(label.subject == subject for label in self.labels)
        if not count:
            return 0
        with _storage(self._path):
            lines = self._path.read_bytes().split(b"\n")[:-1]
            replace(self._path, b"".join(_erased(line, subject) for line in lines))
        self.labels = [_bare(label, subject) for label in self.labels]
        self.fresh = [_bare(label, subject) for label in self.fresh]
        return count

    def read_served(self, calibration: str) -> int:
        """Returns how many answers were served under a calibration, as far as was written."""
        try:
            form = json.loads(self._served_path.read_bytes())
            return int(form["served"]) if form["calibration"] == calibration else 0
        except FileNotFoundError:
            return 0
        except (ValueError, KeyError, TypeError) as error:
            _logger.warning("%s is not used: %s", self._served_path, error)
            return 0

    def write_served(self, calibration: str, served: int) -> None:
        """Writes how many answers were served under a calibration.

        Raises:
            BudgetSpentError: STORAGE_FULL; what was written before stays.
        """
        with _storage(self._served_path):
            replace(self._served_path, _line({"calibration": calibration, "served": served}))

    @property
    def _served_path(self) -> Path:
        return self._path.with_suffix(".served")

    def _take(self, label: Label) -> None:
        self.labels.append(label)
        self._known.add(label.key)

    def _write(self, lines: Iterable[dict[str, Any]]) -> None:
        data = b"".join(map(_line, lines))
        with _storage(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            append(self._path, data)

    def _read(self) -> None:
        try:
            remove_left_over(self._path)
            whole = self._path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return
        lines = whole.split(b"\n")
        if lines[-1]:
            with self._path.open("r+b") as file:
                file.truncate(len(whole) - len(lines[-1]))
        for number, line in enumerate(lines[:-1], 1):
            try:
                self._fold(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                _logger.warning("%s, line %d is not used: %s", self._path, number, error)

    def _fold(self, form: dict[str, Any]) -> None:
        if "label" in form:
            label = label_from(form["label"])
            self._take(label)
            self.fresh.append(label)
            self.since = self.since or float(form["at"])
        elif "kept" in form:
            self._take(label_from(form["kept"]))
        elif "restart" in form:
            self.restarts = int(form["restart"])
            self.since = float(form["at"]) or None
        else:
            self.rolled = dict(form["rolled"])


class LabelStore:
    """The label logs below one folder."""

    def __init__(self, home: Path, now: Callable[[], float]) -> None:
        self._root = home / "labels"
        self._now = now

    def open(self, tenant: str, dataset: str, version: str) -> LabelLog:
        """Returns the log of a version; nothing is written before its first label."""
        return LabelLog(self._root / tenant / dataset / f"{version}.ndjson", self._now)

    def versions(self, tenant: str) -> list[tuple[str, str]]:
        """Returns the datasets and versions of a tenant of which there are labels."""
        return sorted(
            (path.parent.name, path.stem) for path in (self._root / tenant).glob("*/*.ndjson")
        )

    def tenants(self) -> list[str]:
        """Returns the tenants of whom there are labels."""
        try:
            return sorted(path.name for path in self._root.iterdir() if path.is_dir())
        except FileNotFoundError:
            return []


def _bare(label: Label, subject: str) -> Label:
    return without_words(label) if label.subject == subject else label


def _erased(line: bytes, subject: str) -> bytes:
    try:
        form = json.loads(line)
        for name in ("label", "kept"):
            if name in form:
                form[name] = label_form(_bare(label_from(form[name]), subject))
        return _line(form)
    except (ValueError, KeyError, TypeError, AttributeError):
        return b""


def _line(form: dict[str, Any]) -> bytes:
    return json.dumps(form, separators=(",", ":"), allow_nan=False).encode() + b"\n"


@contextlib.contextmanager
def _storage(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BudgetSpentError(
            f"labels cannot be kept in {path}: {error.strerror}",
            ErrorReason.STORAGE_FULL,
            path=str(path),
        ) from error
