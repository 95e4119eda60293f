"""Recent predictions, so that feedback can name them, on disk and bounded.

Two segments, `NAME.ndjson` and before it `NAME.old.ndjson`. Once the first is half full it takes
the other's place, and what that held is forgotten: at any time at least half of the limit is known.
A line is one JSON object, `{"prediction": {…}}` or `{"said": {…}}`, what somebody said of one.
Lines are written before the answer ends, so that a killed process loses none; what must outlive a
power cut is synced. A torn last line is dropped.
"""

import json
import logging
import os
import threading
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from arenalab.durable import remove_left_over, replace
from arenalab.mesh import BudgetSpentError, Reason

_logger = logging.getLogger(__name__)

# A segment is also full at this size, so that long conversations cannot fill memory.
SEGMENT_BYTES: Final = 32 * 1024 * 1024
# Beyond it the turns of a conversation are not kept.
MAX_TURNS_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What is needed of a prediction to make a label of what is said about it."""

    prediction_id: str
    tenant: str
    dataset: str
    dataset_version: str
    creature: str
    calibration: str
    turns: tuple[str, ...]  # of the user; empty when they were too long to keep
    output: str  # memory's, served or not; empty when it had none
    confidence: float
    admissible: bool
    served: bool
    audited: bool
    propensity: float
    user: str = ""  # who asked, as the request names them


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody said of a prediction."""

    prediction_id: str
    audit: bool
    verdict: int


class _Segment:
    """One file and what it holds: predictions as their JSON, which takes least memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.predictions: dict[str, bytes] = {}
        self.said: dict[tuple[str, bool], int] = {}
        self.size = 0

    def read(self) -> None:
        """Reads the file, and drops a torn last line."""
        remove_left_over(self.path)
        try:
            whole = self.path.read_bytes()
        except FileNotFoundError:
            return
        lines = whole.split(b"\n")
        self.size = len(whole) - len(lines[-1])
        if lines[-1]:
            with self.path.open("r+b") as file:
                file.truncate(self.size)
        for number, line in enumerate(lines[:-1], 1):
            try:
                self.take(line, json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                _logger.warning("%s, line %d is not used: %s", self.path, number, error)

    def forget(self, prediction_ids: Collection[str]) -> None:
        """Writes the file anew without some predictions, and without lines that say nothing.

        Raises:
            OSError: It could not be written; it is as before.
        """
        try:
            lines = self.path.read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return
        kept = [line for line in lines if _id_of(line) not in {None, *prediction_ids}]
        data = b"".join(line + b"\n" for line in kept)
        replace(self.path, data)
        self.size = len(data)
        for prediction_id in prediction_ids:
            self.predictions.pop(prediction_id, None)
        self.said = {key: said for key, said in self.said.items() if key[0] not in prediction_ids}

    def take(self, line: bytes, form: dict[str, Any]) -> None:
        """Remembers a line."""
        if "prediction" in form:
            self.predictions[str(form["prediction"]["prediction_id"])] = line
        else:
            said = form["said"]
            self.said[str(said["prediction_id"]), bool(said["audit"])] = int(said["verdict"])


class Predictions:
    """A bounded journal of predictions; one process writes it."""

    def __init__(self, folder: Path, name: str, limit: int) -> None:
        """Reads what is there; `limit` of predictions, at least 2."""
        self._half = max(1, limit // 2)
        self._writing = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        self._old = _Segment(folder / f"{name}.old.ndjson")
        self._new = _Segment(folder / f"{name}.ndjson")
        self._old.read()
        self._new.read()

    def add(self, prediction: Prediction, *, sync: bool) -> None:
        """Keeps a prediction.

        Raises:
            BudgetSpentError: STORAGE_FULL; it was not kept.
        """
        with self._writing:
            if len(self._new.predictions) >= self._half or self._new.size >= SEGMENT_BYTES:
                self._turn()
            self._write({"prediction": _form(prediction)}, sync=sync)

    def say(self, said: Said) -> None:
        """Keeps what was said, durably.

        Raises:
            BudgetSpentError: STORAGE_FULL; it was not kept.
        """
        with self._writing:
            self._write({"said": asdict(said)}, sync=True)

    def find(self, tenant: str, prediction_id: str) -> Prediction | None:
        """Returns a prediction of a tenant; None when it is not, or no longer, known."""
        for segment in (self._new, self._old):
            line = segment.predictions.get(prediction_id)
            if line is not None:
                prediction = _prediction(line)
                return prediction if prediction.tenant == tenant else None
        return None

    def verdict(self, prediction_id: str, *, audit: bool) -> int | None:
        """Returns the verdict that was said already; None when there is none."""
        key = (prediction_id, audit)
        return self._new.said.get(key, self._old.said.get(key))

    def pending(self, tenant: str) -> Iterator[Prediction]:
        """Yields a tenant's predictions that no audit has judged, oldest first."""
        for segment in (self._old, self._new):
            for prediction_id, line in list(segment.predictions.items()):
                if self.verdict(prediction_id, audit=True) is None:
                    prediction = _prediction(line)
                    if prediction.tenant == tenant:
                        yield prediction

    def forget(self, tenant: str, user: str) -> int:
        """Removes a user's predictions, and what was said of them; returns how many.

        Raises:
            BudgetSpentError: STORAGE_FULL; some may be left.
        """
        with self._writing:
            segments = (self._old, self._new)
            theirs = {
                prediction_id
                for segment in segments
                for prediction_id, line in segment.predictions.items()
                if ((found := _prediction(line)).tenant, found.user) == (tenant, user)
            }
            if theirs:
                for segment in segments:
                    try:
                        segment.forget(theirs)
                    except OSError as error:
                        raise _full(segment.path, error) from error
            return len(theirs)

    def _turn(self) -> None:
        path = self._new.path
        with_old = self._old.path
        try:
            path.replace(with_old)
        except OSError as error:
            raise _full(path, error) from error
        self._new.path = with_old
        self._old, self._new = self._new, _Segment(path)

    def _write(self, form: dict[str, Any], *, sync: bool) -> None:
        line = json.dumps(form, separators=(",", ":"), ensure_ascii=False).encode()
        segment = self._new
        try:
            with segment.path.open("ab", buffering=0) as file:
                try:
                    file.write(line + b"\n")
                    if sync:
                        os.fsync(file.fileno())
                except OSError:
                    file.truncate(segment.size)
                    raise
        except OSError as error:
            raise _full(segment.path, error) from error
        segment.size += len(line) + 1
        segment.take(line, form)


def kept_turns(turns: list[str]) -> tuple[str, ...]:
    """Returns the turns; none where they are too long to keep."""
    size = sum(len(turn.encode()) for turn in turns)
    return tuple(turns) if size <= MAX_TURNS_BYTES else ()


def _id_of(line: bytes) -> str | None:
    try:
        form = json.loads(line)
        return str((form["prediction"] if "prediction" in form else form["said"])["prediction_id"])
    except (ValueError, KeyError, TypeError):
        return None  # damaged: nobody can tell whose words it holds


def _form(prediction: Prediction) -> dict[str, Any]:
    # As `asdict`, which copies every value: all of them are plain.
    return {name: getattr(prediction, name) for name in Prediction.__slots__}


def _prediction(line: bytes) -> Prediction:
    form = json.loads(line)["prediction"]
    return Prediction(**(form | {"turns": tuple(form["turns"])}))


def _full(path: Path, error: OSError) -> BudgetSpentError:
    return BudgetSpentError(
        f"predictions cannot be kept in {path}: {error.strerror}",
        Reason.STORAGE_FULL,
        path=str(path),
    )
