"""How many of the true nearest an approximate search finds, estimated by repeating some exactly.

The hits of one query are found or missed together (a walk that starts in the wrong region
misses all of them), so that counting hits as if each were a trial claims far more than was
seen. The unit is the query: its recall is one observation in [0, 1].

The lower bound is that of Waudby-Smith and Ramdas, "Estimating means of bounded random
variables by betting" (JRSS B 86, 2024): a mean m is ruled out when a gambler who bets
against it would have multiplied the stake by 20. It holds for any number of queries and any
distribution on [0, 1]. A t interval does not: recalls pile up at 1, and a sample of nothing
but ones has no width at all. Hoeffding's needs 1,700 queries for a width of 0.03.
The bets here are a fixed mixture, so that the order of the queries does not matter; by the
inequality of the means it holds for queries of unequal difficulty too, for their average.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

import numpy as np
import numpy.typing as npt

from arenalab.planning import Engine, Plan, Strategy
from arenalab.search.index.protocol import DEFAULT_EF_SEARCH, MAX_CANDIDATES

CONFIDENCE: Final = 0.95
WINDOW: Final = 1000
MAX_BANDS: Final = 4096

# Shares of the most that may be bet against a mean: small ones tell best where recalls
# scatter widely, the last where nearly all of them are 1.
_BETS: Final = np.array([1 / 8, 1 / 4, 1 / 2, 31 / 32])
_HALVINGS: Final = 20  # of [0, 1]: to a millionth


class Share(Enum):
    """Which part of the spans a filter lets through."""

    UNFILTERED = "unfiltered"
    MOST = "10-100 %"
    SOME = "1-10 %"
    FEW = "0.1-1 %"
    RARE = "< 0.1 %"

    @classmethod
    def of(cls, share: float | None) -> "Share":
        """Returns the band of a share in [0, 1]; None means that nothing was filtered."""
        if share is None:
            return cls.UNFILTERED
        if share >= 0.1:  # noqa: PLR2004 - the bounds are in the names
            return cls.MOST
        if share >= 0.01:  # noqa: PLR2004
            return cls.SOME
        return cls.FEW if share >= 0.001 else cls.RARE  # noqa: PLR2004


class Order(Enum):
    """How many hits are wanted, by order of magnitude."""

    ONES = "1-10 hits"
    TENS = "11-100 hits"
    HUNDREDS = "101-1000 hits"
    THOUSANDS = "> 1000 hits"  # fetched to be ranked

    @classmethod
    def of(cls, limit: int) -> "Order":
        """Returns the order of a number of hits."""
        if limit <= 10:  # noqa: PLR2004 - the bounds are in the names
            return cls.ONES
        if limit <= 100:  # noqa: PLR2004
            return cls.TENS
        return cls.HUNDREDS if limit <= 1000 else cls.THOUSANDS  # noqa: PLR2004


@dataclass(frozen=True, slots=True)
class Band:
    """Searches that are alike enough to share an estimate.

    Whoever searches may bring a plan of any effort: one that looks less hard, or wants
    more, must not borrow the recall of another. The values of every field but the index
    are few, so that names can be labels of a metric.
    """

    index: Hashable  # tells one build of one collection's index from every other
    engine: Engine
    strategy: Strategy
    share: Share
    order: Order
    effort: int  # of a graph's list or inverted lists: at least this, less than twice; 0: none

    @classmethod
    def of(cls, index: Hashable, plan: Plan, share: float | None, limit: int) -> "Band":
        """Returns the band of a search.

        Args:
            index: As above.
            plan: What the index was searched by.
            share: Share of the rows that pass its filter, in [0, 1]; None: no filter.
            limit: Hits that were fetched.
        """
        effort = plan.n_probe if plan.engine is Engine.IVF else 0
        if plan.engine is Engine.HNSW:  # as the index itself understands a plan
            hits = max(limit, plan.candidates)
            effort = min(MAX_CANDIDATES, max(plan.ef_search or DEFAULT_EF_SEARCH, hits))
        return cls(
            index=index,
            engine=plan.engine,
            strategy=plan.strategy,
            share=Share.of(share),
            order=Order.of(limit),
            effort=1 << effort.bit_length() - 1 if effort else 0,
        )

    @property
    def name(self) -> str:
        """The name for people, such as "hnsw 1-10 %, 1-10 hits, ef 128"."""
        engine = self.engine.value
        if self.strategy is Strategy.POST:
            engine += " post"
        name = f"{engine} {self.share.value}, {self.order.value}"
        if not self.effort:
            return name
        return f"{name}, {'lists' if self.engine is Engine.IVF else 'ef'} {self.effort}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificate:
    """What is known of the recall of one search."""

    exact: bool
    recall: float | None  # None until the band was measured
    recall_low: float  # lower end of the one-sided 95 % confidence interval
    band: str
    samples: int


EXACT: Final = Certificate(exact=True, recall=1.0, recall_low=1.0, band="", samples=0)


@dataclass(slots=True)
class _Window:
    """The latest recalls of a band; recalls of self-tests give way to those of traffic."""

    traffic: deque[float]
    seeds: deque[float]
    certificate: Certificate = field(init=False)

    @classmethod
    def of(cls, length: int) -> "_Window":
        return cls(traffic=deque(maxlen=length), seeds=deque(maxlen=length))

    def add(self, recall: float, *, seed: bool) -> None:
        if seed:
            self.seeds.append(recall)
            return
        self.traffic.append(recall)
        if self.seeds:
            self.seeds.popleft()


class Certificates:
    """Recalls by band, the latest of each; any thread may use it."""

    def __init__(self, *, window: int = WINDOW, max_bands: int = MAX_BANDS) -> None:
        """Knows nothing yet.

        Args:
            window: Searches that a band remembers.
            max_bands: Bands that are remembered; the one measured least recently goes.
        """
        self._window = window
        self._max_bands = max_bands
        self._bands: OrderedDict[Band, _Window] = OrderedDict()
        self._lock = threading.Lock()

    def record(self, band: Band, found: int, true: int, *, seed: bool = False) -> None:
        """Takes in one repeated search.

        Args:
            band: Where it belongs.
            found: How many of the true nearest it had found.
            true: How many there are; a search with nothing to find says nothing.
            seed: Whether it was a self-test: it counts until traffic takes its place.

        Raises:
            ValueError: `found` is not in [0, true].
        """
        if not 0 <= found <= true:
            raise ValueError(f"found must be in [0, {true}], got {found}")
        if true == 0:
            return
        with self._lock:
            window = self._bands.get(band) or _Window.of(self._window)
            window.add(found / true, seed=seed)
            # Here and not when asked: this thread is in no hurry, a search is.
            window.certificate = _certificate(band, window)
            # A search reads without the lock: the band is never away, nor without estimate.
            self._bands[band] = window
            self._bands.move_to_end(band)
            if len(self._bands) > self._max_bands:
                self._bands.popitem(last=False)

    def of(self, band: Band) -> Certificate:
        """Returns what is known of the searches of a band; nothing before it was measured."""
        window = self._bands.get(band)
        if window is None:
            return Certificate(exact=False, recall=None, recall_low=0.0, band=band.name, samples=0)
        return window.certificate

    def forget(self, index: Hashable) -> None:
        """Drops the bands of an index that is no longer served."""
        with self._lock:
            for band in [band for band in self._bands if band.index == index]:
                del self._bands[band]


def _certificate(band: Band, window: _Window) -> Certificate:
    recalls = np.array([*window.traffic, *window.seeds])
    return Certificate(
        exact=False,
        recall=float(recalls.mean()),
        recall_low=mean_lower_bound(recalls),
        band=band.name,
        samples=len(recalls),
    )


def mean_upper_bound(values: npt.NDArray[np.float64], confidence: float = CONFIDENCE) -> float:
    """Returns what the mean of independent values in [0, 1] stays below with that confidence.

    Arguments as of `mean_lower_bound`.
    """
    return 1.0 - mean_lower_bound(1.0 - values, confidence)


def mean_lower_bound(values: npt.NDArray[np.float64], confidence: float = CONFIDENCE) -> float:
    """Returns what the mean of independent values in [0, 1] exceeds with that confidence.

    Args:
        values: At least one, in any order.
        confidence: In (0, 1).

    Source: Waudby-Smith and Ramdas (2024), with a fixed mixture of bets.
    """
    different, counts = np.unique(values, return_counts=True)
    target = np.log(len(_BETS) / (1.0 - confidence))

    def is_ruled_out(mean: float) -> bool:
        # Under a mean of at most `mean` the average capital is at most the stake (1),
        # and reaches 1 / (1 - confidence) with a chance of 1 - confidence at most.
        growth = np.log1p(np.outer(_BETS, different / mean - 1.0)) @ counts
        return bool(np.logaddexp.reduce(growth) >= target)

    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if is_ruled_out(middle) else (low, middle)
    return low
