"""Training in a process of its own, so that its memory goes back when it ends.

The job arrives as JSON on standard input; the artefact leaves on standard output. An error that
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
from arenalab.predictor.context_weights import Choice

_REFUSED: Final = 3
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
    weighting: str = Choice.AUTO.value


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
    return dump_artefact(train(corpus, job.alpha, job.delta, Choice(job.weighting)))


async def train_apart(job: TrainingJob) -> bytes:
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
        return output
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
        artefact = run_job(job)
    except (InvalidInputError, NotFoundError, DataLossError) as error:
        form = {**error.metadata, "message": str(error), "reason": str(error.reason)}
        sys.stderr.write(json.dumps(form))
        raise SystemExit(_REFUSED) from error
    sys.stdout.buffer.write(artefact)


if __name__ == "__main__":
    main()
