"""The contrast certificate of a staged version, made in processes of their own.

Two of them, because the variants of the questions are embedded between: the first makes the
pairs, the second asks the version.
"""

import base64
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from arenalab.contrast.certificate import ContrastCertificate, Rate, contrast_certificate
from arenalab.contrast.generator import ContrastKind, ContrastPair
from arenalab.dataset import DatasetStore
from arenalab.predictor.apart import refusals_on_stderr, run_apart
from arenalab.predictor.holdout import Corpus
from arenalab.predictor.neighbourhood import Vectors
from arenalab.predictor.training_job import TrainedFiles

_MODULE: Final = "arenalab.predictor.certifying_job"
# Texts of one call; the embedder takes a few hundred a second on one core.
_TEXTS_PER_CALL: Final = 64


@dataclass(frozen=True, slots=True)
class StagedName:
    """Where a staged version lies."""

    datasets_dir: str
    tenant: str
    dataset: str
    staging: str


async def certify_apart(
    staged: StagedName, files: TrainedFiles, embed: Callable[[Sequence[str]], Awaitable[Vectors]]
) -> ContrastCertificate:
    """Returns the certificate of a version with its calibration.

    Args:
        staged: The version.
        files: Its calibration and views.
        embed: Returns the vectors of texts, one row each.

    Raises:
        MeshError: The version is not there or damaged, a process failed, or embedding did.
    """
    job = {"staged": asdict(staged)}
    made = json.loads(await run_apart(_MODULE, json.dumps(job).encode()))
    pairs = [_pair_of(form) for form in made]
    if not pairs:
        return contrast_certificate([], lambda _: [])
    texts = [pair.variant for pair in pairs]
    vectors = np.concatenate(
        [
            await embed(texts[start : start + _TEXTS_PER_CALL])
            for start in range(0, len(texts), _TEXTS_PER_CALL)
        ]
    )
    asked = {
        **job,
        "artefact": files.artefact.decode(),
        "views": base64.b64encode(files.views).decode(),
        "pairs": made,
        "vectors": base64.b64encode(vectors.astype("<f4").tobytes()).decode(),
    }
    return _certificate_of(json.loads(await run_apart(_MODULE, json.dumps(asked).encode())))


def run_job(job: dict[str, Any]) -> Any:
    """Returns the pairs of a staged version; its certificate, where the job holds vectors.

    Raises:
        MeshError: The version is not there or damaged.
    """
    from arenalab.predictor.artefact import load_artefact
    from arenalab.predictor.calibrated import Calibrated
    from arenalab.predictor.certifying import certify, pairs_of
    from arenalab.predictor.view_files import load_views

    corpus = _corpus(StagedName(**job["staged"]))
    if "vectors" not in job:
        return [asdict(pair) for pair in pairs_of(corpus)]
    pairs = [_pair_of(form) for form in job["pairs"]]
    numbers = np.frombuffer(base64.b64decode(job["vectors"]), dtype="<f4")
    vectors = numbers.reshape(len(pairs), -1).astype(np.float32)
    views = load_views(base64.b64decode(job["views"]))
    calibrated = Calibrated(load_artefact(job["artefact"].encode()), views)
    return asdict(certify(corpus, calibrated, pairs, vectors))


def _corpus(staged: StagedName) -> Corpus:
    from arenalab.predictor.staged import read_corpus

    store = DatasetStore(Path(staged.datasets_dir))
    return read_corpus(store.open_staging(staged.tenant, staged.dataset, staged.staging))


def _pair_of(form: dict[str, str]) -> ContrastPair:
    return ContrastPair(
        ContrastKind(form["kind"]), form["question"], form["variant"], form["outcome"]
    )


def _certificate_of(form: dict[str, Any]) -> ContrastCertificate:
    return ContrastCertificate(
        total=Rate(**form["total"]),
        by_kind={ContrastKind(kind): Rate(**one) for kind, one in form["by_kind"].items()},
        otherwise=form["otherwise"],
        examples=tuple(_pair_of(example) for example in form["examples"]),
    )


def main() -> None:
    job = json.loads(sys.stdin.read())
    with refusals_on_stderr():
        result = run_job(job)
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main()
