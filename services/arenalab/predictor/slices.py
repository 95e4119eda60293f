"""The filter of a search: the creature's own and the caller's, both."""

from collections.abc import Callable, Sequence

from arenalab.api.common.v1 import filter_pb2
from arenalab.predictor.creatures import Creature

_Common = Callable[[Sequence[str], Sequence[str]], list[str]]


def creature_filter(creature: Creature) -> filter_pb2.SpanFilter:
    """Returns the filter that defines a creature's slice; empty for a whole dataset."""
    return filter_pb2.SpanFilter(
        domains=creature.domains, actions=creature.actions, min_quality=creature.min_quality
    )


def narrowed(creature: Creature, wanted: filter_pb2.SpanFilter) -> filter_pb2.SpanFilter | None:
    """Returns the filter that both sides' conditions make; None when nothing can pass it."""
    merged = filter_pb2.SpanFilter()
    merged.CopyFrom(wanted)
    domains = _both(creature.domains, wanted.domains, _common_domains)
    actions = _both(creature.actions, wanted.actions, _common)
    if domains is None or actions is None:
        return None
    merged.domains[:] = domains
    merged.actions[:] = actions
    if creature.min_quality is not None:
        merged.min_quality = max(creature.min_quality, wanted.min_quality)
    return merged


def _both(mine: Sequence[str], theirs: Sequence[str], common: _Common) -> list[str] | None:
    # An empty list of conditions allows everything; an empty intersection, nothing.
    if not mine or not theirs:
        return list(mine or theirs)
    return common(mine, theirs) or None


def _common(mine: Sequence[str], theirs: Sequence[str]) -> list[str]:
    return [value for value in theirs if value in mine]


def _common_domains(mine: Sequence[str], theirs: Sequence[str]) -> list[str]:
    # Of two domains where one holds the other, the inner one is what both allow.
    inner = [a if _holds(b, a) else b for a in mine for b in theirs if _holds(a, b) or _holds(b, a)]
    return list(dict.fromkeys(inner))


def _holds(outer: str, inner: str) -> bool:
    return inner == outer or inner.startswith(f"{outer}/")
