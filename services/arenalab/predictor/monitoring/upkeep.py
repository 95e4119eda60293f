"""What is done for the guarantees now and then: counts written, calibrations renewed."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from arenalab.mesh import MeshError, deadline
from arenalab.predictor.calibrating import Calibrator, Example
from arenalab.predictor.monitoring.guard import Guard
from arenalab.predictor.monitoring.label_log import LabelStore
from arenalab.predictor.monitoring.monitor import Monitor
from arenalab.predictor.wanted import MIN_LABELS

_logger = logging.getLogger(__name__)

# How often it is looked whether something is due, and how long one round may take.
ROUND_S: Final = 30.0
ROUND_LIMIT_S: Final = 600.0


class Upkeep:
    """Renews calibrations from audited labels while answers go on."""

    def __init__(
        self,
        guard: Guard,
        calibrator: Calibrator,
        labels: LabelStore,
        now: Callable[[], float],
        every_s: float,
    ) -> None:
        """`now` is the time in seconds since 1970; `every_s` of 0 renews nothing."""
        self._guard = guard
        self._calibrator = calibrator
        self._labels = labels
        self._now = now
        self._every_s = every_s

    async def run_for_ever(self) -> None:
        """Does what is due, again and again."""
        while True:
            await asyncio.sleep(ROUND_S)
            deadline.begin(ROUND_LIMIT_S)
            try:
                await self.run_once()
            except (MeshError, OSError) as error:
                _logger.warning("upkeep of the guarantees: %s", error)
            except ExceptionGroup as failed:
                _logger.warning("upkeep of the guarantees: %s", failed.exceptions[0])

    async def run_once(self) -> list[str]:
        """Does what is due now; returns the datasets that were calibrated anew.

        Raises:
            MeshError: As Calibrate; what came before it is done.
            ExceptionGroup: Of what asking the labelled questions failed with.
        """
        await self._guard.write_served()
        if not self._every_s:
            return []
        renewed = []
        for tenant in await asyncio.to_thread(self._labels.tenants):
            for dataset, version in await self._guard.live(tenant):
                if is_due(version.monitor, self._now(), self._every_s):
                    await self._renew(tenant, dataset, self._guard.examples(dataset, version))
                    renewed.append(dataset)
            await self._guard.show(tenant)
        return renewed

    async def _renew(self, tenant: str, dataset: str, examples: Sequence[Example]) -> None:
        await self._calibrator.calibrate(tenant, dataset, 0.0, 0.0, _each(examples))
        _logger.info("calibrated %s/%s anew from %d labels", tenant, dataset, len(examples))


def is_due(monitor: Monitor, now: float, every_s: float) -> bool:
    """Returns whether a calibration is old enough, and there are enough new labels for another."""
    since = monitor.since
    return (
        since is not None
        and now - since >= every_s
        and monitor.watch.audit_labels >= MIN_LABELS
        and len(monitor.gathered()) >= MIN_LABELS
    )


async def _each(examples: Sequence[Example]) -> AsyncIterator[Example]:
    for example in examples:
        yield example
