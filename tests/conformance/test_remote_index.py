"""What engines on another machine promise beyond the contract of every vector index."""

import logging
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import grpc
import numpy as np
import psycopg
import pytest

from arenalab.mesh import ConfigError, DataLossError, NotReadyError
from arenalab.planning import Engine
from arenalab.search.columns.columns import Columns
from arenalab.search.condition import ONLINE, Filter, Instant
from arenalab.search.filters import FilterIndex
from arenalab.search.index import (
    BuildStoppedError,
    Effort,
    ExactIndex,
    FloatArray,
    IndexFileError,
    Selection,
    VectorIndex,
)
from arenalab.search.index.remote import engines
from arenalab.search.index.remote.engines import open_engine
from arenalab.search.index.remote.naming import Marker, RemoteSegmentError, SegmentName
from arenalab.search.index.remote.protocol import RemoteEngine
from arenalab.search.index.remote.settings import RemoteSettings
from arenalab.search.store.row import StoredRow

pytestmark = pytest.mark.slow

DIMENSION: Final = 24
SIZE: Final = 6000  # more than are named to a server one by one
SMALL: Final = 240
DOMAINS: Final = ("support", "support/billing", "support/billing/refunds", "ops", "ops-old/x")
ACTIONS: Final = (
    "ask_question", 'say "no"', "back\\slash", "it's", "naïve café", "日本語", "a%b_c", "{x}",
    "two\nlines", "nul\0nul", "separated\u2028line", "x" * 2000, 'end") or (1 == 1) or ("',
    "'; DROP TABLE segments; --", "blake2b:" + "0" * 64, "",
)  # fmt: skip
CREATURES: Final = ("", "fox", "fox\\", "owl\t")
VERSION: Final = "5" * 64


def unit(vectors: np.ndarray[Any, Any]) -> FloatArray:
    made: FloatArray = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return made


def stored(row: int) -> StoredRow:
    quality = None if row % 5 == 0 else float(row % 101)
    return StoredRow(
        rowid=row,
        ordinal=None if row % 3 == 0 else row,
        span_id=str(UUID(int=row)),
        domain=DOMAINS[row % len(DOMAINS)],
        action=ACTIONS[row % len(ACTIONS)],
        status=row % 4,
        when_s=(row - 100) * 7,
        when_ns=row % 3,
        quality=quality,
        tags=" ".join(tag for number, tag in enumerate(("a", "b:c", "c.d")) if row >> number & 1),
        outcome_key=1,
        source=f"source {row % 6}",
        creature=CREATURES[row % len(CREATURES)],
        weight=1.0,
        hidden=0,
    )


RNG = np.random.default_rng(11)
CENTRES = RNG.standard_normal((len(DOMAINS), DIMENSION))
# Spans of one domain lie together, so that a filter on another one misleads a graph.
VECTORS = unit(
    CENTRES[np.arange(SIZE) % len(DOMAINS)] + 0.6 * RNG.standard_normal((SIZE, DIMENSION))
)
QUERIES = unit(VECTORS[:12] + 0.05 * RNG.standard_normal((12, DIMENSION)))
COLUMNS = Columns.of([stored(row) for row in range(SIZE)])
FILTERS = FilterIndex.of(COLUMNS, VERSION)
FEW_COLUMNS = Columns.of([stored(row) for row in range(SMALL)])
FEW_FILTERS = FilterIndex.of(FEW_COLUMNS, VERSION)


