"""Thresholds from labelled traffic: the same path as Predict, the label instead of a decision."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import numpy as np

from arenalab.api.common.v1 import message_pb2
from arenalab.mesh import BusyError, InvalidInputError
from arenalab.predictor.artefact import Artefact, Basis, Pairs
from arenalab.predictor.confidence import fit_bend, logit_of
from arenalab.predictor.outcomes import Group, output_of
from arenalab.predictor.prediction import Predictor, Question
from arenalab.predictor.prediction_sets import set_score
from arenalab.predictor.training import calibration
from arenalab.predictor.versions import Versions
from arenalab.predictor.wanted import MIN_LABELS


@dataclass(frozen=True, slots=True)
class Example:
    """A question and the outcomes that are right; none: it is out of scope."""

    question: str
    outcomes: frozenset[str]
    earlier: tuple[str, ...] = ()  # turns of the user before the question, oldest first
    creature: str | None = None  # that was asked; None: the one that is calibrated


@dataclass(frozen=True, slots=True)
class Labelled:
    """An example as the live version answers it."""

    score: float  # before any labels bend it
    is_admissible: bool
    is_right: bool
    set_score: float  # NaN where no right outcome was given
    group: str
    dataset: str
    version: str


class Calibrator:
    """Calibrates live versions; the confidence model stays, every label is for the threshold."""

    def __init__(self, predictor: Predictor, versions: Versions, at_once: int) -> None:
        self._predictor = predictor
        self._versions = versions
        self._at_once = at_once

    async def calibrate(
        self,
        tenant: str,
        creature: str,
        alpha: float,
        delta: float,
        examples: AsyncIterator[Example],
    ) -> tuple[Artefact, str]:
        """Returns the new calibration and the version that it is for; it is stored and in use.

        Args:
            tenant: Whose dataset.
            creature: Empty means the one of the dataset published last.
            alpha: New default; 0 keeps the present one.
            delta: New default; 0 keeps the present one.
            examples: Labelled questions; read no faster than they are asked.

        Raises:
            InvalidInputError: Fewer than 50 examples.
            BusyError: The dataset was published anew meanwhile.
        """
        labelled = await self._ask_all(tenant, creature, examples)
        if len(labelled) < MIN_LABELS:
            raise InvalidInputError(
                f"a calibration needs at least {MIN_LABELS} examples, got {len(labelled)}",
                field="example",
            )
        targets = {(one.dataset, one.version) for one in labelled}
        if len(targets) > 1:
            raise BusyError(
                "the dataset was published while it was being calibrated; calibrate again",
                job="publish",
                dataset=labelled[0].dataset,
            )
        dataset, version = targets.pop()
        present = (await self._versions.get(tenant, dataset, version)).calibrated.artefact
        artefact = renewed(present, labelled, alpha, delta)
        await self._versions.replace(tenant, dataset, version, artefact)
        return artefact, version

    async def _ask_all(
        self, tenant: str, creature: str, examples: AsyncIterator[Example]
    ) -> list[Labelled]:
        labelled: dict[int, Labelled] = {}
        position = 0

        async def worker() -> None:
            nonlocal position
            # An async iterator has one reader at a time; the lock is that one's turn.
            while True:
                async with turn:
                    example = await anext(examples, None)
                    mine, position = position, position + 1
                if example is None:
                    return
                labelled[mine] = await self._ask(tenant, creature, example)

        turn = asyncio.Lock()
        async with asyncio.TaskGroup() as group:
            for _ in range(self._at_once):
                group.create_task(worker())
        return [labelled[mine] for mine in sorted(labelled)]

    async def _ask(self, tenant: str, creature: str, example: Example) -> Labelled:
        turns = [
            message_pb2.Message(role=message_pb2.ROLE_USER, content=text)
            for text in (*example.earlier, example.question)
        ]
        asked = creature if example.creature is None else example.creature
        reading = await self._predictor.read(Question(tenant, asked, turns))
        appraisal = reading.appraisal
        output = output_of(appraisal.groups, appraisal.method)
        return Labelled(
            score=reading.calibrated.score(appraisal)[0],
            is_admissible=appraisal.is_admissible,
            is_right=output in example.outcomes,
            set_score=_set_score(appraisal.groups, example.outcomes),
            group=appraisal.situation.domain,
            dataset=reading.found.dataset,
            version=reading.found.dataset_version,
        )


def _set_score(groups: Sequence[Group], outcomes: frozenset[str]) -> float:
    if not outcomes:
        return float("nan")
    right = (at for at, group in enumerate(groups) if group.outcome in outcomes)
    return set_score([group.share for group in groups], next(right, None))


def renewed(
    present: Artefact, labelled: Sequence[Labelled], alpha: float, delta: float
) -> Artefact:
    """Returns the artefact with the labels' pairs and the curve that they bend confidence by.

    The curve rises strictly, so that it moves the threshold and never what is served: the same
    labels may set both.
    """
    scores = np.array([one.score for one in labelled], dtype=np.float64)
    correct = np.array([one.is_right for one in labelled], dtype=bool)
    served = np.array([one.is_admissible for one in labelled], dtype=bool) & (scores > 0)
    logits = logit_of(scores)
    bend = fit_bend(logits[served], correct[served])
    pairs = Pairs(
        np.where(served, bend(logits), 0.0),
        correct,
        np.array([one.set_score for one in labelled], dtype=np.float64),
        tuple(one.group for one in labelled),
    )
    return calibration(
        present.model,
        pairs,
        present.summary.examples,
        basis=Basis.LABELLED_TRAFFIC,
        alpha=alpha or present.alpha,
        delta=delta or present.delta,
        recorded=present.recorded,
        mixing=present.mixing,
        bend=bend,
        context=present.context,
    )
