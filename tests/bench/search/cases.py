"""Filters of four selectivities: that select anywhere, and by the region of the question."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp

from arenalab.api.common.v1 import filter_pb2
from arenalab.search.index import BoolArray, FloatArray, IntArray, Selection
from tests.bench.search.corpus import ARMS, FIRST_S, Corpus, perturbed
from tests.bench.search.raw import true_last
from tests.bench.search.serving import K

SHARES: Final = (0.5, 0.1, 0.01, 0.001)
_ASKED: Final = 60
_SEED: Final = 23


@dataclass(frozen=True, eq=False)
class Case:
    """One filter and the questions asked with it."""

    name: str  # "random_10", "agree_1", "clash_0.1": percent
    wanted: filter_pb2.SpanFilter
    rows: IntArray  # that pass
    allowed: Selection
    questions: FloatArray
    last: FloatArray  # similarity of the last true neighbour of each question

    @property
    def hits(self) -> int:
        """How many neighbours each question has, at most K."""
        return min(K, len(self.rows))


def cases_of(corpus: Corpus) -> Iterator[Case]:
    """Yields every case."""
    rng = np.random.default_rng(_SEED)
    everywhere = corpus.questions[:_ASKED]
    for share in SHARES:
        wanted, mask = _random(corpus, share)
        yield _case(corpus, f"random_{100 * share:g}", wanted, mask, everywhere)
        wanted, mask, inside = _region(corpus, share)
        rows = rng.choice(np.flatnonzero(mask), _ASKED)
        near = perturbed(np.asarray(corpus.vectors[np.sort(rows)]), rng)
        yield _case(corpus, f"agree_{100 * share:g}", wanted, mask, near)
        far = corpus.questions[~inside][:_ASKED]
        yield _case(corpus, f"clash_{100 * share:g}", wanted, mask, far)


def _case(
    corpus: Corpus,
    name: str,
    wanted: filter_pb2.SpanFilter,
    mask: BoolArray,
    questions: FloatArray,
) -> Case:
    rows = np.flatnonzero(mask)
    last = true_last(corpus.vectors, questions, rows)
    return Case(name, wanted, rows, Selection.of_rows(rows, len(mask)), questions, last)


def _random(corpus: Corpus, share: float) -> tuple[filter_pb2.SpanFilter, BoolArray]:
    if share == 0.5:
        return filter_pb2.SpanFilter(min_quality=50), corpus.quality >= 50
    if share == 0.1:
        first = len(corpus) - len(corpus) // 10
        recent = filter_pb2.SpanFilter(not_before=Timestamp(seconds=FIRST_S + first))
        return recent, np.arange(len(corpus)) >= first
    if share == 0.01:
        return filter_pb2.SpanFilter(tags=["rare"]), corpus.is_rare
    both = filter_pb2.SpanFilter(tags=["rare"], min_quality=90)
    return both, corpus.is_rare & (corpus.quality >= 90)


def _region(corpus: Corpus, share: float) -> tuple[filter_pb2.SpanFilter, BoolArray, BoolArray]:
    """Returns a filter on domains, its rows, and which questions point into the region."""
    if share == 0.5:
        tops = _largest_first(corpus, ARMS**2)
        counts = np.bincount(corpus.leaves // ARMS**2, minlength=ARMS)
        nodes = tops[: 1 + int(np.searchsorted(np.cumsum(counts[tops]), share * len(corpus)))]
        width = ARMS**2
    else:
        width = {0.1: ARMS**2, 0.01: ARMS, 0.001: 1}[share]
        counts = np.bincount(corpus.leaves // width, minlength=ARMS**3 // width)
        nodes = np.argsort(np.abs(counts - share * len(corpus)), kind="stable")[:1]
    domains = [_path(int(node), width) for node in nodes]
    mask = np.isin(corpus.leaves // width, nodes)
    inside = np.isin(corpus.question_leaves // width, nodes)
    return filter_pb2.SpanFilter(domains=domains), mask, inside


def _largest_first(corpus: Corpus, width: int) -> IntArray:
    order: IntArray = np.argsort(-np.bincount(corpus.leaves // width, minlength=ARMS))
    return order


def _path(node: int, width: int) -> str:
    """Returns the domain of a node of which each holds `width` leaves."""
    if width == ARMS**2:
        return f"region/{node}"
    if width == ARMS:
        return f"region/{node // ARMS}/{node % ARMS}"
    return f"region/{node // ARMS**2}/{node // ARMS % ARMS}/{node % ARMS}"
