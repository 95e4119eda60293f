"""Whether a filter passes what lies near the questions that are asked with it.

Counts cannot tell: a filter may select everywhere, or the region that the questions point
to, or another one. A search that bets on agreement and loses pays for a scan besides, and a
scan where a bet would have been won pays several times too much. So the outcome of every
probe is kept with its filter. Nothing depends on it but time: what a bet misses is scanned.
"""

import threading
from dataclasses import dataclass
from typing import Final

from arenalab.planning import UNKNOWN_AGREEMENT
from arenalab.search.condition import Filter
from arenalab.search.filters.recent import Recent

# What each new outcome leaves of the ones before it: twenty count, for questions change.
_KEPT: Final = 0.95
# Two outcomes that nobody saw, one of each kind: Laplace's rule of succession.
_PRIOR: Final = 2.0
# Agreements are told apart in steps, so that plans for equal facts can be looked up.
_STEPS: Final = 16
_MAX_FILTERS: Final = 1024
# Of the scans of a filter, these are followed by a probe that only serves to learn: the first
# few, then one in so many. A probe takes some tenths of what such a scan does.
_FIRST: Final = 3
_EVERY: Final = 32
# Of the share of all rows that passes, so much must pass near the question.
_LEAST_OF_SHARE: Final = 0.5


@dataclass(slots=True)
class _Outcomes:
    agreed: float = 0.0
    seen: float = 0.0
    scans: int = 0

    @property
    def agreement(self) -> float:
        likely = (self.agreed + UNKNOWN_AGREEMENT * _PRIOR) / (self.seen + _PRIOR)
        return round(likely * _STEPS) / _STEPS


class Agreements:
    """What is known of filters, by segment. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: Recent[tuple[int, Filter], _Outcomes] = Recent(_MAX_FILTERS)

    def of(self, serial: int, wanted: Filter) -> float:
        """Returns how likely a filter passes what is near a question, in [0, 1]."""
        try:
            return self._known[serial, wanted].agreement
        except KeyError:
            return UNKNOWN_AGREEMENT

    def probed(self, serial: int, wanted: Filter, *, passing: int, hits: int, share: float) -> None:
        """Hears how many of the nearest rows passed.

        Args:
            serial: Of the segment.
            wanted: The filter.
            passing: Of the hits, those that passed.
            hits: Of the unfiltered search.
            share: Of all rows, those that pass, in [0, 1].
        """
        agrees = passing >= max(1.0, _LEAST_OF_SHARE * share * hits)
        with self._lock:
            outcomes = self._outcomes(serial, wanted)
            outcomes.agreed = _KEPT * outcomes.agreed + agrees
            outcomes.seen = _KEPT * outcomes.seen + 1

    def scanned(self, serial: int, wanted: Filter) -> bool:
        """Hears of a scan under a filter; returns whether a probe should follow, to learn."""
        with self._lock:
            outcomes = self._outcomes(serial, wanted)
            outcomes.scans += 1
            return outcomes.scans <= _FIRST or outcomes.scans % _EVERY == 0

    def _outcomes(self, serial: int, wanted: Filter) -> _Outcomes:
        try:
            return self._known[serial, wanted]
        except KeyError:
            self._known[serial, wanted] = made = _Outcomes()
            return made
