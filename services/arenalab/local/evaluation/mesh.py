"""Measuring coverage and risk of the whole mesh on labelled questions."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import grpc

from arenalab.api.common.v1 import answer_pb2, message_pb2
from arenalab.api.curator.v1 import curator_service_pb2 as curator_pb
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.api.ensemble.v1 import ensemble_service_pb2_grpc as pb_grpc
from arenalab.api.predictor.v1 import predictor_service_pb2 as predictor_pb
from arenalab.api.predictor.v1 import predictor_service_pb2_grpc as predictor_grpc
from arenalab.local.cli.data import read_domains, run_ingest, run_publish
from arenalab.local.configs import FREE_ADDRESSES, Configs, Settings
from arenalab.local.home import Home
from arenalab.local.onehost import Ports, running_mesh
from arenalab.mesh import NotFoundError, Telemetry, connect

CALIBRATION_N: Final = 1_800
CLIENTS: Final = 8
OUT_OF_SCOPE: Final = "oos"


@dataclass(frozen=True, slots=True)
class Question:
    """A question and the one outcome that is right; None: memory must not answer."""

    text: str
    outcome: str | None


@dataclass(frozen=True, slots=True)
class Split:
    """What one draw of the calibration questions led to."""

    seed: int
    n: int  # questions asked
    served: int  # answered from memory
    errors: int  # of those wrong
    threshold: float | None
    abstained: dict[str, int]

    @property
    def coverage(self) -> float:
        """Share of the questions that memory answered."""
        return self.served / self.n

    @property
    def risk(self) -> float:
        """Share of the served answers that are wrong; 0 when nothing was served."""
        return self.errors / self.served if self.served else 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """What an evaluation measured, over one or more random splits."""

    benchmark: str
    alpha: float
    delta: float
    calibration_n: int
    dataset_version: str
    splits: tuple[Split, ...]

    @property
    def n(self) -> int:
        """Questions asked, over all splits."""
        return sum(split.n for split in self.splits)

    @property
    def coverage(self) -> float:
        """Share of all questions that memory answered."""
        return sum(split.served for split in self.splits) / self.n

    @property
    def risk(self) -> float:
        """Share of all served answers that are wrong; 0 when nothing was served."""
        served = sum(split.served for split in self.splits)
        return sum(split.errors for split in self.splits) / served if served else 0.0

    @property
    def above_alpha(self) -> int:
        """Splits whose measured risk is above alpha; the bound allows a share of delta."""
        return sum(split.risk > self.alpha for split in self.splits)

    def as_json(self) -> dict[str, object]:
        """Returns every figure, the derived ones too."""
        splits = [
            asdict(split) | {"coverage": split.coverage, "risk": split.risk}
            for split in self.splits
        ]
        return {
            "benchmark": self.benchmark,
            "coverage": self.coverage,
            "risk": self.risk,
            "alpha": self.alpha,
            "delta": self.delta,
            "n": self.n,
            "calibration_n": self.calibration_n,
            "above_alpha": self.above_alpha,
            "dataset_version": self.dataset_version,
            "splits": splits,
        }


async def evaluate_clinc150(
    home: Home,
    data: Path,
    *,
    alpha: float,
    delta: float,
    seeds: Sequence[int],
    say: Callable[[str], None],
) -> Report:
    """Publishes CLINC150's training split, calibrates on a part of its traffic, asks the rest.

    Args:
        home: An empty home.
        data: Folder with data_full.json and domains.json.
        alpha: Tolerated risk.
        delta: Tolerated failure probability.
        seeds: One for each random split of the traffic.
        say: Told how far it is.

    Raises:
        NotFoundError: The data is not there.
    """
    file, size_bytes = _data_file(data)
    configs = Configs(home, Settings.of(home))
    async with running_mesh(configs, Ports(FREE_ADDRESSES, gateway=None)) as running:
        version = await _publish(running.addresses["curator"], file, size_bytes, alpha, delta)
        telemetry = Telemetry("eval")
        async with (
            connect(running.addresses["predictor"], telemetry) as predictor,
            connect(running.addresses["ensemble"], telemetry) as ensemble,
        ):
            splits = []
            for seed in seeds:
                calibration, test = split_traffic(file, seed)
                say(f"split {seed}: calibrating on {len(calibration):,}, asking {len(test):,}")
                calibrated = await predictor_grpc.PredictorServiceStub(predictor).Calibrate(
                    _labels(calibration, alpha, delta), timeout=300.0
                )
                outcomes = await _ask_all(ensemble, test, alpha, delta)
                splits.append(_split(seed, len(test), calibrated, outcomes))
    return Report("clinc150", alpha, delta, CALIBRATION_N, version, tuple(splits))


def _data_file(data: Path) -> tuple[Path, int]:
    file = data / "data_full.json"
    if not file.exists():
        raise NotFoundError(
            f"CLINC150 is not at {data}; its public source is github.com/clinc/oos-eval. "
            "Set ARENALAB_DATA to the folder that holds clinc150/"
        )
    return file, file.stat().st_size


async def _publish(curator: str, file: Path, size_bytes: int, alpha: float, delta: float) -> str:
    header = curator_pb.IngestHeader(
        dataset="clinc150",
        format=curator_pb.INGEST_FORMAT_CLINC150,
        file_name=file.name,
        size_bytes=size_bytes,
        splits=["train"],
        domains=read_domains(file, None),
    )
    await run_ingest(curator, header, file, quiet=False)
    request = curator_pb.PublishRequest(dataset="clinc150", alpha=alpha, delta=delta)
    return (await run_publish(curator, request, quiet=False)).dataset_version


def _split(
    seed: int, n: int, calibrated: predictor_pb.CalibrateResponse, outcomes: Counter[str]
) -> Split:
    guarantee = calibrated.summary.guarantee
    return Split(
        seed=seed,
        n=n,
        served=outcomes["right"] + outcomes["wrong"],
        errors=outcomes["wrong"],
        threshold=guarantee.threshold if guarantee.HasField("threshold") else None,
        abstained={k: v for k, v in outcomes.items() if k not in ("right", "wrong")},
    )


def split_traffic(file: Path, seed: int) -> tuple[list[Question], list[Question]]:
    """Returns calibration and test questions: the file's test splits, shuffled, then cut."""
    splits = json.loads(file.read_text())
    traffic = [Question(text, intent) for text, intent in splits["test"]]
    traffic += [Question(text, None) for text, _ in splits["oos_test"]]
    random.Random(seed).shuffle(traffic)  # noqa: S311 - a split, not a secret
    return traffic[:CALIBRATION_N], traffic[CALIBRATION_N:]


