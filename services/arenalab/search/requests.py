"""The requests of SearchService, checked and turned into what the domain works with."""

import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from arenalab.api.common.v1 import plan_pb2, span_pb2
from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.atomic import Span, SpanError, from_proto
from arenalab.mesh import InvalidInputError, Reason, tenant_of
from arenalab.planning import DEFAULT_RECALL, Plan
from arenalab.planning.proto_form import plan_from_proto
from arenalab.search.filter_requests import filter_of
from arenalab.search.finding.query import Query, TextQuery
from arenalab.search.index.protocol import MAX_CANDIDATES, MAX_PROBES, FloatArray
from arenalab.search.ranking import Ranking, ranking_of

MAX_TEXT_BYTES: Final = 32_768
MAX_LIMIT: Final = 1000
MAX_DEPTH: Final = 10
MAX_SPANS: Final = 1000
MAX_IDS: Final = 1000
MAX_TEXTS: Final = 2048
MAX_BATCH: Final = 256
MAX_WEIGHT: Final = 10
_VERSION: Final = re.compile(r"[0-9a-f]{64}")
_DATASET: Final = re.compile(r"[a-z0-9_-]{1,64}")


def check_text(text: str, field: str) -> str:
    """Returns a text that can be embedded.

    Raises:
        InvalidInputError: EMPTY_TEXT or TOO_LARGE.
    """
    if not text or text.isspace():
        raise InvalidInputError(f"{field} must not be blank", Reason.EMPTY_TEXT, field=field)
    # Counting characters first: most texts are far from the limit in either.
    if len(text) * 4 > MAX_TEXT_BYTES and len(text.encode()) > MAX_TEXT_BYTES:
        raise too_large(field, MAX_TEXT_BYTES, len(text.encode()), "bytes")
    return text


def text_query_of(request: pb.SearchTextRequest) -> TextQuery:
    """Returns what a search for a text looks for.

    Raises:
        InvalidInputError: EMPTY_TEXT, TOO_LARGE, or a field outside its range.
    """
    check_text(request.text, "text")
    if request.extra_text:
        check_text(request.extra_text, "extra_text")
    check_range("trajectory_depth", request.trajectory_depth, 0, MAX_DEPTH)
    return TextQuery(
        scope=tenant_of(request.scope),
        text=request.text,
        depth=request.trajectory_depth,
        extra_text=request.extra_text,
        # Beside an embedding, what the plan is explained with costs nothing.
        query=_query(request, ranking_of(request.ranking), explain=True),
    )


def query_of(request: pb.SearchRequest) -> Query:
    """Returns what a search for a vector looks for, the vector apart.

    Raises:
        InvalidInputError: A field is outside its range.
    """
    ranking = ranking_of(request.ranking)
    query = _query(request, ranking, explain=request.explain)
    if query.ranking is not None and query.ranking.lexical_weight:
        raise InvalidInputError(
            "ranking.lexical_weight must be 0 in a search for a vector: there is no text",
            field="ranking.lexical_weight",
        )
    return query


def batch_query_of(request: pb.BatchSearchRequest) -> Query:
    """Returns what a search for several vectors looks for, the vectors apart.

    Raises:
        InvalidInputError: A field is outside its range, or the plan ranks: a batch does not.
    """
    query = _query(request, None)
    if query.ranking is not None:
        raise InvalidInputError(
            "plan.ranking must be absent in a batch: its hits are not ranked",
            field="plan.ranking",
        )
    return query


def _query(
    request: pb.SearchTextRequest | pb.SearchRequest | pb.BatchSearchRequest,
    ranking: Ranking | None,
    *,
    explain: bool = False,
) -> Query:
    check_range("limit", request.limit, 1, MAX_LIMIT)
    recall = _recall(request.recall_target, "recall_target")
    plan = None
    if request.HasField("plan"):
        plan = plan_of(request.plan, request.limit)
        ranking = ranking_of(request.plan.ranking)
        # For a part that cannot follow the plan, and so is planned for here.
        if request.plan.recall_target:
            recall = _recall(request.plan.recall_target, "plan.recall_target")
    return Query(
        limit=request.limit,
        wanted=filter_of(request.filter),
        plan=plan,
        recall_target=recall,
        ranking=ranking,
        explain=explain,
    )


def _recall(target: float, field: str) -> float:
    if target == 0:
        return DEFAULT_RECALL
    if not 0.0 < target <= 1.0:  # also refuses NaN
        raise InvalidInputError(f"{field} must be in (0, 1], got {target}", field=field)
    return target


