"""Training in a process of its own, so that its memory goes back when it ends.

The job arrives as JSON on standard input; the artefact leaves on standard output.
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from arenalab.dataset import DatasetStore
from arenalab.predictor.apart import refusals_on_stderr, run_apart
from arenalab.predictor.artefact import dump_artefact


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """What to train on, and for what risk."""

    datasets_dir: str
    tenant: str
    dataset: str
    staging: str
    alpha: float
    delta: float


def run_job(job: TrainingJob) -> bytes:
    """Returns the artefact.

    Raises:
        MeshError: The staged version is not there, is damaged, or its name is no name.
    """
    # scikit-learn and the corpus are for this process alone.
    from arenalab.predictor.staged import read_corpus
    from arenalab.predictor.training import train

    store = DatasetStore(Path(job.datasets_dir))
    corpus = read_corpus(store.open_staging(job.tenant, job.dataset, job.staging))
    return dump_artefact(train(corpus, job.alpha, job.delta))


async def train_apart(job: TrainingJob) -> bytes:
    """Runs the job in a new process; a caller that goes away ends it.

    Raises:
        MeshError: As `run_job`; or the process failed.
    """
    return await run_apart("arenalab.predictor.training_job", json.dumps(asdict(job)).encode())


def main() -> None:
    job = TrainingJob(**json.loads(sys.stdin.read()))
    with refusals_on_stderr():
        artefact = run_job(job)
    sys.stdout.buffer.write(artefact)


if __name__ == "__main__":
    main()
