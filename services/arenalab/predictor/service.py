"""PredictorService: protobuf in, protobuf out."""

from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Final

import grpc

from arenalab.api.common.v1 import answer_pb2
from arenalab.api.predictor.v1 import predictor_service_pb2 as pb
from arenalab.api.predictor.v1 import predictor_service_pb2_grpc as pb_grpc
from arenalab.api.search.v1 import search_service_pb2 as search_pb
from arenalab.mesh import InvalidInputError, Telemetry, tenant_of
from arenalab.mesh import Reason as ErrorReason
from arenalab.predictor import support, wire
from arenalab.predictor.artefact import load_artefact
from arenalab.predictor.calibrated import Calibrated
from arenalab.predictor.calibrating import Calibrator, Example
from arenalab.predictor.certificate_form import contrast_of
from arenalab.predictor.certifying_job import StagedName, certify_apart
from arenalab.predictor.creatures import Creature, all_creatures
from arenalab.predictor.guarantee import DEFAULT_ALPHA, DEFAULT_DELTA
from arenalab.predictor.monitoring.guard import Guard, with_gathered
from arenalab.predictor.monitoring.wire import check_subject, labels_by_version, with_standing
from arenalab.predictor.peers import Peers
from arenalab.predictor.predicting import Predicting
from arenalab.predictor.responses import annotate_prediction
from arenalab.predictor.risk_call import RiskCoverage
from arenalab.predictor.sentences import sentences_of
from arenalab.predictor.slices import creature_filter
from arenalab.predictor.synthesis import Traced
from arenalab.predictor.training_job import TrainingJob, train_apart
from arenalab.predictor.versions import Versions

SERVICE_NAME: Final = pb.DESCRIPTOR.services_by_name["PredictorService"].full_name


