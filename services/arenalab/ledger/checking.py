"""Verification of a whole log beside its service, which goes on answering meanwhile."""

import asyncio
import json
import os
import sys
from typing import Final

from arenalab.ledger.log import Log
from arenalab.ledger.ranges import verify_open_log
from arenalab.ledger.replay import Problem
from arenalab.ledger.verify import Verification

# Above it, a process of its own: hashing on a thread here would take the service's time.
_SMALL_BYTES: Final = 4 * 1024 * 1024


async def verify_safely(log: Log) -> Verification:
    """Checks every line, hash and checkpoint of a log.

    Raises:
        OSError: The verifier could not be run, or could not read the log.
    """
    if log.segment_bytes < _SMALL_BYTES:
        return await asyncio.to_thread(verify_open_log, log)
    keys = [part for key in log.public_keys for part in ("--public-key", key)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "arenalab.ledger.verify",
        "--json",
        *keys,
        str(log.directory),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        told, complaint = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        raise
    if process.returncode not in (0, 1):
        raise OSError(f"the verifier ended with {process.returncode}: {complaint.decode()[-500:]}")
    found = json.loads(told)
    problems = tuple(Problem(**problem) for problem in found["problems"])
    return Verification(found["entries"], found["checkpoints"], problems, 0)
