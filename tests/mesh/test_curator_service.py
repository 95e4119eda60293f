"""CuratorService over real gRPC; search, predictor and ledger are played, or the real ones."""

import asyncio
import contextlib
import json
import resource
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from blake3 import blake3
from nacl.signing import VerifyKey

from arenalab.api.common.v1 import answer_pb2, receipt_pb2
from arenalab.api.curator.v1 import curator_service_pb2 as pb
from arenalab.api.curator.v1 import curator_service_pb2_grpc as pb_grpc
from arenalab.api.ledger.v1 import ledger_service_pb2 as ledger_pb
from arenalab.api.ledger.v1 import ledger_service_pb2_grpc as ledger_grpc
from arenalab.api.predictor.v1 import predictor_service_pb2 as predictor_pb
from arenalab.api.predictor.v1 import predictor_service_pb2_grpc as predictor_grpc
from arenalab.api.search.v1 import search_service_pb2 as search_pb
from arenalab.api.search.v1 import search_service_pb2_grpc as search_grpc
from arenalab.atomic import Span, dump_line
from arenalab.curator.config import CuratorConfig
from arenalab.curator.keys import create_key, public_path
from arenalab.curator.wiring import running_curator
from arenalab.dataset import DatasetStore
from arenalab.ledger.config import LedgerConfig
from arenalab.ledger.wiring import running_ledger
from arenalab.mesh import (
    BudgetSpentError,
    BusyError,
    DataLossError,
    InvalidInputError,
    MeshError,
    NotFoundError,
    NotReadyError,
    PreconditionError,
    Reason,
    Telemetry,
    address_of,
    connect,
    running_server,
)
from arenalab.planner.config import PlannerConfig
from arenalab.planner.wiring import running_planner
from arenalab.predictor.config import PredictorConfig
from arenalab.predictor.wiring import running_predictor
from arenalab.search.config import SearchConfig
from arenalab.search.wiring import running_search
from arenalab.testing.data import data_file
from arenalab.testing.spans import make_span

TOPICS = ("password", "invoice", "delivery", "refund", "address")
SPANS = [
    make_span(f"{start} {topic} of my account {n}", f"Open the {topic} page.", domain=topic)
    for topic in TOPICS
    for n, start in enumerate(("How do I change the", "Where can I see the", "Who keeps the"))
]
STAGES = ["read", "embed", "measure", "build", "calibrate", "sign", "load"]


@dataclass
class Peers(
    search_grpc.SearchServiceServicer,
    predictor_grpc.PredictorServiceServicer,
    ledger_grpc.LedgerServiceServicer,
):
    """Search, predictor and ledger on one port, with a vector per text by its hash."""

    store: DatasetStore
    embedded: list[str] = field(default_factory=list)
    live: list[str] = field(default_factory=list)
    staged: list[list[Span]] = field(default_factory=list)
    weightings: list[int] = field(default_factory=list)
    entries: dict[str, ledger_pb.AppendRequest] = field(default_factory=dict)
    failures: dict[str, list[MeshError]] = field(default_factory=dict)
    training: asyncio.Event = field(default_factory=asyncio.Event)
    may_train: asyncio.Event = field(default_factory=asyncio.Event)
    contrast: answer_pb2.ContrastCertificate | None = None

    def __post_init__(self) -> None:
        self.may_train.set()

    def register(self, server: grpc.aio.Server) -> None:
        search_grpc.add_SearchServiceServicer_to_server(self, server)
        predictor_grpc.add_PredictorServiceServicer_to_server(self, server)
        ledger_grpc.add_LedgerServiceServicer_to_server(self, server)

    def fail(self, method: str, *errors: MeshError) -> None:
        self.failures[method] = list(errors)

    def _maybe_fail(self, method: str) -> None:
        if self.failures.get(method):
            raise self.failures[method].pop(0)

    async def Embed(
        self, request: search_pb.EmbedRequest, context: grpc.ServicerContext
    ) -> search_pb.EmbedResponse:
        self._maybe_fail("Embed")
        self.embedded += request.texts
        rows = np.stack([vector_of(text) for text in request.texts])
        return search_pb.EmbedResponse(
            vectors=rows.astype("<f4").tobytes(),
            dimension=rows.shape[1],
            embedder_id="hash",
            embedder_digest="00ff",
        )

    async def TrainCalibration(
        self, request: predictor_pb.TrainCalibrationRequest, context: grpc.ServicerContext
    ) -> predictor_pb.TrainCalibrationResponse:
        self._maybe_fail("TrainCalibration")
        self.training.set()
        await self.may_train.wait()
        staged = self.store.open_staging("default", request.dataset, request.staging)
        spans = list(staged.spans())
        assert len(staged.embeddings()) == len(spans)
        self.staged.append(spans)
        self.weightings.append(request.context_weighting)
        summary = answer_pb2.CalibrationSummary(
            coverage=0.5, examples=len(spans), contrast=self.contrast
        )
        return predictor_pb.TrainCalibrationResponse(
            artefact=json.dumps({"alpha": request.alpha}).encode(), summary=summary
        )

    async def Publish(
        self, request: search_pb.PublishRequest, context: grpc.ServicerContext
    ) -> search_pb.PublishResponse:
        self._maybe_fail("Publish")
        self.store.open("default", request.dataset, request.dataset_version).verify()
        self.live.append(request.dataset_version)
        return search_pb.PublishResponse()

    async def Append(
        self, request: ledger_pb.AppendRequest, context: grpc.ServicerContext
    ) -> ledger_pb.AppendResponse:
        self._maybe_fail("Append")
        assert self.entries.setdefault(request.entry_id, request) == request
        index = list(self.entries).index(request.entry_id)
        return ledger_pb.AppendResponse(receipt=receipt_pb2.Receipt(leaf_index=index))