class PredictorService(pb_grpc.PredictorServiceServicer):
    """Answers from the live dataset versions; trains the calibration of new ones."""

    def __init__(
        self,
        *,
        predicting: Predicting,
        calibrator: Calibrator,
        risk_coverage: RiskCoverage,
        versions: Versions,
        peers: Peers,
        guard: Guard,
        named: tuple[Creature, ...],
        datasets_dir: Path,
        telemetry: Telemetry,
    ) -> None:
        self._predicting = predicting
        self._calibrator = calibrator
        self._risk_coverage = risk_coverage
        self._versions = versions
        self._peers = peers
        self._guard = guard
        self._named = named
        self._datasets_dir = datasets_dir
        self._telemetry = telemetry

    async def Predict(
        self, request: pb.PredictRequest, context: grpc.ServicerContext
    ) -> pb.PredictResponse:
        wire.check_request(request)
        response = await self._predicting.predict(request)
        annotate_prediction(response)
        self._telemetry.metrics.confidence.observe(response.confidence)
        return response

    async def TrainCalibration(
        self, request: pb.TrainCalibrationRequest, context: grpc.ServicerContext
    ) -> pb.TrainCalibrationResponse:
        wire.check_risk(request.alpha, request.delta)
        weighting = wire.check_weighting(request.context_weighting)
        staged = StagedName(
            datasets_dir=str(self._datasets_dir),
            tenant=tenant_of(request.scope),
            dataset=request.dataset,
            staging=request.staging,
        )
        files = await train_apart(
            TrainingJob(
                **asdict(staged),
                alpha=request.alpha or DEFAULT_ALPHA,
                delta=request.delta or DEFAULT_DELTA,
                weighting=weighting.value,
            )
        )
        certificate = await certify_apart(staged, files, self._peers.vectors)
        calibrated = Calibrated(load_artefact(files.artefact))
        summary = wire.summary_of(calibrated.artefact, calibrated.bound())
        summary.contrast.CopyFrom(contrast_of(certificate))
        return pb.TrainCalibrationResponse(
            artefact=files.artefact, summary=summary, views=files.views
        )

    async def CheckSupport(
        self, request: pb.CheckSupportRequest, context: grpc.ServicerContext
    ) -> pb.CheckSupportResponse:
        wire.check_support(request)
        sentences = sentences_of(request.text)
        known = [Traced(one.text, tuple(one.span_ids)) for one in request.evidence]
        vectors = await self._peers.embed(support.texts_of(sentences, known))
        checked = support.check(sentences, known, vectors)
        return pb.CheckSupportResponse(
            sentences=[
                pb.CheckedSentence(
                    sentence=answer_pb2.Sentence(
                        text=one.sentence.text, span_ids=one.sentence.span_ids
                    ),
                    supported=one.is_supported,
                    overlap=one.overlap,
                    similarity=one.similarity,
                    unsupported_terms=one.foreign,
                )
                for one in checked
            ],
            supported=all(one.is_supported for one in checked),
        )

    async def Calibrate(
        self, request_iterator: AsyncIterator[pb.CalibrateRequest], context: grpc.ServicerContext
    ) -> pb.CalibrateResponse:
        first = await anext(request_iterator, None)
        if first is None or first.WhichOneof("part") != "header":
            raise InvalidInputError("the stream must begin with a header", field="header")
        header = first.header
        wire.check_risk(header.alpha, header.delta)
        tenant = tenant_of(header.scope)
        examples = _examples(request_iterator)
        if header.from_labels:
            examples = with_gathered(await self._guard.gathered(tenant, header.creature), examples)
        try:
            artefact, version = await self._calibrator.calibrate(
                tenant, header.creature, header.alpha, header.delta, examples
            )
        except ExceptionGroup as failed:
            # Examples are asked at once, and the first that fails stops the others.
            raise failed.exceptions[0] from failed
        await self._guard.show(tenant)
        summary = wire.summary_of(artefact, Calibrated(artefact).bound())
        return pb.CalibrateResponse(summary=summary, dataset_version=version)

    async def GetRiskCoverage(
        self, request: pb.GetRiskCoverageRequest, context: grpc.ServicerContext
    ) -> pb.GetRiskCoverageResponse:
        return await self._risk_coverage.report(request)

    async def ListCreatures(
        self, request: pb.ListCreaturesRequest, context: grpc.ServicerContext
    ) -> pb.ListCreaturesResponse:
        tenant = tenant_of(request.scope)
        live = {c.dataset: c for c in await self._peers.collections(tenant)}
        creatures = all_creatures(list(live), self._named)
        return pb.ListCreaturesResponse(
            creatures=[await self._describe(tenant, c, live[c.dataset]) for c in creatures]
        )

    async def _describe(
        self, tenant: str, creature: Creature, live: search_pb.Collection
    ) -> pb.Creature:
        version = await self._versions.get(tenant, live.dataset, live.dataset_version)
        calibrated = version.calibrated
        return pb.Creature(
            name=creature.name,
            dataset=creature.dataset,
            dataset_version=live.dataset_version,
            filter=None if creature.is_whole else creature_filter(creature),
            guarantee=with_standing(
                wire.guarantee_of(calibrated.bound(), calibrated.artefact.basis),
                version.monitor.standing,
            ),
            spans=live.spans,
        )

    async def ReportLabels(
        self, request: pb.ReportLabelsRequest, context: grpc.ServicerContext
    ) -> pb.ReportLabelsResponse:
        recorded = await self._guard.report(tenant_of(request.scope), labels_by_version(request))
        return pb.ReportLabelsResponse(recorded=recorded, known=len(request.labels) - recorded)

    async def EraseSubject(
        self, request: pb.EraseSubjectRequest, context: grpc.ServicerContext
    ) -> pb.EraseSubjectResponse:
        subject = check_subject(request.subject)
        labels = await self._versions.erase(tenant_of(request.scope), subject)
        await self._predicting.forget()
        return pb.EraseSubjectResponse(labels=labels)

    async def GetGuaranteeStatus(
        self, request: pb.GetGuaranteeStatusRequest, context: grpc.ServicerContext
    ) -> pb.GetGuaranteeStatusResponse:
        datasets = await self._guard.describe(tenant_of(request.scope))
        return pb.GetGuaranteeStatusResponse(datasets=datasets)

    def register(self, server: grpc.aio.Server) -> None:
        """Adds this servicer to `server`."""
        pb_grpc.add_PredictorServiceServicer_to_server(self, server)


async def _examples(requests: AsyncIterator[pb.CalibrateRequest]) -> AsyncIterator[Example]:
    async for request in requests:
        if request.WhichOneof("part") != "example":
            raise InvalidInputError("after its header the stream holds examples", field="part")
        question = request.example.question
        if not question.strip():
            raise InvalidInputError(
                "a question must not be blank", ErrorReason.EMPTY_TEXT, field="example.question"
            )
        yield Example(question, frozenset(request.example.outcomes))
