"""The filter of a request, checked and turned into what the domain works with."""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

from google.protobuf import timestamp_pb2
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from arenalab.api.common.v1 import filter_pb2, span_pb2
from arenalab.mesh import InvalidInputError
from arenalab.search.condition import EVERYTHING, ONLINE, Filter, Instant
from arenalab.search.filters import is_word

MAX_NESTING: Final = 4
MAX_FILTERS: Final = 64
_MAX_VALUES: Final = 64
_MAX_TAGS: Final = 32
_MAX_WORDS: Final = 16
_MAX_ORIGINS: Final = 16
_MAX_QUALITY: Final = 100
_MAX_KEPT_BYTES: Final = 4096
_NANOS: Final = 1_000_000_000
_VERSION: Final = re.compile(r"[0-9a-f]{64}")
_STATUSES: Final = frozenset(span_pb2.SpanStatus.values()) - {span_pb2.SPAN_STATUS_UNSPECIFIED}


def filter_of(message: filter_pb2.SpanFilter) -> Filter:
    """Returns the filter of its message; equal for messages that say the same.

    Raises:
        InvalidInputError: A condition is outside its range, there are too many, or one
            is not known here.
    """
    size_bytes = message.ByteSize()  # counts unknown fields too
    if not size_bytes:
        return EVERYTHING
    if size_bytes > _MAX_KEPT_BYTES:
        return _checked(message)
    return _kept(message.SerializeToString())


@lru_cache(maxsize=1024)
def _kept(form: bytes) -> Filter:
    # Most requests repeat one of a few filters: to look it up takes a tenth of the time.
    return _checked(filter_pb2.SpanFilter.FromString(form))


def _checked(message: filter_pb2.SpanFilter) -> Filter:
    return _filter(message, "filter", 0, iter(range(1, MAX_FILTERS)))


def _filter(message: filter_pb2.SpanFilter, path: str, depth: int, left: Iterator[int]) -> Filter:
    _check_known(message, path)
    return Filter(
        domains=_texts(message.domains, f"{path}.domains", _MAX_VALUES),
        actions=_texts(message.actions, f"{path}.actions", _MAX_VALUES),
        statuses=_statuses(message.statuses, f"{path}.statuses"),
        not_before=_instant(message.not_before, f"{path}.not_before")
        if message.HasField("not_before")
        else None,
        before=_instant(message.before, f"{path}.before") if message.HasField("before") else None,
        min_quality=_quality(message.min_quality, f"{path}.min_quality")
        if message.HasField("min_quality")
        else None,
        tags=_texts(message.tags, f"{path}.tags", _MAX_TAGS),
        sources=_texts(message.sources, f"{path}.sources", _MAX_VALUES),
        action_words=_words(message.action_words, f"{path}.action_words"),
        creatures=_texts(message.creatures, f"{path}.creatures", _MAX_VALUES),
        origins=_origins(message.origins, f"{path}.origins"),
        all_of=_filters(message.all_of, f"{path}.all_of", depth, left),
        any_of=_filters(message.any_of, f"{path}.any_of", depth, left),
        none_of=_filters(message.none_of, f"{path}.none_of", depth, left),
    )


def _filters(
    messages: Iterable[filter_pb2.SpanFilter], path: str, depth: int, left: Iterator[int]
) -> tuple[Filter, ...]:
    parts = []
    for place, message in enumerate(messages):
        part = f"{path}[{place}]"
        if depth == MAX_NESTING:
            raise _refusal(part, f"is nested more than {MAX_NESTING} deep")
        if next(left, None) is None:
            raise _refusal(part, f"is one filter too many: a request carries {MAX_FILTERS}")
        parts.append(_filter(message, part, depth + 1, left))
    return tuple(parts)


def _check_known(message: Message, path: str) -> None:
    """Refuses fields of a later contract: to ignore one would return what it excludes."""
    unknown = UnknownFieldSet(message)
    if len(unknown):
        number = unknown[0].field_number
        raise _refusal(path, f"has a field that is not known here, number {number}")


def _texts(values: Iterable[str], path: str, most: int) -> tuple[str, ...]:
    given = tuple(values)
    if not given:
        return given
    if len(given) > most:
        raise _refusal(path, f"must be at most {most} values, got {len(given)}")
    if "" in given:
        raise _refusal(f"{path}[{given.index('')}]", "must not be empty")
    # In order and without repeats, so that filters that mean the same are equal.
    return given if len(given) == 1 else tuple(sorted(set(given)))


def _statuses(numbers: Iterable[int], path: str) -> tuple[int, ...]:
    given = tuple(numbers)
    for place, number in enumerate(given):
        if number not in _STATUSES:
            raise _refusal(path, f"must be pending, completed or failed, got {number} at {place}")
    return tuple(sorted(set(given)))


def _words(values: Iterable[str], path: str) -> tuple[str, ...]:
    words = tuple(text.lower() for text in _texts(values, path, _MAX_WORDS))
    for word in words:
        if not is_word(word):
            raise _refusal(path, f"must each be one word of letters and digits, got {word[:80]!a}")
    return tuple(sorted(set(words)))


def _origins(values: Iterable[str], path: str) -> tuple[str, ...]:
    origins = _texts(values, path, _MAX_ORIGINS)
    for origin in origins:
        if origin != ONLINE and not _VERSION.fullmatch(origin):
            raise _refusal(
                path, f'must be 64 hex digits of a version or "{ONLINE}", got {origin[:80]!a}'
            )
    return origins


def _instant(value: timestamp_pb2.Timestamp, path: str) -> Instant:
    _check_known(value, path)
    if not 0 <= value.nanos < _NANOS:
        raise _refusal(path, f"must have nanos in [0, {_NANOS - 1}], got {value.nanos}")
    return Instant(seconds=value.seconds, nanos=value.nanos)


def _quality(value: float, path: str) -> float:
    if not 0 <= value <= _MAX_QUALITY:  # also refuses NaN
        raise _refusal(path, f"must be in [0, {_MAX_QUALITY}], got {value}")
    return value


def _refusal(path: str, problem: str) -> InvalidInputError:
    return InvalidInputError(f"{path} {problem}", field=path)
