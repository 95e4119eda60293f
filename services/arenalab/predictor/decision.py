"""Answer or abstain, and why, in words that carry the figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from arenalab.predictor.appraisal import Appraisal
from arenalab.predictor.contrast import Contrast
from arenalab.predictor.guarantee import Bound, Kind
from arenalab.predictor.outcomes import Method

# Below it the nearest span is about something else: on CLINC150 98 % of the questions in scope
# have a nearer one, and two thirds of those out of scope do not.
NEAR: Final = 0.5


class Reason(StrEnum):
    """Why memory does not answer."""

    NO_SUPPORT = "no_support"
    CONFLICTING_OUTCOMES = "conflicting_outcomes"
    OUT_OF_SCOPE = "out_of_scope"
    CONTRAST_CLASH = "contrast_clash"
    STALE = "stale"
    GUARANTEE_VOID = "guarantee_void"
    UNSUPPORTED_REQUEST = "unsupported_request"


@dataclass(frozen=True, slots=True)
class Abstention:
    """Why, with the figures that decided, and what would change it."""

    reason: Reason
    explanation: str
    wanted: str


def decide(appraisal: Appraisal, confidence: float, bound: Bound) -> Abstention | None:
    """Returns why the output must not be served; None when it may be."""
    if not appraisal.groups:
        return _no_support(appraisal)
    if appraisal.is_clash:
        return _clash(appraisal)
    if bound.threshold is None:
        return _void(bound)
    if appraisal.is_admissible and confidence >= bound.threshold:
        return None
    top = float(appraisal.neighbourhood.similarities[0])
    figures = f"confidence {confidence:.3f} is below the threshold {bound.threshold:.3f}"
    if appraisal.method is Method.MAJORITY or top < NEAR:
        return Abstention(
            Reason.OUT_OF_SCOPE,
            f"The nearest span has similarity {top:.2f}, and {figures}.",
            "Spans that answer this question, or labelled questions like it to calibrate with.",
        )
    if confidence >= bound.threshold:
        figures = "no outcome reaches 40 %"
    shares = ", ".join(f"{group.share:.0%}" for group in appraisal.groups[:3])
    return Abstention(
        Reason.CONFLICTING_OUTCOMES,
        f"{len(appraisal.groups)} outcomes share the vote ({shares}), and {figures}.",
        "More spans with the right outcome for questions worded like this one.",
    )


def abstain_from_part(missing: Sequence[str]) -> Abstention:
    """Returns why nothing is served while shards of memory do not answer."""
    return Abstention(
        Reason.GUARANTEE_VOID,
        f"A part of memory did not answer ({', '.join(missing)}): the bound was computed with "
        "all spans, and says nothing about a part of them.",
        "The same question when all of memory answers.",
    )


def abstain_from_void(reason: str) -> Abstention:
    """Returns why nothing is served once a running test has found the bound broken."""
    return Abstention(
        Reason.GUARANTEE_VOID,
        f"The bound was found not to hold any more: {reason}.",
        "Labelled questions from today's traffic: `arenalab recalibrate`, or Calibrate.",
    )


def _no_support(appraisal: Appraisal) -> Abstention:
    action = appraisal.query.action
    what = f" for the action {action!r}" if action else ""
    return Abstention(
        Reason.NO_SUPPORT,
        f"0 spans with an outcome were found{what}.",
        "Spans with an outcome that pass the filter.",
    )


def _clash(appraisal: Appraisal) -> Abstention:
    members = appraisal.groups[0].members
    at = next(at for at in members if appraisal.clashes[at])
    kinds = _names(appraisal.clashes[at])
    nearest = appraisal.neighbourhood.memories[at].question
    return Abstention(
        Reason.CONTRAST_CLASH,
        f"{appraisal.clash_share:.0%} of the support for the best outcome differs from the "
        f"question in {kinds}; the nearest such span asks {_short(nearest)!r}.",
        f"Spans that answer the question with this {kinds}.",
    )


def _void(bound: Bound) -> Abstention:
    how = f"with probability {1 - bound.delta:.1%}"
    if bound.kind is Kind.EXPECTATION:
        how = "on average"
    return Abstention(
        Reason.GUARANTEE_VOID,
        f"No confidence threshold keeps the risk within {bound.alpha:.1%} {how} on the "
        f"{bound.size} calibration questions.",
        "More spans per outcome, or labelled questions through Calibrate; or a larger alpha.",
    )


def _names(kinds: Contrast) -> str:
    return " and ".join(str(kind.name).lower() for kind in kinds)


def _short(text: str, limit: int = 120) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
