"""What changes of spans come to: what is written, and the snapshot that shows it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from arenalab.atomic import Span
from arenalab.mesh import InvalidInputError, NotFoundError, Reason
from arenalab.search.collection.snapshot import Place, Snapshot
from arenalab.search.index.protocol import FloatArray
from arenalab.search.store.row import NewRow, StoredRow, is_same_span, row_of

# Shows rows that were stored in a snapshot that has them not yet.
Show = Callable[[Snapshot, list[StoredRow]], Snapshot]
Payloads = Callable[[Sequence[int]], dict[int, bytes]]
Arrive = Callable[[Snapshot, list[StoredRow], FloatArray], Snapshot]


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of a collection."""

    changed: int  # spans that will be different
    unchanged: int  # spans that are like that already, or not there
    written: dict[str, Any] = field(default_factory=dict)  # arguments of SpanStore.change
    show: Show = lambda snapshot, _: snapshot
    domains: tuple[str, ...] = ()  # of the spans that come


def adding(
    before: Snapshot, spans: Sequence[Span], vectors: FloatArray, payloads: Payloads, arrive: Arrive
) -> Edit:
    """Returns the edit that adds spans with their vectors.

    Raises:
        InvalidInputError: A span has the id of another one.
    """
    new = _new_among(before, spans, payloads)
    chosen = vectors[list(new)]
    return Edit(
        len(new),
        len(spans) - len(new),
        {"added": list(new.values()), "vectors": chosen},
        lambda snapshot, stored: arrive(snapshot, stored, chosen),
        tuple(row.domain for row in new.values()),
    )


def updating(
    before: Snapshot,
    spans: Sequence[Span],
    vectors: FloatArray,
    payloads: Payloads,
    arrive: Arrive,
    *,
    given: bool = False,
) -> Edit:
    """Returns the edit that puts spans in the place of those with the same ids.

    Args:
        before: What they are in.
        spans: What is to be there.
        vectors: One a span.
        payloads: Reads what is there.
        arrive: Shows what was stored.
        given: Whether a span that is the same already is replaced for another vector.

    Raises:
        InvalidInputError: An id is there twice.
        NotFoundError: UNKNOWN_SPAN.
    """
    places = _known(before, [span.id for span in spans], "spans")
    rows = [row_of(span) for span in spans]
    old = payloads([before.rowid(place) for place in places])
    new = [
        number
        for number, (row, place) in enumerate(zip(rows, places, strict=True))
        if not is_same_span(old[before.rowid(place)], row.payload)
        or (given and not np.array_equal(before.vector(place), vectors[number]))
    ]
    gone = [places[number] for number in new]
    chosen = vectors[new]
    return Edit(
        len(new),
        len(spans) - len(new),
        {
            "removed": [before.rowid(place) for place in gone],
            "added": [rows[number] for number in new],
            "vectors": chosen,
            "marks": [(before.weight(place), int(before.is_hidden(place))) for place in gone],
        },
        lambda snapshot, stored: arrive(snapshot.removing(gone), stored, chosen),
        tuple(rows[number].domain for number in new),
    )


def deleting(before: Snapshot, ids: Sequence[str]) -> Edit:
    """Returns the edit that removes spans; ids that are not there count as unchanged."""
    wanted = list(dict.fromkeys(ids))
    gone = [place for place in before.places(wanted) if place is not None]
    return Edit(
        len(gone),
        len(wanted) - len(gone),
        {"removed": [before.rowid(place) for place in gone]},
        lambda snapshot, _: snapshot.removing(gone),
    )


def weighing(before: Snapshot, weights: Mapping[str, float]) -> Edit:
    """Returns the edit that sets weights.

    Raises:
        NotFoundError: UNKNOWN_SPAN.
    """
    places = _known(before, list(weights), "weights")
    new = {
        place: float(np.float32(weight))
        for place, weight in zip(places, weights.values(), strict=True)
        if before.weight(place) != np.float32(weight)
    }
    return Edit(
        len(new),
        len(weights) - len(new),
        {"weights": {before.rowid(place): weight for place, weight in new.items()}},
        lambda snapshot, _: snapshot.weighing(new),
    )


def hiding(before: Snapshot, ids: Sequence[str], *, hidden: bool) -> Edit:
    """Returns the edit that hides spans, or shows them again.

    Raises:
        NotFoundError: UNKNOWN_SPAN.
    """
    wanted = list(dict.fromkeys(ids))
    known = _known(before, wanted, "span_ids")
    places = [place for place in known if before.is_hidden(place) != hidden]
    return Edit(
        len(places),
        len(wanted) - len(places),
        {"hidden": {before.rowid(place): int(hidden) for place in places}},
        lambda snapshot, _: snapshot.hiding(places, hidden=hidden),
    )


def unknown_span(span_id: str) -> NotFoundError:
    """Returns the error for an id that no span has."""
    return NotFoundError(
        f"no span has the id {span_id[:80]!a}", Reason.UNKNOWN_SPAN, span_id=span_id[:80]
    )


def _known(snapshot: Snapshot, ids: Sequence[str], field_name: str) -> list[Place]:
    """Returns the places of ids that must all be there, each once."""
    if len(set(ids)) < len(ids):
        twice = next(span_id for at, span_id in enumerate(ids) if span_id in ids[:at])
        raise InvalidInputError(f"the id {twice[:80]!a} is there twice", field=field_name)
    places = snapshot.places(ids)
    for span_id, place in zip(ids, places, strict=True):
        if place is None:
            raise unknown_span(span_id)
    return [place for place in places if place is not None]


def _new_among(snapshot: Snapshot, spans: Sequence[Span], payloads: Payloads) -> dict[int, NewRow]:
    """Returns the spans that are not there yet, by their place in `spans`."""
    known = snapshot.rowids([span.id for span in spans])
    stored = payloads([rowid for rowid in known if rowid is not None])
    new: dict[int, NewRow] = {}
    seen: dict[str, bytes] = {}
    for place, (span, rowid) in enumerate(zip(spans, known, strict=True)):
        row = row_of(span)
        there = stored[rowid] if rowid is not None else seen.get(span.id)
        if there is None:
            new[place] = row
            seen[span.id] = row.payload
        elif not is_same_span(there, row.payload):
            raise InvalidInputError(
                f"spans[{place}]: a span with the id {span.id} and other content exists;"
                " UpdateSpans replaces it",
                field=f"spans[{place}].id",
            )
    return new
