"""Training in a process of its own, so that its memory goes back when it ends.

The job arrives as JSON on standard input; the artefact and the views leave on standard output, the
former after its length in eight bytes. An error that
the caller may act on leaves on standard error as JSON, with exit status 3.
"""

import asyncio
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from arenalab.dataset import DatasetStore
from arenalab.mesh import DataLossError, InvalidInputError, MeshError, NotFoundError, Reason
from arenalab.predictor.artefact import dump_artefact

_REFUSED: Final = 3
_LENGTH_BYTES: Final = 8
_KINDS: Final = {
    Reason.CORRUPT_DATASET: DataLossError,
    Reason.INVALID_ARGUMENT: InvalidInputError,
}


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """What to train on, and for what risk."""

    datasets_dir: str
    tenant: str
    dataset: str
    staging: str
    alpha: float
    delta: float


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
    trained = train(corpus, job.alpha, job.delta)
    return TrainedFiles(dump_artefact(trained.artefact), dump_views(trained.views))


async def train_apart(job: TrainingJob) -> TrainedFiles:
    """Runs the job in a new process; a caller that goes away ends it.

    Raises:
        MeshError: As `run_job`; or the process failed.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "arenalab.predictor.training_job",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await process.communicate(json.dumps(asdict(job)).encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == 0:
        size = int.from_bytes(output[:_LENGTH_BYTES], "big") + _LENGTH_BYTES
        return TrainedFiles(output[_LENGTH_BYTES:size], output[size:])
    if process.returncode == _REFUSED:
        raise _rebuilt(json.loads(errors))
    raise MeshError(f"training ended with status {process.returncode}: {errors.decode()[-2000:]}")


def _rebuilt(form: dict[str, str]) -> MeshError:
    reason = Reason(form.pop("reason"))
    message = form.pop("message")
    return _KINDS.get(reason, NotFoundError)(message, reason, **form)


def main() -> None:
    job = TrainingJob(**json.loads(sys.stdin.read()))
    try:
        files = run_job(job)
    except (InvalidInputError, NotFoundError, DataLossError) as error:
        form = {**error.metadata, "message": str(error), "reason": str(error.reason)}
        sys.stderr.write(json.dumps(form))
        raise SystemExit(_REFUSED) from error
    sys.stdout.buffer.write(len(files.artefact).to_bytes(_LENGTH_BYTES, "big"))
    sys.stdout.buffer.write(files.artefact)
    sys.stdout.buffer.write(files.views)


if __name__ == "__main__":
    main()
