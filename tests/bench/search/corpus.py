"""A corpus of any size, and the questions for it: real texts, then near-duplicates of them.

Row i of the vectors is row i of every field, of the dataset version, and, as ids grow with
time and time with the row, of what search serves.

Two kinds of fields are filtered by. Quality, time and tags are drawn at random, so a
filter on them selects everywhere. The domain is a region of the space, "region/3/7/2":
clusters of clusters of clusters of the real texts, about a tenth, a hundredth and a
thousandth of all rows. A filter on it agrees with a question from inside and clashes with
one from outside.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from arenalab.atomic import Context, Metadata, Span, Status, derived_span
from arenalab.dataset import DatasetStore
from arenalab.search.embedder.protocol import Embedder
from arenalab.search.index import BoolArray, FloatArray, IntArray
from arenalab.testing.datasets import write_streamed_version
from arenalab.vectors import load_faiss
from tests.bench.search.texts import read_texts

DATASET: Final = "bench"
FIRST_S: Final = 1_767_225_600  # the time of row 0; one second more each row
ARMS: Final = 10  # clusters of each cluster
HELD_OUT: Final = 2000
PERTURBED: Final = 2000
# Length of the noise that is added to a unit vector before it is scaled to one again:
# cosines of .98 to .86 with the text it came from.
_NOISE: Final = (0.2, 0.6)
_MAX_REAL: Final = 30_000
_BLOCK_ROWS: Final = 16_384
_KEPT: Final = Path("build/bench-search")


@dataclass(frozen=True, kw_only=True, eq=False)
class Corpus:
    """What is served, and what is asked."""

    vectors: FloatArray  # shape (n, d), mapped from the dataset version
    texts: list[str]  # of the real rows
    base: IntArray  # the real row that each row is, or is near to; shape (n,)
    leaves: IntArray  # the smallest cluster of each row, shape (n,)
    quality: FloatArray  # in [0, 100], one decimal
    is_rare: BoolArray  # one of a hundred, tagged "rare"
    version: str
    source: str
    asked_texts: list[str]  # held out
    questions: FloatArray  # of those texts, then of perturbed rows; in random order
    question_leaves: IntArray

    def __len__(self) -> int:
        return len(self.vectors)

    def rows_of(self, span_ids: bytes) -> IntArray:
        """Returns the rows of packed span ids: a UUIDv7 begins with its milliseconds."""
        ids = np.frombuffer(span_ids, np.uint8).reshape(-1, 16)[:, :6].astype(np.int64)
        milliseconds: IntArray = ids @ (256 ** np.arange(5, -1, -1))
        rows: IntArray = milliseconds // 1000 - FIRST_S
        return rows


def make_corpus(root: Path, n: int, embedder: Embedder, seed: int = 7) -> Corpus:
    """Writes a dataset version of n spans below a folder; returns what is in it."""
    rng = np.random.default_rng(seed)
    texts = read_texts()
    count = min(n, len(texts.stored), _MAX_REAL)
    real = _embedded(embedder, texts.stored[:count], "stored")
    asked = texts.asked[:HELD_OUT]
    held_out = _embedded(embedder, asked, "asked")
    tree = _Tree.of(real)
    base = np.concatenate([np.arange(count), rng.integers(0, count, n - count)])
    leaf_of = tree.leaves(real)
    noisy = rng.integers(0, n, PERTURBED)
    corpus = Corpus(
        vectors=np.empty((0, real.shape[1]), np.float32),
        texts=texts.stored[:count],
        base=base,
        leaves=leaf_of[base],
        quality=(rng.integers(0, 1001, n) / 10).astype(np.float32),
        is_rare=rng.random(n) < 1 / 100,
        version="",
        source=texts.source,
        asked_texts=asked,
        questions=np.empty((0, 0), np.float32),
        question_leaves=np.empty(0, np.int64),
    )
    return _written(root, corpus, embedder, real, _Asked(held_out, tree, noisy), rng)


@dataclass(frozen=True, eq=False)
class _Asked:
    held_out: FloatArray
    tree: "_Tree"
    noisy: IntArray  # rows to ask near to


def _written(
    root: Path,
    corpus: Corpus,
    embedder: Embedder,
    real: FloatArray,
    asked: _Asked,
    rng: np.random.Generator,
) -> Corpus:
    datasets = DatasetStore(root / "datasets")
    n = len(corpus.base)
    version = write_streamed_version(
        datasets,
        (_span(corpus, row) for row in range(n)),
        _blocks(real, corpus.base, rng),
        rows=n,
        dimension=real.shape[1],
        embedder_id=embedder.id,
        embedder_digest=embedder.digest,
        dataset=DATASET,
    )
    vectors = datasets.open("default", DATASET, version).embeddings()
    near = perturbed(np.asarray(vectors[np.sort(asked.noisy)]), rng)
    questions = np.concatenate([asked.held_out, near])
    leaves = np.concatenate(
        [asked.tree.leaves(asked.held_out), corpus.leaves[np.sort(asked.noisy)]]
    )
    order = rng.permutation(len(questions))
    return Corpus(
        **{
            **vars(corpus),
            "vectors": vectors,
            "version": version,
            "questions": questions[order],
            "question_leaves": leaves[order],
        }
    )


def _domain_of(leaf: int) -> str:
    """Returns the path of a leaf."""
    return f"region/{leaf // ARMS**2}/{leaf // ARMS % ARMS}/{leaf % ARMS}"


def when_of(row: int) -> str:
    """Returns the time of a row."""
    return f"{np.datetime64(FIRST_S + row, 's')}Z"


def _span(corpus: Corpus, row: int) -> Span:
    base = int(corpus.base[row])
    text = corpus.texts[base]
    return derived_span(
        source="user_upload",
        who="bench",
        did="ask_question",
        this=text if base == row else f"{text} ({row})",
        when=when_of(row),
        status=Status.COMPLETED,
        if_ok=f"answer {base}",
        context=Context(environment=_domain_of(int(corpus.leaves[row]))),
        metadata=Metadata(
            quality_score=round(float(corpus.quality[row]), 1),
            tags=("rare",) if corpus.is_rare[row] else (),
        ),
    )


def _embedded(embedder: Embedder, texts: list[str], name: str) -> FloatArray:
    """Returns vectors, kept from one run to the next: embedding takes longer than the rest."""
    path = _KEPT / f"{name}-{len(texts)}-{embedder.digest[:16]}.npy"
    if path.exists():
        kept: FloatArray = np.load(path)
        return kept
    vectors = embedder.embed_many(texts)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, vectors)
    return vectors


def _blocks(real: FloatArray, base: IntArray, rng: np.random.Generator) -> Iterator[FloatArray]:
    for start in range(0, len(base), _BLOCK_ROWS):
        rows = base[start : start + _BLOCK_ROWS]
        is_real = rows == np.arange(start, start + len(rows))
        block = perturbed(real[rows], rng)
        block[is_real] = real[rows[is_real]]
        yield block


def perturbed(vectors: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Returns a near-duplicate of each vector."""
    noise = rng.standard_normal(vectors.shape, np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    moved = vectors + rng.uniform(*_NOISE, (len(vectors), 1)).astype(np.float32) * noise
    scaled: FloatArray = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    return scaled


@dataclass(frozen=True, eq=False)
class _Tree:
    """Clusters of clusters of clusters, ARMS of each."""

    centres: list[npt.NDArray[np.float32]]  # level by level; children in the order of parents

    @classmethod
    def of(cls, vectors: FloatArray) -> "_Tree":
        centres = [_means(vectors)]
        for _ in range(2):
            labels = cls(centres).leaves(vectors)
            below = [_means(vectors[labels == node]) for node in range(len(centres[-1]))]
            centres.append(np.concatenate(below))
        return cls(centres)

    def leaves(self, vectors: FloatArray) -> IntArray:
        """Returns the node of the lowest level that each vector belongs to."""
        node = np.zeros(len(vectors), np.int64)
        for number, centres in enumerate(self.centres):
            for parent in range(ARMS**number):
                here = np.flatnonzero(node == parent)
                children = centres[parent * ARMS : (parent + 1) * ARMS]
                nearest = np.argmax(vectors[here] @ children.T, axis=1)
                node[here] = -1 - parent * ARMS - nearest  # apart from parents still to come
            node = -1 - node
        return node


def _means(vectors: FloatArray) -> FloatArray:
    if len(vectors) <= ARMS:  # a centre for each, and the rest where no vector is nearest
        missing = np.zeros((ARMS - len(vectors), vectors.shape[1]), np.float32)
        return np.concatenate([vectors, missing - 1])
    means = load_faiss().Kmeans(
        vectors.shape[1], ARMS, niter=8, seed=5, spherical=True, min_points_per_centroid=1
    )
    means.train(np.ascontiguousarray(vectors))
    centres: FloatArray = means.centroids
    return centres
