"""Ledger benchmark: durable appends, receipts, verification, beside the disk's own fsync.

Prints a table and, as its last line, one JSON object. Run: python tests/bench/bench_ledger.py
"""

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import threading
import time
from itertools import count
from pathlib import Path

from arenalab.api.ledger.v1 import ledger_service_pb2 as pb
from arenalab.api.ledger.v1 import ledger_service_pb2_grpc as pb_grpc
from arenalab.ledger.committer import Committer
from arenalab.ledger.config import LedgerConfig
from arenalab.ledger.entry import checked_entry
from arenalab.ledger.log import Log
from arenalab.ledger.verify import verify_directory
from arenalab.ledger.wiring import running_ledger
from arenalab.mesh import Telemetry, connect
from arenalab.proof import Receipt, Signer, verify_receipt

FACTS = json.dumps(
    {
        "confidence": 0.9731,
        "creature": "faq",
        "dataset_version": "ab" * 32,
        "evidence": [f"0198a1b2-0000-7000-8000-{n:012d}" for n in range(5)],
        "method": "majority",
        "model": "arenalab",
        "route": "memory",
    }
)
CONTENT = {"conversation": "How do I reset my password? " * 4, "answer": "Open settings. " * 8}
RAW_BYTES = 2048  # about what an entry of this benchmark takes


def fsyncs_per_s(folder: Path, seconds: float) -> float:
    fd = os.open(folder / "raw", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    done, ends = 0, time.perf_counter() + seconds
    while time.perf_counter() < ends:
        os.write(fd, bytes(RAW_BYTES))
        os.fsync(fd)
        done += 1
    os.close(fd)
    return done / seconds


def append_in_process(folder: Path, callers: int, seconds: float) -> dict[str, float]:
    """Appends from threads that wait for each receipt; returns rate and latencies."""
    log = Log(folder, Signer("bench.local/log", bytes(32)), now_ns=time.time_ns, random=os.urandom)
    batches: list[int] = []
    committer = Committer(log.commit, 4096, batches.append)
    numbers, took = count(), list[float]()
    last: list[Receipt] = []
    ends = time.perf_counter() + seconds

    def call() -> None:
        while (started := time.perf_counter()) < ends:
            entry = checked_entry(
                tenant="default",
                entry_id=f"e{next(numbers)}",
                kind="answer",
                facts_json=FACTS,
                content=CONTENT,
                subject="",
            )
            last[:] = [committer.seal(entry)]
            took.append(time.perf_counter() - started)

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    committer.close()
    log.close()
    verify_receipt(last[0], log.public_key)
    return summary(took, seconds, batches)


async def append_over_grpc(folder: Path, callers: int, seconds: float) -> dict[str, float]:
    """Appends over loopback gRPC, client and server in this one process."""
    config = LedgerConfig(
        address="127.0.0.1:0", directory=folder, key_path=folder / "key", create_key=True
    )
    numbers, took = count(), list[float]()
    async with (
        running_ledger(config, Telemetry("ledger")) as port,
        connect(f"127.0.0.1:{port}", Telemetry("bench")) as channel,
    ):
        stub = pb_grpc.LedgerServiceStub(channel)
        ends = time.perf_counter() + seconds

        async def call() -> None:
            while (started := time.perf_counter()) < ends:
                await stub.Append(
                    pb.AppendRequest(
                        entry_id=f"e{next(numbers)}",
                        kind="answer",
                        facts_json=FACTS,
                        content=CONTENT,
                    )
                )
                took.append(time.perf_counter() - started)

        await asyncio.gather(*(call() for _ in range(callers)))
    return summary(took, seconds, [])


def summary(took: list[float], seconds: float, batches: list[int]) -> dict[str, float]:
    cuts = statistics.quantiles(took, n=100)
    return {
        "per_s": len(took) / seconds,
        "p50_ms": cuts[49] * 1000,
        "p99_ms": cuts[98] * 1000,
        "batch": statistics.mean(batches) if batches else 0.0,
    }


def read_back(folder: Path, entries: int, batch: int) -> dict[str, float]:
    """Writes a log, then times opening and verifying it; returns entries a second."""
    signer = Signer("bench.local/log", bytes(32))
    log = Log(folder, signer, now_ns=time.time_ns, random=os.urandom)
    for start in range(0, entries, batch):
        log.commit(
            [
                checked_entry(
                    tenant="default",
                    entry_id=f"e{n}",
                    kind="answer",
                    facts_json=FACTS,
                    content=CONTENT,
                    subject="",
                )
                for n in range(start, start + batch)
            ]
        )
    size_bytes = log.segment_bytes
    log.close()
    started = time.perf_counter()
    found = verify_directory(folder, log.public_key)
    verified = time.perf_counter()
    assert found.valid
    assert found.entries == log.head.size
    Log(folder, signer, now_ns=time.time_ns, random=os.urandom).close()
    opened = time.perf_counter()
    return {
        "verify_per_s": found.entries / (verified - started),
        "open_per_s": found.entries / (opened - verified),
        "bytes_per_entry": size_bytes / found.entries,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each measurement")
    parser.add_argument("--entries", type=int, default=32_000, help="to verify")
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: temporary")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        raw = fsyncs_per_s(folder, options.seconds)
        figures: dict[str, float] = {"fsync_per_s": raw}
        print(f"{'':24}{'entries/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'batch':>8}{'x fsync':>9}")
        print(f"{'raw write + fsync':24}{raw:>12,.0f}{1000 / raw:>9.2f}")
        for callers in (1, 16, 64):
            runs = {
                f"log_c{callers}": append_in_process(
                    folder / f"log{callers}", callers, options.seconds
                ),
                f"grpc_c{callers}": asyncio.run(
                    append_over_grpc(folder / f"grpc{callers}", callers, options.seconds)
                ),
            }
            for label, run in runs.items():
                print(
                    f"{label:24}{run['per_s']:>12,.0f}{run['p50_ms']:>9.2f}{run['p99_ms']:>9.2f}"
                    f"{run['batch']:>8.1f}{run['per_s'] / raw:>9.2f}"
                )
                figures |= {f"{label}_{key}": value for key, value in run.items()}
        figures |= read_back(folder / "verify", options.entries, 32)
        for key in ("verify_per_s", "open_per_s", "bytes_per_entry"):
            print(f"{key:24}{figures[key]:>12,.0f}")
    print(json.dumps({key: round(value, 3) for key, value in figures.items()}))


if __name__ == "__main__":
    main()
