"""Dataset versions for tests: real ones, signed, on disk."""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from nacl.signing import SigningKey
from numpy.typing import NDArray

from arenalab.atomic import Span
from arenalab.dataset import DatasetStore, Embedder, Settings

SIGNING_KEY: Final = SigningKey(bytes(range(32)))
_SETTINGS: Final = Settings(alpha=0.05, delta=0.05, min_quality=0.0, max_per_domain=0)


def write_version(
    datasets: DatasetStore,
    spans: Sequence[Span],
    vectors: NDArray[np.float32],
    *,
    embedder_id: str,
    embedder_digest: str,
    dataset: str = "faq",
    tenant: str = "default",
) -> str:
    """Writes a version signed by SIGNING_KEY, without calibration; returns its name."""
    return write_streamed_version(
        datasets,
        spans,
        [vectors],
        rows=len(vectors),
        dimension=vectors.shape[1],
        embedder_id=embedder_id,
        embedder_digest=embedder_digest,
        dataset=dataset,
        tenant=tenant,
    )


def write_streamed_version(
    datasets: DatasetStore,
    spans: Iterable[Span],
    blocks: Iterable[NDArray[np.float32]],
    *,
    rows: int,
    dimension: int,
    embedder_id: str,
    embedder_digest: str,
    dataset: str = "faq",
    tenant: str = "default",
) -> str:
    """As `write_version`, with spans and blocks of vectors taken one at a time."""
    with datasets.staging(tenant, dataset) as staging:
        staging.write_spans(spans)
        staging.write_embeddings(blocks, rows=rows, dimension=dimension)
        staging.write_calibration(b"{}")
        version = staging.seal(
            SIGNING_KEY,
            embedder=Embedder(embedder_id, embedder_digest, dimension),
            settings=_SETTINGS,
            quality={},
            calibration={},
            build_time="2026-11-20T10:00:00Z",
        )
    return version.manifest.version
