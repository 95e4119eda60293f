"""The cost model in use: of this machine, kept in a file, corrected by what is served.

A start does not wait for it. Until the machine is measured, plans are made from the
default model: they find the same spans, a little slower.
"""

import json
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from arenalab.planning import DEFAULT_MODEL, Correction, CostModel
from arenalab.search.costs.latencies import Latencies
from arenalab.search.costs.machine import BUDGET_S, fingerprint, measure

__all__ = ["Costs", "load", "load_or_measure", "measure", "save"]

_logger = logging.getLogger(__name__)

_COSTS: Final = (
    "scan_ns",
    "gather_ns",
    "graph_ns",
    "list_ns",
    "rescore_ns",
    "select_ns",
    "call_us",
)
# A model that changes empties the caches of plans, so it does so seldom, and for a reason.
_REFRESH_S: Final = 5.0
_NOTABLE: Final = 0.05


def load_or_measure(
    path: Path,
    dimension: int,
    now: Callable[[], int] = time.time_ns,
    budget_s: float = BUDGET_S,
) -> CostModel:
    """Returns the model that the file keeps for this machine, or measures and keeps one.

    A file that is damaged, or of another machine or library, is written anew. Where it
    cannot be written the measurement is used all the same.

    Args:
        path: The file; its folder need not exist.
        dimension: Of the vectors.
        now: Tells nanoseconds since the epoch.
        budget_s: Seconds that a measurement may take.
    """
    known = load(path, dimension)
    if known is not None:
        return known
    model = measure(dimension, budget_s, now)
    save(path, model)
    return model


def load(path: Path, dimension: int) -> CostModel | None:
    """Returns the model that the file keeps for this machine, or None."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["machine"] != fingerprint(dimension):
            return None
        return _model_of(kept, dimension)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        _logger.warning("%s is damaged, the machine is measured anew: %s", path, error)
        return None


def save(path: Path, model: CostModel) -> None:
    """Keeps a model: written aside, then renamed. A disk that is full keeps none."""
    kept = {
        "machine": fingerprint(model.dimension),
        "measured_at_ns": model.measured_at_ns,
        "costs": {name: getattr(model, name) for name in _COSTS},
        "corrections": {way: [one.factor, one.searches] for way, one in model.corrections.items()},
    }
    aside = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(json.dumps(kept, indent=2), encoding="utf-8")
        aside.replace(path)
    except OSError as error:
        _logger.warning("what searching costs here is not kept: %s", error)
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def _model_of(kept: dict[str, Any], dimension: int) -> CostModel:
    costs = {name: float(kept["costs"][name]) for name in _COSTS}
    corrections = {
        str(way): Correction(float(factor), int(searches))
        for way, (factor, searches) in kept["corrections"].items()
    }
    factors = [one.factor for one in corrections.values()]
    if not all(0 < number < float("inf") for number in (*costs.values(), *factors)):
        raise ValueError("a cost is not a positive number")
    values: dict[str, Any] = costs
    return CostModel(
        dimension=dimension,
        measured_at_ns=int(kept["measured_at_ns"]),
        corrections=corrections,
        **values,
    )


class Costs:
    """Holds the model that plans are made from. Safe to use from several threads."""

    def __init__(
        self,
        path: Path,
        dimension: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], int] = time.time_ns,
        budget_s: float = BUDGET_S,
    ) -> None:
        """Reads what the file keeps for this machine; without, starts from the default.

        Args:
            path: The file.
            dimension: Of the vectors.
            clock: Seconds that never go back.
            now: Tells nanoseconds since the epoch.
            budget_s: Seconds that a measurement may take.
        """
        self._path = path
        self._dimension = dimension
        self._clock = clock
        self._now = now
        self._budget_s = budget_s
        known = load(path, dimension)
        self.is_measured = known is not None
        self._model = known or DEFAULT_MODEL
        self.latencies = Latencies(self._model.corrections)
        self._refresh_at_s = clock() + _REFRESH_S

    def model(self) -> CostModel:
        """Returns the model: the same object until something notable changes."""
        now_s = self._clock()
        if now_s >= self._refresh_at_s:
            # Two threads may both come here: the second finds nothing notable.
            self._refresh_at_s = now_s + _REFRESH_S
            self._refresh()
        return self._model

    def calibrate(self) -> None:
        """Measures the machine unless the file told. Blocks for `budget_s` at most."""
        if self.is_measured:
            return
        measured = load_or_measure(self._path, self._dimension, self._now, self._budget_s)
        self._model = replace(measured, corrections=self.latencies.publish())
        self.is_measured = True
        _logger.info("measured what searching costs on this machine")

    def keep(self) -> None:
        """Writes the model with what was learned, for the next start."""
        if self.is_measured:
            save(self._path, replace(self._model, corrections=self.latencies.corrections()))

    def _refresh(self) -> None:
        learned = self.latencies.corrections()
        known = self._model.corrections
        if any(_is_notable(known.get(way), one) for way, one in learned.items()):
            self._model = replace(self._model, corrections=self.latencies.publish())


def _is_notable(known: Correction | None, learned: Correction) -> bool:
    before = 1.0 if known is None else known.factor
    return abs(learned.factor / before - 1) > _NOTABLE
