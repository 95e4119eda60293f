"""The running tests of every dataset: fed, shown, and read for a new calibration."""

import logging
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from arenalab.api.predictor.v1 import predictor_service_pb2 as pb
from arenalab.mesh import MeshError, Metrics, NotFoundError, PreconditionError
from arenalab.mesh import Reason as ErrorReason
from arenalab.predictor import wire
from arenalab.predictor.calibrating import Example
from arenalab.predictor.creatures import Creature, all_creatures
from arenalab.predictor.monitoring.labels import Label
from arenalab.predictor.monitoring.watch import Status
from arenalab.predictor.monitoring.wire import running_test_of, with_standing
from arenalab.predictor.peers import Peers
from arenalab.predictor.versions import LoadedVersion, Versions

if TYPE_CHECKING:
    from arenalab.api.search.v1 import search_service_pb2 as search_pb

_logger = logging.getLogger(__name__)


class Guard:
    """The monitors of all tenants' live versions."""

    def __init__(
        self, versions: Versions, peers: Peers, named: Sequence[Creature], metrics: Metrics
    ) -> None:
        self._versions = versions
        self._peers = peers
        self._named = named
        self._metrics = metrics

    async def report(self, tenant: str, labels: Mapping[tuple[str, str], Sequence[Label]]) -> int:
        """Takes labels, by dataset and version, into account; returns how many were new.

        Raises:
            MeshError: As ReportLabels documents; versions before the one that failed have theirs.
        """
        # All are opened first, so that an unknown one is refused before anything is kept.
        opened = [
            (key[0], await self._versions.get(tenant, *key), of) for key, of in labels.items()
        ]
        recorded = 0
        for dataset, version, of in opened:
            recorded += await version.monitor.report(of)
            self._measure(tenant, dataset, version)
        return recorded

    async def describe(self, tenant: str) -> list[pb.DatasetGuarantee]:
        """Returns the state of each live dataset, the one published last first.

        Raises:
            NotReadyError: Search cannot be reached.
        """
        live = await self._peers.collections(tenant)
        creatures = all_creatures([one.dataset for one in live], self._named)
        return [
            await self._describe(
                tenant, one, [c.name for c in creatures if c.dataset == one.dataset]
            )
            for one in live
        ]

    async def show(self, tenant: str) -> None:
        """Sets the metrics of a tenant's live datasets; as they were, while search is away."""
        with suppress(MeshError):
            await self.describe(tenant)

    async def gathered(self, tenant: str, creature: str) -> list[Example]:
        """Returns what was labelled of the live version that a creature answers from.

        Raises:
            NotFoundError: UNKNOWN_MODEL, there is no such creature.
            PreconditionError: NO_DATASET.
            MeshError: As Predict.
        """
        live = await self._peers.collections(tenant)
        dataset = next((c.dataset for c in self._named if c.name == creature), creature)
        found = next((one for one in live if one.dataset == dataset or not creature), None)
        if found is None and not creature:
            raise PreconditionError("no dataset is published yet", ErrorReason.NO_DATASET)
        if found is None:
            raise NotFoundError(
                f"there is no creature {creature!r}", ErrorReason.UNKNOWN_MODEL, model=creature
            )
        version = await self._versions.get(tenant, found.dataset, found.dataset_version)
        return self.examples(found.dataset, version)

    def examples(self, dataset: str, version: LoadedVersion) -> list[Example]:
        """Returns what was labelled of a version, each question for the creature that was asked.

        A creature that is gone, or has another dataset by now, is the one that is calibrated.
        """
        names = {one.name for one in all_creatures([dataset], self._named)}
        return [_example_of(label, names) for label in version.monitor.gathered()]

    async def live(self, tenant: str) -> list[tuple[str, LoadedVersion]]:
        """Returns the live datasets of a tenant that can be opened, by name."""
        found = []
        for one in await self._peers.collections(tenant):
            try:
                version = await self._versions.get(tenant, one.dataset, one.dataset_version)
            except MeshError:
                continue
            found.append((one.dataset, version))
        return found

    async def write_served(self) -> None:
        """Writes to disk how many answers each version has served. What fails is reported."""
        for (tenant, dataset, _), version in self._versions.loaded():
            try:
                await version.monitor.write_served()
            except MeshError as error:
                _logger.warning("%s/%s: %s", tenant, dataset, error)

    async def _describe(
        self, tenant: str, live: "search_pb.Collection", creatures: Sequence[str]
    ) -> pb.DatasetGuarantee:
        state = pb.DatasetGuarantee(dataset=live.dataset, dataset_version=live.dataset_version)
        try:
            version = await self._versions.get(tenant, live.dataset, live.dataset_version)
        except MeshError as error:
            state.trouble = str(error)
            return state
        self._measure(tenant, live.dataset, version)
        watch, calibrated = version.monitor.watch, version.calibrated
        state.creatures.extend(creatures)
        state.guarantee.CopyFrom(
            with_standing(
                wire.guarantee_of(calibrated.bound(), calibrated.artefact.basis), watch.standing
            )
        )
        state.tests.extend(map(running_test_of, watch.tests))
        state.calibration = watch.calibration
        state.audit_labels = watch.audit_labels
        state.usable_labels = len(version.monitor.gathered())
        state.served = watch.served
        if watch.audited_error is not None:
            state.audited_error = watch.audited_error
        return state

    def _measure(self, tenant: str, dataset: str, version: LoadedVersion) -> None:
        watch = version.monitor.watch
        status = Status.VOID if watch.threshold is None else watch.standing.status
        self._metrics.guarantee_status.labels(tenant, dataset).set(status)
        for test in watch.tests:
            self._metrics.guarantee_e_value.labels(tenant, dataset, test.name).set(test.e)


def _example_of(label: Label, creatures: Collection[str]) -> Example:
    *earlier, question = label.turns
    creature = label.creature if label.creature in creatures else None
    return Example(question, frozenset(label.outcomes), tuple(earlier), creature)


async def with_gathered(
    gathered: Sequence[Example], others: AsyncIterator[Example]
) -> AsyncIterator[Example]:
    """Yields what was gathered, then the others."""
    for example in gathered:
        yield example
    async for example in others:
        yield example
