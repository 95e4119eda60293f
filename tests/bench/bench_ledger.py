"""Ledger benchmark: durable appends with their proofs, verification, proofs of a large log.

    make bench-ledger ARGS="--entries 100000"

Beside each figure is what bounds it, from the same run: a loop that writes and syncs
one entry at a time, a call over gRPC that does nothing, and the hashes alone that a
verification needs. `durable_appends_per_s` are those of 64 callers in the ledger's own
process, as its handlers are; over gRPC, callers and service share two cores with each
other, and the call itself is most of the work. The last line is one JSON object.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from blake3 import blake3

from arenalab.api.ledger.v1 import ledger_service_pb2 as pb
from arenalab.api.ledger.v1 import ledger_service_pb2_grpc as pb_grpc
from arenalab.ledger.committer import Committer
from arenalab.ledger.entry import Entry, checked_entry
from arenalab.ledger.log import Log
from arenalab.ledger.verify import verify_directory
from arenalab.mesh import Telemetry, connect
from arenalab.proof import KeyRing, Receipt, Signer, verify_receipt
from arenalab.proof.proto_form import receipt_from_proto

ORIGIN = "bench.local/log"
SEED = bytes(range(32))
KEYS = KeyRing(Signer(ORIGIN, SEED))
KEY = str(KEYS.verifier_key)
FACTS = json.dumps(
    {"confidence": 0.9731, "creature": "faq", "method": "majority", "route": "memory"}
)
CONTENT = {"conversation": "How do I reset my password? " * 4, "answer": "Open settings. " * 8}
BATCH = 64
SPANS = 20_000


def span(number: int) -> str:
    return f"0198a1b2-0000-7000-8000-{number:012d}"


def fields_of(number: int) -> dict[str, object]:
    return {
        "entry_id": f"e{number}",
        "facts_json": FACTS,
        "content": CONTENT,
        "evidence_ids": [span((number * 7 + n * 4001) % SPANS) for n in range(5)],
        "dataset_version": "ab" * 32,
        "model_digest": "minilm-l6-v2-int8",
        "config_digest": "cd" * 32,
        "trace_id": f"{number + 1:032x}",
    }


def an_entry(number: int) -> Entry:
    return checked_entry(tenant="default", kind="prediction", **fields_of(number))  # type: ignore[arg-type]


def an_append(number: int) -> pb.AppendRequest:
    return pb.AppendRequest(kind=pb.ENTRY_KIND_PREDICTION, **fields_of(number))  # type: ignore[arg-type]


def open_log(folder: Path) -> Log:
    return Log(folder, KEYS, now_ns=time.time_ns, random=os.urandom)


def raw_appends_per_s(folder: Path, size: int, seconds: float) -> float:
    """Writes and syncs as many bytes as an entry takes, one at a time."""
    fd = os.open(folder / "raw", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    done, ends = 0, time.perf_counter() + seconds
    while time.perf_counter() < ends:
        os.write(fd, bytes(size))
        os.fsync(fd)
        done += 1
    os.close(fd)
    return done / seconds


async def append_in_process(folder: Path, callers: int, seconds: float) -> dict[str, float]:
    """Appends from callers that each wait for their receipt, as the service's handlers do."""
    log = open_log(folder)
    batches: list[int] = []
    committer = Committer(log.commit, 4096, batches.append)
    numbers, took = count(), list[float]()
    ends = time.perf_counter() + seconds

    async def call() -> Receipt:
        while True:
            started = time.perf_counter()
            receipt = await committer.append(an_entry(next(numbers)))
            took.append(time.perf_counter() - started)
            if time.perf_counter() >= ends:
                return receipt

    receipts = await asyncio.gather(*(call() for _ in range(callers)))
    committer.close()
    log.close()
    verify_receipt(receipts[0], KEY)
    return summary(took, seconds, batches)


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, int]]:
    """Serves a log from a process of its own; yields its address and process id."""
    environment = {
        **os.environ,
        "LEDGER_ADDRESS": "127.0.0.1:0",
        "LEDGER_DIRECTORY": str(folder),
        "LEDGER_SIGNING_KEY": SEED.hex(),
        "LEDGER_KEY_PATH": str(folder.with_suffix(".key")),
        "LEDGER_ORIGIN": ORIGIN,
    }
    command = [sys.executable, "-m", "arenalab.ledger"]
    with subprocess.Popen(  # noqa: S603 - our own module
        command, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        address = ""
        for line in process.stderr:
            said = json.loads(line) if line.startswith("{") else {}
            if "listening" in said.get("message", ""):
                address = f"127.0.0.1:{said['message'].split()[-1]}"
                break
        threading.Thread(target=process.stderr.read, daemon=True).start()
        try:
            yield address, process.pid
        finally:
            process.terminate()


async def append_over_grpc(
    address: str, callers: int, seconds: float, run: int
) -> dict[str, float]:
    """Appends from callers that each wait for their receipt; each run has entries of its own."""
    numbers, took = count(run * 1_000_000), list[float]()
    async with connect(address, Telemetry("bench")) as channel:
        stub = pb_grpc.LedgerServiceStub(channel)
        ends = time.perf_counter() + seconds

        async def call() -> pb.AppendResponse:
            while True:
                started = time.perf_counter()
                reply: pb.AppendResponse = await stub.Append(an_append(next(numbers)))
                took.append(time.perf_counter() - started)
                if time.perf_counter() >= ends:
                    return reply

        replies = await asyncio.gather(*(call() for _ in range(callers)))
        verify_receipt(receipt_from_proto(replies[0].receipt), KEY)
    return summary(took, seconds, [])


async def append_in_a_stream(address: str, entries: int) -> float:
    """Appends by AppendStream; returns entries a second."""
    async with connect(address, Telemetry("bench")) as channel:
        stub = pb_grpc.LedgerServiceStub(channel)
        requests = [
            pb.AppendStreamRequest(entry=an_append(900_000_000 + n)) for n in range(entries)
        ]

        async def sending() -> AsyncIterator[pb.AppendStreamRequest]:
            for request in requests:
                yield request

        started = time.perf_counter()
        reply = await stub.AppendStream(sending())
        assert reply.entries == entries
        return entries / (time.perf_counter() - started)


async def read_over_grpc(address: str, size: int, calls: int) -> dict[str, float]:
    """Proves leaves and lists answers that leaned on a span; returns medians."""
    draw = random.Random(1)
    proving, listing, listed = list[float](), list[float](), 0
    async with connect(address, Telemetry("bench")) as channel:
        stub = pb_grpc.LedgerServiceStub(channel)
        for _ in range(calls):
            request = pb.ProveRequest(leaf_index=draw.randrange(size))
            started = time.perf_counter()
            reply = await stub.Prove(request)
            proving.append(time.perf_counter() - started)
            verify_receipt(receipt_from_proto(reply.receipt), KEY)
        for _ in range(max(calls // 50, 5)):
            wanted = pb.ListAffectedRequest(span_id=span(draw.randrange(SPANS)))
            started = time.perf_counter()
            found = [each async for each in stub.ListAffected(wanted)]
            listing.append(time.perf_counter() - started)
            listed += len(found)
    return {
        "prove_p50_ms": statistics.median(proving) * 1000,
        "affected_p50_ms": statistics.median(listing) * 1000,
        "affected_entries": listed / len(listing),
    }


def summary(took: Sequence[float], seconds: float, batches: Sequence[int]) -> dict[str, float]:
    cuts = statistics.quantiles(took, n=100)
    return {
        "per_s": len(took) / seconds,
        "p50_ms": cuts[49] * 1000,
        "p99_ms": cuts[98] * 1000,
        "batch": statistics.mean(batches) if batches else 0.0,
    }


def write_log(folder: Path, entries: int) -> float:
    """Writes a log; returns entries a second."""
    log = open_log(folder)
    started = time.perf_counter()
    for start in range(0, entries, BATCH):
        log.commit([an_entry(n) for n in range(start, min(start + BATCH, entries))])
    took = time.perf_counter() - started
    log.close()
    return entries / took


def hashes_per_s(folder: Path, sample: int = 20_000) -> float:
    """Hashes leaves, private parts and nodes as a verification must, and does nothing else."""
    lines = (folder / "00000000.ndjson").read_bytes().split(b"\n")[:sample]
    size = sum(map(len, lines)) // len(lines)
    leaf, sealed, node = bytes(size - 200), bytes(500), bytes(65)
    started = time.perf_counter()
    for _ in range(sample):
        blake3(leaf).digest()
        blake3(sealed).digest()
        blake3(node).digest()
    return sample / (time.perf_counter() - started)


def rss_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


async def empty_calls_per_s(address: str, callers: int, seconds: float) -> float:
    """Calls an RPC that does nothing; returns how many end in a second."""
    done = 0
    async with connect(address, Telemetry("bench")) as channel:
        stub = pb_grpc.LedgerServiceStub(channel)
        ends = time.perf_counter() + seconds

        async def call() -> None:
            nonlocal done
            while time.perf_counter() < ends:
                await stub.ListLogs(pb.ListLogsRequest())
                done += 1

        await asyncio.gather(*(call() for _ in range(callers)))
    return done / seconds


def measure_appends(folder: Path, seconds: float, rounds: int) -> dict[str, float]:
    runs: dict[str, list[dict[str, float]]] = {}
    for number in range(rounds):  # interleaved, so that a slow minute is in every row
        at = folder / str(number)
        at.mkdir()
        runs.setdefault("raw", []).append({"per_s": raw_appends_per_s(at, 1600, seconds)})
        for callers in (1, 16, 64):
            run = asyncio.run(append_in_process(at / f"p{callers}", callers, seconds))
            runs.setdefault(f"in process, {callers}", []).append(run)
        with served(at / "g") as (address, _):
            empty = asyncio.run(empty_calls_per_s(address, 64, seconds))
            runs.setdefault("empty RPC, 64", []).append({"per_s": empty})
            for callers in (1, 64):
                run = asyncio.run(
                    append_over_grpc(address, callers, seconds, number * 10 + callers)
                )
                runs.setdefault(f"gRPC, {callers}", []).append(run)
            stream = asyncio.run(append_in_a_stream(address, 5_000))
            runs.setdefault("gRPC, one stream", []).append({"per_s": stream})
    medians = {
        label: {key: statistics.median(run[key] for run in those) for key in those[0]}
        for label, those in runs.items()
    }
    raw = medians["raw"]["per_s"]
    print(f"{'':28}{'entries/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'batch':>8}{'x raw':>8}")
    for label, run in medians.items():
        print(
            f"{label:28}{run['per_s']:>12,.0f}{run.get('p50_ms', 0):>9.2f}"
            f"{run.get('p99_ms', 0):>9.2f}{run.get('batch', 0):>8.1f}{run['per_s'] / raw:>8.2f}"
        )
    return {
        "durable_appends_per_s": medians["in process, 64"]["per_s"],
        "append_p50_ms": medians["in process, 64"]["p50_ms"],
        "append_p99_ms": medians["in process, 64"]["p99_ms"],
        "raw_fsync_appends_per_s": raw,
        "lone_append_p50_ms": medians["in process, 1"]["p50_ms"],
        "grpc_appends_per_s": medians["gRPC, 64"]["per_s"],
        "grpc_append_p99_ms": medians["gRPC, 64"]["p99_ms"],
        "grpc_lone_append_p50_ms": medians["gRPC, 1"]["p50_ms"],
        "empty_rpc_per_s": medians["empty RPC, 64"]["per_s"],
        "stream_appends_per_s": medians["gRPC, one stream"]["per_s"],
    }


def measure_reads(folder: Path, entries: int) -> dict[str, float]:
    figures = {"written_per_s": write_log(folder, entries)}
    started = time.perf_counter()
    found = verify_directory(folder, KEY)
    figures["verify_entries_per_s"] = found.entries / (time.perf_counter() - started)
    assert found.valid, found.problems
    assert found.entries == entries
    figures["hashes_alone_per_s"] = hashes_per_s(folder)
    started = time.perf_counter()
    with served(folder) as (address, pid):
        figures["start_s"] = time.perf_counter() - started
        figures["rss_mb_at_start"] = rss_mb(pid)
        figures |= asyncio.run(read_over_grpc(address, entries, 1000))
        figures["rss_mb_1m"] = rss_mb(pid)
    sizes = [path.stat().st_size for path in folder.iterdir()]
    figures["bytes_per_entry"] = sum(sizes) / entries
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.5, help="for each measurement")
    parser.add_argument("--rounds", type=int, default=5, help="of which medians are shown")
    parser.add_argument("--entries", type=int, default=1_000_000, help="of the large log")
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: temporary")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        figures = measure_appends(folder, options.seconds, options.rounds)
        reads = measure_reads(folder / "large", options.entries)
    print(f"\na log of {options.entries:,} entries")
    for key, value in reads.items():
        print(f"{key:28}{value:>12,.2f}")
    figures |= reads | {"entries": options.entries}
    print(json.dumps({key: round(value, 3) for key, value in figures.items()}))


if __name__ == "__main__":
    main()
