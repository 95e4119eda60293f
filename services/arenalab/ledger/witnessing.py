"""Has witnesses cosign each log's newest checkpoint, now and then, beside the appends."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from arenalab.ledger.disk import write_durably
from arenalab.ledger.log import COSIGNED, Log
from arenalab.ledger.witness import Witnesses
from arenalab.mesh import MeshError
from arenalab.proof import WitnessKey

_logger = logging.getLogger(__name__)


@asynccontextmanager
async def witnessing(
    logs: Callable[[], Iterable[Log]],
    witnesses: Mapping[str, WitnessKey],
    every_s: float,
) -> AsyncGenerator[None]:
    """Asks for cosignatures for the length of the block.

    Args:
        logs: Returns those that are open.
        witnesses: By their submission prefix; none: nothing is asked.
        every_s: Seconds between two rounds.
    """
    if not witnesses:
        yield
        return
    task = asyncio.create_task(_ask_for_ever(logs, witnesses, every_s))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _ask_for_ever(
    logs: Callable[[], Iterable[Log]], witnesses: Mapping[str, WitnessKey], every_s: float
) -> None:
    asked: dict[str, tuple[Witnesses, str]] = {}  # by origin, with the note asked for last
    async with AsyncExitStack() as stack:
        while True:
            for log in list(logs()):
                if log.origin not in asked:
                    client = await stack.enter_async_context(Witnesses(witnesses))
                    asked[log.origin] = (client, "")
                client, last = asked[log.origin]
                note = log.head.note
                if note and note != last and await _ask(log, client, note):
                    asked[log.origin] = (client, note)
            await asyncio.sleep(every_s)


async def _ask(log: Log, client: Witnesses, note: str) -> bool:
    """Has one checkpoint cosigned; returns whether every witness did."""
    try:
        cosigned = await client.cosign(
            note, lambda first, second: log.consistency(first, second)[0]
        )
    except MeshError as error:  # the log is damaged
        _logger.warning("%s was not shown to witnesses: %s", log.origin, error)
        return False
    if cosigned != note:
        log.cosigned = cosigned
        await asyncio.to_thread(write_durably, log.directory / COSIGNED, cosigned.encode(), 0o644)
    return not client.failures