@pytest.fixture(scope="module", params=["pgvector", "milvus"])
def engine(request: pytest.FixtureRequest) -> RemoteEngine:
    found: RemoteEngine = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def other_embedder(engine: RemoteEngine) -> Iterator[RemoteEngine]:
    opened = open_engine(replace(settings_of(engine), embedder_digest="e2"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def index(engine: RemoteEngine) -> Iterator[VectorIndex]:
    name = SegmentName("module", "all", "1")
    yield engine.build(name, VECTORS, COLUMNS)
    engine.drop(name)


@pytest.fixture(scope="module")
def few(engine: RemoteEngine) -> Iterator[VectorIndex]:
    name = SegmentName("module", "few", "1")
    yield engine.build(name, VECTORS[:SMALL], FEW_COLUMNS)
    engine.drop(name)


@pytest.fixture
def name(engine: RemoteEngine, request: pytest.FixtureRequest) -> Iterator[SegmentName]:
    made = SegmentName("tenant", request.node.name, "part")
    yield made
    engine.drop(made)


def settings_of(engine: RemoteEngine) -> RemoteSettings:
    found: RemoteSettings = engine._settings  # type: ignore[attr-defined]
    return found


def build_few(engine: RemoteEngine, name: SegmentName, start: int = 0) -> VectorIndex:
    return engine.build(name, VECTORS[start : start + SMALL], FEW_COLUMNS)


def passing_on_server(index: VectorIndex, wanted: Filter) -> set[int]:
    """Returns the rows that the server lets through, of all it has."""
    segment = index._segment  # type: ignore[attr-defined]
    [found] = segment.near(QUERIES[:1], index.size, ef_search=index.size, condition=wanted)
    return set(found.rows.tolist())


PUSHED = [
    *(Filter(domains=(domain,)) for domain in (*DOMAINS, "sup", "ops-old", "support/bill", "%")),
    Filter(domains=("ops", "support/billing")),
    *(Filter(actions=(action,)) for action in ACTIONS),
    Filter(actions=("nothing",)),
    Filter(statuses=(1, 3)),
    Filter(not_before=Instant(seconds=0, nanos=2)),
    Filter(not_before=Instant(seconds=70, nanos=2), before=Instant(seconds=140, nanos=1)),
    Filter(before=Instant(seconds=-350, nanos=0)),
    Filter(min_quality=0.0),
    Filter(min_quality=37.5),
    Filter(tags=("a",)),
    Filter(tags=("b:c", "a")),
    Filter(tags=('"] or ["',)),
    Filter(sources=("source 2", "source 4")),
    *(Filter(creatures=(creature,)) for creature in CREATURES),
    Filter(origins=(ONLINE,)),
    Filter(none_of=(Filter(min_quality=50.0), Filter(tags=("a",), statuses=(0, 1)))),
    Filter(any_of=(Filter(domains=("ops",)), Filter(actions=('say "no"',), min_quality=10.0))),
    Filter(
        statuses=(0, 1, 2),
        all_of=(Filter(tags=("a",)), Filter(none_of=(Filter(origins=(ONLINE,)),))),
        any_of=(Filter(domains=("support",)), Filter(creatures=("fox\\",))),
    ),
]
NOT_PUSHED = [
    Filter(action_words=("ask",)),
    Filter(origins=(VERSION,)),
    Filter(origins=(VERSION, ONLINE)),
    Filter(action_words=("ask",), domains=("ops",)),
    Filter(none_of=(Filter(action_words=("ask",), domains=("ops",)),)),
    Filter(any_of=(Filter(action_words=("ask",)), Filter(domains=("ops",)))),
    Filter(domains=("nul\0",)),
]


def test_a_filter_passes_the_same_rows_on_the_server(few: VectorIndex) -> None:
    for wanted in PUSHED:
        selected = FEW_FILTERS.select(wanted)
        assert selected is not None
        assert passing_on_server(few, wanted) == set(selected.rows.tolist()), wanted


def test_what_the_server_cannot_tell_never_hides_a_row(few: VectorIndex) -> None:
    for wanted in NOT_PUSHED:
        selected = FEW_FILTERS.select(wanted)
        passing = range(SMALL) if selected is None else selected.rows.tolist()
        assert passing_on_server(few, wanted) >= set(passing), wanted


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(domains=("support",)),
        Filter(statuses=(0, 1, 2)),
        Filter(none_of=(Filter(domains=("support/billing",)),)),
        Filter(action_words=("ask",)),
        Filter(origins=(VERSION,), min_quality=1.0),
    ],
    ids=str,
)
@pytest.mark.parametrize("is_pushed", [True, False])
def test_a_filtered_search_finds_the_nearest_allowed(
    index: VectorIndex, wanted: Filter, *, is_pushed: bool
) -> None:
    selected = FILTERS.select(wanted)
    assert selected is not None
    # Some were removed since: the server does not know.
    left = np.delete(selected.rows, np.s_[::9])
    allowed = Selection.of_rows(left, SIZE)
    allowed.condition = wanted if is_pushed else None
    exact, hits, queries = ExactIndex(VECTORS), 0, list(QUERIES)
    if index.engine is Engine.MILVUS and is_pushed and allowed.count > 2048:
        # The graph of milvus-lite never gets from where a query leads to where the filter
        # picks from. Plans find that out beforehand, and scan.
        queries = [query for row, query in enumerate(QUERIES) if allowed.mask[row]]
    for query in queries:
        rows = index.search(query, 10, allowed=allowed).rows.tolist()
        assert len(set(rows)) == 10
        assert set(rows) <= set(left.tolist())
        hits += len(set(rows) & set(exact.search(query, 10, allowed=allowed).rows.tolist()))
    assert hits / (10 * len(queries)) >= 0.98


