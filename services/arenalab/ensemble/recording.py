"""Keeps every prediction for feedback, and draws those that are audited."""

import asyncio
import logging

from arenalab.api.common.v1 import answer_pb2, message_pb2
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.api.predictor.v1 import predictor_service_pb2 as predictor_pb
from arenalab.ensemble.auditing import Draw
from arenalab.ensemble.predictions import Prediction, Predictions, kept_turns
from arenalab.mesh import MeshError

_logger = logging.getLogger(__name__)


class Recorder:
    """Writes predictions to the journals."""

    def __init__(self, draw: Draw, recent: Predictions, audits: Predictions) -> None:
        self._draw = draw
        self._recent = recent
        self._audits = audits

    def draw(self, finished: pb.AnswerFinished, said: predictor_pb.PredictResponse) -> None:
        """Marks an answer that is to be audited, before it is known who will give it.

        Only what memory has an outcome for is drawn: there is nothing else to judge.
        """
        if said.output and said.method != answer_pb2.ANSWER_METHOD_NONE:
            finished.audit_propensity = self._draw.rate
            finished.audited = self._draw.takes(finished.prediction_id)

    async def record(
        self,
        tenant: str,
        request: pb.AnswerRequest,
        finished: pb.AnswerFinished,
        said: predictor_pb.PredictResponse,
    ) -> None:
        """Keeps an answer. A journal that cannot be written is reported, and stops no answer."""
        prediction = Prediction(
            prediction_id=finished.prediction_id,
            tenant=tenant,
            dataset=said.dataset,
            dataset_version=said.dataset_version,
            creature=finished.creature,
            calibration=said.calibration,
            user=request.user,
            turns=kept_turns(
                [m.content for m in request.messages if m.role == message_pb2.ROLE_USER]
            ),
            output="" if said.method == answer_pb2.ANSWER_METHOD_NONE else said.output,
            confidence=said.confidence,
            admissible=said.admissible,
            served=finished.route == pb.ROUTE_MEMORY,
            audited=finished.audited,
            propensity=finished.audit_propensity,
        )
        try:
            if prediction.audited:  # few: they may wait for the disk
                await asyncio.to_thread(self._audits.add, prediction, sync=True)
            else:
                self._recent.add(prediction, sync=False)
        except MeshError as error:
            _logger.warning("%s is not kept for feedback: %s", finished.prediction_id, error)
