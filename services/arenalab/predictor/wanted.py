"""What data would settle an abstention: which outcome or domain lacks spans, how many labels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from arenalab.contrast.phrase import parse
from arenalab.predictor.appraisal import Appraisal
from arenalab.predictor.guarantee import Bound, fewest_that_can_pass
from arenalab.predictor.guarantee import Kind as BoundKind
from arenalab.predictor.outcomes import MAJORITY_ABOVE

# Labelled questions that Calibrate takes at the least.
MIN_LABELS: Final = 50
# Near spans of one outcome that the confidence model looks at.
NEAREST: Final = 5
# No domain lacks more than this: the estimate is of the order, not of the number.
_MAX_SPANS: Final = 50
_MAX_TERMS: Final = 5


class Kind(StrEnum):
    """What kind of data is missing."""

    SPANS = "spans"
    LABELS = "labels"
    CONTEXT = "context"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One sort of data, and the least of it that can settle the question."""

    kind: Kind
    count: int
    outcome: str = ""  # empty: any, or not known
    domain: str = ""
    action: str = ""
    terms: tuple[str, ...] = ()  # words of the question that no near span mentions


def spans_for_scope(appraisal: Appraisal, near: float) -> Wanted:
    """Returns how many spans are missing near the question, and what they must speak of.

    Args:
        appraisal: Of a question that is out of scope.
        near: Similarity from which a span is near.
    """
    hood, best = appraisal.neighbourhood, appraisal.groups[0]
    there = sum(float(hood.similarities[at]) >= near for at in best.members)
    return Wanted(
        Kind.SPANS,
        max(1, NEAREST - there),
        domain=appraisal.situation.domain,
        terms=new_words(appraisal),
    )


def spans_for_majority(appraisal: Appraisal) -> list[Wanted]:
    """Returns how many spans each of the two best outcomes lacks to have the majority alone."""
    groups = appraisal.groups[:2]
    return [
        Wanted(
            Kind.SPANS,
            _lacking(appraisal, at),
            outcome=group.outcome,
            domain=_domain(appraisal, group.members[0]),
        )
        for at, group in enumerate(groups)
    ]


def spans_of_action(appraisal: Appraisal) -> Wanted:
    """Returns that there is no span to go by."""
    return Wanted(Kind.SPANS, 1, domain=appraisal.situation.domain, action=appraisal.query.action)


def spans_with_terms(appraisal: Appraisal, terms: Sequence[str] = ()) -> Wanted:
    """Returns that a span must speak of words that the near ones do not have."""
    return Wanted(
        Kind.SPANS,
        1,
        domain=_domain(appraisal, 0),
        terms=tuple(terms[:_MAX_TERMS]) or new_words(appraisal),
    )


def fresh_span(appraisal: Appraisal) -> Wanted:
    """Returns that one newer span must confirm the outcome."""
    best = appraisal.groups[0]
    return Wanted(Kind.SPANS, 1, outcome=best.outcome, domain=_domain(appraisal, best.members[0]))


def labels_for(bound: Bound, domain: str = "") -> Wanted:
    """Returns how many labelled questions a bound needs, if all are answered right.

    Args:
        bound: That has no threshold.
        domain: Whose own bound it is; empty: that of all traffic.
    """
    if bound.kind is BoundKind.EXPECTATION:
        least = math.ceil(1 / bound.alpha)
    else:
        least = fewest_that_can_pass(bound.alpha, bound.delta)
    return Wanted(Kind.LABELS, max(least, MIN_LABELS), domain=domain)


def new_words(appraisal: Appraisal) -> tuple[str, ...]:
    """Returns the words of the question that no near span has, in order, at most five."""
    known = frozenset().union(*(m.phrase.content for m in appraisal.neighbourhood.memories))
    asked = parse(appraisal.query.text)
    # As they are written: a stem is no word to look for.
    fresh = [
        word
        for word, root in zip(asked.spoken, asked.words, strict=True)
        if root in asked.content and root not in known
    ]
    return tuple(dict.fromkeys(fresh))[:_MAX_TERMS]


def told(wanted: Sequence[Wanted]) -> str:
    """Returns it in a sentence; empty for nothing."""
    parts = [_told(one) for one in wanted]
    text = ", or ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _told(one: Wanted) -> str:
    if one.kind is Kind.CONTEXT:
        return "the name of what is meant, in the question or in a turn before it"
    if one.kind is Kind.LABELS:
        return (
            f"at least {one.count} labelled questions {_in(one.domain)}through Calibrate whose "
            "answers are right, "
            "more spans per outcome, or a larger alpha"
        )
    words = [f"{one.count} more span{'s' if one.count > 1 else ''}"]
    if one.outcome:
        words.append(f"with the outcome {_short(one.outcome)!r}")
    if one.action:
        words.append(f"with the action {one.action!r}")
    if one.terms:
        words.append(f"about {', '.join(repr(term) for term in one.terms)}")
    if one.domain:
        words.append(f"in the domain {one.domain!r}")
    return " ".join(words)


def _in(domain: str) -> str:
    return f"in the domain {domain!r} " if domain else ""


def _lacking(appraisal: Appraisal, at: int) -> int:
    """Returns how many more spans give an outcome the majority, if each votes as its own do."""
    voices = [max(0.0, group.score) for group in appraisal.groups]
    rest = sum(voice**2 for n, voice in enumerate(voices) if n != at)
    needed = math.sqrt(MAJORITY_ABOVE / (1 - MAJORITY_ABOVE) * rest)
    group = appraisal.groups[at]
    each = max(voices[at], 1e-6) / len(group.members)
    return min(_MAX_SPANS, max(1, math.ceil((needed - voices[at]) / each)))


def _domain(appraisal: Appraisal, at: int) -> str:
    memories = appraisal.neighbourhood.memories
    return memories[at].situation.domain if memories else ""


def _short(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