def test_a_condition_on_another_region_still_fills_the_limit(index: VectorIndex) -> None:
    for domain in ("ops", "support/billing/refunds", "ops-old"):
        allowed = FILTERS.select(Filter(domains=(domain,), statuses=(0, 1, 2, 3)))
        assert allowed is not None
        for found in index.search_batch(QUERIES, 40, allowed=allowed):
            assert len(set(found.rows.tolist())) == 40
            assert set(found.rows.tolist()) <= set(allowed.rows.tolist())


def test_a_condition_that_nothing_is_left_of_finds_what_is_allowed(index: VectorIndex) -> None:
    # The server lets through what is gone here; here nearly all of it is gone.
    wanted = Filter(statuses=(0,))
    allowed = Selection.of_rows(np.arange(4, SIZE, 4)[-1:], SIZE)
    allowed.condition = wanted
    assert index.search(QUERIES[0], 10, allowed=allowed).rows.tolist() == allowed.rows.tolist()


def test_a_limit_beyond_what_a_graph_gives_is_met(index: VectorIndex) -> None:
    found = index.search(QUERIES[0], 5500, effort=Effort(ef_search=64))
    assert found.rows.tolist() == ExactIndex(VECTORS).search(QUERIES[0], 5500).rows.tolist()


@pytest.mark.parametrize("asked", [30, 70, 300])
def test_the_effort_reaches_the_server(
    index: VectorIndex, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = index._segment  # type: ignore[attr-defined]
    near, lengths = segment.near, []

    def recorded(*arguments: Any, **named: Any) -> Any:
        lengths.append(named["ef_search"])
        return near(*arguments, **named)

    monkeypatch.setattr(segment, "near", recorded)
    index.search(QUERIES[0], 10, effort=Effort(ef_search=asked))
    assert lengths[0] == asked


def test_more_threads_than_connections_search_at_once(engine: RemoteEngine) -> None:
    opened = open_engine(replace(settings_of(engine), connections=2))
    name = SegmentName("module", "threads", "1")
    try:
        index = build_few(opened, name)
        expected = [index.search(query, 5).rows.tolist() for query in QUERIES]
        found: list[list[list[int]]] = []

        def search() -> None:
            found.append([index.search(query, 5).rows.tolist() for query in QUERIES])

        threads = [threading.Thread(target=search) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [expected] * 6
    finally:
        opened.drop(name)
        opened.close()


def test_scopes_are_apart(engine: RemoteEngine) -> None:
    # Joined by any separator, some of these would be the same.
    names = [
        SegmentName("a", "b/c", "d"),
        SegmentName("a/b", "c", "d"),
        SegmentName("a", "b", "c/d"),
        SegmentName('a"; DROP SCHEMA arenalab CASCADE; --', "naïve\\ \0", "d"),
    ]
    found = [build_few(engine, name, 10 * number) for number, name in enumerate(names)]
    for number, index in enumerate(found):
        np.testing.assert_array_equal(index.vectors(np.array([0])), VECTORS[10 * number][None])
    engine.drop(names[0])
    with pytest.raises(RemoteSegmentError):
        engine.load(names[0], size=SMALL, dimension=DIMENSION)
    for number, name in list(enumerate(names))[1:]:
        index = engine.load(name, size=SMALL, dimension=DIMENSION)
        rows = index.search(VECTORS[10 * number], 1).rows
        assert rows.tolist() == [0]
        engine.drop(name)


def test_a_segment_is_found_again_by_its_folder(
    engine: RemoteEngine, name: SegmentName, tmp_path: Path
) -> None:
    built = build_few(engine, name)
    built.save(tmp_path)
    marker = Marker.read(tmp_path)
    assert marker == Marker(built.engine, name, SMALL, DIMENSION)
    loaded = engine.load(marker.name, size=marker.size, dimension=marker.dimension)
    assert (loaded.engine, loaded.library, loaded.memory_bytes) == (built.engine, built.library, 0)
    for query in QUERIES:
        assert loaded.search(query, 9).rows.tolist() == built.search(query, 9).rows.tolist()
    [path] = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(IndexFileError, match="cannot be read"):
        Marker.read(tmp_path)


def test_a_segment_of_something_else_is_refused(
    engine: RemoteEngine, other_embedder: RemoteEngine, name: SegmentName
) -> None:
    build_few(engine, name)
    with pytest.raises(RemoteSegmentError, match="size of the segment is 240, expected 239"):
        engine.load(name, size=SMALL - 1, dimension=DIMENSION)
    with pytest.raises(RemoteSegmentError, match="dimension of the segment is 24, expected 25"):
        engine.load(name, size=SMALL, dimension=DIMENSION + 1)
    with pytest.raises(RemoteSegmentError, match="embedder of the segment is"):
        other_embedder.load(name, size=SMALL, dimension=DIMENSION)
    with pytest.raises(RemoteSegmentError, match="has no such segment"):
        engine.load(name._replace(part="another"), size=SMALL, dimension=DIMENSION)


def test_a_build_that_is_told_to_stop_leaves_nothing(
    engine: RemoteEngine, name: SegmentName
) -> None:
    opened = open_engine(replace(settings_of(engine), batch_rows=50))
    before = kept_on_server(engine)
    asked = iter([False, False, True])
    with pytest.raises(BuildStoppedError):
        opened.build(name, VECTORS[:SMALL], FEW_COLUMNS, lambda: next(asked))
    opened.close()
    assert kept_on_server(engine) == before
    with pytest.raises(RemoteSegmentError, match="has no such segment"):
        engine.load(name, size=SMALL, dimension=DIMENSION)


def test_a_graph_that_is_being_built_is_given_up_too(pgvector: RemoteEngine) -> None:
    name = SegmentName("tenant", "stopped late", "1")
    patient = open_engine(replace(settings_of(pgvector), batch_rows=SIZE, ef_construction=800))
    before = kept_on_server(pgvector)
    asked: list[bool] = []

    def stopped() -> bool:
        asked.append(True)
        return len(asked) > 1  # once for the one batch, then while the server works

    with pytest.raises(BuildStoppedError):
        patient.build(name, VECTORS, COLUMNS, stopped)
    assert kept_on_server(pgvector) == before
    patient.close()


def test_a_build_that_fails_leaves_the_segment_before_it(
    engine: RemoteEngine, name: SegmentName
) -> None:
    build_few(engine, name)
    before = kept_on_server(engine)

    def fail() -> bool:
        raise MemoryError

    with pytest.raises(MemoryError):
        engine.build(name, VECTORS[SMALL : 2 * SMALL], FEW_COLUMNS, fail)
    assert kept_on_server(engine) == before
    index = engine.load(name, size=SMALL, dimension=DIMENSION)
    np.testing.assert_array_equal(index.vectors(np.arange(SMALL)), VECTORS[:SMALL])


def test_a_new_segment_takes_the_place_of_one_of_its_name(
    engine: RemoteEngine, name: SegmentName
) -> None:
    old = build_few(engine, name)
    before = kept_on_server(engine)
    new = build_few(engine, name, start=100)
    assert len(kept_on_server(engine)) == len(before)
    loaded = engine.load(name, size=SMALL, dimension=DIMENSION)
    for index in (new, loaded):
        np.testing.assert_array_equal(index.vectors(np.array([0])), VECTORS[100][None])
    with pytest.raises(DataLossError, match="gone from"):
        old.search(QUERIES[0], 3)


def kept_on_server(engine: RemoteEngine) -> set[str]:
    settings = settings_of(engine)
    if settings.engine is Engine.MILVUS:
        return set(engine._call("list_collections"))  # type: ignore[attr-defined]
    with psycopg.connect(settings.uri) as connection:
        found = connection.execute(
            "SELECT table_name::text FROM information_schema.tables WHERE table_schema = %s",
            (settings.namespace,),
        )
        return {table for (table,) in found}


def test_what_a_killed_build_left_in_milvus_is_not_served_and_goes(
    milvus: RemoteEngine,
) -> None:
    name = SegmentName("tenant", "killed", "1")
    half: Any = milvus
    left = half._collection(name, SMALL, DIMENSION)
    half._fill(left, VECTORS[:SMALL], FEW_COLUMNS, lambda: False)
    with pytest.raises(RemoteSegmentError, match="has no such segment"):
        milvus.load(name, size=SMALL, dimension=DIMENSION)
    build_few(milvus, name)
    assert left not in kept_on_server(milvus)
    milvus.drop(name)


def test_a_segment_that_lost_rows_is_refused(engine: RemoteEngine, name: SegmentName) -> None:
    index = build_few(engine, name)
    lose_rows(engine, index)
    with pytest.raises(RemoteSegmentError, match="the segment"):
        engine.load(name, size=SMALL, dimension=DIMENSION)
    with pytest.raises(DataLossError, match="rows of a segment are gone"):
        index.vectors(np.arange(SMALL))
    with pytest.raises(DataLossError, match="rows of a segment are gone"):
        index.scan(QUERIES[0], SMALL, None)


def lose_rows(engine: RemoteEngine, index: VectorIndex) -> None:
    segment: Any = index._segment  # type: ignore[attr-defined]
    if segment.engine is Engine.MILVUS:
        segment._call("delete", segment._collection, ids=list(range(200, SMALL)))
        return
    with psycopg.connect(settings_of(engine).uri) as connection:
        statement = psycopg.sql.SQL("DELETE FROM {} WHERE row_id >= 200")
        connection.execute(statement.format(segment._parts["table"]))


def test_an_outage_is_told_and_got_over(postgres: Any, pgvector: RemoteEngine) -> None:
    name = SegmentName("tenant", "outage", "1")
    index = build_few(pgvector, name)
    expected = index.search(QUERIES[0], 5).rows.tolist()
    for _ in range(2):  # over while nobody asked: the connections that were kept are dead
        postgres.stop()
        postgres.ensure_postgres_running()
        assert index.search(QUERIES[0], 5).rows.tolist() == expected
    postgres.stop()
    try:
        for ask in (
            lambda: index.search(QUERIES[0], 5),
            lambda: index.scan(QUERIES[0], 5, None),
            lambda: index.vectors(np.array([1])),
            lambda: pgvector.load(name, size=SMALL, dimension=DIMENSION),
            lambda: build_few(pgvector, name),
            lambda: pgvector.drop(name),
        ):
            check_not_ready(ask, "pgvector")
    finally:
        postgres.ensure_postgres_running()
    assert index.search(QUERIES[0], 5).rows.tolist() == expected
    pgvector.drop(name)


def check_not_ready(ask: Callable[[], object], engine: str) -> NotReadyError:
    with pytest.raises(NotReadyError) as caught:
        ask()
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE
    assert caught.value.metadata == {"engine": engine}
    return caught.value


def test_an_outage_of_milvus_is_told_and_got_over(tmp_path: Path) -> None:
    lite = pytest.importorskip("milvus_lite.adapter.grpc.server")
    folder = str(tmp_path / "cluster.db")
    server, database, port = lite.start_server_in_thread(folder)
    settings = RemoteSettings(
        engine=Engine.MILVUS,
        uri=f"http://127.0.0.1:{port}",
        embedder_digest="e1",
        timeout_s=1.0,
        build_timeout_s=20.0,
    )
    engine = open_engine(settings)
    name = SegmentName("tenant", "outage", "1")
    try:
        index = build_few(engine, name)
        expected = index.search(QUERIES[0], 5).rows.tolist()
        server.stop(grace=0).wait()
        database.close()
        check_not_ready(lambda: index.search(QUERIES[0], 5), "milvus")
        check_not_ready(lambda: engine.load(name, size=SMALL, dimension=DIMENSION), "milvus")
        server, database, _ = lite.start_server_in_thread(folder, port=port)
        loaded = engine.load(name, size=SMALL, dimension=DIMENSION)
        assert loaded.search(QUERIES[0], 5).rows.tolist() == expected
        assert index.search(QUERIES[0], 5).rows.tolist() == expected
    finally:
        engine.close()
        server.stop(grace=0).wait()
        database.close()


def test_a_server_that_does_not_answer_in_time_is_not_waited_for(pgvector: RemoteEngine) -> None:
    name = SegmentName("tenant", "late", "1")
    index = build_few(pgvector, name)
    hasty = open_engine(replace(settings_of(pgvector), timeout_s=0.3))
    try:
        waiting = hasty.load(name, size=SMALL, dimension=DIMENSION)
        table = index._segment._parts["table"]  # type: ignore[attr-defined]
        with psycopg.connect(settings_of(pgvector).uri) as connection:
            connection.execute(psycopg.sql.SQL("LOCK TABLE {}").format(table))
            error = check_not_ready(lambda: waiting.search(QUERIES[0], 5), "pgvector")
            assert str(error) == "pgvector did not answer within 0.3 s"
        assert len(waiting.search(QUERIES[0], 5).rows) == 5
    finally:
        hasty.close()
        pgvector.drop(name)


@pytest.mark.parametrize("engine_name", [Engine.PGVECTOR, Engine.MILVUS])
def test_a_server_that_accepts_and_says_nothing_is_not_waited_for(engine_name: Engine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        scheme = "postgresql" if engine_name is Engine.PGVECTOR else "http"
        settings = RemoteSettings(
            engine=engine_name,
            uri=f"{scheme}://127.0.0.1:{port}",
            embedder_digest="e1",
            timeout_s=0.5,
        )
        engine = open_engine(settings)
        name = SegmentName("tenant", "silent", "1")
        check_not_ready(lambda: engine.load(name, size=1, dimension=2), engine_name.value)
        engine.close()


@pytest.mark.parametrize(
    ("engine_name", "uri"),
    [
        (Engine.PGVECTOR, "postgresql://search:s3cret-word@127.0.0.1:1/spans"),
        (Engine.PGVECTOR, "host=127.0.0.1 port=1 user=search password=s3cret-word"),
        (Engine.MILVUS, "http://search:s3cret-word@127.0.0.1:1"),
    ],
)
def test_credentials_are_never_shown(
    engine_name: Engine,
    uri: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    settings = RemoteSettings(engine=engine_name, uri=uri, embedder_digest="e1", timeout_s=0.5)
    engine = open_engine(settings)
    with caplog.at_level(logging.DEBUG):
        error = check_not_ready(
            lambda: build_few(engine, SegmentName("t", "d", "p")), engine_name.value
        )
    engine.close()
    written = capfd.readouterr()
    shown = [repr(settings), *traceback.format_exception(error), caplog.text, *written]
    assert "s3cret-word" not in "".join(shown)
    assert "127.0.0.1" not in str(error)


def test_a_uri_that_cannot_be_parsed_is_refused_without_showing_it() -> None:
    settings = RemoteSettings(
        engine=Engine.PGVECTOR, uri="postgresql://s3cret-word@[", embedder_digest="e1"
    )
    with pytest.raises(ConfigError, match="cannot be parsed") as caught:
        open_engine(settings)
    assert "s3cret-word" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("engine_name", [Engine.PGVECTOR, Engine.MILVUS])
def test_an_extra_that_is_not_installed_is_named(
    engine_name: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda _package: None)
    settings = RemoteSettings(engine=engine_name, uri="somewhere", embedder_digest="e1")
    with pytest.raises(ConfigError, match=rf"install arenalab\[{engine_name.value}\]"):
        open_engine(settings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"engine": Engine.HNSW}, "engine must be milvus or pgvector, got hnsw"),
        ({"uri": ""}, "the engine milvus needs a URI"),
        ({"namespace": 'a"b'}, "namespace must be"),
        ({"timeout_s": 0.0}, "timeout_s must be > 0"),
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, Any], message: str) -> None:
    kept: dict[str, Any] = {"engine": Engine.MILVUS, "uri": "somewhere", "embedder_digest": "e1"}
    with pytest.raises(ConfigError, match=message):
        RemoteSettings(**kept | change)


def test_vectors_and_columns_of_different_length_are_refused(
    engine: RemoteEngine, name: SegmentName
) -> None:
    with pytest.raises(ValueError, match="got 7 vectors for 240 spans"):
        engine.build(name, VECTORS[:7], FEW_COLUMNS)
