"""Spans that come with vectors of their own, checked before anything is kept of them."""

from typing import Final

import numpy as np

from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.atomic import Span
from arenalab.mesh import InvalidInputError, PreconditionError, Reason
from arenalab.search import requests
from arenalab.search.embedder.normalise import normalise
from arenalab.search.embedder.protocol import EmptyTextError
from arenalab.search.index.protocol import FloatArray
from arenalab.search.store.span_store import Record

# How far from 1 the length of a vector may be to be kept as it is: what float32 leaves.
_UNIT_TOLERANCE: Final = 1e-6
_SHOWN_DIGITS: Final = 12  # of a digest, to people

Request = pb.AddSpansRequest | pb.UpdateSpansRequest


def check_embedder(request: Request, record: Record) -> None:
    """Checks the embedder that a request names.

    Raises:
        InvalidInputError: It names none, and has vectors.
        PreconditionError: EMBEDDER_MISMATCH; the collection's vectors are of another.
    """
    digest = request.embedder_digest
    if not digest and request.vectors:
        raise InvalidInputError(
            "embedder_digest must name the embedder of the vectors", field="embedder_digest"
        )
    if digest and digest != record.embedder_digest:
        expected = f"{record.embedder_id}@{record.embedder_digest[:_SHOWN_DIGITS]}"
        raise PreconditionError(
            f"the collection is embedded by {expected}, the vectors are of"
            f" {digest[:_SHOWN_DIGITS]!a}: embed the texts with Embed, or leave the vectors out",
            Reason.EMBEDDER_MISMATCH,
            expected=record.embedder_digest,
            found=digest[:64],
        )


def given(request: Request, record: Record) -> tuple[list[Span], FloatArray]:
    """Returns the spans of a request and their vectors at unit length, shape (n, d).

    Raises:
        InvalidInputError: As `requests.spans_of`; INVALID_SPAN too for a text that no
            embedder could embed; INVALID_VECTOR.
    """
    spans = requests.spans_of(request.spans)
    for place, span in enumerate(spans):
        _check_embeddable(span, place)
    return spans, unit_vectors(request.vectors, len(spans), record.dimension)


def unit_vectors(packed: bytes, count: int, dimension: int) -> FloatArray:
    """Returns the packed vectors of `count` spans at unit length, shape (count, dimension).

    Those that have it, give or take 1e-6, stay as they are, bit for bit.

    Raises:
        InvalidInputError: INVALID_VECTOR; the bytes are of another length, or those of a
            span hold no finite number, or only zeros.
    """
    if len(packed) != 4 * count * dimension:
        raise InvalidInputError(
            f"vectors must hold one of {dimension} float32 a span: {4 * count * dimension} bytes"
            f" for {count} spans, got {len(packed)}",
            Reason.INVALID_VECTOR,
            field="vectors",
            expected=str(count * dimension),
            found=str(len(packed) // 4),
        )
    vectors = np.frombuffer(packed, "<f4").reshape(count, dimension).astype(np.float32)
    # In float64: the square of a float32 may be too large or too small for one.
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    wrong = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if len(wrong):
        raise _no_direction(int(wrong[0]), float(lengths[wrong[0]]))
    off = np.abs(lengths - 1) > _UNIT_TOLERANCE
    vectors[off] = vectors[off] / lengths[off, None]
    return vectors


def _no_direction(place: int, length: float) -> InvalidInputError:
    what = "has length 0" if length == 0 else "holds a component that is not a finite number"
    return InvalidInputError(
        f"spans[{place}]: its vector {what}", Reason.INVALID_VECTOR, field=f"spans[{place}]"
    )


def _check_embeddable(span: Span, place: int) -> None:
    # A later version may be of another embedder, which embeds added spans again.
    try:
        normalise(span.this)
    except EmptyTextError as error:
        raise InvalidInputError(
            f"spans[{place}]: {error}", Reason.INVALID_SPAN, field=f"spans[{place}].this"
        ) from error
