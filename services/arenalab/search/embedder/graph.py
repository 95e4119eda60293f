"""all-MiniLM-L6-v2 written as an ONNX graph with int8 weights and one activation range per token.

Input `ids`: int64 (batch, length), rows of equal length, no padding. Output `vector`: float32
(batch, hidden), unit length.

*Independence.* Every product with a weight matrix puts each row of its input on 255 levels of that
row's own largest magnitude. A row's result depends on that row alone, so a text has the same vector
in every batch. (One range for the whole tensor, which is what onnxruntime's dynamic quantisation
does, moves vectors by up to 0.05 in cosine when texts are batched.)

*Speed.* A question has about 12 tokens, and then the number of operators counts as much as the
arithmetic. Hence:

- No attention mask: the rows of a batch are equally long, `MiniLmEmbedder` sees to it.
- Blocked QuantizeLinear with one block a row divides and rounds in one pass.
- The bias of the keys is left out: it adds the same to every logit of a softmax. The bias of the
  values passes through the softmax unchanged, so it joins the bias of the product that follows.
  The scale of the logits is folded into the queries.
- Token-major order (length, batch, heads, width) lets FusedMatMul read the heads in place, where
  batch-major order needs a transposed copy first.
- Mean pooling is a sum, since the normalisation after it cancels the division.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, TensorProto, helper, numpy_helper

from arenalab.search.embedder.files import INPUT_NAME, MODEL_ID, OUTPUT_NAME

Array = npt.NDArray[Any]
Weights = Mapping[str, npt.NDArray[np.float32]]

# The largest int8 magnitude used; leaving out -128 keeps the levels symmetric.
LEVELS = np.float32(127)
# Activations are unsigned around this zero: onnxruntime's kernels for signed ones are ten times
# slower.
ZERO_POINT = np.uint8(128)
# From BERT's config.json.
LAYER_NORM_EPSILON = 1e-12
# Opset 21 is the first with blocked QuantizeLinear, and IR 10 the first that may carry it.
OPSET, IR_VERSION = 21, 10
# onnxruntime's own operators, where they do in one pass what the standard ones do in several.
ORT_DOMAIN = "com.microsoft"


@dataclass(frozen=True, slots=True)
class BertShape:
    """The sizes of a BERT encoder."""

    hidden: int
    heads: int
    layers: int
    max_tokens: int

    @property
    def head_width(self) -> int:
        return self.hidden // self.heads


MINILM = BertShape(hidden=384, heads=12, layers=6, max_tokens=256)


def build_graph(weights: Weights, shape: BertShape = MINILM) -> bytes:
    """Returns the serialised model; the same weights always give the same bytes."""
    model = _Encoder(weights, shape).model()
    return bytes(model.SerializeToString(deterministic=True))


class _Encoder:
    """Appends the model's nodes in order of execution; every method returns an output's name."""

    def __init__(self, weights: Weights, shape: BertShape) -> None:
        self._weights = weights
        self._shape = shape
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}

    def model(self) -> ModelProto:
        tokens = self._embeddings()
        for layer in range(self._shape.layers):
            tokens = self._feed_forward(self._attention(tokens, layer), layer)
        self._pooled(tokens)
        hidden = self._shape.hidden
        graph = helper.make_graph(
            self._nodes,
            MODEL_ID,
            [helper.make_tensor_value_info(INPUT_NAME, TensorProto.INT64, ["batch", "length"])],
            [helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, ["batch", hidden])],
            list(self._constants.values()),
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(ORT_DOMAIN, 1)]
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="arenalab"
        )

    def _embeddings(self) -> str:
        """The sum of word, position and type vectors, one row a token, normalised."""
        table, steps = _quantise_rows(self._weights["embeddings.word_embeddings.weight"])
        ids = self._node("Transpose", INPUT_NAME, output="ids_by_token", perm=[1, 0])
        rows = self._node("Gather", self._constant("words", table), ids)
        scales = self._node("Gather", self._constant("words.step", steps), ids)
        words = self._node("Mul", self._node("Cast", rows, to=TensorProto.FLOAT), scales)
        sums = self._node("Add", words, self._places())
        self._note_sizes(ids)
        return self._norm(self._node("Reshape", sums, "shape.rows"), "embeddings.LayerNorm")

    def _places(self) -> str:
        # Only token type 0 is in use, so its vector is added to every position beforehand.
        places = self._weights["embeddings.position_embeddings.weight"][: self._shape.max_tokens]
        table = places + self._weights["embeddings.token_type_embeddings.weight"][0]
        length = self._node("Shape", INPUT_NAME, start=1, end=2)
        start = self._ints("zero", [0])
        return self._node("Slice", self._constant("places", table[:, np.newaxis]), start, length)

    def _note_sizes(self, ids: str) -> None:
        """Names the sizes that depend on the input, once for all layers."""
        shape = self._shape
        sizes = self._node("Shape", ids)
        heads = self._ints("heads", [3, shape.heads, shape.head_width])
        self._node("Concat", sizes, heads, output="shape.heads", axis=0)
        self._node(
            "Concat", sizes, self._ints("width", [shape.hidden]), output="shape.tokens", axis=0
        )
        self._ints("shape.rows", [-1, shape.hidden])
        count = self._node("ReduceProd", sizes, keepdims=1)
        column = self._node("Concat", count, self._ints("one", [1]), axis=0)
        zero = numpy_helper.from_array(np.array([ZERO_POINT]))
        self._node("ConstantOfShape", column, output="zero_points", value=zero)

    def _attention(self, tokens: str, layer: int) -> str:
        name = f"encoder.layer.{layer}.attention."
        output = self._weights[name + "output.dense.weight"]
        bias = self._weights[name + "output.dense.bias"] + _exact_product(
            output, self._weights[name + "self.value.bias"]
        )
        heads = self._heads(tokens, name + "self.")
        product = self._product(heads, name + "output.dense", output)
        return self._residual(tokens, product, bias.astype(np.float32), name + "output")

    def _heads(self, tokens: str, name: str) -> str:
        """Softmax(queries x keys) x values, side by side for all heads, one row a token."""
        shape = self._shape
        scale = np.float32(1 / math.sqrt(shape.head_width))
        parts = [self._weights[f"{name}{part}.weight"] for part in ("query", "key", "value")]
        together = np.concatenate([parts[0] * scale, parts[1], parts[2]])
        product = self._node(
            "Reshape", self._product(tokens, name + "all", together), "shape.heads"
        )
        bias = self._weights[name + "query.bias"] * scale
        query, key, value = self._thirds(product)
        query = self._node(
            "Add", query, self._constant(name + "bias", bias.reshape(shape.heads, shape.head_width))
        )
        logits = self._fused(query, key, transBatchA=1, transB=1)
        mixed = self._fused(self._node("Softmax", logits, axis=-1), value)
        by_token = self._node("Transpose", mixed, perm=[3, 0, 1, 2, 4])
        return self._node("Reshape", by_token, "shape.rows")

    def _fused(self, left: str, right: str, **flags: Any) -> str:
        """Per head left x right, the right one read where it lies in token-major order."""
        return self._node("FusedMatMul", left, right, domain=ORT_DOMAIN, transBatchB=1, **flags)

    def _thirds(self, product: str) -> list[str]:
        outputs = [f"{product}.{part}" for part in ("query", "key", "value")]
        sizes = self._ints("thirds", [1, 1, 1])
        self._nodes.append(helper.make_node("Split", [product, sizes], outputs, outputs[0], axis=2))
        return outputs

    def _feed_forward(self, tokens: str, layer: int) -> str:
        name = f"encoder.layer.{layer}."
        wide, narrow = name + "intermediate.dense", name + "output.dense"
        product = self._product(tokens, wide, self._weights[wide + ".weight"])
        bias = self._constant(wide + ".bias", self._weights[wide + ".bias"])
        active = self._node("BiasGelu", product, bias, domain=ORT_DOMAIN)
        product = self._product(active, narrow, self._weights[narrow + ".weight"])
        return self._residual(tokens, product, self._weights[narrow + ".bias"], name + "output")

    def _pooled(self, tokens: str) -> None:
        by_text = self._node("Reshape", tokens, "shape.tokens")
        total = self._node("ReduceSum", by_text, self._ints("zero", [0]), keepdims=0)
        self._node("LpNormalization", total, output=OUTPUT_NAME, axis=-1, p=2)

    def _product(self, rows: str, name: str, weight: npt.NDArray[np.float32]) -> str:
        """Rows x weight.T in int8. An all-zero row has step 0 and comes out as zeros."""
        levels, steps = _quantise_rows(weight)
        largest = self._node(
            "ReduceMax", self._node("Abs", rows), self._ints("last", [-1]), keepdims=1
        )
        step = self._node("Mul", largest, self._constant("level", 1 / LEVELS))
        unsigned = self._node(
            "QuantizeLinear", rows, step, "zero_points", axis=1, block_size=weight.shape[1]
        )
        product = self._node(
            "MatMulIntegerToFloat",
            unsigned,
            self._constant(name + ".levels", levels.T),
            self._constant("unit", np.float32(1)),
            self._constant(name + ".steps", steps[:, 0]),
            self._constant("zero_point", ZERO_POINT),
            domain=ORT_DOMAIN,
        )
        return self._node("Mul", product, step)

    def _residual(self, rows: str, product: str, bias: Array, name: str) -> str:
        change = self._node("Add", product, self._constant(name + ".bias", bias))
        return self._norm(self._node("Add", rows, change), name + ".LayerNorm")

    def _norm(self, rows: str, name: str) -> str:
        gain, shift = (
            self._constant(f"{name}.{part}", self._weights[f"{name}.{part}"])
            for part in ("weight", "bias")
        )
        return self._node(
            "LayerNormalization", rows, gain, shift, axis=-1, epsilon=LAYER_NORM_EPSILON
        )

    def _ints(self, name: str, values: list[int]) -> str:
        return self._constant(name, np.array(values, np.int64))

    def _constant(self, name: str, value: Array | np.generic) -> str:
        if name not in self._constants:
            # asarray with C order, not ascontiguousarray, which would make a scalar a vector.
            self._constants[name] = numpy_helper.from_array(np.asarray(value, order="C"), name)
        return name

    def _node(
        self, kind: str, *inputs: str, output: str = "", domain: str = "", **attributes: Any
    ) -> str:
        name = output or f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(
            helper.make_node(kind, inputs, [name], name, domain=domain, **attributes)
        )
        return name


def _quantise_rows(
    matrix: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Returns int8 levels of the matrix's shape and the step of each row, shape (rows, 1)."""
    steps = np.abs(matrix).max(axis=1, keepdims=True) / LEVELS
    steps[steps == 0] = 1
    return np.round(matrix / steps).astype(np.int8), steps.astype(np.float32)


def _exact_product(
    matrix: npt.NDArray[np.float32], vector: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """Returns matrix x vector correctly rounded, so that the bytes do not depend on a BLAS.

    The product of two float32 is exact in float64, and fsum rounds once.
    """
    products = matrix.astype(np.float64) * vector
    return np.array([math.fsum(row) for row in products])
