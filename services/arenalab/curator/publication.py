"""Publishing: from a working set to a version that search serves and the ledger knows.

Until search swaps, nothing that is served changes: the version grows in a staging
folder, and a failure at any step leaves the version before it live. What was done is
not lost either: vectors are kept batch by batch, and a version that was sealed but
not loaded is found again by the next publication, because it has the same hash.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence, Sized
from contextlib import aclosing
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final, TypeAlias

import numpy as np
from google.protobuf import json_format
from nacl.signing import SigningKey

from arenalab.api.common.v1 import answer_pb2
from arenalab.api.ledger.v1 import ledger_service_pb2 as ledger_pb
from arenalab.api.predictor.v1 import predictor_service_pb2 as predictor_pb
from arenalab.atomic import JSON, Span, canonical_json
from arenalab.curator import meter
from arenalab.curator.background import Reported, in_thread
from arenalab.curator.build import Chosen, choose, without_copies
from arenalab.curator.embedding import Embedding
from arenalab.curator.meter import Grade, Scores
from arenalab.curator.neighbours import Vectors, nearest
from arenalab.curator.peers import Peers
from arenalab.curator.working_set import WorkingSet
from arenalab.dataset import DatasetStore, DatasetVersion, Settings, Staging
from arenalab.mesh import PreconditionError, Reason, scope_for

_ROWS_PER_BLOCK: Final = 4096
_READ_BETWEEN_REPORTS: Final = 2000


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one stage is."""

    stage: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Quality:
    """What the meter found."""

    mean: Scores
    grades: Mapping[Grade, int]

    @classmethod
    def of(cls, scores: Sequence[Scores]) -> "Quality":
        return cls(meter.mean_of(scores), Counter(one.grade for one in scores))

    def to_json(self) -> dict[str, JSON]:
        """Returns the summary for the manifest."""
        mean: dict[str, JSON] = {**asdict(self.mean), "total": self.mean.total}
        return {"mean": mean, **{str(grade): self.grades.get(grade, 0) for grade in Grade}}


@dataclass(frozen=True, slots=True)
class Published:
    """What came of a publication."""

    version: str
    spans: int
    quality: Quality
    duplicates: int
    left_out: int
    calibration: answer_pb2.CalibrationSummary
    ledger_index: int


Event: TypeAlias = Progress | Published


