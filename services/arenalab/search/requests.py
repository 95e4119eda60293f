"""The requests of SearchService, checked and turned into what the domain works with."""

import re
from collections.abc import Sequence
from typing import Final

from google.protobuf import timestamp_pb2

from arenalab.api.common.v1 import filter_pb2, plan_pb2, span_pb2
from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.atomic import Span, SpanError, from_proto
from arenalab.mesh import InvalidInputError, Reason
from arenalab.search.filters import Filter, Instant
from arenalab.search.index import MAX_CANDIDATES, Engine
from arenalab.search.retrieval import Plan, Strategy

MAX_TEXT_BYTES: Final = 32_768
MAX_LIMIT: Final = 1000
MAX_DEPTH: Final = 10
MAX_SPANS: Final = 1000
MAX_IDS: Final = 1000
MAX_TEXTS: Final = 2048
_MAX_VALUES: Final = 64  # of filter.domains and filter.actions
_MAX_TAGS: Final = 32
_NANOS: Final = 1_000_000_000
_VERSION: Final = re.compile(r"[0-9a-f]{64}")
_DATASET: Final = re.compile(r"[a-z0-9_-]{1,64}")

_ENGINES: Final = {
    plan_pb2.ENGINE_UNSPECIFIED: None,
    plan_pb2.ENGINE_EXACT: Engine.EXACT,
    plan_pb2.ENGINE_HNSW: Engine.HNSW,
}
_STRATEGIES: Final = {
    plan_pb2.FILTER_STRATEGY_UNSPECIFIED: None,
    plan_pb2.FILTER_STRATEGY_NONE: Strategy.NONE,
    plan_pb2.FILTER_STRATEGY_SCAN: Strategy.SCAN,
    plan_pb2.FILTER_STRATEGY_SELECTOR: Strategy.SELECTOR,
}


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


def check_search(request: pb.SearchTextRequest) -> None:
    """Raises InvalidInputError for a field of a search outside its range."""
    check_text(request.text, "text")
    if request.extra_text:
        check_text(request.extra_text, "extra_text")
    check_range("limit", request.limit, 1, MAX_LIMIT)
    check_range("trajectory_depth", request.trajectory_depth, 0, MAX_DEPTH)


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


def filter_of(message: filter_pb2.SpanFilter) -> Filter:
    """Returns the filter of its message.

    Raises:
        InvalidInputError: A condition is outside its range.
    """
    _check_values("filter.domains", message.domains, _MAX_VALUES)
    _check_values("filter.actions", message.actions, _MAX_VALUES)
    _check_values("filter.tags", message.tags, _MAX_TAGS)
    quality = message.min_quality if message.HasField("min_quality") else None
    if quality is not None and not 0 <= quality <= 100:  # noqa: PLR2004 - also refuses NaN
        raise InvalidInputError(
            f"filter.min_quality must be in [0, 100], got {quality}", field="filter.min_quality"
        )
    return Filter(
        domains=tuple(message.domains),
        actions=tuple(message.actions),
        statuses=tuple(_status(number) for number in message.statuses),
        not_before=_instant(
            "filter.not_before", message.not_before, is_set=message.HasField("not_before")
        ),
        before=_instant("filter.before", message.before, is_set=message.HasField("before")),
        min_quality=quality,
        tags=tuple(message.tags),
    )


def plan_of(message: plan_pb2.QueryPlan, limit: int) -> Plan:
    """Returns the plan of its message.

    Raises:
        InvalidInputError: A field is outside its range.
    """
    if message.engine not in _ENGINES:
        raise InvalidInputError(f"plan.engine has no value {message.engine}", field="plan.engine")
    if message.filter_strategy not in _STRATEGIES:
        raise InvalidInputError(
            f"plan.filter_strategy has no value {message.filter_strategy}",
            field="plan.filter_strategy",
        )
    check_range("plan.ef_search", message.ef_search, 0, MAX_CANDIDATES)
    if message.candidates:
        check_range("plan.candidates", message.candidates, limit, MAX_CANDIDATES)
    return Plan(
        engine=_ENGINES[message.engine],
        strategy=_STRATEGIES[message.filter_strategy],
        ef_search=message.ef_search,
        candidates=message.candidates,
        order=tuple(step.condition for step in message.filter_steps),
    )


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


def _check_values(field: str, values: Sequence[str], most: int) -> None:
    check_range(field, len(values), 0, most)
    if "" in values:
        raise InvalidInputError(f"{field} must hold no empty text", field=field)


def _status(number: int) -> int:
    if number not in span_pb2.SpanStatus.values() or number == span_pb2.SPAN_STATUS_UNSPECIFIED:
        raise InvalidInputError(
            f"filter.statuses must be pending, completed or failed, got {number}",
            field="filter.statuses",
        )
    return number


def _instant(field: str, value: timestamp_pb2.Timestamp, *, is_set: bool) -> Instant | None:
    if not is_set:
        return None
    if not 0 <= value.nanos < _NANOS:
        raise InvalidInputError(
            f"{field}.nanos must be in [0, {_NANOS - 1}], got {value.nanos}", field=field
        )
    return Instant(seconds=value.seconds, nanos=value.nanos)
