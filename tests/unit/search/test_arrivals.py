"""Vectors that come with spans: kept as they are, and refused by the name of the span."""

import math

import numpy as np
import pytest

from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.atomic import to_proto
from arenalab.mesh import InvalidInputError, PreconditionError, Reason
from arenalab.search import arrivals
from arenalab.search.index.protocol import FloatArray
from arenalab.search.store.span_store import Record
from arenalab.testing.spans import make_span

DIMENSION = 4
RECORD = Record(
    tenant="default",
    dataset="faq",
    version="0" * 64,
    published_at_ns=1,
    generation=1,
    embedder_id="tiny",
    embedder_digest="d1",
    dimension=DIMENSION,
    live_part=1,
    added_part=2,
)
SPANS = [to_proto(make_span(f"question {number}", "answer")) for number in range(3)]


def vectors() -> FloatArray:
    rows = np.random.default_rng(1).standard_normal((len(SPANS), DIMENSION))
    unit: FloatArray = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


def request(packed: bytes, digest: str = "d1") -> pb.AddSpansRequest:
    return pb.AddSpansRequest(dataset="faq", spans=SPANS, vectors=packed, embedder_digest=digest)


def test_a_unit_vector_is_kept_bit_for_bit() -> None:
    spans, found = arrivals.given(request(vectors().tobytes()), RECORD)
    assert [span.id for span in spans] == [span.id for span in SPANS]
    assert found.tobytes() == vectors().tobytes()


@pytest.mark.parametrize("factor", [2.0, 1e-30, 3e38])
def test_a_vector_of_another_length_is_scaled(factor: float) -> None:
    scaled = vectors() * np.float32(factor)
    found = arrivals.given(request(scaled.tobytes()), RECORD)[1]
    np.testing.assert_allclose(found, vectors(), atol=1e-6)
    again = arrivals.given(request(found.tobytes()), RECORD)[1]
    assert again.tobytes() == found.tobytes()


@pytest.mark.parametrize("component", [math.nan, math.inf, -math.inf])
def test_a_vector_that_holds_no_number_names_its_span(component: float) -> None:
    wrong = vectors()
    wrong[1, 2] = component
    with pytest.raises(InvalidInputError, match=r"spans\[1\]: .*not a finite number") as caught:
        arrivals.given(request(wrong.tobytes()), RECORD)
    assert caught.value.reason is Reason.INVALID_VECTOR
    assert caught.value.metadata["field"] == "spans[1]"


def test_a_vector_without_length_names_its_span() -> None:
    wrong = vectors()
    wrong[2] = 0
    with pytest.raises(InvalidInputError, match=r"spans\[2\]: .*length 0") as caught:
        arrivals.given(request(wrong.tobytes()), RECORD)
    assert caught.value.reason is Reason.INVALID_VECTOR


@pytest.mark.parametrize("cut", [4, 1, 4 * DIMENSION])
def test_vectors_of_another_length_than_the_spans_are_refused(cut: int) -> None:
    with pytest.raises(InvalidInputError, match="48 bytes for 3 spans") as caught:
        arrivals.given(request(vectors().tobytes()[:-cut]), RECORD)
    assert caught.value.reason is Reason.INVALID_VECTOR
    assert caught.value.metadata["expected"] == "12"


def test_a_text_that_no_embedder_could_embed_is_refused_although_it_has_a_vector() -> None:
    wrong = request(vectors().tobytes())
    wrong.spans[1].this = "\u200b"
    with pytest.raises(InvalidInputError) as caught:
        arrivals.given(wrong, RECORD)
    assert caught.value.reason is Reason.INVALID_SPAN
    assert caught.value.metadata["field"] == "spans[1].this"


def test_vectors_must_name_their_embedder() -> None:
    with pytest.raises(InvalidInputError) as caught:
        arrivals.check_embedder(request(vectors().tobytes(), ""), RECORD)
    assert caught.value.metadata["field"] == "embedder_digest"
    arrivals.check_embedder(request(b"", ""), RECORD)
    arrivals.check_embedder(request(vectors().tobytes()), RECORD)


@pytest.mark.parametrize("packed", [b"", vectors().tobytes()])
def test_another_embedder_is_refused(packed: bytes) -> None:
    with pytest.raises(PreconditionError, match="tiny@d1") as caught:
        arrivals.check_embedder(request(packed, "d2"), RECORD)
    assert caught.value.reason is Reason.EMBEDDER_MISMATCH
    assert caught.value.metadata == {"expected": "d1", "found": "d2"}
