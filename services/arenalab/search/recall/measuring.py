"""What is known of the recall of searches, and how it comes to be known."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from arenalab.planning import Strategy
from arenalab.search.collection.segment import Segment
from arenalab.search.finding.retrieval import Found, Part
from arenalab.search.index.protocol import FloatArray
from arenalab.search.recall.certificate import EXACT, Band, Certificate, Certificates
from arenalab.search.recall.raising import Raising, is_as_hard
from arenalab.search.recall.shadow import Overlap, Repetition, Shadows, self_tests

_logger = logging.getLogger(__name__)


class Measuring:
    """Certificates for searches, from a sample of them that is repeated exactly.

    What the sample finds missing, the searches after it look harder for.
    """

    def __init__(self, certificates: Certificates, shadows: Shadows) -> None:
        self._certificates = certificates
        self._shadows = shadows
        self._raising = Raising()

    def certificate(self, found: Found) -> Certificate:
        """Returns what is known of a search: that of its weakest part.

        Several parts may be approximate. What one of them misses may all have been among
        the best of all, so that the shortfalls of the lower bounds add up.
        """
        known = [self._certificates.of(_band(part, found)) for part in _approximate(found)]
        if not known:
            return EXACT
        if len(known) == 1:
            return known[0]
        shortfall = sum(1.0 - one.recall_low for one in known)
        return replace(weakest(known), recall_low=max(0.0, 1.0 - shortfall))

    def offer(self, found: Found, vector: FloatArray) -> None:
        """Hears of a search, and has those of its parts repeated that are picked."""
        for part in _approximate(found):
            if self._shadows.picks():
                self._shadows.offer(self._repetition(part, found, vector))

    def indexed(self, segment: Segment) -> None:
        """Hears of a new index: it is measured before it has traffic."""
        effort = segment.tuning.effort
        self._shadows.seed(self_tests(segment.index, segment.serial, effort=effort))

    def _repetition(self, part: Part, found: Found, vector: FloatArray) -> Repetition:
        selection, band = part.selection, _band(part, found)
        return Repetition(
            band=band,
            index=part.segment.index,
            query=vector,
            limit=found.fetched,
            rows=lambda: None if selection is None else selection.rows,
            found=part.near,
            heard=lambda seen: self._hear(part, band, found.fetched, seen),
        )

    def _hear(self, part: Part, band: Band, fetched: int, seen: Overlap) -> None:
        segment, plan = part.segment, part.plan
        if not is_as_hard(plan, len(segment), fetched, segment.tuning.effort):
            return
        if self._raising.record(segment.tuning, band, plan.recall_target, seen):
            _logger.warning(
                "%s: searches find less than %g of the nearest; searched %g times as hard now",
                band.name, plan.recall_target, segment.tuning.effort,
            )  # fmt: skip


def _approximate(found: Found) -> list[Part]:
    return [part for part in found.parts if not part.exact]


def _band(part: Part, found: Found) -> Band:
    selection = None if part.plan.strategy is Strategy.NONE else part.selection
    share = None if selection is None else selection.share
    return Band.of(part.segment.serial, part.plan, share, found.fetched)


def weakest(certificates: Sequence[Certificate]) -> Certificate:
    """Returns the one of which least is known; exact only where all are."""
    return min(certificates, key=lambda one: (one.exact, one.recall_low, one.samples))
