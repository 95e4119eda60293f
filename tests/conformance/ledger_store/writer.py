"""Appends to a log until it is killed; prints the receipt of every acknowledged entry.

python writer.py DIRECTORY FIRST_NUMBER [STREAM URL…]
"""

import json
import os
import sys
import threading
import time
from itertools import count
from pathlib import Path

from arenalab.ledger.committer import Committer
from arenalab.ledger.entry import checked_entry
from arenalab.ledger.local_storage import LocalStorage
from arenalab.ledger.log import Log, Rolling
from arenalab.ledger.store import Storage
from arenalab.proof import KeyRing, Signer, receipt_to_json

CALLERS = 8


def storage_of(stream: str, *servers: str) -> Storage:
    from arenalab.ledger.jetstream import JetStreamSettings, JetStreamStorage

    return JetStreamStorage(JetStreamSettings(servers=servers, stream=stream, timeout_s=40))


def main(directory: Path, first: int, *where: str) -> None:
    log = Log(
        directory,
        KeyRing(Signer("example.org/log", bytes(range(32)))),
        now_ns=time.time_ns,
        random=os.urandom,
        rolling=Rolling(size_bytes=20_000),
        storage=storage_of(*where) if where else LocalStorage(),
    )
    log.check()
    committer = Committer(log.commit, max_queued=1000)
    numbers = count(first)
    for _ in range(CALLERS):
        threading.Thread(target=append_for_ever, args=(committer, numbers)).start()


def append_for_ever(committer: Committer, numbers: "count[int]") -> None:
    for number in numbers:
        entry = checked_entry(
            tenant="default",
            entry_id=f"e{number}",
            kind="prediction",
            content={"answer": str(number)},
            subject=f"user-{number % 50}",
        )
        line = json.dumps(receipt_to_json(committer.seal(entry))) + "\n"
        os.write(sys.stdout.fileno(), line.encode())  # one write, so that no line is mixed


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