class Publication:
    """One publication of one dataset, stage by stage."""

    def __init__(
        self,
        tenant: str,
        dataset: str,
        settings: Settings,
        *,
        force: bool,
        weighting: answer_pb2.ContextWeighting.ValueType,
        working_set: WorkingSet,
        store: DatasetStore,
        peers: Peers,
        embedding: Embedding,
        key: SigningKey,
        now: Callable[[], datetime],
    ) -> None:
        self._tenant = tenant
        self._dataset = dataset
        self._settings = settings
        self._force = force
        self._weighting = weighting
        self._working_set = working_set
        self._store = store
        self._peers = peers
        self._embedding = embedding
        self._key = key
        self._now = now
        # What each stage leaves for the next.
        self._read_count = 0
        self._distinct: list[Span] = []
        self._usable: list[Span] = []  # the distinct ones that have a vector
        self._vectors: Vectors = np.empty((0, 0), np.float32)  # row i is of usable span i
        self._scores: list[Scores] = []

    def close(self) -> None:
        """Lets go of the working set."""
        self._working_set.close()

    async def run(self) -> AsyncGenerator[Event]:
        """Yields progress, and last what was published.

        Raises:
            PreconditionError: NO_DATASET; no span passes the quality threshold. CONTRAST_RISK;
                more minimal pairs are answered wrongly than alpha allows.
            MeshError: What search, predictor or ledger raise.
            OSError: The disk is full.
        """
        for stage in (self._read, self._embed, self._measure):
            # Closed at once when the caller goes away, so that no thread outlives it.
            async with aclosing(stage()) as steps:
                async for step in steps:
                    yield step
        quality = Quality.of(self._scores)
        with self._store.staging(self._tenant, self._dataset) as staging:
            yield Progress("build", 0, len(self._usable))
            kept = await in_thread(lambda: self._write(staging))
            yield Progress("build", len(self._usable), len(self._usable))

            yield Progress("calibrate", 0, 1)
            trained = await self._peers.train(self._training(staging))
            yield Progress("calibrate", 1, 1)
            if not self._force:
                check_contrast(self._dataset, self._settings.alpha, trained.summary)

            yield Progress("sign", 0, 1)
            version = await in_thread(lambda: self._seal(staging, trained, quality))
            yield Progress("sign", 1, 1)
        yield Progress("load", 0, 1)
        await self._peers.load(self._tenant, self._dataset, version.manifest.version)
        receipt = (await self._peers.append(entry_for(version))).receipt
        yield Progress("load", 1, 1)
        yield Published(
            version=version.manifest.version,
            spans=kept,
            quality=quality,
            duplicates=self._read_count - len(self._distinct),
            left_out=len(self._distinct) - kept,
            calibration=trained.summary,
            ledger_index=receipt.leaf_index,
        )

    async def _read(self) -> AsyncGenerator[Progress]:
        spans: list[Span] = []
        reading = Reported[None](lambda report: self._fill(spans, report))
        total = await in_thread(self._working_set.__len__)
        yield Progress("read", 0, total)
        async with aclosing(reading.reports()) as reports:
            async for done in reports:
                yield Progress("read", done, total)
        self._distinct = await in_thread(lambda: without_copies(spans))
        self._read_count = len(spans)
        self._require(self._distinct, "the working set is empty")
        yield Progress("read", self._read_count, total)

    def _fill(self, spans: list[Span], report: Callable[[int], None]) -> None:
        for span in self._working_set.spans():
            spans.append(span)
            if len(spans) % _READ_BETWEEN_REPORTS == 0:
                report(len(spans))

    async def _embed(self) -> AsyncGenerator[Progress]:
        texts = list(dict.fromkeys(span.this for span in self._distinct))
        yield Progress("embed", 0, len(texts))
        async with aclosing(self._embedding.run(texts)) as steps:
            async for done in steps:
                yield Progress("embed", done, len(texts))
        found = self._embedding.found
        self._usable = [span for span in self._distinct if span.this in found]
        self._require(self._usable, "no span has a text that can be embedded")
        self._vectors = np.stack([found[span.this] for span in self._usable])

    async def _measure(self) -> AsyncGenerator[Progress]:
        spans, vectors = self._usable, self._vectors
        measuring = Reported[list[Scores]](
            lambda report: meter.measure(spans, nearest(vectors, meter.NEIGHBOURS, report=report))
        )
        async with aclosing(measuring.reports()) as reports:
            async for done in reports:
                yield Progress("measure", done, len(spans))
        self._scores = measuring.result
        yield Progress("measure", len(spans), len(spans))

    def _write(self, staging: Staging) -> int:
        """Writes spans and vectors of the version; returns how many."""
        settings = self._settings
        chosen = choose(
            self._usable,
            self._scores,
            min_quality=settings.min_quality,
            max_per_domain=settings.max_per_domain,
        )
        best = max(score.total for score in self._scores)
        self._require(
            chosen,
            f"none of {len(self._scores):,} spans reaches quality {settings.min_quality:g};"
            f" the best has {best:g}",
        )
        staging.write_spans(one.span for one in chosen)
        staging.write_embeddings(
            _blocks(self._vectors, chosen), rows=len(chosen), dimension=self._vectors.shape[1]
        )
        return len(chosen)

    def _training(self, staging: Staging) -> predictor_pb.TrainCalibrationRequest:
        return predictor_pb.TrainCalibrationRequest(
            scope=scope_for(self._tenant),
            dataset=self._dataset,
            staging=staging.name,
            alpha=self._settings.alpha,
            delta=self._settings.delta,
            context_weighting=self._weighting,
        )

    def _seal(
        self, staging: Staging, trained: predictor_pb.TrainCalibrationResponse, quality: Quality
    ) -> DatasetVersion:
        staging.write_calibration(trained.artefact, trained.views)
        return staging.seal(
            self._key,
            embedder=self._embedding.embedder,
            settings=self._settings,
            quality=quality.to_json(),
            calibration=json_format.MessageToDict(
                trained.summary, preserving_proto_field_name=True
            ),
            build_time=self._now().isoformat(timespec="microseconds").replace("+00:00", "Z"),
        )

    def _require(self, spans: Sized, otherwise: str) -> None:
        if not len(spans):
            raise PreconditionError(
                f"dataset {self._dataset!a} has nothing to publish: {otherwise}",
                Reason.NO_DATASET,
                dataset=self._dataset,
            )


def check_contrast(dataset: str, alpha: float, summary: answer_pb2.CalibrationSummary) -> None:
    """Refuses a version that falls for more minimal pairs than its alpha allows.

    One for which no pair could be made passes: nothing is known against it.

    Raises:
        PreconditionError: CONTRAST_RISK.
    """
    total = summary.contrast.total
    if not total.HasField("rate") or total.rate <= alpha:
        return
    example = summary.contrast.examples[0] if summary.contrast.examples else None
    shown = f", such as {example.variant!a} as {example.question!a}" if example else ""
    raise PreconditionError(
        f"dataset {dataset!a} is not published: {total.false_accepts} of {total.pairs} questions"
        f" that were changed on purpose are answered as before{shown}; that is"
        f" {total.rate:.1%}, and alpha is {alpha:.1%}. Force it to publish all the same",
        Reason.CONTRAST_RISK,
        dataset=dataset,
        false_accepts=str(total.false_accepts),
        pairs=str(total.pairs),
    )


def entry_for(version: DatasetVersion) -> ledger_pb.AppendRequest:
    """Returns the ledger entry of a version; the same version gives the same entry."""
    manifest = version.manifest
    facts: dict[str, JSON] = {
        "dataset": manifest.name,
        "dataset_version": manifest.version,
        "spans": manifest.counts.spans,
        "merkle_root": manifest.merkle_root,
        "embedder_digest": manifest.embedder_digest,
        "quality": dict(manifest.quality),
        "public_key": manifest.public_key,
    }
    return ledger_pb.AppendRequest(
        scope=scope_for(manifest.tenant),
        entry_id=f"publish:{manifest.version}",
        kind=ledger_pb.ENTRY_KIND_PUBLICATION,
        facts_json=canonical_json(facts).decode(),
    )


def _blocks(vectors: Vectors, chosen: Sequence[Chosen]) -> Iterator[Vectors]:
    rows = np.array([one.row for one in chosen])
    for start in range(0, len(rows), _ROWS_PER_BLOCK):
        yield vectors[rows[start : start + _ROWS_PER_BLOCK]]
