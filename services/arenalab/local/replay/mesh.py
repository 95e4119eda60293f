"""A mesh of one answer's own: its dataset versions, its calibrations, and nothing else.

It reads the home's dataset versions where they lie. All that a mesh writes goes to a
temporary directory, so that a replay seals nothing in the home's ledger, counts as no
served answer, and needs no pause of a mesh that is running. No provider is configured.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.api.ensemble.v1 import ensemble_service_pb2_grpc as pb_grpc
from arenalab.api.ledger.v1 import ledger_service_pb2 as ledger_pb
from arenalab.api.ledger.v1 import ledger_service_pb2_grpc as ledger_grpc
from arenalab.api.search.v1 import search_service_pb2 as search_pb
from arenalab.api.search.v1 import search_service_pb2_grpc as search_grpc
from arenalab.dataset import DatasetStore
from arenalab.local.configs import FREE_ADDRESSES, Configs, Settings
from arenalab.local.home import Home, Running
from arenalab.local.replay.sealed import CannotReplayError, SealedAnswer
from arenalab.mesh import MeshError, NotFoundError, Telemetry, connect, scope_for
from arenalab.predictor.config import PredictorConfig
from arenalab.search.config import SearchConfig

_TIMEOUT_S: Final = 300.0
# Spans are scanned one by one: what an approximate index finds depends on its building.
_NO_INDEX: Final = 1 << 40


@dataclass(frozen=True)
class _ReplayConfigs(Configs):
    """Settings that read datasets from one home and write to another."""

    source: Home

    def search(self, at: Mapping[str, str]) -> SearchConfig:
        return replace(
            super().search(at),
            datasets_dir=self.source.path / "datasets",
            dataset_public_key=self.source.dataset_public_key,
            exact_limit=_NO_INDEX,
        )

    def predictor(self, at: Mapping[str, str]) -> PredictorConfig:
        return replace(
            super().predictor(at),
            datasets_dir=self.source.path / "datasets",
            recalibrate_every_s=0.0,
        )


async def replay(home: Home, sealed: SealedAnswer, now: datetime) -> SealedAnswer:
    """Asks again what was asked, of the same versions; returns the answer as it was sealed.

    Raises:
        CannotReplayError: A dataset version is not in the home, or two are of one dataset.
        MeshError: As EnsembleService.Answer, and what a service cannot start with.
    """
    _check_versions(home, sealed)
    # Imported here: only a replay needs every service's code.
    from arenalab.local.onehost import Ports, running_mesh

    when = datetime.fromisoformat(str(sealed.leaf["time"]))
    settings = replace(
        Settings.of(home), otlp_endpoint=None, providers=(), cache_redis_url="", cache_disk_mb=0
    )
    with _scratch(home, when) as scratch:
        configs = _ReplayConfigs(scratch, settings, home)
        async with running_mesh(configs, Ports(FREE_ADDRESSES, gateway=None)) as running:
            await _load(running, sealed)
            return await _ask(running, sealed, (now - when).total_seconds())


def _check_versions(home: Home, sealed: SealedAnswer) -> None:
    store = DatasetStore(home.path / "datasets")
    by_dataset: dict[str, str] = {}
    for one in sealed.versions:
        if not one.version:
            raise CannotReplayError(f"{one.creature or 'memory'} could not be reached at that time")
        if by_dataset.setdefault(one.dataset, one.version) != one.version:
            raise CannotReplayError(f"two versions of {one.dataset} were asked at once")
        try:
            store.open(sealed.tenant, one.dataset, one.version)
        except NotFoundError as error:
            raise CannotReplayError(
                f"version {one.version} of dataset {one.dataset!r} is not in {home.path}"
            ) from error


@contextmanager
def _scratch(home: Home, when: datetime) -> Iterator[Home]:
    """Makes a home for the length of the block, with the settings and calibrations of another."""
    with tempfile.TemporaryDirectory(prefix="arenalab-replay-") as folder:
        scratch, _ = Home.create(Path(folder) / "home")
        creatures = home.path / "creatures.toml"
        if creatures.exists():
            shutil.copyfile(creatures, scratch.path / creatures.name)
        predictor = scratch.path / "predictor"
        if (home.path / "predictor").exists():
            shutil.copytree(home.path / "predictor", predictor, dirs_exist_ok=True)
        for labels in predictor.glob("labels/*/*/*.ndjson"):
            _cut_labels(labels, when.replace(tzinfo=when.tzinfo or UTC).timestamp())
        yield scratch


def _cut_labels(path: Path, until_s: float) -> None:
    """Leaves the labels that were there at a time: later ones moved the running tests since."""
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line for line in lines if not _is_later(line, until_s)))


def _is_later(line: bytes, until_s: float) -> bool:
    try:
        return bool(json.loads(line).get("at", 0) > until_s)
    except (ValueError, AttributeError):  # kept: the predictor reports it, and leaves it out
        return False


async def _load(running: Running, sealed: SealedAnswer) -> None:
    async with connect(running.addresses["search"], Telemetry("replay")) as channel:
        search = search_grpc.SearchServiceStub(channel)
        for dataset, version in {one.dataset: one.version for one in sealed.versions}.items():
            request = search_pb.PublishRequest(
                scope=scope_for(sealed.tenant), dataset=dataset, dataset_version=version
            )
            await search.Publish(request, timeout=_TIMEOUT_S)


async def _ask(running: Running, sealed: SealedAnswer, age_s: float) -> SealedAnswer:
    async with (
        connect(running.addresses["ensemble"], Telemetry("replay")) as to_ensemble,
        connect(running.addresses["ledger"], Telemetry("replay")) as to_ledger,
    ):
        finished = pb.AnswerFinished()
        answering = pb_grpc.EnsembleServiceStub(to_ensemble).Answer(
            sealed.request(max(0.0, age_s)), timeout=_TIMEOUT_S
        )
        async for event in answering:
            if event.HasField("finished"):
                finished = event.finished
        if not finished.HasField("receipt"):
            raise MeshError("the replay ended without an answer")
        entry = await ledger_grpc.LedgerServiceStub(to_ledger).Get(
            ledger_pb.GetRequest(
                scope=scope_for(sealed.tenant), leaf_index=finished.receipt.leaf_index
            )
        )
    return SealedAnswer.of(entry.leaf, entry.content, entry.content_salt)
