"""Searching an index harder once searches have shown that it finds too little.

Questions made of an index's own rows say how hard it must be searched before anyone has
asked (see tuner.py). People ask otherwise: where the searches that were repeated exactly
leave no doubt that they find less than they were to, the effort goes one step up. Only
searches at the effort of the moment count, so that each step has evidence of its own.
"""

import threading
from collections import OrderedDict
from typing import Final, NamedTuple

import numpy as np

from arenalab.planning import Engine, Plan
from arenalab.planning.cost import lists_of
from arenalab.planning.recall import ef_for, probes_for
from arenalab.search.collection.tuning import Tuning
from arenalab.search.recall.certificate import WINDOW, Band, mean_upper_bound
from arenalab.search.recall.shadow import Overlap

# A step costs every search of the index time, and is never taken back.
CONFIDENCE: Final = 0.99
# Before so many searches the bound is sure, but they may all be of one caller.
LEAST_SEARCHES: Final = 32
_MAX_KEYS: Final = 1024


class _Key(NamedTuple):
    band: Band
    recall_target: float
    effort: float


class Raising:
    """Gathers the recalls of searches, and raises efforts. Any thread may use it."""

    def __init__(self) -> None:
        self._recalls: OrderedDict[_Key, list[float]] = OrderedDict()
        self._changing = threading.Lock()

    def record(self, tuning: Tuning, band: Band, recall_target: float, seen: Overlap) -> bool:
        """Takes in one search that was repeated; returns whether the effort was raised.

        Args:
            tuning: Of the index, which must be searched as hard now as it was then.
            band: Where the search belongs.
            recall_target: The recall that it was planned for.
            seen: How much of the truth it found.
        """
        if not seen.true:
            return False
        key = _Key(band, recall_target, tuning.effort)
        with self._changing:
            recalls = self._recalls.setdefault(key, [])
            self._recalls.move_to_end(key)
            if len(self._recalls) > _MAX_KEYS:
                self._recalls.popitem(last=False)
            if len(recalls) == WINDOW:  # of another time: what was sure was acted on
                recalls.clear()
            recalls.append(seen.found / seen.true)
            if len(recalls) < LEAST_SEARCHES:
                return False
            if mean_upper_bound(np.array(recalls), CONFIDENCE) >= recall_target:
                return False
            del self._recalls[key]
        return tuning.raise_from(key.effort)


def is_as_hard(plan: Plan, spans: int, fetched: int, effort: float) -> bool:
    """Returns whether a plan looks at least as hard as one made here would, unfiltered.

    A plan may have come with its search, made by whoever asked: what little a short list
    finds says nothing of the index.

    Args:
        plan: What an index was searched by.
        spans: Rows of the index.
        fetched: Hits asked of it.
        effort: By which plans are made for it now.
    """
    if plan.engine is Engine.HNSW:
        least = ef_for(plan.recall_target, fetched, spans, effort=effort)
        return least is not None and plan.ef_search >= least
    if plan.engine is Engine.IVF:
        least = probes_for(plan.recall_target, fetched, effort=effort)
        return least is not None and plan.n_probe >= min(least, lists_of(spans))
    return False
