"""A log in JetStream: other machines take it over, and nobody is believed."""

import os
import re
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from arenalab.ledger.division import LogName
from arenalab.ledger.erasure import erase
from arenalab.ledger.log import Log
from arenalab.ledger.packing import is_packed, packed_path
from arenalab.ledger.verify import verify_directory
from arenalab.mesh import (
    BudgetSpentError,
    BusyError,
    ConfigError,
    DataLossError,
    NotReadyError,
    Reason,
)
from arenalab.proof import verify_receipt
from tests.conformance.ledger_store.cluster import Cluster, free_ports
from tests.conformance.ledger_store.conftest import (
    PUBLIC_KEY,
    Opener,
    lines_of,
    seal,
)
from tests.unit.ledger.conftest import an_entry
from tests.unit.ledger.test_disk_full import files_of_at_most

pytest.importorskip("nats", reason="the extra nats is not installed")

from arenalab.ledger.jetstream import JetStreamLogs, JetStreamSettings, JetStreamStorage
from tests.conformance.ledger_store.raw import Raw, raw

SOUND: dict[str, Any] = {
    "num_replicas": 3,
    "storage": "file",
    "discard": "new",
    "deny_delete": True,
    "deny_purge": True,
}


def filled(opener: Opener, name: str = "one", batches: int = 9) -> Log:
    """Returns a log of several segments."""
    log = opener(name)
    for batch in range(batches):
        seal(log, *(an_entry(f"e{batch}.{n}", subject=f"user-{n}") for n in range(3)))
    return log


def contents_of(log: Log) -> list[bytes]:
    return [files.content.read_bytes() for files in log.segment_files]


def test_an_empty_machine_takes_a_log_over_whole(replicated: Opener) -> None:
    one = filled(replicated)
    erase([one], lambda entry: seal(one, entry)[0], "default", "user-1")
    two = replicated("two")
    assert two.damage is None
    assert (two.head, lines_of(two)) == (one.head, lines_of(one))
    assert len(lines_of(two)) > 2
    assert contents_of(two) == contents_of(one)
    for index in range(27):
        assert two.get("default", index) == one.get("default", index)
        assert (two.get("default", index).private is None) == (index % 3 == 1)
        verify_receipt(two.prove("default", index), PUBLIC_KEY)
    assert verify_directory(two.directory, PUBLIC_KEY).valid
    assert seal(two, an_entry("e0.0", subject="user-0"))[0].leaf_index == 0
    assert seal(two, an_entry("next"))[0].leaf_index == 28


def test_who_lost_a_log_stops_and_can_come_back(replicated: Opener) -> None:
    one, two = filled(replicated), replicated("two")
    seal(two, an_entry("of two", subject="user-0"))
    for _ in range(2):
        with pytest.raises(BusyError, match="took the log"):
            seal(one, an_entry("of one", subject="user-0"))
    with pytest.raises(BusyError):  # it may be erased by now
        one.get("default", 0)
    verify_receipt(one.prove("default", 0), PUBLIC_KEY)
    one = replicated("one")
    assert one.find("default", "of two") == 27
    assert seal(one, an_entry("of one", subject="user-0"))[0].leaf_index == 28
    with pytest.raises(BusyError):
        seal(two, an_entry("of two again", subject="new"))
    assert lines_of(replicated("three")) == lines_of(one)


def test_an_empty_machine_finds_the_logs_of_shards_and_periods(replicated: Opener) -> None:
    names = [LogName(shard, period) for period in ("", "2026-11") for shard in ("", "scope-a_b")]
    settings = replicated.settings()
    with closing(JetStreamLogs(settings)) as logs:
        assert logs.names() == []
        keys = {shard: logs.subjects(shard, os.urandom) for shard in ("", "scope-a_b")}
        ann = {shard: each.ensure([("default", "ann")]) for shard, each in keys.items()}
        for number, name in enumerate(names):
            log = replicated(f"one{number}", storage=logs.storage(name), subjects=keys[name.shard])
            seal(log, an_entry(f"of {name}", subject="ann"))
            replicated.close(log)
        # One with a longer name is another service's.
        other = replace(settings, stream=f"{settings.stream}2")
        replicated.close(replicated("other", storage=JetStreamStorage(other)))
    with closing(JetStreamLogs(settings)) as logs:
        assert logs.names() == names
        for number, name in enumerate(names):
            subjects = logs.subjects(name.shard, os.urandom)
            assert subjects.ensure([("default", "ann")]) == ann[name.shard]
            log = replicated(f"two{number}", storage=logs.storage(name), subjects=subjects)
            assert log.find("default", f"of {name}") == 0
            assert log.get("default", 0).private is not None
            replicated.close(log)


def damage_packed(log: Log) -> None:
    path = packed_path(log.segment_paths[2])
    path.chmod(0o600)
    shorten(path)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("harm", [lambda _: None, damage_packed])
