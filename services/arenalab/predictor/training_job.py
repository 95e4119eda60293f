"""Training in a process of its own, so that its memory goes back when it ends.

The job arrives as JSON on standard input; the artefact and the views leave on standard output, the
former after its length in eight bytes.
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from arenalab.dataset import DatasetStore
from arenalab.predictor.apart import refusals_on_stderr, run_apart
from arenalab.predictor.artefact import dump_artefact
from arenalab.predictor.context_weights import Choice

_LENGTH_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """What to train on, and for what risk."""

    datasets_dir: str
    tenant: str
    dataset: str
    staging: str
    alpha: float
    delta: float
    weighting: str = Choice.AUTO.value


@dataclass(frozen=True, slots=True)
class TrainedFiles:
    """What the curator writes to the version."""

    artefact: bytes  # calibration.json
    views: bytes  # calibration.npz; empty: the version has none


def run_job(job: TrainingJob) -> TrainedFiles:
    """Returns the files.

    Raises:
        MeshError: The staged version is not there, is damaged, or its name is no name.
    """
    # scikit-learn and the corpus are for this process alone.
    from arenalab.predictor.staged import read_corpus
    from arenalab.predictor.training import train
    from arenalab.predictor.view_files import dump_views

    store = DatasetStore(Path(job.datasets_dir))
    corpus = read_corpus(store.open_staging(job.tenant, job.dataset, job.staging))
    trained = train(corpus, job.alpha, job.delta, Choice(job.weighting))
    return TrainedFiles(dump_artefact(trained.artefact), dump_views(trained.views))


async def train_apart(job: TrainingJob) -> TrainedFiles:
    """Runs the job in a new process; a caller that goes away ends it.

    Raises:
        MeshError: As `run_job`; or the process failed.
    """
    job_json = json.dumps(asdict(job)).encode()
    output = await run_apart("arenalab.predictor.training_job", job_json)
    size = int.from_bytes(output[:_LENGTH_BYTES], "big") + _LENGTH_BYTES
    return TrainedFiles(output[_LENGTH_BYTES:size], output[size:])


def main() -> None:
    job = TrainingJob(**json.loads(sys.stdin.read()))
    with refusals_on_stderr():
        files = run_job(job)
    sys.stdout.buffer.write(len(files.artefact).to_bytes(_LENGTH_BYTES, "big"))
    sys.stdout.buffer.write(files.artefact)
    sys.stdout.buffer.write(files.views)


if __name__ == "__main__":
    main()
