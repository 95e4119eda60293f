"""The graph against the same encoder in plain numpy, on small random weights."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest

from arenalab.search.embedder.files import INPUT_NAME, OUTPUT_NAME
from arenalab.search.embedder.graph import BertShape, build_graph

Matrix = npt.NDArray[np.float64]
SHAPE = BertShape(hidden=64, heads=4, layers=2, max_tokens=12)
WORDS, WIDE = 50, 256


def random_weights(seed: int) -> dict[str, npt.NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    hidden = SHAPE.hidden
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (WORDS, hidden),
        "embeddings.position_embeddings.weight": (2 * SHAPE.max_tokens, hidden),
        "embeddings.token_type_embeddings.weight": (2, hidden),
    }
    linear = {"intermediate.dense": (WIDE, hidden), "output.dense": (hidden, WIDE)}
    for part in ("self.query", "self.key", "self.value", "output.dense"):
        linear[f"attention.{part}"] = (hidden, hidden)
    for layer in range(SHAPE.layers):
        for name, size in linear.items():
            shapes[f"encoder.layer.{layer}.{name}.weight"] = size
            shapes[f"encoder.layer.{layer}.{name}.bias"] = size[:1]
    weights = {
        name: rng.normal(0, 1 / math.sqrt(size[-1]), size).astype(np.float32)
        for name, size in shapes.items()
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(SHAPE.layers):
        norms += [f"encoder.layer.{layer}.{part}output.LayerNorm" for part in ("attention.", "")]
    for name in norms:
        weights[name + ".weight"] = rng.uniform(0.5, 1.5, hidden).astype(np.float32)
        weights[name + ".bias"] = rng.normal(0, 0.1, hidden).astype(np.float32)
    return weights


class PlainEncoder:
    """BERT by the book in float64, nothing folded, nothing quantised."""

    def __init__(self, weights: dict[str, npt.NDArray[np.float32]]) -> None:
        self._w = {name: value.astype(np.float64) for name, value in weights.items()}

    def embed(self, ids: list[int]) -> Matrix:
        x = self._w["embeddings.word_embeddings.weight"][ids]
        x = x + self._w["embeddings.position_embeddings.weight"][: len(ids)]
        x = self._norm(
            x + self._w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm"
        )
        for layer in range(SHAPE.layers):
            name = f"encoder.layer.{layer}."
            mixed = self._linear(self._attend(x, name), name + "attention.output.dense")
            x = self._norm(x + mixed, name + "attention.output.LayerNorm")
            wide = _gelu(self._linear(x, name + "intermediate.dense"))
            x = self._norm(x + self._linear(wide, name + "output.dense"), name + "output.LayerNorm")
        mean = x.mean(axis=0)
        return np.asarray(mean / np.linalg.norm(mean))

    def _attend(self, x: Matrix, name: str) -> Matrix:
        query, key, value = (
            self._linear(x, f"{name}attention.self.{part}").reshape(len(x), SHAPE.heads, -1)
            for part in ("query", "key", "value")
        )
        logits = np.einsum("qhd,khd->hqk", query, key) / math.sqrt(SHAPE.head_width)
        look = np.exp(logits - logits.max(axis=-1, keepdims=True))
        look /= look.sum(axis=-1, keepdims=True)
        mixed: Matrix = np.einsum("hqk,khd->qhd", look, value).reshape(len(x), -1)
        return mixed

    def _linear(self, x: Matrix, name: str) -> Matrix:
        product: Matrix = x @ self._w[name + ".weight"].T
        return product + self._w[name + ".bias"]

    def _norm(self, x: Matrix, name: str) -> Matrix:
        centred = x - x.mean(axis=-1, keepdims=True)
        spread = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
        return np.asarray(centred / spread * self._w[name + ".weight"] + self._w[name + ".bias"])


def _gelu(x: Matrix) -> Matrix:
    erf: Matrix = np.vectorize(math.erf)(x / math.sqrt(2))
    return x * 0.5 * (1 + erf)


@contextmanager
def session(graph: bytes) -> Iterator[onnxruntime.InferenceSession]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    yield onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("seed", [1, 2])
def test_the_graph_computes_the_encoder_up_to_the_rounding_of_its_weights(seed: int) -> None:
    weights = random_weights(seed)
    plain = PlainEncoder(weights)
    rng = np.random.default_rng(seed)
    with session(build_graph(weights, SHAPE)) as run:
        for length in (2, 3, 7, SHAPE.max_tokens):
            ids = rng.integers(0, WORDS, (3, length))
            found = run.run([OUTPUT_NAME], {INPUT_NAME: ids})[0]
            wanted = np.array([plain.embed(row.tolist()) for row in ids])
            cosines = (found * wanted).sum(axis=1)
            assert cosines.min() > 0.998


def test_a_row_is_the_same_alone_and_beside_others() -> None:
    ids = np.random.default_rng(3).integers(0, WORDS, (5, 6))
    with session(build_graph(random_weights(3), SHAPE)) as run:
        together = run.run([OUTPUT_NAME], {INPUT_NAME: ids})[0]
        alone = [run.run([OUTPUT_NAME], {INPUT_NAME: row[np.newaxis]})[0][0] for row in ids]

    assert np.abs(together - np.array(alone)).max() <= 6e-8


def test_rows_of_zeros_do_not_become_numbers_that_are_none() -> None:
    weights = random_weights(4)
    for name in weights:
        if name.endswith(("value.weight", "value.bias", "intermediate.dense.weight")):
            weights[name] = np.zeros_like(weights[name])
        if name.endswith("intermediate.dense.bias"):
            weights[name] = np.zeros_like(weights[name])
    with session(build_graph(weights, SHAPE)) as run:
        vector = run.run([OUTPUT_NAME], {INPUT_NAME: np.array([[1, 2, 3]])})[0]

    assert np.isfinite(vector).all()
    assert PlainEncoder(weights).embed([1, 2, 3]) @ vector[0] > 0.998


def test_the_same_weights_give_the_same_bytes() -> None:
    assert build_graph(random_weights(5), SHAPE) == build_graph(random_weights(5), SHAPE)
    assert build_graph(random_weights(5), SHAPE) != build_graph(random_weights(6), SHAPE)
