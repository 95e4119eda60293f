"""Answer or abstain, by the question, the vote, what the outcomes mean, and their age."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from arenalab.predictor.appraisal import Appraisal
from arenalab.predictor.conversation import Asked
from arenalab.predictor.decision import (
    NEAR,
    Abstention,
    Reason,
    abstain_from_part,
    abstain_from_void,
    decide,
)
from arenalab.predictor.guarantee import Bound
from arenalab.predictor.outcomes import Method
from arenalab.predictor.recorded import is_recorded
from arenalab.predictor.synthesis import Synthesis
from arenalab.predictor.wanted import (
    Kind,
    Wanted,
    fresh_span,
    labels_for,
    spans_for_majority,
    spans_for_scope,
    spans_of_action,
    spans_with_terms,
    told,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What a decision is made from."""

    asked: Asked
    appraisal: Appraisal
    synthesis: Synthesis
    confidence: float
    bound: Bound
    group: str | None = None  # domain whose own bound it is; None: that of all traffic
    missing_words: tuple[str, ...] = ()  # of a follow-up, that the evidence does not speak of
    missing_shards: Sequence[str] = ()
    void_reason: str = ""  # of the running test that found the bound broken; empty: none did
    fresh_after_s: float | None = None  # Unix time; None: any age will do


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing is served, and what data would change that."""

    abstention: Abstention
    data: tuple[Wanted, ...]


def refuse(case: Case) -> Refusal | None:
    """Returns why the output must not be served; None when it may be."""
    if case.missing_shards:
        return Refusal(abstain_from_part(case.missing_shards), ())
    if case.void_reason:
        return Refusal(
            abstain_from_void(case.void_reason), (labels_for(case.bound, case.group or ""),)
        )
    said = decide(case.appraisal, case.confidence, case.bound)
    # Without any span, or with the opposite of what is asked, nothing else matters; but what no
    # span speaks of is missing, however the spans there are differ from it.
    if said is not None and said.reason is Reason.CONTRAST_CLASH:
        said = _unmentioned(case) or said
    elif said is None or said.reason is not Reason.NO_SUPPORT:
        said = _unreadable(case) or _unmentioned(case) or said or _outvoted(case) or _stale(case)
    if said is None:
        return None
    data = tuple(_data(case, said.reason))
    return Refusal(replace(said, wanted=told(data) or said.wanted), data)


def _unreadable(case: Case) -> Abstention | None:
    # Words that memory holds as they stand mean there what they mean here.
    if not case.asked.is_dangling or is_recorded(case.appraisal):
        return None
    return Abstention(
        Reason.UNSUPPORTED_REQUEST,
        f"The question {_short(case.asked.question)!r} points at something that the conversation "
        "does not name.",
        "",
    )


def _unmentioned(case: Case) -> Abstention | None:
    if not case.missing_words:
        return None
    return Abstention(
        Reason.NO_SUPPORT,
        f"The question goes on from one before it, and 0 near spans speak of "
        f"{', '.join(repr(word) for word in case.missing_words)}.",
        "",
    )


def _outvoted(case: Case) -> Abstention | None:
    """Returns why the best outcome is not served where another one, in several wordings, has more.

    The calibration counted exact outcomes; where meaning turns the vote round, it said nothing.
    """
    clusters = case.synthesis.clusters
    is_uncertain = case.synthesis.method is Method.UNCERTAIN
    if case.synthesis.holds_best and not is_uncertain:
        return None
    shares = ", ".join(f"{one.share:.0%}" for one in clusters[:3])
    trouble = "none reaches 40 %" if is_uncertain else "the best single wording is of another"
    return Abstention(
        Reason.CONFLICTING_OUTCOMES,
        f"By meaning, {len(clusters)} outcomes share the vote ({shares}), and {trouble}.",
        "",
    )


def _stale(case: Case) -> Abstention | None:
    if case.fresh_after_s is None:
        return None
    memories = case.appraisal.neighbourhood.memories
    newest = max(memories[at].when_s for at in case.appraisal.groups[0].members)
    if newest >= case.fresh_after_s:
        return None
    return Abstention(
        Reason.STALE,
        f"The newest of {len(case.appraisal.groups[0].members)} spans with this outcome is of "
        f"{_day(newest)}, and the policy asks for one of {_day(case.fresh_after_s)} or later.",
        "",
    )


def _data(case: Case, reason: Reason) -> list[Wanted]:  # noqa: PLR0911 - a table
    appraisal = case.appraisal
    match reason:
        case Reason.UNSUPPORTED_REQUEST:
            return [Wanted(Kind.CONTEXT, 1)]
        case Reason.NO_SUPPORT if case.missing_words:
            return [spans_with_terms(appraisal, case.missing_words)]
        case Reason.NO_SUPPORT:
            return [spans_of_action(appraisal)]
        case Reason.CONTRAST_CLASH:
            return [spans_with_terms(appraisal)]
        case Reason.OUT_OF_SCOPE:
            return [spans_for_scope(appraisal, NEAR)]
        case Reason.CONFLICTING_OUTCOMES:
            return spans_for_majority(appraisal)
        case Reason.STALE:
            return [fresh_span(appraisal)]
        case Reason.GUARANTEE_VOID:
            return [labels_for(case.bound, case.group or "")]


def _day(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).date().isoformat()


def _short(text: str, limit: int = 120) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
