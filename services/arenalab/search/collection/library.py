"""Every collection that is served, and the only place that changes one.

A change is written to the store first, then shown: the new snapshot takes the place of
the old one by one assignment. One lock orders the changes of all collections; readers
never take it.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from arenalab.atomic import Span
from arenalab.mesh import InvalidInputError, MeshError, NotFoundError, PreconditionError, Reason
from arenalab.search.collection.datasets import Datasets, rows_of
from arenalab.search.collection.loading import Loader
from arenalab.search.collection.segment import Segment
from arenalab.search.collection.snapshot import Place, Snapshot
from arenalab.search.index.protocol import FloatArray
from arenalab.search.store.row import NewRow, is_same_span, message_of, row_of
from arenalab.search.store.span_store import NewVersion, Record, SpanStore

_logger = logging.getLogger(__name__)

# Added spans that may lie in one segment that each further addition copies: 6 MB.
DEFAULT_JOINED_LIMIT: Final = 4096

EmbedAll = Callable[[Sequence[str]], FloatArray]
Key = tuple[str, str]  # tenant, dataset


@dataclass(frozen=True, slots=True)
class Damaged:
    """A collection that the store names but that cannot be served, and why."""

    record: Record
    error: MeshError


@dataclass(frozen=True, slots=True)
class Changed:
    """What a change came to."""

    snapshot: Snapshot
    changed: int  # spans that are different now
    unchanged: int  # spans that were like that already, or not there


class Library:
    """The collections of every tenant."""

    def __init__(
        self,
        store: SpanStore,
        datasets: Datasets,
        loader: Loader,
        *,
        now_ns: Callable[[], int],
        joined_limit: int = DEFAULT_JOINED_LIMIT,
        check_owner: Callable[[str, Iterable[str]], None] = lambda _tenant, _domains: None,
        keeps: Callable[[str, str], bool] = lambda _tenant, _domain: True,
        changed: Callable[[Snapshot], None] = lambda _: None,
    ) -> None:
        """Starts empty: call `load`.

        Args:
            store: Where collections are kept.
            datasets: Where versions come from.
            loader: Makes segments of what is stored.
            joined_limit: Added spans beyond which segments of them are not joined at once.
            keeps: Whether spans of a tenant's domain are served here; a version's others
                are left out.
            check_owner: Raises InvalidInputError where spans of a tenant's domains may not
                be added here.
            now_ns: The time, in nanoseconds since the epoch.
            changed: Told of each snapshot after it is shown; must not block.
        """
        self._store = store
        self._datasets = datasets
        self._loader = loader
        self._joined_limit = joined_limit
        self._keeps = keeps
        self._check_owner = check_owner
        self._sealed: frozenset[int] = frozenset()
        self._now_ns = now_ns
        self._changed = changed
        self._changing = threading.Lock()
        # Replaced as a whole, never changed: readers iterate over it without a lock.
        self._served: dict[Key, Snapshot | Damaged] = {}

    def load(self) -> list[Snapshot]:
        """Loads every collection of the store, and returns those that can be served.

        One that is damaged does not stop the others.
        """
        loaded = []
        with self._changing:
            for record in self._store.records():
                try:
                    snapshot = self._loaded(record)
                    self._show(snapshot)
                    loaded.append(snapshot)
                except MeshError as error:
                    _logger.warning("collection %s of %s: %s", record.dataset, record.tenant, error)
                    self._served = {**self._served, _key(record): Damaged(record, error)}
        return loaded

    def find(self, tenant: str, dataset: str) -> Snapshot:
        """Returns a collection as it is now; an empty name means the one published last.

        Raises:
            NotFoundError: UNKNOWN_DATASET.
            PreconditionError: NO_DATASET; nothing is published in the tenant.
            MeshError: What is wrong with a collection that could not be loaded.
        """
        if dataset:
            found = self._served.get((tenant, dataset))
            if found is None:
                raise NotFoundError(
                    f"no dataset {dataset[:80]!a} is published",
                    Reason.UNKNOWN_DATASET,
                    dataset=dataset[:80],
                )
        else:
            of_tenant = self._of(tenant)
            if not of_tenant:
                raise PreconditionError("no dataset is published yet", Reason.NO_DATASET)
            found = of_tenant[0]
        if isinstance(found, Damaged):
            raise found.error
        return found

    def collections(self, tenant: str) -> list[Snapshot]:
        """Returns the collections of a tenant that can be served, last published first."""
        return [found for found in self._of(tenant) if isinstance(found, Snapshot)]

    def publish(
        self, tenant: str, dataset: str, version: str, embed_all: EmbedAll
    ) -> tuple[Snapshot, str]:
        """Makes a version live; returns the collection, and the version before it.

        Args:
            tenant: Whose collection.
            dataset: Its name.
            version: What to load from the dataset store.
            embed_all: Embeds the added spans again when the embedder is another one.

        Raises:
            MeshError: As `Datasets.open`, `rows_of` and `SpanStore.publish`; the live
                version stays.
        """
        with self._changing:
            before = self._served.get((tenant, dataset))
            previous = before.record.version if before else ""
            if isinstance(before, Snapshot) and previous == version:
                return before, previous
            opened = self._datasets.open(tenant, dataset, version)
            manifest = opened.manifest
            new = NewVersion(
                tenant=tenant,
                dataset=dataset,
                version=version,
                published_at_ns=self._now_ns(),
                embedder_id=manifest.embedder_id,
                embedder_digest=manifest.embedder_digest,
                dimension=manifest.dimension,
            )
            rows = (
                (ordinal, row)
                for ordinal, row in enumerate(rows_of(opened))
                if self._keeps(tenant, row.domain)
            )
            added_vectors = None
            if before and before.record.embedder_digest != manifest.embedder_digest:
                added_vectors = embed_all(self._added_texts(before.record))
            record = self._store.publish(new, rows, added_vectors=added_vectors)
            snapshot = self._loader.read(record, opened.embeddings())
            self._show(snapshot)
            return snapshot, previous

    def add(self, tenant: str, dataset: str, spans: Sequence[Span], vectors: FloatArray) -> Changed:
        """Adds spans with their vectors to a collection, all or none.

        Raises:
            InvalidInputError: A span has the id of another one, or belongs elsewhere.
            MeshError: As `find` and `SpanStore.change`; nothing was kept.
        """
        with self._changing:
            before = self.find(tenant, dataset)
            new = self._new_among(before, spans)
            if not new:
                return Changed(before, 0, len(spans))
            self._check_owner(tenant, [row.domain for row in new.values()])
            record, stored = self._store.change(
                before.record, added=list(new.values()), vectors=vectors[list(new)]
            )
            arrived = self._loader.arrived(record, stored, vectors[list(new)])
            after = replace(before, record=record).adding(arrived, self._joined_limit, self._sealed)
            self._show(after)
            return Changed(after, len(new), len(spans) - len(new))

    def update(
        self, tenant: str, dataset: str, spans: Sequence[Span], vectors: FloatArray
    ) -> Changed:
        """Replaces spans by others with the same ids, all or none.

        Raises:
            InvalidInputError: An id is there twice, or a span belongs elsewhere.
            NotFoundError: UNKNOWN_SPAN.
            MeshError: As `find` and `SpanStore.change`; nothing was kept.
        """
        with self._changing:
            before = self.find(tenant, dataset)
            ids = [span.id for span in spans]
            places = _known(before, ids)
            rows = [row_of(span) for span in spans]
            old = self._store.payloads([before.rowid(place) for place in places])
            new = [
                number
                for number, (row, place) in enumerate(zip(rows, places, strict=True))
                if not is_same_span(old[before.rowid(place)], row.payload)
            ]
            if not new:
                return Changed(before, 0, len(spans))
            self._check_owner(tenant, [rows[number].domain for number in new])
            gone = [places[number] for number in new]
            record, stored = self._store.change(
                before.record,
                removed=[before.rowid(place) for place in gone],
                added=[rows[number] for number in new],
                vectors=vectors[new],
                marks=[(before.weight(place), int(before.is_hidden(place))) for place in gone],
            )
            arrived = self._loader.arrived(record, stored, vectors[new])
            after = replace(before, record=record).removing(gone)
            after = after.adding(arrived, self._joined_limit, self._sealed)
            self._show(after)
            return Changed(after, len(new), len(spans) - len(new))

    def delete(self, tenant: str, dataset: str, ids: Sequence[str]) -> Changed:
        """Removes spans; ids that are not there count as unchanged.

        Raises:
            MeshError: As `find` and `SpanStore.change`; nothing was removed.
        """
        with self._changing:
            before = self.find(tenant, dataset)
            wanted = list(dict.fromkeys(ids))
            gone = [place for place in before.places(wanted) if place is not None]
            if not gone:
                return Changed(before, 0, len(wanted))
            record, _ = self._store.change(
                before.record, removed=[before.rowid(place) for place in gone]
            )
            after = replace(before, record=record).removing(gone)
            self._show(after)
            return Changed(after, len(gone), len(wanted) - len(gone))

    def reweight(self, tenant: str, dataset: str, weights: Mapping[str, float]) -> Changed:
        """Sets how much spans count, all or none.

        Raises:
            NotFoundError: UNKNOWN_SPAN.
            MeshError: As `find` and `SpanStore.change`; nothing was changed.
        """
        with self._changing:
            before = self.find(tenant, dataset)
            places = _known(before, list(weights))
            new = {
                place: float(np.float32(weight))
                for place, weight in zip(places, weights.values(), strict=True)
                if before.weight(place) != np.float32(weight)
            }
            if not new:
                return Changed(before, 0, len(weights))
            record, _ = self._store.change(
                before.record,
                weights={before.rowid(place): weight for place, weight in new.items()},
            )
            after = replace(before, record=record).weighing(new)
            self._show(after)
            return Changed(after, len(new), len(weights) - len(new))

    def quarantine(self, tenant: str, dataset: str, ids: Sequence[str], *, hidden: bool) -> Changed:
        """Hides spans from every search, or shows them again, all or none.

        Raises:
            NotFoundError: UNKNOWN_SPAN.
            MeshError: As `find` and `SpanStore.change`; nothing was changed.
        """
        with self._changing:
            before = self.find(tenant, dataset)
            wanted = list(dict.fromkeys(ids))
            places = [
                place for place in _known(before, wanted) if before.is_hidden(place) != hidden
            ]
            if not places:
                return Changed(before, 0, len(wanted))
            record, _ = self._store.change(
                before.record,
                hidden={before.rowid(place): int(hidden) for place in places},
            )
            after = replace(before, record=record).hiding(places, hidden=hidden)
            self._show(after)
            return Changed(after, len(places), len(wanted) - len(places))

    def is_current(self, snapshot: Snapshot) -> bool:
        """Returns whether a snapshot is the one that is served."""
        return self._served.get(_key(snapshot.record)) is snapshot

    def seal(self, segments: Sequence[Segment]) -> None:
        """Keeps additions from joining some segments; an empty sequence lifts that."""
        with self._changing:
            self._sealed = frozenset(segment.serial for segment in segments)

    def improve(self, before: Snapshot, old: Sequence[Segment], new: Segment) -> Snapshot | None:
        """Puts one segment in the place of some of a snapshot's.

        Args:
            before: The snapshot that the new segment was made from.
            old: Those of its segments that `new` takes the place of.
            new: Their spans. What was changed in them since is changed in it too.

        Returns:
            What is served now; None where another version was published meanwhile.
        """
        with self._changing:
            now = self._served.get(_key(before.record))
            if not isinstance(now, Snapshot) or now.record.live_part != before.record.live_part:
                return None
            after = now.improved(old, new)
            if after is not None:
                self._show(after)
            return after

    def _of(self, tenant: str) -> list[Snapshot | Damaged]:
        found = [one for (owner, _), one in self._served.items() if owner == tenant]
        return sorted(found, key=lambda one: one.record.live_part, reverse=True)

    def _show(self, snapshot: Snapshot) -> None:
        self._served = {**self._served, _key(snapshot.record): snapshot}
        self._changed(snapshot)

    def _loaded(self, record: Record) -> Snapshot:
        self._datasets.check_embedder(record.embedder_id, record.embedder_digest)
        found = self._loader.from_files(record)
        if found is None:
            opened = self._datasets.open(record.tenant, record.dataset, record.version)
            found = self._loader.read(record, opened.embeddings())
        return found

    def _added_texts(self, record: Record) -> list[str]:
        rowids = [row.rowid for row in self._store.rows(record.added_part)]
        payloads = self._store.payloads(rowids)
        return [message_of(payloads[rowid]).this for rowid in rowids]

    def _new_among(self, snapshot: Snapshot, spans: Sequence[Span]) -> dict[int, NewRow]:
        """Returns the spans that are not there yet, by their place in `spans`."""
        known = snapshot.rowids([span.id for span in spans])
        payloads = self._store.payloads([rowid for rowid in known if rowid is not None])
        new: dict[int, NewRow] = {}
        seen: dict[str, bytes] = {}
        for place, (span, rowid) in enumerate(zip(spans, known, strict=True)):
            row = row_of(span)
            there = payloads[rowid] if rowid is not None else seen.get(span.id)
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


def _known(snapshot: Snapshot, ids: Sequence[str]) -> list[Place]:
    """Returns the places of ids that must all be there, each once."""
    if len(set(ids)) < len(ids):
        twice = next(span_id for at, span_id in enumerate(ids) if span_id in ids[:at])
        raise InvalidInputError(f"the id {twice[:80]!a} is there twice", field="span_ids")
    places = snapshot.places(ids)
    for span_id, place in zip(ids, places, strict=True):
        if place is None:
            raise unknown_span(span_id)
    return [place for place in places if place is not None]


def unknown_span(span_id: str) -> NotFoundError:
    """Returns the error for an id that no span has."""
    return NotFoundError(
        f"no span has the id {span_id[:80]!a}", Reason.UNKNOWN_SPAN, span_id=span_id[:80]
    )


def _key(record: Record) -> Key:
    return record.tenant, record.dataset