def vector_of(text: str) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    seed = int.from_bytes(blake3(text.encode()).digest(8))
    vector = np.random.default_rng(seed).normal(size=32).astype(np.float32)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


@dataclass
class Desk:
    """A curator at work, and what it works with."""

    config: CuratorConfig
    store: DatasetStore
    peers: Peers
    stub: "pb_grpc.CuratorServiceAsyncStub"

    async def ingest(
        self,
        data: bytes,
        *,
        dataset: str = "faq",
        format: pb.IngestFormat.ValueType = pb.INGEST_FORMAT_SPANS,  # noqa: A002 - the field's name
        chunk: int = 1 << 20,
        **header: object,
    ) -> list[pb.IngestResponse]:
        head = pb.IngestHeader(dataset=dataset, format=format, **header)  # type: ignore[arg-type]
        return [r async for r in self.stub.Ingest(parts(head, data, chunk))]

    async def ingest_spans(self, spans: Sequence[Span] = SPANS, **header: object) -> None:
        await self.ingest(lines(spans), **header)  # type: ignore[arg-type]

    async def publish(self, dataset: str = "faq", **fields: float) -> pb.PublishResult:
        request = pb.PublishRequest(dataset=dataset, **fields)  # type: ignore[arg-type]
        return [r async for r in self.stub.Publish(request)][-1].result

    def staged(self) -> list[Path]:
        return list(self.config.datasets_dir.glob("*/*/.staging-*"))


async def parts(
    header: pb.IngestHeader, data: bytes, chunk: int = 1 << 20
) -> AsyncIterator[pb.IngestRequest]:
    yield pb.IngestRequest(header=header)
    for start in range(0, len(data), chunk):
        yield pb.IngestRequest(chunk=data[start : start + chunk])


def lines(spans: Sequence[Span]) -> bytes:
    return b"".join(map(dump_line, spans))


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    store = DatasetStore(tmp_path / "datasets")
    peers = Peers(store)  # type: ignore[abstract]  # it plays what the curator calls
    create_key(tmp_path / "key")
    async with running_server(
        "arenalab.api.search.v1.SearchService",
        peers.register,
        "127.0.0.1:0",
        Telemetry("peers"),
    ) as port:
        config = CuratorConfig(
            address="127.0.0.1:0",
            home=tmp_path / "curator",
            datasets_dir=tmp_path / "datasets",
            key_path=tmp_path / "key",
            search_address=address_of(port),
            predictor_address=address_of(port),
            ledger_address=address_of(port),
            overload_patience_s=0.3,
        )
        async with (
            running_curator(config, Telemetry("curator")) as own,
            connect(address_of(own), Telemetry("test")) as channel,
        ):
            yield Desk(config, store, peers, pb_grpc.CuratorServiceStub(channel))


