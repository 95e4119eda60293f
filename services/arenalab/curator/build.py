"""From a working set to the spans of a version: no copies, measured, capped, in order."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from arenalab.atomic import Span, context_to_json, dump_line
from arenalab.curator.meter import Scores, provenance
from arenalab.curator.texts import normalised


@dataclass(frozen=True, slots=True)
class Chosen:
    """A span of the version, and its row among those that were measured."""

    span: Span  # with its quality score
    row: int


def without_copies(spans: Iterable[Span]) -> list[Span]:
    """Returns one span of each set of copies, in the order they first came.

    Copies have the same question but for case, spacing and the last mark, the same
    outcome, action, status and context. The one of best provenance is kept, since in
    all else that the meter looks at they are equal; then the earliest, then the
    smallest id. Spans with the same content hash are copies in any case.
    """
    best: dict[Hashable, Span] = {}
    for span in spans:
        key = _identity(span)
        known = best.get(key)
        if known is None or _preference(span) < _preference(known):
            best[key] = span
    return list(best.values())


def choose(
    spans: Sequence[Span], scores: Sequence[Scores], *, min_quality: float, max_per_domain: int
) -> list[Chosen]:
    """Returns the spans that go into the version, by time and id.

    Args:
        spans: Without copies.
        scores: Those of the meter, one a span.
        min_quality: The least total that is kept, in [0, 100].
        max_per_domain: How many of one domain are kept, best first; 0 for all.
    """
    domains: defaultdict[str, list[Chosen]] = defaultdict(list)
    for row, (span, score) in enumerate(zip(spans, scores, strict=True)):
        if score.total >= min_quality:
            measured = span.with_quality(score.total)
            domains[span.context.environment].append(Chosen(measured, row))
    kept = [
        chosen
        for domain in domains.values()
        for chosen in sorted(domain, key=_best_first)[: max_per_domain or None]
    ]
    return sorted(kept, key=lambda chosen: (chosen.span.when_ns, chosen.span.id))


def _identity(span: Span) -> Hashable:
    context = tuple(
        (key, tuple(value) if isinstance(value, list) else value)
        for key, value in context_to_json(span.context).items()
    )
    return (normalised(span.this), span.outcome, span.did, span.status, context)


def _preference(span: Span) -> tuple[float, int, str, bytes]:
    return (-provenance(span), span.when_ns, span.id, dump_line(span))


def _best_first(chosen: Chosen) -> tuple[float, int, str]:
    quality = chosen.span.metadata.quality_score or 0.0
    return (-quality, chosen.span.when_ns, chosen.span.id)