def test_segments_that_another_machine_began_elsewhere_are_followed(
    replicated: Opener, *, compress: bool, harm: Callable[[Log], None]
) -> None:
    one = replicated("one", segment_bytes=4_000, compress=compress)
    while len(one.segment_paths) < 3:
        seal(one, an_entry(f"one {one.head.size}", subject="ann"))
    # It begins a segment, and dies before it publishes anything for it.
    one._begin_segment(one.head.size)
    replicated.close(one)
    assert is_packed(one.segment_paths[2]) == compress
    if compress:
        harm(one)
    two = replicated("two", segment_bytes=1 << 20)
    seal(two, an_entry("two", subject="ann"))
    one = replicated("one")
    assert one.damage is None
    assert lines_of(one) == lines_of(two)
    assert len(lines_of(one)) == 3


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-200] ^= 1
    path.write_bytes(data)


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])


@pytest.mark.parametrize("suffix", [".ndjson", ".content"])
@pytest.mark.parametrize("damage", [flip, shorten, lambda path: path.write_bytes(b"")])
def test_what_a_power_failure_took_comes_from_the_stream(
    replicated: Opener, suffix: str, damage: Callable[[Path], None]
) -> None:
    one = filled(replicated, batches=2)
    before = lines_of(one), contents_of(one), one.head
    replicated.close(one)
    damage(one.directory / f"00000000{suffix}")
    one = replicated("one")
    assert one.damage is None
    assert (lines_of(one), contents_of(one), one.head) == before
    assert seal(one, an_entry("next"))[0].leaf_index == 6


def test_damage_of_a_closed_segment_is_damage(replicated: Opener) -> None:
    replicated.close(filled(replicated))
    path = replicated.directory / "one" / "00000000.ndjson"
    path.chmod(0o600)
    flip(path)
    with pytest.raises(DataLossError, match=r"00000000\.ndjson"):
        seal(replicated("one"), an_entry("next"))


def test_a_batch_that_cannot_be_written_here_is_not_lost(replicated: Opener) -> None:
    log = filled(replicated, batches=1)
    size = log.segment_paths[0].stat().st_size
    with files_of_at_most(size + 40):
        for _ in range(2):
            with pytest.raises(DataLossError, match="start the ledger again"):
                seal(log, an_entry("next", subject="user-0"))
    assert log.head.size == 3
    log = replicated("one")
    assert log.find("default", "next") == 3
    assert verify_directory(log.directory, PUBLIC_KEY).valid


def test_a_stream_that_is_full_takes_a_batch_when_it_has_space(
    replicated: Opener, cluster: Cluster
) -> None:
    with raw(cluster.urls) as streams:
        streams.make(replicated.stream, max_bytes=20_000, **SOUND)
        log = replicated("one")
        large = {"answer": "x" * 9_000}
        seal(log, an_entry("e0", content=large))
        head, lines = log.head, lines_of(log)
        for name in ("e1", "e2"):
            with pytest.raises(BudgetSpentError) as caught:
                seal(log, an_entry(name, content=large))
            assert caught.value.reason is Reason.STORAGE_FULL
        assert (log.head, lines_of(log)) == (head, lines)
        streams.change(replicated.stream, max_bytes=-1)
        assert seal(log, an_entry("e2", content=large))[0].leaf_index == 2
    assert log.find("default", "e1") == 1
    assert lines_of(replicated("two")) == lines_of(log)


def refused_with(opener: Opener, message: str) -> None:
    with pytest.raises(DataLossError, match=message) as caught:
        opener("one")
    assert caught.value.reason is Reason.CORRUPT_LEDGER


def test_a_stream_that_is_shorter_is_refused(replicated: Opener, cluster: Cluster) -> None:
    replicated.close(filled(replicated, batches=2))
    with raw(cluster.urls) as streams:
        streams.delete(replicated.stream, f"{replicated.stream}_KEYS")
        refused_with(replicated, "ends after 0 leaves, but the directory has 6")
        filled(replicated, "two", batches=1)
        refused_with(replicated, "ends after 3 leaves, but the directory has 6")
        for path in (replicated.directory / "one").glob("0*"):
            path.unlink()
        refused_with(replicated, "ends after 3 leaves, but 6 were sealed")
        filled(replicated, "two", batches=3)
        refused_with(replicated, "the first 6 of 9 leaves are not those that were sealed")


def test_a_stream_of_another_log_is_refused(replicated: Opener, cluster: Cluster) -> None:
    replicated.close(filled(replicated, batches=2))
    with raw(cluster.urls) as streams:
        streams.delete(replicated.stream, f"{replicated.stream}_KEYS")
        filled(replicated, "two", batches=3)
    refused_with(replicated, "has another log: of 9 leaves, and the first 6 are not those")


def change_leaf(payload: bytes) -> bytes:
    return payload.replace(b'"route":"memory"', b'"route":"mexory"', 1)


def change_content(payload: bytes) -> bytes:
    return payload[:-1] + bytes([payload[-1] ^ 1])