async def test_a_file_is_ingested_with_progress_and_a_result(desk: Desk) -> None:
    data = lines(SPANS)
    *events, last = await desk.ingest(data, chunk=100, size_bytes=len(data))
    assert last.result == pb.IngestResult(rows=15, accepted=15, total_spans=15)
    progress = [event.progress for event in events]
    assert [p.read_bytes for p in progress] == sorted(p.read_bytes for p in progress)
    assert (progress[-1].read_bytes, progress[-1].accepted) == (len(data), 15)


async def test_the_same_file_twice_adds_nothing(desk: Desk) -> None:
    await desk.ingest_spans()
    result = (await desk.ingest(lines(SPANS)))[-1].result
    assert (result.duplicates, result.total_spans) == (15, 15)
    result = (await desk.ingest(lines(SPANS[:2]), replace=True))[-1].result
    assert result.total_spans == 2


async def test_bad_rows_are_reported_and_kept(desk: Desk) -> None:
    bad = b"".join(b'{"id": %d}\n' % n for n in range(150))
    events = await desk.ingest(lines(SPANS[:1]) + bad)
    rejects = [event.reject for event in events if event.HasField("reject")]
    assert len(rejects) == 100
    assert (rejects[0].line, rejects[0].reason) == (2, "source must be present")
    result = events[-1].result
    assert (result.rejected, result.accepted) == (150, 1)
    kept = (desk.config.home / result.reject_file).read_text().splitlines()
    assert len(kept) == 150
    assert json.loads(kept[-1])["line"] == 151


async def test_a_csv_file_takes_its_time_from_the_header(desk: Desk) -> None:
    header = pb.IngestHeader(
        dataset="qa", format=pb.INGEST_FORMAT_QA_CSV, file_name=r"C:\someone\qa.csv"
    )
    header.file_time.FromJsonString("2020-02-03T04:05:06Z")
    data = b"Question,Best Answer\nWhat is it then?,This is it.\n"
    _ = [r async for r in desk.stub.Ingest(parts(header, data))]
    await desk.publish("qa")
    (span,) = desk.peers.staged[-1]
    assert span.when == "2020-02-03T04:05:06Z"
    assert span.metadata.attributes["file"] == "qa.csv"


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], Reason.INVALID_ARGUMENT),
        ([pb.IngestRequest(chunk=b"x")], Reason.INVALID_ARGUMENT),
        ([pb.IngestRequest(header=pb.IngestHeader(dataset="faq"))], Reason.INVALID_ARGUMENT),
        (
            [
                pb.IngestRequest(
                    header=pb.IngestHeader(dataset="../x", format=pb.INGEST_FORMAT_SPANS)
                )
            ],
            Reason.INVALID_ARGUMENT,
        ),
        (
            [pb.IngestRequest(header=pb.IngestHeader(dataset="faq", format=pb.INGEST_FORMAT_SPANS))]
            * 2,
            Reason.INVALID_ARGUMENT,
        ),
        (
            [
                pb.IngestRequest(
                    header=pb.IngestHeader(dataset="faq", format=pb.INGEST_FORMAT_SPANS)
                ),
                pb.IngestRequest(chunk=b"x" * ((1 << 20) + 1)),
            ],
            Reason.TOO_LARGE,
        ),
        (
            [
                pb.IngestRequest(
                    header=pb.IngestHeader(dataset="faq", format=pb.INGEST_FORMAT_QA_CSV)
                ),
                pb.IngestRequest(chunk=b"\x89PNG\n"),
            ],
            Reason.INVALID_FORMAT,
        ),
    ],
)
async def test_a_wrong_stream_is_refused_and_changes_nothing(
    desk: Desk, messages: list[pb.IngestRequest], reason: Reason
) -> None:
    async def stream() -> AsyncIterator[pb.IngestRequest]:
        for message in messages:
            yield message

    with pytest.raises(InvalidInputError) as caught:
        _ = [r async for r in desk.stub.Ingest(stream())]
    assert caught.value.reason is reason
    await desk.ingest_spans()  # the dataset is free again


