"""Repeating a sample of the approximate searches exactly, behind the answers.

One thread does it, one scan at a time, and rests after each in proportion to how long it
took: however much is offered, it takes no more than its share of one core. What does not
fit the queue is dropped and counted; that loses samples, never an answer, and as it does
not depend on what a search found, it leaves the estimate as it is.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

import numpy as np

from arenalab.mesh import MeshError
from arenalab.planning import DEFAULT_MODEL, DEFAULT_RECALL, Facts, Plan, choose
from arenalab.search.index.protocol import Effort, FloatArray, Nearest, VectorIndex
from arenalab.search.index.selection import IntArray
from arenalab.search.recall.certificate import Band, Certificates
from arenalab.search.recall.questions import questions_of

_logger = logging.getLogger(__name__)

DEFAULT_RATE: Final = 0.005
DEFAULT_QUEUE_LIMIT: Final = 64
DEFAULT_CORE_SHARE: Final = 0.1
# Self-tests of a new index, by how many hits they want: what is asked for most, and what
# a prediction asks for.
SELF_TESTS: Final = {10: 64, 50: 32}
# Self-tests that may wait, for each search that may: those of some indexes.
_SEEDS: Final = 8


class Outcome(StrEnum):
    """What became of a search that was picked."""

    MEASURED = "measured"
    DROPPED = "dropped"
    FAILED = "failed"


class Overlap(NamedTuple):
    """How many of the true nearest were found."""

    found: int
    true: int


class Job(Protocol):
    """One search to repeat."""

    @property
    def band(self) -> Band:
        """Where its recall belongs."""

    def run(self) -> tuple[int, int]:
        """Searches exactly; returns how many of the true nearest were found, of how many.

        Raises:
            MeshError: The index cannot be asked now; the search is left out.
        """


def overlap(found: Nearest, true: Nearest) -> Overlap:
    """Returns how much of the truth was found, both asked for equally many.

    A row that is as near as the last of the truth counts as found: which one of equals
    is returned is chance. The similarities are those of `rescore`, equal to the bit.
    """
    if not len(true.rows):
        return Overlap(0, 0)
    near_enough = int(np.count_nonzero(found.similarities >= true.similarities[-1]))
    return Overlap(min(near_enough, len(true.rows)), len(true.rows))


@dataclass(frozen=True, kw_only=True, eq=False)
class Repetition:
    """A search of one index that was answered, to be repeated."""

    band: Band
    index: VectorIndex
    query: FloatArray
    limit: int
    rows: Callable[[], IntArray | None]  # that could be found, ascending; None: all
    found: Nearest
    heard: Callable[[Overlap], None] = lambda _: None  # told of the overlap

    def run(self) -> tuple[int, int]:
        """Returns the overlap with the truth."""
        shared = overlap(self.found, self.index.scan(self.query, self.limit, self.rows()))
        self.heard(shared)
        return shared


@dataclass(frozen=True, kw_only=True, eq=False)
class SelfTest:
    """A question made of a row of the index itself, searched both ways."""

    band: Band
    index: VectorIndex
    question: FloatArray
    plan: Plan
    limit: int

    def run(self) -> tuple[int, int]:
        """Returns the overlap of the index with the truth."""
        plan = self.plan
        effort = Effort(plan.ef_search, plan.n_probe, plan.candidates)
        found = self.index.search(self.question, self.limit, effort=effort)
        return overlap(found, self.index.scan(self.question, self.limit, None))


def self_tests(
    index: VectorIndex,
    key: Hashable,
    *,
    counts: Mapping[int, int] = MappingProxyType(SELF_TESTS),
    seed: int = 0,
    effort: float = 1.0,
) -> Iterator[SelfTest]:
    """Yields questions for a new index, so that it is measured before it has traffic.

    Each is searched by the plan that a search without one of its own gets.

    Args:
        index: What was built.
        key: Tells it from every other, as in its bands.
        counts: How many questions, by limit; no more than the index has rows.
        seed: Of the choice.
        effort: By how much harder than the tables say the index is searched.
    """
    for limit, count in counts.items():
        plan = default_plan(index, limit, effort=effort)
        if plan is None:
            continue
        band = Band.of(key, plan, None, limit)
        for question in questions_of(index, count, seed + limit):
            yield SelfTest(band=band, index=index, question=question, plan=plan, limit=limit)


def default_plan(
    index: VectorIndex,
    limit: int,
    *,
    effort: float = 1.0,
    recall_target: float = DEFAULT_RECALL,
) -> Plan | None:
    """Returns how an index is searched unfiltered; None where it is scanned.

    Args:
        index: What is searched.
        limit: Hits wanted.
        effort: By how much harder than the tables say.
        recall_target: As of a search.
    """
    facts = Facts(
        spans=index.size,
        matches=index.size,
        engines=frozenset({index.engine}),
        dimension=index.dimension,
        effort=effort,
    )
    # Costs decide between scan and index, and not how hard the index looks: any will do.
    choice = choose(facts, limit=limit, recall_target=recall_target, model=DEFAULT_MODEL)
    return next((one for one in (choice.plan, *choice.rejected) if not one.is_exact), None)


class Shadows:
    """Picks searches, repeats them on a thread of its own, and records their recall."""

    def __init__(
        self,
        certificates: Certificates,
        *,
        rate: float = DEFAULT_RATE,
        queue_limit: int = DEFAULT_QUEUE_LIMIT,
        core_share: float = DEFAULT_CORE_SHARE,
        seed: int = 0,
        observe: Callable[[Outcome, Band], None] = lambda _outcome, _band: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Does nothing yet: call `start`.

        Args:
            certificates: Where the recalls go.
            rate: Share of the searches to repeat, in [0, 1].
            queue_limit: Searches that may wait; one more is dropped.
            core_share: Share of one core that the thread may take, in (0, 1].
            seed: Of the picking.
            observe: Told what became of each search that was picked.
            clock: Seconds, for the rests.

        Raises:
            ValueError: An argument is out of range.
        """
        if not 0 <= rate <= 1:
            raise ValueError(f"rate must be in [0, 1], got {rate}")
        if queue_limit < 1:
            raise ValueError(f"queue_limit must be at least 1, got {queue_limit}")
        if not 0 < core_share <= 1:
            raise ValueError(f"core_share must be in (0, 1], got {core_share}")
        self._certificates = certificates
        self._rate = rate
        self._queue_limit = queue_limit
        self._rest_ratio = 1 / core_share - 1
        self._random = Random(seed)  # noqa: S311 - a sample, not a secret
        self._observe = observe
        self._clock = clock
        self._waiting: deque[Job] = deque()
        self._seeds: deque[Job] = deque(maxlen=queue_limit * _SEEDS)
        self._is_busy = False
        self._is_stopped = False
        self._state = threading.Condition()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begins the work."""
        self._thread = threading.Thread(target=self._work, name="shadow-searches", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the work after the scan that runs; returns when it has ended."""
        with self._state:
            self._is_stopped = True
            self._waiting.clear()
            self._seeds.clear()
            self._state.notify_all()
        if self._thread is not None:
            self._thread.join()

    def picks(self) -> bool:
        """Returns whether the next search is to be repeated: build its job only then.

        The same sequence for the same seed.
        """
        return self._random.random() < self._rate

    def offer(self, job: Job) -> bool:
        """Queues a search that was picked; returns whether there was room."""
        with self._state:
            if self._is_stopped:
                return False
            has_room = len(self._waiting) < self._queue_limit
            if has_room:
                self._waiting.append(job)
                self._state.notify_all()
        if not has_room:
            self._observe(Outcome.DROPPED, job.band)
        return has_room

    def seed(self, jobs: Iterable[Job]) -> None:
        """Queues the self-tests of a new index, before all traffic; the oldest give way."""
        with self._state:
            if not self._is_stopped:
                self._seeds.extend(jobs)
                self._state.notify_all()

    def wait(self) -> None:
        """Returns when nothing is left to do."""
        with self._state:
            self._state.wait_for(lambda: not (self._waiting or self._seeds or self._is_busy))

    def _work(self) -> None:
        while (taken := self._take()) is not None:
            job, is_seed = taken
            started = self._clock()
            self._run(job, is_seed=is_seed)
            # So that the index of a search is not kept from being freed during the rest.
            del job, taken
            self._rest(self._clock() - started)

    def _take(self) -> tuple[Job, bool] | None:
        with self._state:
            self._state.wait_for(lambda: self._is_stopped or self._seeds or self._waiting)
            if self._is_stopped:
                return None
            self._is_busy = True
            if self._seeds:
                return self._seeds.popleft(), True
            return self._waiting.popleft(), False

    def _run(self, job: Job, *, is_seed: bool) -> None:
        try:
            found, true = job.run()
            self._certificates.record(job.band, found, true, seed=is_seed)
        except MeshError as error:  # an index server is away: its searches say so themselves
            _logger.debug("shadow search: %s", error)
            self._observe(Outcome.FAILED, job.band)
        except Exception:  # a defect here must end neither the thread nor the certificates
            _logger.exception("shadow search failed")
            self._observe(Outcome.FAILED, job.band)
        else:
            self._observe(Outcome.MEASURED, job.band)

    def _rest(self, worked_s: float) -> None:
        with self._state:
            self._is_busy = False
            self._state.notify_all()
            self._state.wait_for(lambda: self._is_stopped, worked_s * self._rest_ratio)
