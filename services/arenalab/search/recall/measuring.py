"""What is known of the recall of searches, and how it comes to be known."""

from collections.abc import Sequence
from dataclasses import replace

from arenalab.planning import Strategy
from arenalab.search.collection.segment import Segment
from arenalab.search.finding.retrieval import Found, Part
from arenalab.search.index.protocol import FloatArray
from arenalab.search.recall.certificate import EXACT, Band, Certificate, Certificates
from arenalab.search.recall.shadow import Repetition, Shadows, self_tests


class Measuring:
    """Certificates for searches, from a sample of them that is repeated exactly."""

    def __init__(self, certificates: Certificates, shadows: Shadows) -> None:
        self._certificates = certificates
        self._shadows = shadows

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
                self._shadows.offer(_repetition(part, found, vector))

    def indexed(self, segment: Segment) -> None:
        """Hears of a new index: it is measured before it has traffic."""
        self._shadows.seed(self_tests(segment.index, segment.serial))


def _approximate(found: Found) -> list[Part]:
    return [part for part in found.parts if not part.exact]


def _repetition(part: Part, found: Found, vector: FloatArray) -> Repetition:
    selection = part.selection
    return Repetition(
        band=_band(part, found),
        index=part.segment.index,
        query=vector,
        limit=found.fetched,
        rows=lambda: None if selection is None else selection.rows,
        found=part.near,
    )


def _band(part: Part, found: Found) -> Band:
    selection = None if part.plan.strategy is Strategy.NONE else part.selection
    share = None if selection is None else selection.share
    return Band.of(part.segment.serial, part.plan, share, found.fetched)


def weakest(certificates: Sequence[Certificate]) -> Certificate:
    """Returns the one of which least is known; exact only where all are."""
    return min(certificates, key=lambda one: (one.exact, one.recall_low, one.samples))