async def test_a_file_that_ends_early_is_refused(desk: Desk) -> None:
    data = lines(SPANS)
    with pytest.raises(InvalidInputError, match="bytes came"):
        await desk.ingest(data, size_bytes=len(data) + 1)
    listed = await desk.stub.ListDatasets(pb.ListDatasetsRequest())
    assert [(d.name, d.working_spans) for d in listed.datasets] == [("faq", 0)]


async def test_a_client_that_goes_away_leaves_nothing(desk: Desk) -> None:
    sent = asyncio.Event()

    async def stream() -> AsyncIterator[pb.IngestRequest]:
        yield pb.IngestRequest(header=pb.IngestHeader(dataset="faq", format=pb.INGEST_FORMAT_SPANS))
        yield pb.IngestRequest(chunk=lines(SPANS) * 20)
        sent.set()
        await asyncio.Event().wait()

    async with contextlib.aclosing(aiter(desk.stub.Ingest(stream()))) as responses:  # type: ignore[type-var]
        async for _ in responses:
            break
    while True:  # until the server has noticed
        try:
            await desk.ingest_spans(SPANS[:3])
            break
        except BusyError:
            await asyncio.sleep(0)
    listed = await desk.stub.ListDatasets(pb.ListDatasetsRequest())
    assert [d.working_spans for d in listed.datasets] == [3]


async def test_a_publication_goes_through_its_stages_in_order(desk: Desk) -> None:
    await desk.ingest_spans()
    events = [r async for r in desk.stub.Publish(pb.PublishRequest(dataset="faq"))]
    stages = [event.progress.stage for event in events[:-1]]
    assert list(dict.fromkeys(stages)) == STAGES
    last = {e.progress.stage: (e.progress.done, e.progress.total) for e in events[:-1]}
    assert all(done == total for done, total in last.values())
    assert (last["read"][1], last["embed"][1], last["load"][1]) == (15, 15, 1)


async def test_the_operator_chooses_where_context_weights_come_from(desk: Desk) -> None:
    await desk.ingest_spans()
    await desk.publish()
    await desk.publish(alpha=0.1, context_weighting=answer_pb2.CONTEXT_WEIGHTING_FIXED)
    assert desk.peers.weightings == [
        answer_pb2.CONTEXT_WEIGHTING_UNSPECIFIED,
        answer_pb2.CONTEXT_WEIGHTING_FIXED,
    ]


async def test_what_is_published_is_signed_measured_loaded_and_sealed(desk: Desk) -> None:
    await desk.ingest_spans([*SPANS, make_span("asdf", "n/a"), *COPIES])
    result = await desk.publish()
    assert (result.spans, result.duplicates, result.left_out) == (15, 2, 1)
    quality = result.quality
    assert (quality.diamond + quality.needs_enrichment, quality.discarded) == (15, 1)
    assert 0 < quality.mean.total < 100
    assert result.calibration.examples == 15

    version = desk.store.open("default", "faq", result.dataset_version)
    public = bytes.fromhex(public_path(desk.config.key_path).read_text())
    version.verify(public)
    spans = list(version.spans())
    assert spans == desk.peers.staged[0]
    assert [s.id for s in spans] == [s.id for s in sorted(spans, key=lambda s: (s.when_ns, s.id))]
    assert all((s.metadata.quality_score or 0) >= 60 for s in spans)
    expected = np.stack([vector_of(span.this) for span in spans])
    np.testing.assert_array_equal(version.embeddings(), expected)
    assert version.calibration() == b'{"alpha": 0.05}'
    assert version.manifest.domains == dict.fromkeys(TOPICS, 3)
    assert version.manifest.embedder_digest == "00ff"

    assert desk.peers.live == [result.dataset_version]
    (entry,) = desk.peers.entries.values()
    facts = json.loads(entry.facts_json)
    assert entry.kind == ledger_pb.ENTRY_KIND_PUBLICATION
    assert (facts["dataset"], facts["dataset_version"]) == ("faq", result.dataset_version)
    assert (facts["spans"], facts["merkle_root"]) == (15, version.manifest.merkle_root)
    assert VerifyKey(bytes.fromhex(facts["public_key"])).encode() == public


