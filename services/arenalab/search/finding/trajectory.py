"""Walking back through `previous_spans`, from what was found to what led there."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from arenalab.api.common.v1 import span_pb2

Lookup = Callable[[Sequence[str]], Mapping[str, span_pb2.Span]]


@dataclass
class _Walk:
    """One walk: what is found so far and what comes next."""

    depth: int
    seen: set[str]
    pending: list[str]  # nearest first
    found: list[span_pb2.Span] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        return not self.pending or len(self.found) >= self.depth

    def step(self, spans: Mapping[str, span_pb2.Span]) -> None:
        """Takes the pending spans that exist, then goes on from the earliest of them."""
        earliest = None
        for span_id in self.pending:
            span = spans.get(span_id)
            if span is not None and len(self.found) < self.depth:
                self.found.append(span)
                earliest = span
        self.pending = []
        if earliest is not None:
            self.extend(earliest)

    def extend(self, span: span_pb2.Span) -> None:
        for span_id in reversed(span.context.previous_spans):  # they are oldest first
            if span_id not in self.seen:  # a cycle ends where it closes
                self.seen.add(span_id)
                self.pending.append(span_id)


def walk_back(
    spans: Sequence[span_pb2.Span], depth: int, lookup: Lookup
) -> list[list[span_pb2.Span]]:
    """Returns the spans before each span, nearest first, at most `depth`.

    All walks take each step together, so that one lookup serves them all.

    Args:
        spans: Where the walks begin.
        depth: How many spans to go back; 0 walks nowhere.
        lookup: Returns the spans of ids, leaving out those that are not there.
    """
    walks = [_Walk(depth, {span.id}, []) for span in spans]
    for walk, span in zip(walks, spans, strict=True):
        walk.extend(span)
    while open_walks := [walk for walk in walks if not walk.is_over]:
        known = lookup(sorted({span_id for walk in open_walks for span_id in walk.pending}))
        for walk in open_walks:
            walk.step(known)
    return [walk.found for walk in walks]
