"""Collections in memory: changed as a whole, improved behind the answers."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from arenalab.atomic import Span
from arenalab.dataset import DatasetStore
from arenalab.mesh import DataLossError, PreconditionError, Reason
from arenalab.search.datasets import Datasets, read_public_key
from arenalab.search.embedder.protocol import EmbedderIdentity
from arenalab.search.filters import Filter
from arenalab.search.index import Engine, FloatArray, hnswlib
from arenalab.search.index.hnsw import HnswIndex
from arenalab.search.library import Library
from arenalab.search.payloads import GoneError, Payloads
from arenalab.search.retrieval import Found, Plan, Strategy, retrieve
from arenalab.search.snapshot import Snapshot
from arenalab.search.store import SpanStore
from arenalab.search.upkeep import BuildGraph, Upkeep
from arenalab.testing.datasets import SIGNING_KEY, write_version
from arenalab.testing.spans import make_span

DIMENSION = 8
PLAIN = Filter()


def vectors_of(texts: Sequence[str], shift: int = 0) -> FloatArray:
    """Returns a unit vector for each text, the same one for the same text."""
    rows = [
        np.random.default_rng([shift, *text.encode()]).standard_normal(DIMENSION) for text in texts
    ]
    unit = [row / np.linalg.norm(row) for row in rows]
    return np.array(unit, np.float32).reshape(-1, DIMENSION)


class Shelf:
    """A store, its datasets, its library and its upkeep, for one embedder."""

    def __init__(
        self,
        root: Path,
        digest: str = "d1",
        shift: int = 0,
        build_graph: BuildGraph = HnswIndex.build,
    ) -> None:
        self.digest, self.shift = digest, shift
        self.datasets = DatasetStore(root / "datasets")
        self.store = SpanStore(root / "spans.sqlite")
        self.upkeep = Upkeep(self.store, exact_limit=200, delta_limit=20, build_graph=build_graph)
        self.library = Library(
            self.store,
            Datasets(self.datasets, EmbedderIdentity("e", digest, DIMENSION)),
            now_ns=lambda: 7,
            changed=self.upkeep.changed,
        )
        self.library.load()
        self.upkeep.start(self.library)

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

    def publish(self, spans: Sequence[Span]) -> Snapshot:
        return self.library.publish("default", "faq", self.build(spans), self.embed)[0]

    def add(self, spans: Sequence[Span]) -> Snapshot:
        vectors = self.embed([span.this for span in spans])
        return self.library.add("default", "faq", spans, vectors).snapshot

    @property
    def now(self) -> Snapshot:
        return self.library.find("default", "faq")

    def nearest(self, text: str, plan: Plan | None = None, wanted: Filter = PLAIN) -> Found:
        (query,) = self.embed([text])
        return retrieve(self.now, query, 5, wanted, plan or Plan())


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    made = Shelf(tmp_path)
    yield made
    made.close()


def spans(count: int, prefix: str = "question", domain: str = "") -> list[Span]:
    return [make_span(f"{prefix} {n}", f"answer {n}", domain=domain) for n in range(count)]


@pytest.mark.skipif(not hnswlib.is_installed(), reason="the extra hnswlib is not installed")
def test_hnswlib_can_build_the_graphs(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, build_graph=hnswlib.HnswlibIndex.build)
    some = spans(300)
    shelf.publish(some)
    shelf.upkeep.wait()
    found = shelf.nearest("question 7")
    shelf.close()
    assert isinstance(shelf.now.base.graph, hnswlib.HnswlibIndex)
    assert (found.engine, found.span_ids[0].decode()) == (Engine.HNSW, some[7].id)


def test_a_large_collection_gets_its_graph_in_the_background(shelf: Shelf) -> None:
    some = spans(300)
    before = shelf.publish(some)
    assert before.base.graph is None  # searched exactly until the graph is there
    shelf.upkeep.wait()
    assert shelf.now.base.graph is not None
    found = shelf.nearest("question 7")
    assert (found.engine, found.exact) == (Engine.HNSW, False)
    assert found.span_ids[0].decode() == some[7].id
    exact = shelf.nearest("question 7", Plan(engine=Engine.EXACT))
    assert exact.exact
    assert exact.similarities[0] == found.similarities[0]


def test_a_small_collection_stays_exact_whatever_the_plan(shelf: Shelf) -> None:
    shelf.publish(spans(50))
    shelf.upkeep.wait()
    found = shelf.nearest("question 7", Plan(engine=Engine.HNSW, ef_search=64))
    assert (found.engine, found.exact) == (Engine.EXACT, True)


def test_many_added_spans_are_merged_and_those_added_meanwhile_stay(shelf: Shelf) -> None:
    shelf.publish(spans(10))
    shelf.add(spans(30, "added"))
    shelf.upkeep.wait()
    assert (len(shelf.now.base), len(shelf.now.delta)) == (40, 0)
    shelf.add(spans(5, "later"))
    shelf.upkeep.wait()
    now = shelf.now
    assert (len(now.base), len(now.delta), now.added, len(now)) == (40, 5, 35, 45)
    for text in ("question 3", "added 29", "later 4"):
        assert shelf.nearest(text).similarities[0] == pytest.approx(1.0, abs=1e-6)


def test_a_merge_that_is_overtaken_by_a_publication_is_dropped(shelf: Shelf) -> None:
    shelf.publish(spans(10))
    old = shelf.add(spans(3, "added"))
    merged = old.base.joined(old.delta)
    now = shelf.publish(spans(12))
    shelf.library.improve(old, merged)
    assert shelf.now.base is now.base


def test_a_merge_keeps_what_was_added_while_it_ran(shelf: Shelf) -> None:
    shelf.publish(spans(10))
    old = shelf.add(spans(3, "added"))
    merged = old.base.joined(old.delta)
    shelf.add(spans(2, "later"))
    shelf.library.improve(old, merged)
    now = shelf.now
    assert (len(now.base), len(now.delta), now.added) == (13, 2, 5)


def test_a_filter_selects_in_a_graph_as_in_a_scan(shelf: Shelf) -> None:
    shelf.publish([*spans(200, "a", "left"), *spans(100, "b", "right")])
    shelf.upkeep.wait()
    wanted = Filter(domains=("right",))
    scanned = shelf.nearest("b 3", Plan(strategy=Strategy.SCAN), wanted)
    walked = shelf.nearest("b 3", Plan(strategy=Strategy.SELECTOR, ef_search=300), wanted)
    assert (scanned.engine, walked.engine) == (Engine.EXACT, Engine.HNSW)
    assert scanned.span_ids == walked.span_ids
    assert scanned.matches == walked.matches == 100


def test_a_filter_far_from_the_query_is_scanned(shelf: Shelf) -> None:
    # 100 near spans hide 210 far ones from a graph: the probe meets none that pass.
    texts = [f"near {n}" for n in range(100)] + [f"far {n}" for n in range(210)]
    near, far = vectors_of(["near"])[0], -vectors_of(["near"])[0]
    noise = 0.05 * vectors_of(texts)
    centres = np.array([near] * 100 + [far] * 210) + noise
    unit = (centres / np.linalg.norm(centres, axis=1, keepdims=True)).astype(np.float32)
    made = [
        make_span(text, "answer", domain="near" if text.startswith("near") else "far")
        for text in texts
    ]
    version = shelf.build(made, unit)
    shelf.library.publish("default", "faq", version, shelf.embed)
    shelf.upkeep.wait()
    plan = Plan(strategy=Strategy.SELECTOR)
    found = retrieve(shelf.now, near, 5, Filter(domains=("far",)), plan)
    assert found.exact
    assert found.matches == 210


def test_ties_are_broken_by_span_id_across_segments(shelf: Shelf) -> None:
    same = [make_span("same question", f"answer {n}") for n in range(6)]
    shelf.publish(same[::2])
    shelf.add(same[1::2])
    (query,) = shelf.embed(["same question"])
    found = retrieve(shelf.now, query, 6, PLAIN, Plan())
    assert [one.decode() for one in found.span_ids] == sorted(span.id for span in same)


def test_payloads_of_a_replaced_version_are_gone(shelf: Shelf) -> None:
    old = shelf.publish(spans(3))
    shelf.publish(spans(4))
    shelf.upkeep.wait()
    payloads = Payloads(shelf.store)
    with pytest.raises(GoneError):
        payloads.read(old.base.columns.rowids.tolist())
    rowids = shelf.now.base.columns.rowids.tolist()
    assert {span.this for span in payloads.read(rowids).values()} == {
        f"question {n}" for n in range(4)
    }


def test_another_embedder_serves_nothing_until_published_again(tmp_path: Path) -> None:
    first = Shelf(tmp_path)
    first.publish(spans(5))
    first.add(spans(2, "added"))
    first.close()
    second = Shelf(tmp_path, digest="d2", shift=1)
    with pytest.raises(PreconditionError) as caught:
        second.library.find("default", "faq")
    assert caught.value.reason is Reason.EMBEDDER_MISMATCH
    second.publish(spans(5))
    assert second.nearest("added 1").similarities[0] == pytest.approx(1.0, abs=1e-6)
    second.close()
    third = Shelf(tmp_path, digest="d2", shift=1)
    assert third.nearest("added 1").similarities[0] == pytest.approx(1.0, abs=1e-6)
    third.close()


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (vectors_of(["a", "b", "c"]) * 2, "unit vector"),
        (np.full((3, DIMENSION), np.nan, np.float32), "unit vector"),
        (np.ones((3, 4), np.float32) / 2, "columns"),
        (vectors_of(["a", "b"]), "embeddings|spans"),
    ],
)
def test_vectors_that_cannot_be_right_are_refused(
    shelf: Shelf, vectors: FloatArray, message: str
) -> None:
    version = shelf.build(spans(3), vectors)
    with pytest.raises(DataLossError, match=message) as caught:
        shelf.library.publish("default", "faq", version, shelf.embed)
    assert caught.value.reason is Reason.CORRUPT_DATASET
    assert shelf.library.collections("default") == []


def test_a_span_that_is_there_twice_is_refused(shelf: Shelf) -> None:
    version = shelf.build(spans(1) * 2)
    with pytest.raises(DataLossError, match="twice"):
        shelf.library.publish("default", "faq", version, shelf.embed)


def test_only_the_trusted_key_may_sign(shelf: Shelf) -> None:
    version = shelf.build(spans(1))
    identity = EmbedderIdentity("e", "d1", DIMENSION)
    ours = bytes(SIGNING_KEY.verify_key)
    Datasets(shelf.datasets, identity, lambda: ours).open("default", "faq", version)
    with pytest.raises(DataLossError, match="not trusted"):
        Datasets(shelf.datasets, identity, lambda: bytes(32)).open("default", "faq", version)


def test_a_public_key_is_read_in_both_forms(tmp_path: Path) -> None:
    key = bytes(SIGNING_KEY.verify_key)
    path = tmp_path / "key.pub"
    for content in (key, key.hex().encode() + b"\n"):
        path.write_bytes(content)
        assert read_public_key(path) == key


@pytest.mark.parametrize("content", [None, b"", b"zz", b"ab" * 31])
def test_a_missing_public_key_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "key.pub"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PreconditionError) as caught:
        read_public_key(path)
    assert caught.value.reason is Reason.MISSING_KEY
    assert caught.value.metadata == {"key": str(path)}