COPIES = [
    make_span(SPANS[0].this.upper(), SPANS[0].if_ok or "", domain="password"),
    make_span(f" {SPANS[1].this}?", SPANS[1].if_ok or "", domain="password"),
]


async def test_an_unchanged_working_set_is_the_same_version_and_embeds_nothing_again(
    desk: Desk,
) -> None:
    await desk.ingest_spans()
    first = await desk.publish()
    before = len(desk.peers.embedded)
    again = await desk.publish()
    assert again.dataset_version == first.dataset_version
    assert again.ledger_index == first.ledger_index == 0
    assert len(desk.peers.embedded) == before + 1  # one text tells which embedder runs
    other = await desk.publish(alpha=0.1)
    assert other.dataset_version != first.dataset_version
    listed = await desk.stub.ListDatasets(pb.ListDatasetsRequest())
    (dataset,) = listed.datasets
    assert [v.version for v in dataset.versions] == [other.dataset_version, first.dataset_version]
    assert {v.spans for v in dataset.versions} == {15}


FOOLED = answer_pb2.ContrastCertificate(
    total=answer_pb2.ContrastRate(pairs=40, false_accepts=3, rate=0.075, lower=0.01, upper=0.21),
    by_kind=[answer_pb2.ContrastRate(kind="number", pairs=40, false_accepts=3, rate=0.075)],
    examples=[
        answer_pb2.ContrastExample(kind="number", question="5 of it", variant="6 of it"),
    ],
)


async def test_a_version_that_falls_for_changed_questions_is_not_published(desk: Desk) -> None:
    await desk.ingest_spans()
    desk.peers.contrast = FOOLED
    with pytest.raises(PreconditionError) as caught:
        await desk.publish()
    assert caught.value.reason is Reason.CONTRAST_RISK
    assert caught.value.metadata == {"dataset": "faq", "false_accepts": "3", "pairs": "40"}
    assert "3 of 40" in str(caught.value)
    assert "'6 of it' as '5 of it'" in str(caught.value)
    assert (desk.peers.live, desk.peers.entries, desk.staged()) == ([], {}, [])
    listed = await desk.stub.ListDatasets(pb.ListDatasetsRequest())
    assert not listed.datasets[0].versions


async def test_a_forced_publication_carries_its_certificate(desk: Desk) -> None:
    await desk.ingest_spans()
    desk.peers.contrast = FOOLED
    result = await desk.publish(force=True)
    assert desk.peers.live == [result.dataset_version]
    assert result.calibration.contrast == FOOLED
    manifest = desk.store.open("default", "faq", result.dataset_version).manifest
    contrast = json.loads(json.dumps(manifest.calibration["contrast"]))
    assert (contrast["total"]["pairs"], contrast["total"]["false_accepts"]) == (40, 3)


async def test_a_share_within_alpha_is_published_and_what_was_not_measured_too(desk: Desk) -> None:
    await desk.ingest_spans()
    desk.peers.contrast = FOOLED
    assert (await desk.publish(alpha=0.1)).dataset_version
    desk.peers.contrast = answer_pb2.ContrastCertificate(
        total=answer_pb2.ContrastRate(pairs=0, upper=1.0)
    )
    result = await desk.publish()
    assert not result.calibration.contrast.total.HasField("rate")


async def test_a_cap_keeps_so_many_of_each_domain(desk: Desk) -> None:
    await desk.ingest_spans()
    result = await desk.publish(max_per_domain=1)
    assert (result.spans, result.left_out) == (5, 10)


async def test_a_dataset_has_one_job_at_a_time(desk: Desk) -> None:
    await desk.ingest_spans()
    desk.peers.may_train.clear()
    running = asyncio.ensure_future(desk.publish())
    await desk.peers.training.wait()
    with pytest.raises(BusyError) as caught:
        await desk.publish()
    assert caught.value.metadata == {"job": "publish", "dataset": "faq"}
    with pytest.raises(BusyError):
        await desk.ingest_spans()
    await desk.ingest_spans(dataset="other")
    desk.peers.may_train.set()
    assert (await running).spans == 15


