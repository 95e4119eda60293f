"""What is known of the recall of searches, and how it comes to be known."""

from collections.abc import Sequence

from arenalab.planning import Strategy
from arenalab.search.collection.segment import Segment
from arenalab.search.finding.retrieval import Found, Part
from arenalab.search.index.protocol import FloatArray
from arenalab.search.recall.certificate import EXACT, Band, Certificate, Certificates, Share
from arenalab.search.recall.shadow import Repetition, Shadows, self_tests


class Measuring:
    """Certificates for searches, from a sample of them that is repeated exactly."""

    def __init__(self, certificates: Certificates, shadows: Shadows) -> None:
        self._certificates = certificates
        self._shadows = shadows

    def certificate(self, found: Found) -> Certificate:
        """Returns what is known of a search.

        The part that was searched approximately decides: all others are exact, so that
        the whole is at least as good.
        """
        part = found.main
        if part is None or part.exact:
            return EXACT
        return self._certificates.certificate(
            part.plan.engine, _share(part), exact=False, index=part.segment.serial
        )

    def offer(self, found: Found, vector: FloatArray) -> None:
        """Hears of a search, and has it repeated if it is picked."""
        part = found.main
        if part is None or part.exact or not self._shadows.picks():
            return
        selection = part.selection
        self._shadows.offer(
            Repetition(
                band=Band(part.segment.serial, part.plan.engine, Share.of(_share(part))),
                index=part.segment.index,
                query=vector,
                limit=found.fetched,
                rows=lambda: None if selection is None else selection.rows,
                found=part.near,
            )
        )

    def indexed(self, segment: Segment) -> None:
        """Hears of a new index: it is measured before it has traffic."""
        self._shadows.seed(self_tests(segment.index, segment.serial))


def _share(part: Part) -> float | None:
    if part.selection is None or part.plan.strategy is Strategy.NONE:
        return None
    return part.selection.share


def weakest(certificates: Sequence[Certificate]) -> Certificate:
    """Returns the one of which least is known; exact only where all are."""
    return min(certificates, key=lambda one: (one.exact, one.recall_low))
