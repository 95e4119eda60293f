"""The tests of one dataset version with the labels behind them, kept in step."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

import blake3

from arenalab.predictor.artefact import dump_artefact
from arenalab.predictor.calibrated import Calibrated
from arenalab.predictor.monitoring.label_log import LabelLog
from arenalab.predictor.monitoring.labels import Label
from arenalab.predictor.monitoring.watch import Standing, Status, Watch

_logger = logging.getLogger(__name__)

_ID_DIGITS: Final = 16


class Monitor:
    """What is known of how one version's bound holds."""

    def __init__(self, log: LabelLog, calibrated: Calibrated) -> None:
        """Replays the log."""
        self._log = log
        self._lock = asyncio.Lock()
        self.watch = self._replayed(calibrated)
        self._served_written = self.watch.served

    @property
    def standing(self) -> Standing:
        """The running status."""
        return self.watch.standing

    @property
    def since(self) -> float | None:
        """When the tests began, in seconds since 1970; None: nothing was labelled yet."""
        return self._log.since

    async def report(self, labels: Sequence[Label]) -> int:
        """Keeps labels and takes them into account; returns how many were new.

        Raises:
            BudgetSpentError: STORAGE_FULL; nothing changed.
        """
        async with self._lock:
            # Of the same label twice in one report, the first counts.
            fresh = list(
                {one.key: one for one in reversed(labels) if not self._log.has(one)}.values()
            )
            fresh.reverse()
            if fresh:
                await asyncio.to_thread(self._log.append, fresh)
                for label in fresh:
                    self.watch.observe(label)
                await asyncio.to_thread(self._log.roll, self.watch.state())
            return len(fresh)

    async def restart(self, calibrated: Calibrated) -> None:
        """Begins the tests anew, with a new calibration.

        Raises:
            BudgetSpentError: STORAGE_FULL; the tests go on as they were.
        """
        async with self._lock:
            await asyncio.to_thread(self._log.restart)
            self.watch = self._replayed(calibrated)

    async def erase(self, subject: str) -> int:
        """Takes their words from a subject's labels; returns how many labels there were.

        Raises:
            BudgetSpentError: STORAGE_FULL; nothing was erased.
        """
        async with self._lock:
            return await asyncio.to_thread(self._log.erase, subject)

    async def write_served(self) -> None:
        """Writes the number of served answers to disk, where it has changed."""
        async with self._lock:
            served = self.watch.served
            if served != self._served_written:
                await asyncio.to_thread(self._log.write_served, self.watch.calibration, served)
                self._served_written = served

    def gathered(self) -> list[Label]:
        """Returns the labels to calibrate with, oldest first.

        Audited ones alone: only they are like the traffic. Where the tests have found the bound
        broken, the labels from before its calibration are of other traffic than today's.
        """
        usable = [label for label in self._log.labels if label.can_calibrate]
        if self.standing.status is not Status.VOID:
            return usable
        return [label for label in usable if label.calibration == self.watch.calibration]

    def _replayed(self, calibrated: Calibrated) -> Watch:
        watch = Watch(calibrated, calibration_id(calibrated, self._log.restarts))
        watch.served = self._log.read_served(watch.calibration)
        if self._log.rolled is not None:
            try:
                watch.restore(self._log.rolled)
            except (KeyError, TypeError, ValueError) as error:
                # Of another release, perhaps: its labels are lost to the tests, not the others.
                _logger.warning("what older labels had come to is not used: %s", error)
        for label in self._log.fresh:
            watch.observe(label)
        return watch


def calibration_id(calibrated: Calibrated, restarts: int) -> str:
    """Returns what names one calibration in use, 16 hex digits.

    The same labels may give the same artefact again: the tests begin anew all the same.
    """
    digest = blake3.blake3(dump_artefact(calibrated.artefact))
    digest.update(restarts.to_bytes(8, "little"))
    return str(digest.hexdigest())[:_ID_DIGITS]
