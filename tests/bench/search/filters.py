"""What do filters cost beside a check of every row? `filters.py 200000` in this folder.

Rows are made up, with shares like those of real spans. A selection is timed as the first
of its kind on fields that are in use, so neither remembered nor paying for the first use;
the check of every row is the same conditions as numpy masks over the columns, in the same
run. Times are medians.
"""

import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final, TypeVar
from uuid import UUID

import numpy as np

from arenalab.search.columns.coded import Coded
from arenalab.search.columns.columns import Columns
from arenalab.search.condition import Filter, Instant
from arenalab.search.filters import FilterIndex
from arenalab.search.index.selection import BoolArray
from arenalab.search.store.row import StoredRow

_T = TypeVar("_T")
_VERSION: Final = "a" * 64
_START_S: Final = 1_700_000_000
_REPEATS: Final = 31
_ARRIVING: Final = 1000  # spans that one call adds

_HALF: Final = Instant(seconds=_START_S, nanos=0)
CASES: Final = {
    "domain and status": Filter(domains=("d3",), statuses=(2,)),
    "action, tag": Filter(actions=("act_7",), tags=("t1",)),
    "word, quality >= 80": Filter(action_words=("ask",), min_quality=80.0),
    "quality >= 77.7": Filter(min_quality=77.7),
    "domain, quality >= 77.7, tag": Filter(domains=("d3/s1",), min_quality=77.7, tags=("t1",)),
    "half of the time": Filter(not_before=_HALF),
    "half of the time, domain, tags": Filter(not_before=_HALF, domains=("d3",), tags=("t1", "t2")),
    "a tenth of the time": Filter(
        not_before=_HALF, before=Instant(seconds=_START_S + 8_640_000, nanos=0)
    ),
    "domain or tag, not failed": Filter(
        any_of=(Filter(domains=("d3",)), Filter(tags=("t1",))), none_of=(Filter(statuses=(3,)),)
    ),
    "0.01 %: action, source": Filter(actions=("act_7",), sources=("source_39",)),
}


def made_up(count: int) -> list[StoredRow]:
    """Returns rows by ascending id, which do not tell the time."""
    draw = random.Random(7)
    return [
        StoredRow(
            rowid=number,
            ordinal=number,
            span_id=str(UUID(int=number)),
            domain=f"d{min(int(draw.expovariate(0.4)), 19)}/s{draw.randrange(5)}",
            action=f"{('ask', 'act')[draw.random() < 0.8]}_{draw.randrange(100)}",
            status=draw.choices((1, 2, 3), (1, 8, 1))[0],
            when_s=_START_S + draw.randrange(-43_200_000, 43_200_000),
            when_ns=draw.randrange(1000) * 1_000_000,
            quality=None if draw.random() < 0.1 else draw.randrange(1001) / 10,
            tags=" ".join(f"t{tag}" for tag in range(6) if draw.random() < 0.3 / (tag + 1)),
            outcome_key=number + 1,
            source=f"source_{draw.randrange(40)}",
            creature=draw.choice(("", "owl")),
            weight=1.0,
            hidden=0,
        )
        for number in range(count)
    ]


def checked(columns: Columns, wanted: Filter) -> BoolArray:
    """Returns which rows pass, each condition checked on every row."""
    mask: BoolArray = np.ones(len(columns), np.bool_)
    for condition in _masks(columns, wanted):
        mask &= condition
    return mask


def _masks(  # noqa: C901 - one branch a condition
    columns: Columns, wanted: Filter
) -> Iterator[BoolArray]:
    if wanted.domains:
        yield _valued(columns.domains, lambda text: text.startswith(wanted.domains))
    if wanted.actions:
        yield _valued(columns.actions, wanted.actions.__contains__)
    if wanted.sources:
        yield _valued(columns.sources, wanted.sources.__contains__)
    if wanted.action_words:
        yield _valued(columns.actions, lambda text: wanted.action_words[0] in text.split("_"))
    if wanted.statuses:
        yield np.isin(columns.statuses, wanted.statuses)
    if wanted.min_quality is not None:
        yield columns.quality >= wanted.min_quality
    if wanted.not_before is not None:
        yield columns.when_s >= wanted.not_before.seconds
    if wanted.before is not None:
        yield columns.when_s < wanted.before.seconds
    for tag in wanted.tags:
        tagged = np.zeros(len(columns), np.bool_)
        tagged[columns.tags[tag]] = True
        yield tagged
    if wanted.any_of:
        yield np.logical_or.reduce([checked(columns, part) for part in wanted.any_of])
    for part in wanted.none_of:
        yield ~checked(columns, part)


