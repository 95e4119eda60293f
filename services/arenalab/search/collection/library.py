"""Every collection that is served, and the only place that changes one.

A change is written to the store first, then shown: the new snapshot takes the place of
the old one by one assignment. One lock orders the changes of all collections; readers
never take it.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from blake3 import blake3

from arenalab.atomic import Span
from arenalab.mesh import (
    DataLossError,
    MeshError,
    NotFoundError,
    NotReadyError,
    PreconditionError,
    Reason,
)
from arenalab.search.collection import edits
from arenalab.search.collection.datasets import Datasets, rows_of
from arenalab.search.collection.edits import Edit
from arenalab.search.collection.loading import Loader
from arenalab.search.collection.segment import Segment
from arenalab.search.collection.snapshot import Snapshot
from arenalab.search.index.protocol import FloatArray
from arenalab.search.store.row import StoredRow, message_of
from arenalab.search.store.span_store import NewVersion, Record, SpanStore

_logger = logging.getLogger(__name__)

# Added spans that may lie in one segment that each further addition copies: 6 MB.
DEFAULT_JOINED_LIMIT: Final = 4096

_REVISION_BYTES: Final = 16

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
                except Exception as error:  # whatever one collection holds, the others are served
                    _logger.exception("collection %s of %s", record.dataset, record.tenant)
                    why = DataLossError(
                        f"the collection cannot be loaded: {error}", Reason.CORRUPT_DATASET
                    )
                    self._served = {**self._served, _key(record): Damaged(record, why)}
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

    def revision(self, snapshot: Snapshot) -> bytes:
        """Returns what names the state of a collection, and never another one."""
        # A change writes its epoch before it is shown: the state before it gets a second name
        # for a moment, and the state after it none that was there before.
        record = snapshot.record
        digest = blake3(self._store.epoch)
        digest.update(
            f"{record.tenant}/{record.dataset}/{record.version}/{record.embedder_digest}/"
            f"{record.live_part}/{record.added_part}/{record.generation}".encode()
        )
        return digest.digest(_REVISION_BYTES)

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
        # Read before the lock is taken: a large version takes a minute.
        live = self._served.get((tenant, dataset))
        if isinstance(live, Snapshot) and live.record.version == version:
            return live, version
        opened = self._datasets.open(tenant, dataset, version)
        rows = [
            (ordinal, row)
            for ordinal, row in enumerate(rows_of(opened))
            if self._keeps(tenant, row.domain)
        ]
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
        with self._changing:
            before = self._served.get((tenant, dataset))
            previous = "" if before is None else before.record.version
            if isinstance(before, Snapshot) and previous == version:
                return before, previous
            added_vectors = None
            if before is not None and before.record.embedder_digest != manifest.embedder_digest:
                added_vectors = embed_all(self._added_texts(before.record))
            record = self._store.publish(new, rows, added_vectors=added_vectors)
            with self._committed(record):
                snapshot = self._loader.read(record, opened.embeddings())
            self._show(snapshot)
            return snapshot, previous

    def add(self, tenant: str, dataset: str, spans: Sequence[Span], vectors: FloatArray) -> Changed:
        """Adds spans with their vectors to a collection, all or none.

        Raises:
            InvalidInputError: A span has the id of another one, or belongs elsewhere.
            MeshError: As `find` and `SpanStore.change`; nothing was kept.
        """
        return self._change(
            tenant,
            dataset,
            lambda before: edits.adding(
                before, spans, vectors, self._store.payloads, self._arrived
            ),
        )

    def update(
        self,
        tenant: str,
        dataset: str,
        spans: Sequence[Span],
        vectors: FloatArray,
        *,
        given: bool = False,
    ) -> Changed:
        """Replaces spans by others with the same ids, all or none.

        Args:
            tenant: Whose collection.
            dataset: Its name.
            spans: What takes the place of those with their ids.
            vectors: One a span.
            given: Whether a span that is the same already is replaced for another vector.

        Raises:
            InvalidInputError: An id is there twice, or a span belongs elsewhere.
            NotFoundError: UNKNOWN_SPAN.
            MeshError: As `find` and `SpanStore.change`; nothing was kept.
        """
        return self._change(
            tenant,
            dataset,
            lambda before: edits.updating(
                before, spans, vectors, self._store.payloads, self._arrived, given=given
            ),
        )

    def delete(self, tenant: str, dataset: str, ids: Sequence[str]) -> Changed:
        """Removes spans; ids that are not there count as unchanged.

        Raises:
            MeshError: As `find` and `SpanStore.change`; nothing was removed.
        """
        return self._change(tenant, dataset, lambda before: edits.deleting(before, ids))

    def reweight(self, tenant: str, dataset: str, weights: Mapping[str, float]) -> Changed:
        """Sets how much spans count, all or none.

        Raises:
            NotFoundError: UNKNOWN_SPAN.
            MeshError: As `find` and `SpanStore.change`; nothing was changed.
        """
        return self._change(tenant, dataset, lambda before: edits.weighing(before, weights))

    def quarantine(self, tenant: str, dataset: str, ids: Sequence[str], *, hidden: bool) -> Changed:
        """Hides spans from every search, or shows them again, all or none.

        Raises:
            NotFoundError: UNKNOWN_SPAN.
            MeshError: As `find` and `SpanStore.change`; nothing was changed.
        """
        return self._change(
            tenant, dataset, lambda before: edits.hiding(before, ids, hidden=hidden)
        )

    def is_current(self, snapshot: Snapshot) -> bool:
        """Returns whether a snapshot is the one that is served."""
        return self._served.get(_key(snapshot.record)) is snapshot

    def seal(self, snapshot: Snapshot) -> Snapshot | None:
        """Keeps additions from joining the segments that a collection has now.

        Returns:
            The collection as it is now, with all that was added so far; None where
            another version is live.
        """
        with self._changing:
            now = self._served.get(_key(snapshot.record))
            if not isinstance(now, Snapshot) or now.record.live_part != snapshot.record.live_part:
                return None
            self._sealed = frozenset(segment.serial for segment in now.segments)
            return now

    def unseal(self) -> None:
        """Lets additions join segments again."""
        self._sealed = frozenset()

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

    def _change(self, tenant: str, dataset: str, make: Callable[[Snapshot], Edit]) -> Changed:
        with self._changing:
            before = self.find(tenant, dataset)
            edit = make(before)
            if not edit.changed:
                return Changed(before, 0, edit.unchanged)
            self._check_owner(tenant, edit.domains)
            record, stored = self._store.change(before.record, **edit.written)
            with self._committed(record):
                after = edit.show(replace(before, record=record), stored)
            self._show(after)
            return Changed(after, edit.changed, edit.unchanged)

    def _arrived(
        self, snapshot: Snapshot, stored: list[StoredRow], vectors: FloatArray
    ) -> Snapshot:
        segment = self._loader.arrived(snapshot.record, stored, vectors)
        return snapshot.adding(segment, self._joined_limit, self._sealed)

    @contextmanager
    def _committed(self, record: Record) -> Iterator[None]:
        """Serves a collection no longer whose change is stored and cannot be shown."""
        try:
            yield
        except BaseException as error:
            why = NotReadyError(f"a stored change could not be shown ({error}); restart search")
            self._served = {**self._served, _key(record): Damaged(record, why)}
            raise


def _key(record: Record) -> Key:
    return record.tenant, record.dataset
