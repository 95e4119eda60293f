"""The running status of one calibration's bound: valid, degraded, or void.

Three tests run from the calibration on, all on fresh labels:

* `audit` tests "each answer that is served is wrong with probability at most alpha" on the audited
  ones among them. An audit is drawn by chance alone and labelled whatever it says, so that audited
  answers are a random sample of the served ones and need no weights. At 5 the bound is degraded,
  at 1 / delta it is void and stays so until the next calibration: while the hypothesis is true,
  that happens with probability at most 20 % and delta, over any length of time.
* `complaints` tests the same hypothesis on every served answer, where one that nobody called
  wrong counts as right. Complaints are no random sample, but they can be no more than the errors
  there are: their e-value errs downwards, if they are true. Because nobody vouches for that, they
  degrade the bound (at 20), and never void it.
* `exchangeability` tests whether audited questions are like the calibration's. A bound may hold
  although they are not, so that it degrades (at 20), and never voids.

Only answers at or above the threshold of the default alpha and delta are counted, whatever a
request had asked for: of those the hypothesis speaks.
"""

import hashlib
import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from arenalab.predictor.calibrated import Calibrated
from arenalab.predictor.monitoring.betting import ODDS, Bets, RiskTest, counted_log_e, e_value
from arenalab.predictor.monitoring.exchangeability import POWERS, SLOPES, ExchangeabilityTest
from arenalab.predictor.monitoring.labels import Label, Source

# The e-values at which a bound is degraded, and with them how often that is a false alarm: at
# most one in 5 for audits, where a hint is worth it, one in 20 for the others.
AUDIT_HINT: Final = 5.0
DOUBT: Final = 20.0
AUDIT: Final = "audit"
COMPLAINTS: Final = "complaints"
EXCHANGEABILITY: Final = "exchangeability"


class Status(IntEnum):
    """Whether the bound holds now, as its metric shows it."""

    VALID = 1
    DEGRADED = 2
    VOID = 3


@dataclass(frozen=True, slots=True)
class Standing:
    """A status, and which test says so; the reason is empty for what the calibration says."""

    status: Status
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RunningTest:
    """One test as it stands."""

    name: str
    log_e: float
    peak_log_e: float
    degrades_at: float
    voids_at: float | None
    observed: int
    errors: int

    @property
    def e(self) -> float:
        """The e-value."""
        return e_value(self.log_e)

    @property
    def is_void(self) -> bool:
        """Whether it has ever reached the level that voids."""
        return self.voids_at is not None and self.peak_log_e >= math.log(self.voids_at)

    @property
    def is_in_doubt(self) -> bool:
        """Whether it is at the level that degrades."""
        return self.log_e >= math.log(self.degrades_at)


VALID: Final = Standing(Status.VALID)


