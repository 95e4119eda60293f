"""Kills a ledger's writer at random moments, and checks what is left each time.

    make crash-ledger KILLS=200

A child opens the log on a disk that writes short, is full and fails to sync now and
then, and seals entries from several threads; it tells every receipt it got. SIGKILL
ends it at a random moment. Then the log is opened and verified: every receipt told
must hold, every entry must be whole and open to the content it was sealed with, or
not be there at all. The last line is one JSON object.
"""

import argparse
import json
import os
import random
import select
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Final

from arenalab.ledger.committer import Committer
from arenalab.ledger.entry import checked_entry
from arenalab.ledger.erasure import erase
from arenalab.ledger.local_storage import LocalStorage
from arenalab.ledger.log import Log, Rolling
from arenalab.ledger.verify import verify_directory
from arenalab.mesh import MeshError
from arenalab.proof import KeyRing, Signer
from tests.crash.faulty_disk import FaultyDisk

KEYS: Final = KeyRing(Signer("example.org/crash", bytes(range(32))))
CALLERS: Final = 8
SUBJECTS: Final = 7
KILLS_A_LOG: Final = 20
LONGEST_S: Final = 0.06  # from the first receipt to the kill
FAULT_CHANCE: Final = 0.03


@dataclass
class Outcome:
    """What all kills together showed."""

    kills: int = 0
    acknowledged: int = 0
    lost: int = 0
    half_written: int = 0
    faults: int = 0  # kills of a writer whose disk had failed it
    erased: int = 0


def open_log(directory: Path, disk: FaultyDisk | None = None) -> Log:
    return Log(
        directory,
        KEYS,
        now_ns=time.time_ns,
        random=os.urandom,
        rolling=Rolling(size_bytes=30_000),
        storage=LocalStorage(disk),
    )


def write_for_ever(directory: Path, pipe: int, first: int, seed: int) -> None:
    """Seals entries until it is killed; tells each receipt as "number leaf_index hash"."""
    disk = FaultyDisk(random.Random(seed), FAULT_CHANCE)
    log = open_log(directory, disk)
    committer = Committer(log.commit, max_queued=1000)
    numbers = count(first)

    def call() -> None:
        for number in numbers:
            entry = checked_entry(
                tenant="default",
                entry_id=f"e{number}",
                kind="prediction",
                content={"answer": f"answer {number}"},
                subject=f"user-{number % SUBJECTS}",
                evidence_ids=[f"span-{number % 13}"],
            )
            try:
                receipt = committer.seal(entry)
            except MeshError:  # a full disk is got over; a failed sync is not
                if log.damage is not None:
                    os.write(pipe, b"fault 0 0\n")
                    return
                continue
            os.write(pipe, f"{number} {receipt.leaf_index} {receipt.leaf_hash.hex()}\n".encode())

    for _ in range(CALLERS):
        threading.Thread(target=call).start()


def run_and_kill(directory: Path, first: int, rng: random.Random) -> list[tuple[str, int, str]]:
    """Returns what a writer told before it was killed."""
    reading, writing = os.pipe()
    seed, lasts_s = rng.getrandbits(32), rng.random() * LONGEST_S
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            write_for_ever(directory, writing, first, seed)
            signal.pause()
        finally:
            os._exit(1)
    os.close(writing)
    told = _read_for(reading, lasts_s)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with os.fdopen(reading, "rb") as rest:
        told += rest.read()
    whole = told[: told.rfind(b"\n") + 1].decode()
    return [
        (number, int(index), digest)
        for number, index, digest in (line.split() for line in whole.splitlines())
    ]


def _read_for(reading: int, seconds: float) -> bytes:
    """Reads from the first receipt on, for so long; a kill may also come before it."""
    told = b""
    ends = time.monotonic() + 1.0 if seconds > LONGEST_S / 10 else time.monotonic() + seconds
    while (left := ends - time.monotonic()) > 0:
        if select.select([reading], [], [], left)[0]:
            part = os.read(reading, 65_536)
            if not part:
                break
            if not told:
                ends = time.monotonic() + seconds
            told += part
    return told


def check(directory: Path, told: Sequence[tuple[str, int, str]], outcome: Outcome) -> int:
    """Opens and verifies what is left; returns how many entries it has."""
    log = open_log(directory)
    try:
        outcome.acknowledged += sum(number != "fault" for number, _, _ in told)
        outcome.faults += any(number == "fault" for number, _, _ in told)
        if log.damage is not None:
            sys.stderr.write(f"{log.damage}\n")
        for number, index, digest in told:
            if number != "fault" and not _is_there(log, number, index, digest):
                outcome.lost += 1
        outcome.half_written += sum(not _is_whole(log, index) for index in range(log.head.size))
        found = verify_directory(directory, str(KEYS.verifier_key))
        if found.problems:
            sys.stderr.write(f"{found.problems[0]}\n")
        outcome.half_written += len(found.problems)
        return log.head.size
    finally:
        log.close()


def _is_there(log: Log, number: str, index: int, digest: str) -> bool:
    try:
        receipt = log.prove("default", index)
        return receipt.leaf_hash.hex() == digest and log.find("default", f"e{number}") == index
    except MeshError:
        return False


def _is_whole(log: Log, index: int) -> bool:
    try:
        stored = log.get("default", index)
    except (MeshError, ValueError):
        return False
    fields = json.loads(stored.leaf)
    if stored.private is None:
        return bool(fields["subject"])
    if fields["kind"] == "erasure":
        return True
    return dict(stored.private.content) == {"answer": f"answer {fields['entry_id'][1:]}"}


def crash(folder: Path, kills: int, seed: int) -> Outcome:
    """Kills so many writers; a new log is begun now and then, so that none grows long."""
    rng, outcome = random.Random(seed), Outcome()
    for kill in range(kills):
        directory = folder / f"log{kill // KILLS_A_LOG}"
        told = run_and_kill(directory, kill * 100_000, rng)
        outcome.kills += 1
        size = check(directory, told, outcome)
        if size and rng.random() < 0.1:
            outcome.erased += erase_one(directory, rng)
    return outcome


def erase_one(directory: Path, rng: random.Random) -> int:
    """Erases a subject of a log, if it has content."""
    log = open_log(directory)
    committer = Committer(log.commit, max_queued=10)
    erased = 0
    with suppress(MeshError):
        subject = f"user-{rng.randrange(SUBJECTS)}"
        erased = erase([log], committer.seal, "default", subject).entries
    committer.close()
    log.close()
    return erased


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    sys.stderr.write(f"seed {options.seed}\n")
    with tempfile.TemporaryDirectory() as name:
        outcome = crash(Path(name), options.kills, options.seed)
    print(json.dumps(asdict(outcome)))
    sys.exit(1 if outcome.lost or outcome.half_written else 0)


if __name__ == "__main__":
    main()
