"""A small dataset, written as the curator writes one."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from nacl.signing import SigningKey

from arenalab.atomic import Span
from arenalab.dataset import DatasetStore, DatasetVersion, Embedder, Settings
from arenalab.testing.spans import make_span

KEY = SigningKey(bytes(32))
SPANS = [
    make_span(f"question {n}", f"outcome {n % 3}", domain="a" if n % 2 else "") for n in range(7)
]

Write = Callable[..., DatasetVersion]


@pytest.fixture
def store(tmp_path: Path) -> DatasetStore:
    return DatasetStore(tmp_path)


@pytest.fixture
def write(store: DatasetStore) -> Write:
    def written(
        spans: Sequence[Span] = SPANS,
        build_time: str = "2026-01-01T00:00:00Z",
        name: str = "faq",
        views: bytes = b"",
    ) -> DatasetVersion:
        vectors = np.arange(len(spans) * 4, dtype=np.float32).reshape(-1, 4)
        with store.staging("default", name) as staging:
            staging.write_spans(spans)
            staging.write_embeddings([vectors[:2], vectors[2:]], rows=len(spans), dimension=4)
            staging.write_calibration(b'{"model":"none"}', views)
            return staging.seal(
                KEY,
                embedder=Embedder("test", "00", 4),
                settings=Settings(0.05, 0.05, 60.0, 0),
                quality={"mean": 71.5},
                calibration={},
                build_time=build_time,
            )

    return written
