"""A library with everything around it, over real files.

Close a shelf whatever happens: its upkeep runs on a thread of its own.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from arenalab.atomic import Span
from arenalab.dataset import DatasetStore
from arenalab.planning import DEFAULT_MODEL, Engine, Plan, Strategy
from arenalab.search.collection.datasets import Datasets
from arenalab.search.collection.library import Library
from arenalab.search.collection.loading import Loader
from arenalab.search.collection.segment import Segment
from arenalab.search.collection.segment_files import SegmentFiles
from arenalab.search.collection.snapshot import Snapshot
from arenalab.search.collection.upkeep import BuildIndex, Tune, Upkeep
from arenalab.search.columns.ids import texts_of
from arenalab.search.condition import EVERYTHING, Filter
from arenalab.search.costs.latencies import Latencies
from arenalab.search.embedder.protocol import EmbedderIdentity
from arenalab.search.finding.choosing import Chooser
from arenalab.search.finding.query import Query
from arenalab.search.finding.retrieval import Found, Retrieval
from arenalab.search.index.hnsw import HnswIndex
from arenalab.search.index.protocol import FloatArray, VectorIndex
from arenalab.search.store.span_store import SpanStore
from arenalab.testing.datasets import write_version

DIMENSION = 8


def vectors_of(texts: Sequence[str], shift: int = 0) -> FloatArray:
    """Returns a unit vector for each text, the same one for the same text."""
    rows = [
        np.random.default_rng([shift, *text.encode()]).standard_normal(DIMENSION) for text in texts
    ]
    unit = [row / np.linalg.norm(row) for row in rows]
    return np.array(unit, np.float32).reshape(-1, DIMENSION)


def build_index(
    _record: object, segment: Segment, stopped: Callable[[], bool]
) -> VectorIndex | None:
    vectors = segment.index.vectors(np.arange(len(segment)))
    return HnswIndex.build(vectors, threads=1, stopped=stopped)


class Shelf:
    """A store, its datasets, its library and its upkeep, for one embedder."""

    def __init__(
        self,
        root: Path,
        digest: str = "d1",
        shift: int = 0,
        build: BuildIndex = build_index,
        exact_limit: int = 200,
        delta_limit: int = 20,
        published_at_ns: int = 7,
        dimension: int = DIMENSION,
        tune: Tune = lambda _segment, _stopped: None,
    ) -> None:
        self.digest, self.shift = digest, shift
        self.root = root
        self.datasets = DatasetStore(root / "datasets")
        self.store = SpanStore(root / "spans.sqlite")
        self.files = SegmentFiles(root / "segments")
        self.upkeep = Upkeep(
            self.store,
            self.files,
            build_index=build,
            exact_limit=exact_limit,
            delta_limit=delta_limit,
            tune=tune,
        )
        self.library = Library(
            self.store,
            Datasets(self.datasets, EmbedderIdentity("e", digest, dimension)),
            Loader(self.store, self.files),
            now_ns=lambda: published_at_ns,
            joined_limit=16,
            changed=self.upkeep.changed,
        )
        self.library.load()
        self.upkeep.start(self.library)
        self.retrieval = Retrieval(Chooser(lambda: DEFAULT_MODEL, Latencies()))

    def close(self) -> None:
        self.upkeep.stop()
        self.store.close()

    def embed(self, texts: Sequence[str]) -> FloatArray:
        return vectors_of(texts, self.shift)

    def build(self, spans: Sequence[Span], vectors: FloatArray | None = None) -> str:
        return write_version(
            self.datasets,
            spans,
            self.embed([span.this for span in spans]) if vectors is None else vectors,
            embedder_id="e",
            embedder_digest=self.digest,
        )

    def publish(self, spans: Sequence[Span], vectors: FloatArray | None = None) -> Snapshot:
        version = self.build(spans, vectors)
        return self.library.publish("default", "faq", version, self.embed)[0]

    def add(self, spans: Sequence[Span]) -> Snapshot:
        vectors = self.embed([span.this for span in spans])
        return self.library.add("default", "faq", spans, vectors).snapshot

    @property
    def now(self) -> Snapshot:
        return self.library.find("default", "faq")

    def nearest(
        self, text: str, plan: Plan | None = None, wanted: Filter = EVERYTHING, limit: int = 5
    ) -> Found:
        (query,) = self.embed([text])
        return self.retrieval.nearest(
            self.now, query, Query(limit=limit, wanted=wanted, plan=plan), limit
        )


def engine(found: Found) -> Engine:
    assert found.main is not None
    return found.main.plan.engine


def exact(found: Found) -> bool:
    return all(part.exact for part in found.parts)


def ids(found: Found) -> list[str]:
    return texts_of(found.ids)


def scan() -> Plan:
    return plan(Engine.EXACT, Strategy.SCAN)


def walk(strategy: Strategy = Strategy.NONE, ef_search: int = 64) -> Plan:
    return plan(Engine.HNSW, strategy, ef_search)


def plan(engine: Engine, strategy: Strategy, ef_search: int = 0) -> Plan:
    return Plan(engine=engine, strategy=strategy, ef_search=ef_search)