async def _labels(
    questions: Sequence[Question], alpha: float, delta: float
) -> AsyncIterator[predictor_pb.CalibrateRequest]:
    header = predictor_pb.CalibrateHeader(alpha=alpha, delta=delta)
    yield predictor_pb.CalibrateRequest(header=header)
    for question in questions:
        right = [question.outcome] if question.outcome else []
        example = predictor_pb.LabelledQuestion(question=question.text, outcomes=right)
        yield predictor_pb.CalibrateRequest(example=example)


async def _ask_all(
    channel: grpc.aio.Channel, questions: Sequence[Question], alpha: float, delta: float
) -> Counter[str]:
    stub = pb_grpc.EnsembleServiceStub(channel)
    outcomes: Counter[str] = Counter()
    waiting = iter(questions)

    async def client() -> None:
        for question in waiting:
            outcomes[await _ask(stub, question, alpha, delta)] += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(client())
    return outcomes


async def _ask(
    stub: "pb_grpc.EnsembleServiceAsyncStub", question: Question, alpha: float, delta: float
) -> str:
    """Returns "right", "wrong", or the reason of the abstention."""
    request = pb.AnswerRequest(
        model="arenalab/memory-only",
        messages=[message_pb2.Message(role=message_pb2.ROLE_USER, content=question.text)],
        policy=pb.AnswerPolicy(alpha=alpha, delta=delta),
    )
    text, finished = "", pb.AnswerFinished()
    async for event in stub.Answer(request):
        if event.HasField("delta"):
            text += event.delta.text
        elif event.HasField("finished"):
            finished = event.finished
    if finished.route == pb.ROUTE_MEMORY:
        return "right" if text == question.outcome else "wrong"
    reason = answer_pb2.AbstainReason.Name(finished.abstention.reason)
    return reason.removeprefix("ABSTAIN_REASON_")
