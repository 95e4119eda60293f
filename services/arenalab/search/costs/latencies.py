"""How far the cost model is off, learned from the searches that are served.

One factor for each way of searching: the running centre of the logarithm of measured by
modelled time. A search that waited for a core says nothing about the model, and the
delays of a busy machine are far larger than any gain; so one search moves the factor by
a bounded step, as a median is moved, and the factor itself is bounded.

A prediction contains the factor that was published when it was made. It is taken out
again here: a factor that were learned on top of itself would run away.
"""

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from arenalab.planning import Correction

MOST: Final = 8.0
_MOST_LOG: Final = math.log(MOST)
# The largest part of an error that one search corrects, and the largest error that it has.
_STEP: Final = 0.02
_MOST_ERROR: Final = 1.0
# Searches after which what was learned outweighs the model.
_TRUSTED: Final = 8


@dataclass(slots=True)
class _Learned:
    log_factor: float = 0.0
    searches: int = 0
    log_published: float = 0.0  # of the factor that predictions contain

    def trusted(self) -> float:
        return self.log_factor * self.searches / (self.searches + _TRUSTED)


class Latencies:
    """Learns one factor for each way of searching. Safe to use from several threads."""

    def __init__(self, known: Mapping[str, Correction] | None = None) -> None:
        """Starts from what was learned before, if anything was."""
        self._lock = threading.Lock()
        self._ways: dict[str, _Learned] = {}
        for way, correction in (known or {}).items():
            log_factor = math.log(min(MOST, max(1 / MOST, correction.factor)))
            self._ways[way] = _Learned(log_factor, correction.searches, log_factor)

    def observe(self, way: str, predicted_us: float, measured_us: float) -> None:
        """Learns from one search. Times that are not positive say nothing."""
        if not (0 < predicted_us < math.inf and 0 < measured_us < math.inf):
            return
        log_ratio = math.log(measured_us) - math.log(predicted_us)
        with self._lock:
            learned = self._ways.get(way)
            if learned is None:
                learned = self._ways[way] = _Learned()
            off = log_ratio + learned.log_published - learned.log_factor
            off = min(_MOST_ERROR, max(-_MOST_ERROR, off))
            learned.searches += 1
            log_factor = learned.log_factor + off * max(_STEP, 1 / (learned.searches + 1))
            learned.log_factor = min(_MOST_LOG, max(-_MOST_LOG, log_factor))

    def corrections(self) -> dict[str, Correction]:
        """Returns what was learned so far, without changing what predictions contain."""
        with self._lock:
            return {
                way: Correction(math.exp(learned.trusted()), learned.searches)
                for way, learned in self._ways.items()
            }

    def publish(self) -> dict[str, Correction]:
        """Returns what was learned so far; predictions contain it from now on."""
        with self._lock:
            for learned in self._ways.values():
                learned.log_published = learned.trusted()
            return {
                way: Correction(math.exp(learned.log_published), learned.searches)
                for way, learned in self._ways.items()
            }
