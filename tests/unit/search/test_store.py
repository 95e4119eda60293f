"""The span store: durable, all or nothing, honest about damage."""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from arenalab.mesh import BudgetSpentError, DataLossError, NotReadyError, Reason
from arenalab.search.index.protocol import FloatArray
from arenalab.search.store.row import NewRow, is_same_span, message_of, row_of
from arenalab.search.store.span_store import PURGED_AT_ONCE, NewVersion, SpanStore
from arenalab.testing.spans import make_span

DIMENSION = 4


def rows(*questions: str) -> list[NewRow]:
    return [row_of(make_span(question, "an answer", tags=("a", "b"))) for question in questions]


def numbered(*questions: str) -> list[tuple[int, NewRow]]:
    return list(enumerate(rows(*questions)))


def vectors(count: int, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)


def version(name: str = "a" * 64, digest: str = "d1") -> NewVersion:
    return NewVersion(
        tenant="default",
        dataset="faq",
        version=name,
        published_at_ns=1,
        embedder_id="e",
        embedder_digest=digest,
        dimension=DIMENSION,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "search" / "spans.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SpanStore]:
    opened = SpanStore(path)
    yield opened
    opened.close()


def questions(store: SpanStore, part: int) -> list[str]:
    rowids = [row.rowid for row in store.rows(part)]
    return sorted(message_of(payload).this for payload in store.payloads(rowids).values())


def test_what_was_written_is_there_after_reopening(path: Path) -> None:
    first = SpanStore(path)
    record = first.publish(version(), numbered("one", "two"))
    record, stored = first.change(record, added=rows("three"), vectors=vectors(1))
    first.close()
    second = SpanStore(path)
    assert second.records() == [record]
    assert record.generation == 2
    assert questions(second, record.live_part) == ["one", "two"]
    assert second.rows(record.added_part) == stored
    rowids = second.rowids(record.added_part)
    np.testing.assert_array_equal(second.vectors_of(rowids, DIMENSION), vectors(1))
    second.close()


def test_a_change_is_one_transaction_of_all_its_parts(store: SpanStore) -> None:
    record = store.publish(version(), numbered("one", "two", "three"))
    gone, heavy, quiet = (row.rowid for row in store.rows(record.live_part))
    after, (stored,) = store.change(
        record,
        removed=[gone],
        added=rows("four"),
        vectors=vectors(1),
        marks=[(2.5, 1)],
        weights={heavy: 3.0},
        hidden={quiet: 1},
    )
    assert after.generation == record.generation + 1
    assert store.payloads([gone]) == {}
    marks = {row.rowid: (row.weight, row.hidden) for row in store.rows_of([heavy, quiet])}
    assert marks == {heavy: (3.0, 0), quiet: (1.0, 1)}
    assert store.rows(record.added_part) == [stored]
    assert (stored.weight, stored.hidden, stored.ordinal) == (2.5, 1, None)


def test_the_log_tells_what_changed_after_a_generation(store: SpanStore) -> None:
    first = store.publish(version(), numbered("one", "two"))
    one, two = (row.rowid for row in store.rows(first.live_part))
    second, _ = store.change(first, weights={one: 2.0})
    third, _ = store.change(second, removed=[two])
    assert sorted(store.changed_since(third, first.generation)) == sorted([one, two])
    assert store.changed_since(third, second.generation) == [two]
    assert store.changed_since(third, third.generation) == []
    store.forget_changes(third, second.generation)
    assert store.changed_since(third, 0) == [two]
    store.publish(version("b" * 64), numbered("one"))
    assert store.changed_since(third, 0) == []


def test_weight_and_quarantine_go_with_the_span_id_to_the_next_version(store: SpanStore) -> None:
    same = rows("one", "two", "three")
    record = store.publish(version(), enumerate(same))
    one, two, _ = (row.rowid for row in store.rows(record.live_part))
    record, _ = store.change(record, weights={one: 0.5}, hidden={two: 1})
    after = store.publish(version("b" * 64), enumerate(same))
    marks = {row.span_id: (row.weight, row.hidden) for row in store.rows(after.live_part)}
    by_id = sorted(row.span_id for row in same)
    assert marks == {by_id[0]: (0.5, 0), by_id[1]: (1.0, 1), by_id[2]: (1.0, 0)}


def test_texts_come_in_the_order_asked_for(store: SpanStore) -> None:
    record = store.publish(version(), numbered(*(f"question {n}" for n in range(1000))))
    found = store.rows(record.live_part)
    rowids = [row.rowid for row in reversed(found)]
    texts = store.texts([*rowids, 10**9])
    assert texts[-1] == ""
    assert sorted(texts[:-1]) == sorted(f"question {n}" for n in range(1000))


def test_publishing_replaces_the_version_and_keeps_what_was_added(store: SpanStore) -> None:
    record = store.publish(version(), numbered("one", "two"))
    record, _ = store.change(record, added=rows("three", "four"), vectors=vectors(2))
    after = store.publish(version("b" * 64), numbered("two", "three"))
    assert after.version == "b" * 64
    assert after.generation == record.generation + 1
    assert questions(store, after.live_part) == ["three", "two"]
    assert questions(store, after.added_part) == ["four"]


def test_vectors_of_added_spans_can_be_replaced_with_the_version(store: SpanStore) -> None:
    record = store.publish(version(), numbered("one"))
    store.change(record, added=rows("two", "three"), vectors=vectors(2))
    new = vectors(2, seed=9)
    after = store.publish(version("b" * 64, "d2"), numbered("one"), added_vectors=new)
    rowids = [row.rowid for row in store.rows(after.added_part)]
    np.testing.assert_array_equal(store.vectors_of(rowids, DIMENSION), new)


def test_a_publication_that_fails_changes_nothing(store: SpanStore) -> None:
    before = store.publish(version(), numbered("one"))

    def failing() -> Iterator[tuple[int, NewRow]]:
        yield from numbered("two", "three")
        raise RuntimeError("the source ended")

    with pytest.raises(RuntimeError, match="the source ended"):
        store.publish(version("b" * 64), failing())
    assert store.records() == [before]
    assert questions(store, before.live_part) == ["one"]


def test_rows_of_replaced_versions_are_removed(store: SpanStore) -> None:
    old = store.publish(version(), numbered(*(str(n) for n in range(PURGED_AT_ONCE + 1))))
    live = store.publish(version("b" * 64), numbered("one"))
    steps = 0
    while store.purge():
        steps += 1
    assert steps == 2
    assert store.rows(old.live_part) == []
    assert questions(store, live.live_part) == ["one"]


def test_row_numbers_are_never_used_again(store: SpanStore) -> None:
    old = store.publish(version(), numbered("one", "two"))
    used = {row.rowid for row in store.rows(old.live_part)}
    live = store.publish(version("b" * 64), numbered("three"))
    while store.purge():
        pass
    live = store.publish(version("c" * 64), numbered("four"))
    assert not used & {row.rowid for row in store.rows(live.live_part)}
    assert store.payloads(sorted(used)) == {}


def test_a_full_disk_keeps_nothing_and_says_so(store: SpanStore) -> None:
    record = store.publish(version(), numbered("one"))
    _limit_pages(store, 0)
    long = [row_of(make_span(f"{n} " + "x" * 30_000, "y" * 60_000)) for n in range(20)]
    attempts = (
        lambda: store.change(record, added=long, vectors=vectors(20)),
        lambda: store.publish(version("b" * 64), enumerate(long)),
    )
    for attempt in attempts:
        with pytest.raises(BudgetSpentError) as caught:
            attempt()
        assert caught.value.reason is Reason.STORAGE_FULL
        assert caught.value.metadata == {"path": "spans.sqlite"}
        assert store.records() == [record]
        assert store.rows(record.added_part) == []
    _limit_pages(store, 1_000_000)
    _, stored = store.change(record, added=long, vectors=vectors(20))
    assert len(stored) == 20


def _limit_pages(store: SpanStore, pages: int) -> None:
    """Sets the size of the file at which SQLite reports a full disk; 0: as it is now."""
    store._database._writer.execute(f"PRAGMA max_page_count = {pages or 1}")


@pytest.mark.parametrize("content", [b"no database" * 1000, b"\0" * 5000])
def test_a_file_that_is_no_database_is_refused(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(DataLossError) as caught:
        SpanStore(path)
    assert caught.value.reason is Reason.CORRUPT_DATASET
    assert caught.value.metadata == {"file": "spans.sqlite"}


def test_a_database_of_something_else_is_refused(path: Path) -> None:
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE other (x)")
    connection.close()
    with pytest.raises(DataLossError, match="is no span store"):
        SpanStore(path)


def test_a_damaged_page_is_found_at_the_start(path: Path) -> None:
    store = SpanStore(path)
    store.publish(version(), numbered(*(str(n) for n in range(200))))
    store.close()
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = b"\xff" * (len(content) - len(content) // 2)
    path.write_bytes(content)
    with pytest.raises(DataLossError, match="damaged"):
        SpanStore(path)


def test_one_process_at_a_time_opens_a_store(store: SpanStore, path: Path) -> None:
    assert store.records() == []
    with pytest.raises(NotReadyError, match="another process"):
        SpanStore(path)


def test_spans_are_compared_by_content_not_by_bytes() -> None:
    (row,) = rows("one")
    # The same fields in another order: as valid, and other bytes.
    again = message_of(row.payload)
    tail = type(again)(who=again.who).SerializeToString()
    assert is_same_span(row.payload, row.payload + tail)
    assert not is_same_span(row.payload, rows("two")[0].payload)


def ids(store: SpanStore, part: int) -> Sequence[str]:
    return [row.span_id for row in store.rows(part)]


def test_rows_come_by_ascending_id(store: SpanStore) -> None:
    record = store.publish(version(), numbered("c", "a", "b"))
    found = ids(store, record.live_part)
    assert found == sorted(found)
