"""What a search costs in microseconds.

A model holds what one row costs on one machine, for each way of looking at it. The shape
of the cost was fitted to faiss on vectors of real questions and near duplicates of them
(384 dimensions, 10,000 to 100,000 rows):

    graph walk          distances = 10 · log2 N + 5.8 · ef, and 0.32 ns · ef² for the list
                        of candidates, of which faiss moves a part at every step
    inverted lists      rows = 1.2 · N · n_probe / lists: full lists are met more often
    filtered walk       the walk with a longer list: what does not pass is walked all the
                        same, so a filter costs by the list that it needs (see recall.py)

What the model misses (another distribution, a busy machine) the corrections learn: one
factor for each way of searching, from the searches that were served.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from arenalab.planning.engine import Engine

_DISTANCES_PER_LEVEL: Final = 10.0
_DISTANCES_PER_EF: Final = 5.8
_LIST_NS: Final = 0.32
_FULL_LISTS: Final = 1.2
# What a graph's random reads cost while its codes still fit the processor's cache, and
# the sizes between which they cease to: measured .34 at 8 MB, .86 at 30, 1 at 77.
_CACHED: Final = 0.34
_CACHE_BYTES: Final = 8e6
_MEMORY_BYTES: Final = 48e6
_CODE_BYTES: Final = 2
# Inverted lists keep no codes that a scan could read: what float32 costs instead.
_FULL_PRECISION: Final = 1.7
# Rows that a scan of codes leaves in doubt, at most.
_DOUBT: Final = 2
_MORE_DOUBT: Final = 50
# Taking one hit of an unfiltered search and looking whether its row passes.
_CHECK_NS: Final = 60.0
# A server on another machine: a round trip and its work, until searches tell.
REMOTE_US: Final = 3000.0
# A row that such a server compares, or hands over to be compared, with all others left
# out: measured with 20,000 rows, PostgreSQL 0.5 us, a Milvus file some 100.
REMOTE_ROW_US: Final = {Engine.PGVECTOR: 0.5, Engine.MILVUS: 100.0}
_NS_PER_US: Final = 1000.0


@dataclass(frozen=True, slots=True)
class Correction:
    """How far the model is off for one way of searching."""

    factor: float  # to multiply the model's cost with
    searches: int = 0  # that it was learned from


@dataclass(frozen=True, kw_only=True, eq=False)
class CostModel:
    """What looking at one row costs on one machine. Compared and hashed by identity."""

    dimension: int
    scan_ns: float  # one row of a scan over all rows
    gather_ns: float  # one row of a scan over chosen rows
    graph_ns: float  # one distance in a graph walk, out of memory
    list_ns: float  # one row in an inverted list
    rescore_ns: float  # one comparison in full precision
    select_ns: float  # one row when a filter is made into a selector
    call_us: float  # one call of an engine
    measured_at_ns: int = 0  # since the epoch; 0: never, these are the figures of another
    corrections: Mapping[str, Correction] = field(default_factory=lambda: MappingProxyType({}))

    def factor(self, way: str) -> float:
        """Returns what the cost of a way is to be multiplied with."""
        known = self.corrections.get(way)
        return 1.0 if known is None else known.factor

    def scaled(self, dimension: int) -> float:
        """Returns how much more a row of another dimension costs."""
        return dimension / self.dimension if dimension and self.dimension else 1.0


# Two cores with AVX-512 and bfloat16, 40,000 vectors of 384 dimensions, one thread.
DEFAULT_MODEL: Final = CostModel(
    dimension=384,
    scan_ns=25.0,
    gather_ns=75.0,
    graph_ns=140.0,
    list_ns=25.0,
    rescore_ns=320.0,
    select_ns=0.6,
    call_us=25.0,
)


def scan_all_us(model: CostModel, spans: int, limit: int, *, has_codes: bool = True) -> float:
    """Returns the cost of comparing every row."""
    each_ns = model.scan_ns if has_codes else model.scan_ns * _FULL_PRECISION
    return model.call_us + spans * each_ns / _NS_PER_US + _doubt_us(model, spans, limit)


def scan_chosen_us(
    model: CostModel, spans: int, matches: int, limit: int, *, has_codes: bool = True
) -> float:
    """Returns the cost of comparing chosen rows: one by one, or in a pass over all."""
    if matches <= limit:  # all of them are compared in full precision, and nothing else
        return model.call_us + rescore_us(model, matches)
    each_ns = model.gather_ns if has_codes else model.gather_ns * _FULL_PRECISION
    gathered_us = model.call_us + matches * each_ns / _NS_PER_US
    whole_us = selector_us(model, spans) + scan_all_us(model, spans, limit, has_codes=has_codes)
    return min(gathered_us + _doubt_us(model, matches, limit), whole_us)


def _doubt_us(model: CostModel, compared: int, limit: int) -> float:
    """Returns the cost of comparing once more what rounding leaves in doubt."""
    return rescore_us(model, min(compared, _DOUBT * limit + _MORE_DOUBT))


def selector_us(model: CostModel, spans: int) -> float:
    """Returns the cost of making a filter into the form that engines read."""
    return spans * model.select_ns / _NS_PER_US


def distances(spans: int, ef_search: int) -> float:
    """Returns how many rows a graph walk compares."""
    levels = _DISTANCES_PER_LEVEL * math.log2(max(2, spans))
    return min(float(spans), levels + _DISTANCES_PER_EF * ef_search)


def graph_us(model: CostModel, spans: int, ef_search: int, dimension: int = 0) -> float:
    """Returns the cost of a graph walk, whether or not a selector goes with it."""
    bytes_ = spans * _CODE_BYTES * (dimension or model.dimension)
    each_ns = model.graph_ns * _out_of_cache(bytes_)
    walk_ns = distances(spans, ef_search) * each_ns + _LIST_NS * ef_search**2
    return model.call_us + walk_ns / _NS_PER_US


def lists_of(spans: int) -> int:
    """Returns the number of inverted lists that an index of so many rows has."""
    return max(1, min(65_536, int(4 * math.sqrt(spans)), spans // 40))


def lists_us(model: CostModel, spans: int, n_probe: int) -> float:
    """Returns the cost of scanning the rows of some inverted lists."""
    lists = lists_of(spans)
    rows = min(float(spans), _FULL_LISTS * spans * n_probe / lists)
    return model.call_us + (lists * model.scan_ns + rows * model.list_ns) / _NS_PER_US


def check_us(model: CostModel, hits: int) -> float:
    """Returns the cost of dropping those of an unfiltered search that do not pass."""
    return model.call_us + hits * _CHECK_NS / _NS_PER_US


def rescore_us(model: CostModel, candidates: int) -> float:
    """Returns the cost of comparing candidates once more in full precision."""
    return candidates * model.rescore_ns / _NS_PER_US


def _out_of_cache(size_bytes: float) -> float:
    if size_bytes <= _CACHE_BYTES:
        return _CACHED
    if size_bytes >= _MEMORY_BYTES:
        return 1.0
    span = math.log(_MEMORY_BYTES / _CACHE_BYTES)
    return _CACHED + (1.0 - _CACHED) * math.log(size_bytes / _CACHE_BYTES) / span
