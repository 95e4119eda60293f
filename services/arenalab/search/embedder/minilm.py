"""The default embedder: all-MiniLM-L6-v2 in int8 on onnxruntime, no torch, no download.

Parallelism is over texts, never inside one: a question of 12 tokens is too small to split, and Run
releases the GIL, so threads share one session and its weights. A single text goes by itself in the
caller's thread. Many texts go in batches of equal token length, which the graph requires and which
wastes no work on padding.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from arenalab.search.embedder.cpu import may_saturate_int8, usable_cores
from arenalab.search.embedder.files import (
    DEFAULT_MODEL_DIR,
    DIMENSION,
    GRAPH_NAME,
    INPUT_NAME,
    MAX_TOKENS,
    MODEL_ID,
    MODEL_SHA256,
    OUTPUT_NAME,
    VOCABULARY_NAME,
    verify_file,
)
from arenalab.search.embedder.normalise import NORMALISATION, normalise, normalise_all
from arenalab.search.embedder.protocol import EmbedderIdentity, Vectors, identity_digest
from arenalab.search.embedder.wordpiece import WordPiece

# Measured on short questions: larger batches gain nothing more. The limit on tokens keeps the
# working memory of long texts, which grows with their length squared, near that of a single one.
BATCH_TEXTS = 32
BATCH_TOKENS = 512

_REMEDY = "Run `make model` to build it."


class MiniLmEmbedder:
    """all-MiniLM-L6-v2 behind the `Embedder` protocol."""

    def __init__(self, model_dir: Path = DEFAULT_MODEL_DIR, workers: int | None = None) -> None:
        """Loads and verifies the model; threads start with the first large `embed_many`.

        Args:
            model_dir: Where the build put its files.
            workers: Threads for `embed_many`; by default and at most one a usable core.

        Raises:
            ModelFilesError: A file is missing or has another hash than the known one.
        """
        cores = usable_cores()
        self._workers = max(1, min(workers or cores, cores))
        for name, sha256 in MODEL_SHA256.items():
            verify_file(model_dir / name, sha256, remedy=_REMEDY)
        vocabulary = (model_dir / VOCABULARY_NAME).read_bytes().decode()
        self._tokens = WordPiece(vocabulary, MAX_TOKENS)
        self._session = open_session(model_dir / GRAPH_NAME, exact=may_saturate_int8())
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="embed")
        self._digest = identity_digest(
            {
                "id": MODEL_ID,
                "graph_sha256": MODEL_SHA256[GRAPH_NAME],
                "vocabulary_sha256": MODEL_SHA256[VOCABULARY_NAME],
                "normalisation": NORMALISATION,
                "max_tokens": str(MAX_TOKENS),
                "runtime": f"onnxruntime {onnxruntime.__version__}",
            }
        )

    @property
    def id(self) -> str:
        return MODEL_ID

    @property
    def digest(self) -> str:
        return self._digest

    @property
    def dimension(self) -> int:
        return DIMENSION

    @property
    def max_tokens(self) -> int:
        return MAX_TOKENS

    @property
    def identity(self) -> EmbedderIdentity:
        return EmbedderIdentity(self.id, self.digest, self.dimension)

    def embed(self, text: str) -> Vectors:
        row: Vectors = self._run([self._tokens.encode(normalise(text))])[0]
        return row

    def embed_many(self, texts: Sequence[str]) -> Vectors:
        rows = [self._tokens.encode(text) for text in normalise_all(texts)]
        vectors = np.empty((len(rows), DIMENSION), np.float32)
        batches = list(equal_length_batches([len(row) for row in rows]))
        fill = partial(self._fill, vectors, rows)
        # Few batches are not worth waking other threads for.
        spread = map if self._workers == 1 or len(batches) <= 1 else self._pool.map
        for _ in spread(fill, batches):
            pass
        return vectors

    def count_tokens(self, text: str) -> int:
        return self._tokens.count(normalise(text))

    def close(self) -> None:
        self._pool.shutdown()

    def _fill(self, vectors: Vectors, rows: Sequence[list[int]], batch: list[int]) -> None:
        vectors[batch] = self._run([rows[index] for index in batch])

    def _run(self, rows: list[list[int]]) -> Vectors:
        outputs = self._session.run([OUTPUT_NAME], {INPUT_NAME: np.array(rows, np.int64)})
        vectors: npt.NDArray[np.float32] = outputs[0]
        return vectors


def equal_length_batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yields indices in groups of one length, longest first, so that no worker ends late."""
    by_length: dict[int, list[int]] = defaultdict(list)
    for index, length in enumerate(lengths):
        by_length[length].append(index)
    for length in sorted(by_length, reverse=True):
        size = max(1, min(BATCH_TEXTS, BATCH_TOKENS // length))
        alike = by_length[length]
        for start in range(0, len(alike), size):
            yield alike[start : start + size]


def open_session(graph: Path, *, exact: bool) -> onnxruntime.InferenceSession:
    """Opens the graph for one thread a Run.

    Args:
        graph: The model's file, as a path: from bytes the process was measured 28 MB larger.
        exact: Never add int8 products in 16 bits. The same vectors where the processor does not do
            that anyway, but 60 % slower.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.x64quantprecision", str(int(exact)))
    # Errors only: a warning on a machine with an unusual device helps nobody who embeds on the CPU.
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        graph,
        options,
        providers=["CPUExecutionProvider"],
        # Does not match this graph today, and must not: the fused operator made it a third slower.
        disabled_optimizers=["SkipLayerNormFusion"],
    )