async def test_a_client_that_goes_away_from_a_publication_leaves_nothing_staged(
    desk: Desk,
) -> None:
    await desk.ingest_spans()
    desk.peers.may_train.clear()
    running = asyncio.ensure_future(desk.publish())
    await desk.peers.training.wait()
    assert len(desk.staged()) == 1
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    desk.peers.may_train.set()
    while True:  # until the server has noticed
        try:
            result = await desk.publish()
            break
        except BusyError:
            await asyncio.sleep(0)
    assert desk.staged() == []
    assert desk.peers.live == [result.dataset_version]


@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("Embed", NotReadyError("no search")),
        ("TrainCalibration", DataLossError("bad", Reason.CORRUPT_DATASET, file="x")),
        ("Publish", NotReadyError("no search")),
        ("Append", NotReadyError("no ledger")),
    ],
)
async def test_a_failure_of_a_peer_is_passed_on_and_publishing_again_mends_it(
    desk: Desk, method: str, error: MeshError
) -> None:
    await desk.ingest_spans(SPANS[:12])
    before = await desk.publish()
    await desk.ingest_spans()
    desk.peers.fail(method, *[error] * 4)  # what is idempotent is tried again
    with pytest.raises(type(error)) as caught:
        await desk.publish()
    assert caught.value.reason is error.reason
    desk.store.open("default", "faq", before.dataset_version).verify()
    assert desk.staged() == []
    desk.peers.failures.clear()
    after = await desk.publish()
    assert after.spans == 15
    assert desk.peers.live[-1] == after.dataset_version


async def test_a_full_queue_is_waited_for_but_not_for_ever(desk: Desk) -> None:
    await desk.ingest_spans()
    desk.peers.fail("Embed", *[BudgetSpentError("full")] * 2)
    assert (await desk.publish()).spans == 15
    await desk.ingest_spans([make_span("What is quite new here?", "This is quite new.")])
    desk.peers.fail("Embed", *[BudgetSpentError("full")] * 100)
    with pytest.raises(BudgetSpentError) as caught:
        await desk.publish()
    assert caught.value.reason is Reason.OVERLOADED


async def test_without_a_key_nothing_is_begun(desk: Desk) -> None:
    await desk.ingest_spans()
    desk.config.key_path.unlink()
    with pytest.raises(PreconditionError) as caught:
        await desk.publish()
    assert caught.value.reason is Reason.MISSING_KEY
    assert caught.value.metadata == {"key": str(desk.config.key_path)}
    assert desk.peers.embedded == []


async def test_what_was_never_ingested_is_unknown(desk: Desk) -> None:
    with pytest.raises(NotFoundError) as caught:
        await desk.publish("nothing")
    assert caught.value.reason is Reason.UNKNOWN_DATASET
    assert (await desk.stub.ListDatasets(pb.ListDatasetsRequest())).datasets == []


async def test_spans_that_all_fail_the_meter_are_no_dataset(desk: Desk) -> None:
    await desk.ingest_spans([make_span("asdf", "n/a"), make_span("qwer", "tbd")])
    with pytest.raises(PreconditionError, match="none of 2 spans reaches quality 60") as caught:
        await desk.publish()
    assert caught.value.reason is Reason.NO_DATASET
    assert desk.staged() == []