def vectors_of(packed: bytes, dimension: int, field: str, most: int) -> FloatArray:
    """Returns packed vectors at unit length, shape (n, dimension), n in [1, most].

    Raises:
        InvalidInputError: INVALID_VECTOR; another dimension, no length, or not a number.
            TOO_LARGE; more than `most`.
    """
    row_bytes = 4 * dimension
    count, rest = divmod(len(packed), row_bytes)
    if rest or not count or (most == 1 and count != 1):
        raise _invalid_vector(
            field,
            f"{field} must hold float32 vectors of dimension {dimension}, got {len(packed)} bytes",
            expected=str(dimension),
            found=str(len(packed) // 4),
        )
    if count > most:
        raise too_large(field, most, count, "vectors")
    vectors = np.frombuffer(packed, "<f4").reshape(count, dimension)
    # In float64: the square of a float32 may be too large or too small for one.
    exact = vectors.astype(np.float64)
    lengths = np.sqrt(np.vecdot(exact, exact))
    if not lengths.max() < np.inf:  # also where it is NaN
        raise _invalid_vector(field, f"{field} holds a component that is not a finite number")
    if not lengths.min() > 0:
        raise _invalid_vector(field, f"{field} holds a vector of length 0, which has no direction")
    unit: FloatArray = (exact / lengths[:, None]).astype(np.float32)
    return unit


def _invalid_vector(field: str, message: str, **metadata: str) -> InvalidInputError:
    return InvalidInputError(message, Reason.INVALID_VECTOR, field=field, **metadata)


def check_range(field: str, value: int, least: int, most: int) -> None:
    """Raises InvalidInputError for a value outside a closed range."""
    if not least <= value <= most:
        raise InvalidInputError(f"{field} must be in [{least}, {most}], got {value}", field=field)


def check_dataset(name: str) -> str:
    """Returns the name of a dataset that must be given."""
    if not _DATASET.fullmatch(name):
        raise InvalidInputError(
            f"dataset must match {_DATASET.pattern}, got {name[:80]!a}", field="dataset"
        )
    return name


def check_version(version: str) -> str:
    """Returns the version of a dataset."""
    if not _VERSION.fullmatch(version):
        raise InvalidInputError(
            f"dataset_version must be 64 hex digits, got {version[:80]!a}",
            field="dataset_version",
        )
    return version


def texts_of(request: pb.EmbedRequest) -> list[str]:
    """Returns the texts of a request to embed."""
    texts = list(request.texts)
    if not texts:
        raise InvalidInputError(f"texts must be 1 to {MAX_TEXTS}, got 0", field="texts")
    if len(texts) > MAX_TEXTS:
        raise too_large("texts", MAX_TEXTS, len(texts), "texts")
    return [check_text(text, f"texts[{place}]") for place, text in enumerate(texts)]


def spans_of(messages: Sequence[span_pb2.Span]) -> list[Span]:
    """Returns the spans of a request to add some.

    Raises:
        InvalidInputError: INVALID_SPAN for the first that breaks a rule, or TOO_LARGE.
    """
    if not messages:
        raise InvalidInputError(f"spans must be 1 to {MAX_SPANS}, got 0", field="spans")
    if len(messages) > MAX_SPANS:
        raise too_large("spans", MAX_SPANS, len(messages), "spans")
    return [_span(message, place) for place, message in enumerate(messages)]


def span_ids_of(request: pb.GetSpansRequest) -> list[str]:
    """Returns the ids of a request for spans."""
    ids = list(request.span_ids)
    check_range("span_ids", len(ids), 1, MAX_IDS)
    return ids


def plan_of(message: plan_pb2.QueryPlan, limit: int) -> Plan | None:
    """Returns the plan of its message; None where it leaves the choice to search.

    Raises:
        InvalidInputError: A field is outside its range.
    """
    if message.engine not in plan_pb2.Engine.values():
        raise InvalidInputError(f"plan.engine has no value {message.engine}", field="plan.engine")
    if message.filter_strategy not in plan_pb2.FilterStrategy.values():
        raise InvalidInputError(
            f"plan.filter_strategy has no value {message.filter_strategy}",
            field="plan.filter_strategy",
        )
    check_range("plan.ef_search", message.ef_search, 0, MAX_CANDIDATES)
    check_range("plan.n_probe", message.n_probe, 0, MAX_PROBES)
    if message.candidates:
        check_range("plan.candidates", message.candidates, limit, MAX_CANDIDATES)
    return plan_from_proto(message)


def span_ids_to_change(ids: Sequence[str]) -> list[str]:
    """Returns the ids of a request to change spans."""
    check_range("span_ids", len(ids), 1, MAX_IDS)
    return list(ids)


def weights_of(request: pb.ReweightSpansRequest) -> dict[str, float]:
    """Returns the weight to set, by span id.

    Raises:
        InvalidInputError: A weight is outside its range, or an id is there twice.
    """
    check_range("weights", len(request.weights), 1, MAX_IDS)
    weights: dict[str, float] = {}
    for place, one in enumerate(request.weights):
        if not 0 <= one.weight <= MAX_WEIGHT:  # also refuses NaN
            raise InvalidInputError(
                f"weights[{place}].weight must be in [0, {MAX_WEIGHT}], got {one.weight}",
                field=f"weights[{place}].weight",
            )
        if one.span_id in weights:
            raise InvalidInputError(
                f"weights[{place}]: the id {one.span_id[:80]!a} is there twice",
                field=f"weights[{place}].span_id",
            )
        weights[one.span_id] = one.weight
    return weights


def too_large(field: str, limit: int, got: int, unit: str) -> InvalidInputError:
    """Returns the error for more of something than a request may carry."""
    return InvalidInputError(
        f"{field} must be at most {limit} {unit}, got {got}",
        Reason.TOO_LARGE,
        field=field,
        limit=str(limit),
    )


def _span(message: span_pb2.Span, place: int) -> Span:
    try:
        return from_proto(message)
    except SpanError as error:
        raise InvalidInputError(
            f"spans[{place}]: {error}", Reason.INVALID_SPAN, field=f"spans[{place}].{error.field}"
        ) from error
