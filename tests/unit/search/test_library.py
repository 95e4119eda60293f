"""Collections in memory: changed as a whole, improved behind the answers."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from arenalab.atomic import Span
from arenalab.mesh import DataLossError, NotReadyError, PreconditionError, Reason
from arenalab.planning import Engine, Strategy
from arenalab.search.collection.datasets import Datasets, read_public_key
from arenalab.search.collection.segment import Segment
from arenalab.search.columns.ids import texts_of
from arenalab.search.condition import Filter
from arenalab.search.embedder.protocol import EmbedderIdentity
from arenalab.search.finding.query import Query
from arenalab.search.index.protocol import FloatArray, VectorIndex
from arenalab.search.store.payloads import GoneError, Payloads
from arenalab.testing.datasets import SIGNING_KEY
from arenalab.testing.spans import make_span
from tests.unit.search.shelf import DIMENSION, Shelf, engine, exact, ids, scan, vectors_of, walk


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    made = Shelf(tmp_path)
    yield made
    made.close()


def spans(count: int, prefix: str = "question", domain: str = "") -> list[Span]:
    return [make_span(f"{prefix} {n}", f"answer {n}", domain=domain) for n in range(count)]


def test_a_large_collection_gets_its_graph_in_the_background(shelf: Shelf) -> None:
    some = spans(300)
    before = shelf.publish(some)
    assert before.base.is_scanned  # searched exactly until the graph is there
    shelf.upkeep.wait()
    assert shelf.now.base.index.engine is Engine.HNSW
    found = shelf.nearest("question 7", walk())
    assert (engine(found), exact(found)) == (Engine.HNSW, False)
    assert ids(found)[0] == some[7].id
    scanned = shelf.nearest("question 7", scan())
    assert exact(scanned)
    assert scanned.similarities[0] == found.similarities[0]


def test_a_small_collection_stays_exact_whatever_the_plan(shelf: Shelf) -> None:
    shelf.publish(spans(50))
    shelf.upkeep.wait()
    found = shelf.nearest("question 7", walk())
    assert (engine(found), exact(found)) == (Engine.EXACT, True)


def test_many_added_spans_are_merged_and_those_added_meanwhile_stay(shelf: Shelf) -> None:
    shelf.publish(spans(10))
    shelf.add(spans(30, "added"))
    shelf.upkeep.wait()
    assert [len(one) for one in shelf.now.segments] == [40]
    shelf.add(spans(5, "later"))
    shelf.upkeep.wait()
    now = shelf.now
    assert ([len(one) for one in now.segments], now.added, len(now)) == ([40, 5], 35, 45)
    for text in ("question 3", "added 29", "later 4"):
        assert shelf.nearest(text).similarities[0] == pytest.approx(1.0, abs=1e-6)


def test_small_additions_share_a_segment_until_it_is_full(shelf: Shelf) -> None:
    shelf.publish(spans(10))
    sizes = []
    for number in range(20):
        shelf.add(spans(1, f"added {number}"))
        sizes.append(len(shelf.now.segments))
    assert max(sizes) <= 6
    assert len(shelf.now) == 30
    assert sorted(ids(shelf.nearest("anything", limit=100))) == sorted(
        span_id for one in shelf.now.segments for span_id in texts_of(one.columns.ids)
    )


def test_a_merge_that_is_overtaken_by_a_publication_is_dropped(shelf: Shelf) -> None:
    shelf.publish(spans(10))
    old = shelf.add(spans(3, "added"))
    merged = Segment.merged(old.segments, old.record.version)
    now = shelf.publish(spans(12))
    assert shelf.library.improve(old, old.segments, merged) is None
    assert shelf.now.base is now.base


def test_a_merge_is_caught_up_with_all_that_happened_while_it_ran(shelf: Shelf) -> None:
    base, added = spans(10), spans(3, "added")
    shelf.publish(base)
    old = shelf.add(added)
    shelf.upkeep.wait()  # what it does ends with unsealing
    shelf.library.seal(old)
    merged = Segment.merged(old.segments, old.record.version)
    shelf.add(spans(2, "later"))
    library = shelf.library
    library.delete("default", "faq", [base[0].id, added[0].id])
    library.quarantine("default", "faq", [base[1].id, added[1].id], hidden=True)
    library.reweight("default", "faq", {base[2].id: 0.5, added[2].id: 2.0})
    library.improve(old, old.segments, merged)
    now = shelf.now
    assert [len(one) for one in now.segments] == [13, 2]
    assert (len(now), now.hidden, now.added) == (11, 2, 3)
    found = shelf.nearest("anything", limit=100)
    weights = dict(zip(ids(found), found.weights, strict=True))
    gone = {base[0].id, added[0].id, base[1].id, added[1].id}
    assert not gone & set(weights)
    assert (weights[base[2].id], weights[added[2].id], weights[base[3].id]) == (0.5, 2.0, 1.0)


def test_many_tombstones_are_swept_out(shelf: Shelf) -> None:
    some = spans(300)
    shelf.publish(some)
    shelf.upkeep.wait()
    shelf.library.delete("default", "faq", [span.id for span in some[:100]])
    shelf.upkeep.wait()
    assert (len(shelf.now.base), len(shelf.now.base.removed)) == (200, 0)
    assert ids(shelf.nearest("question 150"))[0] == some[150].id


def test_a_segment_with_an_index_is_read_from_its_file_at_the_next_start(tmp_path: Path) -> None:
    some = spans(300)
    first = Shelf(tmp_path)
    first.publish(some)
    first.upkeep.wait()
    first.add(spans(2, "added"))
    first.library.delete("default", "faq", [some[0].id])
    first.library.quarantine("default", "faq", [some[1].id], hidden=True)
    first.library.reweight("default", "faq", {some[2].id: 0.25})
    expected = first.nearest("question 5", limit=400)
    first.close()
    second = Shelf(tmp_path, build=_never)
    try:
        assert second.now.base.index.engine is Engine.HNSW
        assert second.now.base.made.disk_bytes > 0
        found = second.nearest("question 5", limit=400)
        assert ids(found) == ids(expected)
        assert found.weights == expected.weights
        assert (len(second.now), second.now.hidden, second.now.added) == (300, 1, 2)
    finally:
        second.close()


def _never(_record: object, _segment: Segment, _stopped: object) -> VectorIndex | None:
    raise AssertionError("an index was built that a file holds")


@pytest.mark.parametrize("damage", ["cut", "flip", "missing", "manifest"])
def test_a_damaged_segment_file_costs_a_rebuild_and_no_span(tmp_path: Path, damage: str) -> None:
    first = Shelf(tmp_path)
    first.publish(spans(300))
    first.upkeep.wait()
    first.add(spans(2, "added"))
    first.close()
    (folder,) = (tmp_path / "segments").iterdir()
    victim = next((folder / "index").iterdir())
    if damage == "cut":
        victim.write_bytes(victim.read_bytes()[:-100])
    elif damage == "flip":
        content = bytearray(victim.read_bytes())
        content[len(content) // 2] ^= 1
        victim.write_bytes(content)
    elif damage == "missing":
        victim.unlink()
    else:
        (folder / "segment.json").write_text("{}")
    second = Shelf(tmp_path)
    try:
        second.upkeep.wait()
        assert len(second.now) == 302
        assert second.now.base.index.engine is Engine.HNSW
        assert second.nearest("added 1").similarities[0] == pytest.approx(1.0, abs=1e-6)
    finally:
        second.close()


def test_a_snapshot_leaves_one_segment_and_a_file(shelf: Shelf) -> None:
    shelf.publish(spans(10))
    shelf.add(spans(3, "added"))
    done = shelf.upkeep.snapshot(shelf.now).result(timeout=30)
    assert [len(one) for one in done.segments] == [13]
    assert done.base.made.disk_bytes > 0
    assert shelf.store.changed_since(done.record, 0) == []


def test_a_filter_selects_in_a_graph_as_in_a_scan(shelf: Shelf) -> None:
    shelf.publish([*spans(200, "a", "left"), *spans(100, "b", "right")])
    shelf.upkeep.wait()
    wanted = Filter(domains=("right",))
    scanned = shelf.nearest("b 3", scan(), wanted)
    walked = shelf.nearest("b 3", walk(Strategy.SELECTOR, 300), wanted)
    assert (engine(scanned), engine(walked)) == (Engine.EXACT, Engine.HNSW)
    assert ids(scanned) == ids(walked)
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
    query = Query(limit=5, wanted=Filter(domains=("far",)), plan=walk(Strategy.SELECTOR))
    found = shelf.retrieval.nearest(shelf.now, near, query, 5)
    assert exact(found)
    assert found.matches == 210


def test_ties_are_broken_by_span_id_across_segments(shelf: Shelf) -> None:
    same = [make_span("same question", f"answer {n}") for n in range(6)]
    shelf.publish(same[::2])
    shelf.add(same[1::2])
    assert ids(shelf.nearest("same question", limit=6)) == sorted(span.id for span in same)


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


def test_a_caller_that_gave_up_does_not_end_the_upkeep(shelf: Shelf) -> None:
    shelf.publish(spans(10))
    for _ in range(3):
        shelf.upkeep.snapshot(shelf.now).cancel()
    shelf.add(spans(3, "added"))
    done = shelf.upkeep.snapshot(shelf.now).result(timeout=30)
    assert [len(one) for one in done.segments] == [13]


def test_a_builder_with_a_defect_does_not_end_the_upkeep(tmp_path: Path) -> None:
    def failing(*_: object) -> VectorIndex | None:
        raise RuntimeError("a defect")

    shelf = Shelf(tmp_path, build=failing)
    try:
        shelf.publish(spans(300))
        with pytest.raises(RuntimeError, match="a defect"):
            shelf.upkeep.snapshot(shelf.now).result(timeout=30)
        assert len(shelf.nearest("question 7").rows) == 5
    finally:
        shelf.close()


def test_files_of_a_store_that_was_moved_away_are_not_served(tmp_path: Path) -> None:
    first = Shelf(tmp_path)
    first.publish(spans(300, "old"))
    first.upkeep.wait()
    first.close()
    for path in tmp_path.glob("spans.sqlite*"):
        path.unlink()
    second = Shelf(tmp_path, published_at_ns=8)
    second.publish(spans(250, "new"))
    second.upkeep.wait()
    second.close()
    third = Shelf(tmp_path)
    try:
        assert len(third.now) == 250
        assert third.nearest("new 7").similarities[0] == pytest.approx(1.0, abs=1e-6)
    finally:
        third.close()


def test_a_file_older_than_the_log_is_not_served(tmp_path: Path) -> None:
    some = spans(300)
    first = Shelf(tmp_path)
    first.publish(some)
    first.upkeep.wait()
    (folder,) = (tmp_path / "segments").iterdir()
    kept = tmp_path / "kept"
    shutil.copytree(folder, kept)
    first.library.delete("default", "faq", [some[0].id])
    first.upkeep.snapshot(first.now).result(timeout=30)
    first.close()
    shutil.rmtree(tmp_path / "segments")
    shutil.copytree(kept, tmp_path / "segments" / folder.name)
    second = Shelf(tmp_path)
    try:
        assert len(second.now) == 299
    finally:
        second.close()


def test_words_count_on_through_a_merge(shelf: Shelf) -> None:
    shelf.publish(spans(10))
    base = shelf.now.base
    base.words.get(lambda: shelf.store.texts(base.columns.rowids.tolist()), None)
    shelf.add(spans(30, "added"))
    shelf.upkeep.wait()
    words = shelf.now.base.words.index
    assert words is not None
    assert len(words) == 40


def test_an_emptied_collection_stays_one(shelf: Shelf) -> None:
    some = spans(5)
    before = shelf.publish(some)
    shelf.library.delete("default", "faq", [span.id for span in some])
    done = shelf.upkeep.snapshot(shelf.now).result(timeout=30)
    assert ([len(one) for one in done.segments], len(done)) == ([0], 0)
    _, previous = shelf.library.publish("default", "faq", shelf.build(spans(6)), shelf.embed)
    assert previous == before.record.version


def test_additions_are_gathered_under_an_index_before_they_are_merged(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, exact_limit=60, delta_limit=1000)
    try:
        shelf.publish(spans(300))
        for number in range(8):
            shelf.add(spans(10, f"added {number}"))
        shelf.upkeep.wait()
        now = shelf.now
        assert now.base.index.engine is Engine.HNSW
        assert len(now.base) == 300
        assert any(one.index.engine is Engine.HNSW for one in now.segments[1:])
        assert len(now) == 380
    finally:
        shelf.close()


def test_a_change_that_cannot_be_shown_is_not_served_until_a_restart(shelf: Shelf) -> None:
    shelf.publish(spans(5))
    wrong = 3 * shelf.embed(["added 0"])  # of another length: no index takes it
    with pytest.raises(ValueError, match="length 1"):
        shelf.library.add("default", "faq", spans(1, "added"), wrong)
    with pytest.raises(NotReadyError, match="restart"):
        shelf.library.find("default", "faq")