def _valued(coded: Coded, is_wanted: Callable[[str], bool]) -> BoolArray:
    passes: BoolArray = np.array([is_wanted(text) for text in coded.values])[coded.codes]
    return passes


def timed(work: Callable[[], _T]) -> tuple[_T, float]:
    """Returns a result and the microseconds it took."""
    start = time.perf_counter()
    result = work()
    return result, (time.perf_counter() - start) * 1e6


def emptied(index: FilterIndex) -> FilterIndex:
    """Returns an index that shares the fields in use and remembers no selection."""
    fresh = FilterIndex.of(index._fields._columns, _VERSION)
    fresh._fields = index._fields
    return fresh


def compare(columns: Columns, index: FilterIndex, name: str, wanted: Filter) -> dict[str, object]:
    """Times one filter both ways and checks that they agree."""
    first = timed(lambda: index.select(wanted))[1]
    selects, counts, again, scans = [], [], [], []
    for _ in range(_REPEATS):
        counts.append(timed(partial(emptied(index).counts_by_condition, wanted))[1])
        fresh = emptied(index)
        selection, took = timed(partial(fresh.select, wanted))
        selects.append(took)
        again.append(timed(partial(fresh.select, wanted))[1])
        mask, took = timed(partial(checked, columns, wanted))
        scans.append(took)
    assert selection is not None
    assert np.array_equal(selection.rows, np.flatnonzero(mask))
    figures = [statistics.median(values) for values in (selects, again, counts, scans)]
    print(
        f"{name:32} {selection.count:9,} {first:10.0f} {figures[0]:10.1f} {figures[1]:10.2f}"
        f" {figures[2]:10.1f} {figures[3]:10.0f} {figures[3] / figures[0]:8.1f}"
    )
    return {"name": name, "select_us": figures[0], "times_faster": figures[3] / figures[0]}


def main() -> None:
    """Prints a table, then one JSON object."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    columns, build_us = built(count)
    with tempfile.TemporaryDirectory() as folder:
        _, save_us = timed(lambda: columns.save(Path(folder)))
        columns, load_us = timed(lambda: Columns.load(Path(folder)))
        index = FilterIndex.of(columns, _VERSION)
        print(f"{count:,} spans: columns built {build_us / 1e3:.0f} ms,", end=" ")
        print(f"saved {save_us / 1e3:.0f} ms, loaded {load_us / 1e3:.1f} ms")
        print(
            f"{'filter':32} {'passing':>9} {'first us':>10} {'select us':>10} {'again us':>10}"
            f" {'counts us':>10} {'check us':>10} {'ratio':>8}"
        )
        results = [compare(columns, index, name, wanted) for name, wanted in CASES.items()]
        print(f"a delta of 4,000 takes in {_ARRIVING:,}: {_delta_ms():.1f} ms")
        print(
            json.dumps(
                {
                    "n": count,
                    "build_ms": build_us / 1e3,
                    "load_ms": load_us / 1e3,
                    "columns_bytes_per_span": columns.memory_bytes / count,
                    "filters_bytes_per_span": index.memory_bytes / count,
                    "worst_select_us": max(float(str(one["select_us"])) for one in results),
                }
            )
        )


def built(count: int) -> tuple[Columns, float]:
    """Returns columns and the microseconds their building took; the rows are let go."""
    rows = made_up(count)
    return timed(partial(Columns.of, rows))


def _delta_ms() -> float:
    """Returns how long a small segment takes to grow and to filter once."""
    rows = made_up(5 * _ARRIVING)
    small, arrived = Columns.of(rows[_ARRIVING:]), Columns.of(rows[:_ARRIVING])

    def grow() -> object:
        joined, _ = small.joined(arrived)
        return FilterIndex.of(joined, _VERSION).select(CASES["domain, quality >= 77.7, tag"])

    return statistics.median(timed(grow)[1] for _ in range(9)) / 1e3


if __name__ == "__main__":
    main()
