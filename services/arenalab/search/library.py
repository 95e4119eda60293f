"""Every collection that is served, and the only place that changes one.

A change is written to the store first, then shown: the new snapshot takes the place of
the old one by one assignment. One lock orders the changes of all collections; readers
never take it.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from arenalab.atomic import Span
from arenalab.mesh import InvalidInputError, MeshError, NotFoundError, PreconditionError, Reason
from arenalab.search.columns import Columns
from arenalab.search.datasets import Datasets, rows_of
from arenalab.search.index import FloatArray
from arenalab.search.row import NewRow, is_same_span, message_of, row_of
from arenalab.search.segment import Segment
from arenalab.search.snapshot import Snapshot
from arenalab.search.store import NewVersion, Record, SpanStore

_logger = logging.getLogger(__name__)

EmbedAll = Callable[[Sequence[str]], FloatArray]
Key = tuple[str, str]  # tenant, dataset


@dataclass(frozen=True, slots=True)
class Damaged:
    """A collection that the store names but that cannot be served, and why."""

    record: Record
    error: MeshError


@dataclass(frozen=True, kw_only=True, slots=True)
class Added:
    """What adding spans came to."""

    snapshot: Snapshot
    added: int
    unchanged: int


class Library:
    """The collections of every tenant."""

    def __init__(
        self,
        store: SpanStore,
        datasets: Datasets,
        *,
        now_ns: Callable[[], int],
        changed: Callable[[Snapshot], None] = lambda _: None,
    ) -> None:
        """Starts empty: call `load`.

        Args:
            store: Where collections are kept.
            datasets: Where versions come from.
            now_ns: The time, in nanoseconds since the epoch.
            changed: Told of each snapshot after it is shown; must not block.
        """
        self._store = store
        self._datasets = datasets
        self._now_ns = now_ns
        self._changed = changed
        self._changing = threading.Lock()
        # Replaced as a whole, never changed: readers iterate over it without a lock.
        self._served: dict[Key, Snapshot | Damaged] = {}

    def load(self) -> None:
        """Loads every collection of the store; one that is damaged does not stop the others."""
        with self._changing:
            for record in self._store.records():
                try:
                    self._show(self._loaded(record))
                except MeshError as error:
                    _logger.warning("collection %s of %s: %s", record.dataset, record.tenant, error)
                    self._served = {**self._served, _key(record): Damaged(record, error)}

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
            rows = rows_of(opened)
            added_vectors = None
            if before and before.record.embedder_digest != manifest.embedder_digest:
                added_vectors = embed_all(self._added_texts(before.record))
            record = self._store.publish(new, rows, added_vectors=added_vectors)
            snapshot = self._read(record, opened.embeddings())
            self._show(snapshot)
            return snapshot, previous

    def add(self, tenant: str, dataset: str, spans: Sequence[Span], vectors: FloatArray) -> Added:
        """Adds spans with their vectors to a collection, all or none.

        Raises:
            InvalidInputError: A span has the id of another one.
            MeshError: As `find` and `SpanStore.add`; nothing was kept.
        """
        with self._changing:
            before = self.find(tenant, dataset)
            new = self._new_among(before, spans)
            if not new:
                return Added(snapshot=before, added=0, unchanged=len(spans))
            rows = list(new.values())
            record, stored = self._store.add(before.record, rows, vectors[list(new)])
            by_id = sorted(range(len(rows)), key=lambda place: rows[place].span_id)
            arrived = Segment.of(
                Columns.of([stored[place] for place in by_id]), vectors[list(new)][by_id]
            )
            after = replace(before, record=record, delta=before.delta.joined(arrived))
            self._show(after)
            return Added(snapshot=after, added=len(new), unchanged=len(spans) - len(new))

    def is_current(self, snapshot: Snapshot) -> bool:
        """Returns whether a snapshot is the one that is served."""
        return self._served.get(_key(snapshot.record)) is snapshot

    def improve(self, before: Snapshot, after: Segment) -> None:
        """Puts a better base in the place of a snapshot's, unless that was replaced.

        The base may have a graph that the old one had not, and may have taken in spans
        of the snapshot's delta; what was added since stays in the delta.
        """
        with self._changing:
            now = self._served.get(_key(before.record))
            if not isinstance(now, Snapshot) or now.base is not before.base:
                return
            merged = len(after) - len(before.base)
            left = now.delta
            if merged:
                gone = np.isin(left.columns.ids, before.delta.columns.ids)
                left = left.taken(~gone)
            base_added = now.base_added + merged
            self._show(replace(now, base=after, delta=left, base_added=base_added))

    def _of(self, tenant: str) -> list[Snapshot | Damaged]:
        found = [one for (owner, _), one in self._served.items() if owner == tenant]
        return sorted(found, key=lambda one: one.record.live_part, reverse=True)

    def _show(self, snapshot: Snapshot) -> None:
        self._served = {**self._served, _key(snapshot.record): snapshot}
        self._changed(snapshot)

    def _loaded(self, record: Record) -> Snapshot:
        self._datasets.check_embedder(record.embedder_id, record.embedder_digest)
        opened = self._datasets.open(record.tenant, record.dataset, record.version)
        return self._read(record, opened.embeddings())

    def _read(self, record: Record, embeddings: FloatArray) -> Snapshot:
        added = self._store.rows(record.added_part)
        return Snapshot(
            record=record,
            base=Segment.of_version(self._store.rows(record.live_part), embeddings),
            delta=Segment.of(
                Columns.of(added), self._store.vectors(record.added_part, record.dimension)
            ),
        )

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
                    f"spans[{place}]: a span with the id {span.id} and other content exists",
                    field=f"spans[{place}].id",
                )
        return new


def _key(record: Record) -> Key:
    return record.tenant, record.dataset