class Watch:
    """The tests of one calibration, fed with labels in the order in which they came."""

    def __init__(self, calibrated: Calibrated, calibration: str) -> None:
        """`calibration` is its id: labels of another one are not of these tests."""
        bound = calibrated.bound()
        self.calibration = calibration
        self.threshold = bound.threshold
        self.alpha, self.delta = bound.alpha, calibrated.artefact.delta
        self.audit_labels = 0
        self.served = 0
        self.complaints = 0
        self._risk = RiskTest(self.alpha)
        self._exchangeable = ExchangeabilityTest(calibrated.artefact.pairs)
        self._is_frozen = False
        self._audited = self._audited_wrong = self._ranked = 0
        self._weight = self._weight_wrong = 0.0
        self._peak = self._rank_peak = self._complaint_peak = 0.0
        self._standing: Standing | None = None

    def observe(self, label: Label) -> None:
        """Takes a label into account; nothing happens for one of another calibration."""
        if label.calibration != self.calibration:
            return
        self._standing = None
        if label.source is Source.FEEDBACK:
            self.complaints += self._counts(label) and not label.correct
            self._complaint_peak = max(self._complaint_peak, self._complaint_log_e())
            return
        self.audit_labels += 1
        if self._counts(label):
            self._observe_risk(label)
        if self._exchangeable.is_possible and not self._is_frozen and _is_ranked(label):
            self._ranked += 1
            self._exchangeable.observe(
                label.confidence, _chance(label.prediction_id), is_right=label.correct
            )
            self._rank_peak = max(self._rank_peak, self._exchangeable.bets.log_e)

    def count_served(self, confidence: float) -> None:
        """Counts an answer that was let through."""
        if self.threshold is not None and confidence >= self.threshold:
            self.served += 1
            if self._standing is not VALID:  # an answer can only lower the e-value of complaints
                self._standing = None

    @property
    def tests(self) -> list[RunningTest]:
        """Every test as it stands; none where no threshold satisfies the bound."""
        if self.threshold is None:
            return []
        return [
            RunningTest(
                AUDIT,
                self._risk.bets.log_e,
                self._peak,
                AUDIT_HINT,
                1.0 / self.delta,
                self._audited,
                self._audited_wrong,
            ),
            RunningTest(
                COMPLAINTS,
                self._complaint_log_e(),
                self._complaint_peak,
                DOUBT,
                None,
                max(self.served, self.complaints),
                self.complaints,
            ),
            RunningTest(
                EXCHANGEABILITY,
                self._exchangeable.bets.log_e,
                self._rank_peak,
                DOUBT,
                None,
                self._ranked,
                0,
            ),
        ]

    @property
    def standing(self) -> Standing:
        """The status now. Computed once for each change: every answer asks for it."""
        if self._standing is None:
            self._standing = self._judge()
        return self._standing

    @property
    def audited_error(self) -> float | None:
        """Share of served answers that were wrong, by inverse propensity (Hájek); None: unknown."""
        return self._weight_wrong / self._weight if self._weight else None

    def state(self) -> dict[str, Any]:
        """Returns what the labels so far have come to, for when they are no longer kept."""
        return {
            "calibration": self.calibration,
            "risk": self._risk.bets.state(),
            "ranks": self._exchangeable.bets.state(),
            "counts": [self.audit_labels, self.complaints, self._audited, self._audited_wrong],
            "ranked": self._ranked,
            "weights": [self._weight, self._weight_wrong],
            "peaks": [self._peak, self._rank_peak, self._complaint_peak],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a state; one of another calibration is left alone.

        The exchangeability test bets no more: the questions that a rank would be among are gone.
        Its capital stays, and it begins anew with the next calibration.

        Raises:
            KeyError, TypeError, ValueError: It is no state.
        """
        if state["calibration"] != self.calibration:
            return
        risk, ranks = Bets.restored(len(ODDS), state["risk"]), state["ranks"]
        ranks = Bets.restored(len(POWERS) + len(SLOPES), ranks)
        audits, complaints, audited, wrong = map(int, state["counts"])
        ranked = int(state["ranked"])
        weight, weight_wrong = map(float, state["weights"])
        peaks = tuple(map(float, state["peaks"]))
        self._peak, self._rank_peak, self._complaint_peak = peaks
        # Nothing above has changed a count: a state that is none leaves the watch as it was.
        self._risk.bets, self._exchangeable.bets = risk, ranks
        self.audit_labels, self.complaints = audits, complaints
        self._audited, self._audited_wrong, self._ranked = audited, wrong, ranked
        self._weight, self._weight_wrong = weight, weight_wrong
        self._is_frozen = True
        self._standing = None

    def _counts(self, label: Label) -> bool:
        """Whether the bound speaks of this answer."""
        return (
            self.threshold is not None
            and label.served
            and label.admissible
            and label.confidence >= self.threshold
        )

    def _observe_risk(self, label: Label) -> None:
        self._risk.observe(is_wrong=not label.correct)
        self._audited += 1
        self._audited_wrong += not label.correct
        self._weight += 1.0 / label.propensity
        self._weight_wrong += 0.0 if label.correct else 1.0 / label.propensity
        self._peak = max(self._peak, self._risk.bets.log_e)

    def _complaint_log_e(self) -> float:
        # After a crash a few served answers may be missing from the count.
        answers = max(self.served, self.complaints)
        return counted_log_e(self.complaints, answers, self.alpha)

    def _judge(self) -> Standing:
        tests = self.tests
        for test in tests:
            if test.is_void:
                return Standing(Status.VOID, self._say(test, test.voids_at or 0.0))
        doubts = [test for test in tests if test.is_in_doubt]
        if not doubts:
            return VALID
        said = "; ".join(self._say(test, test.degrades_at) for test in doubts)
        return Standing(Status.DEGRADED, said)

    def _say(self, test: RunningTest, level: float) -> str:
        shown = e_value(max(test.log_e, test.peak_log_e) if test.is_void else test.log_e)
        figures = f"{test.name} test: e-value {shown:.3g} reached {level:.3g}"
        if test.name == EXCHANGEABILITY:
            return f"{figures}; {test.observed} audited questions are unlike the calibration's"
        of = "audited answers" if test.name == AUDIT else "served answers"
        how = "were wrong" if test.name == AUDIT else "were called wrong"
        return (
            f"{figures}; {test.errors} of {test.observed} {of} {how}, and alpha is {self.alpha:.1%}"
        )


def _is_ranked(label: Label) -> bool:
    return label.admissible and label.confidence > 0.0


def _chance(prediction_id: str) -> float:
    # Breaks ties the same way at every start, and depends on nothing but a random id.
    digest = hashlib.blake2b(prediction_id.encode(), digest_size=8, person=b"ties").digest()
    return int.from_bytes(digest, "big") / 2**64