@pytest.mark.parametrize(
    "fields",
    [
        {"alpha": 0.6},
        {"alpha": -0.1},
        {"context_weighting": 9},
        {"delta": float("nan")},
        {"min_quality": 101},
        {"dataset": "A"},
        {"dataset": ""},
    ],
)
async def test_a_field_out_of_range_is_refused(desk: Desk, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await desk.publish(**fields)
    assert caught.value.metadata == {"field": next(iter(fields))}


async def test_a_damaged_working_set_is_named(desk: Desk) -> None:
    path = desk.config.home / "default/faq.sqlite"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database at all" * 100)
    for attempt in (desk.ingest_spans, desk.publish):
        with pytest.raises(DataLossError) as caught:
            await attempt()
        assert caught.value.metadata == {"file": "faq.sqlite"}


@contextlib.contextmanager
def files_at_most(size_bytes: int) -> Iterator[None]:
    """Makes the kernel refuse to let any file of this process grow beyond a size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_is_told_and_loses_nothing(desk: Desk) -> None:
    await desk.ingest_spans()
    before = await desk.publish()
    many = [make_span(f"What about thing number {n}?", "x" * 2000) for n in range(500)]
    with files_at_most(300_000), pytest.raises(BudgetSpentError) as caught:
        await desk.ingest(lines(many))
    assert caught.value.reason is Reason.STORAGE_FULL
    assert (await desk.publish()).dataset_version == before.dataset_version

    await desk.ingest(lines(many))
    with files_at_most(40_000), pytest.raises(BudgetSpentError) as caught:
        await desk.publish()  # the vectors cannot be kept
    assert caught.value.reason is Reason.STORAGE_FULL
    live = await desk.publish()
    assert live.spans == 515
    with files_at_most(40_000), pytest.raises(BudgetSpentError) as caught:
        await desk.publish(alpha=0.1)  # the version cannot be written
    assert caught.value.reason is Reason.STORAGE_FULL
    for version in (before, live):
        desk.store.open("default", "faq", version.dataset_version).verify()
    assert desk.staged() == []


async def test_tenants_do_not_see_each_other(desk: Desk) -> None:
    await desk.ingest_spans()
    request = pb.ListDatasetsRequest()
    request.scope.tenant = "another"
    assert (await desk.stub.ListDatasets(request)).datasets == []


Start = Callable[..., contextlib.AbstractAsyncContextManager[int]]


@pytest.mark.slow
async def test_the_real_mesh_publishes_a_real_dataset(tmp_path: Path) -> None:
    file = data_file("stackfaq/stackExchange-FAQ.json")
    create_key(tmp_path / "key")
    local, datasets = "127.0.0.1:0", tmp_path / "datasets"
    async with contextlib.AsyncExitStack() as stack:

        async def start(running: Start, config: object, name: str) -> str:
            port = await stack.enter_async_context(running(config, Telemetry(name)))
            return address_of(port)

        ledger = await start(
            running_ledger,
            LedgerConfig(
                address=local,
                directory=tmp_path / "ledger",
                key_path=tmp_path / "ledger.key",
                create_key=True,
            ),
            "ledger",
        )
        search = await start(
            running_search,
            SearchConfig(
                address=local,
                store_path=tmp_path / "search.sqlite",
                datasets_dir=datasets,
                dataset_public_key=public_path(tmp_path / "key"),
            ),
            "search",
        )
        planner = await start(
            running_planner, PlannerConfig(address=local, search_address=search), "planner"
        )
        predictor = await start(
            running_predictor,
            PredictorConfig(
                address=local,
                home=tmp_path / "predictor",
                datasets_dir=datasets,
                search_address=search,
                planner_address=planner,
            ),
            "predictor",
        )
        config = CuratorConfig(
            address=local,
            home=tmp_path / "curator",
            datasets_dir=datasets,
            key_path=tmp_path / "key",
            search_address=search,
            predictor_address=predictor,
            ledger_address=ledger,
        )
        curator = await start(running_curator, config, "curator")
        channel = await stack.enter_async_context(connect(curator, Telemetry("test")))
        stub = pb_grpc.CuratorServiceStub(channel)
        header = pb.IngestHeader(dataset="faq", format=pb.INGEST_FORMAT_STACKFAQ)
        *_, ingested = [r async for r in stub.Ingest(parts(header, file.read_bytes()))]
        assert (ingested.result.accepted, ingested.result.skipped) == (1374, 126)
        *_, published = [
            r async for r in stub.Publish(pb.PublishRequest(dataset="faq"), timeout=100)
        ]
        result = published.result
        assert result.spans == 1374
        assert result.calibration.guarantee.calibration_size > 0

        to_search = await stack.enter_async_context(connect(search, Telemetry("test")))
        found = await search_grpc.SearchServiceStub(to_search).SearchText(
            search_pb.SearchTextRequest(text="strike a word through on github", limit=1)
        )
        assert found.dataset_version == result.dataset_version
        assert "tildes" in found.hits[0].span.if_ok
        to_ledger = await stack.enter_async_context(connect(ledger, Telemetry("test")))
        leaf = await ledger_grpc.LedgerServiceStub(to_ledger).Get(
            ledger_pb.GetRequest(leaf_index=result.ledger_index)
        )
        assert result.dataset_version in leaf.leaf.decode()