def change_checkpoint(payload: bytes) -> bytes:
    start = payload.index(b'{"checkpoint"')
    end = payload.index(b"\n", start)
    signature = bytearray(payload[start:end])
    signature[-20] = ord("B") if signature[-20] == ord("A") else ord("A")
    return payload[:start] + bytes(signature) + payload[end:]


def change_place(payload: bytes) -> bytes:
    return re.sub(rb'"segment":\d+', b'"segment":7', payload, count=1)


def change_head(payload: bytes) -> bytes:
    return payload.replace(b'"v":1', b'"v":9', 1)


@pytest.mark.parametrize(
    "change",
    [change_leaf, change_content, change_checkpoint, change_place, change_head, lambda _: b"x"],
)
def test_a_batch_that_was_changed_on_a_server_is_refused(
    replicated: Opener, cluster: Cluster, change: Callable[[bytes], bytes]
) -> None:
    replicated.close(filled(replicated, "two", batches=3))
    with raw(cluster.urls) as streams:
        payloads = streams.payloads(replicated.stream)
        assert change(payloads[1]) != payloads[1]
        payloads[1] = change(payloads[1])
        copied = f"{replicated.stream}-changed"
        streams.make(copied, like=replicated.stream)
        for payload in payloads:
            streams.publish(copied, "batch", payload)
    replicated.stream = copied
    refused_with(replicated, f"{copied}, message 2")


def test_a_stream_with_a_gap_is_refused(replicated: Opener, cluster: Cluster) -> None:
    with raw(cluster.urls) as streams:
        filled(replicated, "two", batches=1)
        copied = f"{replicated.stream}-late"
        streams.make(copied, like=replicated.stream, first_seq=7)
        streams.publish(copied, "batch", streams.payloads(replicated.stream)[0])
    replicated.stream = copied
    refused_with(replicated, "lacks 6 of its 7 messages")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"max_age": 3600.0, "deny_purge": True}, r"drops messages after 3600(\.0)? s"),
        ({"deny_purge": False}, "can be purged"),
        ({"deny_delete": False}, "lets messages be deleted"),
        ({"num_replicas": 1}, "has 1 replicas, fewer than 3"),
    ],
)
def test_a_stream_that_would_lose_batches_is_refused(
    replicated: Opener, cluster: Cluster, settings: dict[str, Any], problem: str
) -> None:
    whole: dict[str, Any] = {
        "num_replicas": 3,
        "deny_delete": True,
        "deny_purge": True,
        "storage": "file",
    }
    with raw(cluster.urls) as streams:
        streams.make(replicated.stream, **(whole | settings))
    with pytest.raises(ConfigError, match=problem):
        replicated("one")


def test_a_destroyed_key_is_in_no_message(replicated: Opener, cluster: Cluster) -> None:
    log = filled(replicated, batches=1)
    subject = ("default", "user-1")
    key = log.subjects.ensure([subject])[subject]
    with raw(cluster.urls) as streams:
        assert any(key.key in each for each in key_messages(replicated, streams))
        log.subjects.destroy(*subject)
        messages = key_messages(replicated, streams)
        assert not any(key.key in each for each in messages)
        assert any(key.key_id in each for each in messages)
        tag = log.subjects._tag(subject)
        assert any(tag in each for each in messages)
        log.subjects.confirm_erased(key.key_id)
        assert not any(tag in each for each in key_messages(replicated, streams))


def test_an_erasure_that_a_crash_cut_short_is_finished(
    replicated: Opener, cluster: Cluster
) -> None:
    log = filled(replicated, batches=1)
    subject = ("default", "user-1")
    key = log.subjects.ensure([subject])[subject]
    # The process dies between the new record and the end of the old one.
    with pytest.MonkeyPatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(log.subjects._kept._stream, "erase", interrupt)  # type: ignore[attr-defined]
        log.subjects.destroy(*subject)
    with raw(cluster.urls) as streams:
        assert any(key.key in each for each in key_messages(replicated, streams))
        assert replicated("two").subjects.find(key.key_id) is None
        assert not any(key.key in each for each in key_messages(replicated, streams))


def interrupt(sequence: int) -> None:
    raise KeyboardInterrupt(sequence)


def key_messages(opener: Opener, streams: Raw) -> list[bytes]:
    return streams.payloads(f"{opener.stream}_KEYS")


def test_a_cluster_that_is_not_there_is_said_without_the_password() -> None:
    (port,) = free_ports(1)
    settings = JetStreamSettings(
        servers=(f"nats://ann:very-secret@127.0.0.1:{port}",), timeout_s=0.3
    )
    assert "very-secret" not in repr(settings)
    with pytest.raises(NotReadyError, match="no NATS server") as caught:
        JetStreamStorage(settings)
    assert "very-secret" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"servers": ()},
        {"servers": ("localhost:4222",)},
        {"stream": "a.b"},
        {"replicas": 2},
        {"timeout_s": 0.0},
        {"certificate": Path("x.pem")},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        JetStreamSettings(**({"servers": ("nats://a:1",)} | wrong))
    assert "nats://a:1" not in str(caught.value)
