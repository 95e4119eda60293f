"""BM25: which engine, and is it worth it? `python -m tests.bench.search.lexical`.

The first table times engines on the same words in the same run, in turns. The second is
the share of questions with a right text among the first 1 and 10 hits, for similarity
alone (weight 0), for BM25 alone (weight 1) and for their fusion.
"""

import argparse
import csv
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from arenalab.search.embedder.factory import open_embedder
from arenalab.search.index.selection import Selection
from arenalab.search.lexical.words import words_of
from arenalab.testing.data import data_file
from tests.bench.search.lexical_engines import Engine, engines
from tests.bench.search.lexical_recall import CONSTANTS, SHARES, WEIGHTS, by_ranks, by_scores, tasks

LIMIT: Final = 50
QUERIES: Final = 100
ROUNDS: Final = 5
ALLOWED: Final = (None, 0.5, 0.1, 0.001)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=100_000, help="texts of the largest corpus")
    parser.add_argument("--skip-recall", action="store_true", help="time the engines only")
    arguments = parser.parse_args()
    spoken, asked = _spoken()
    _compare("utterances", spoken, asked)
    exams = _exams()
    _compare("exam questions", exams, exams)
    _compare("utterances, varied", _varied(spoken, arguments.size), asked)
    if not arguments.skip_recall:
        _show_recall()


def _compare(name: str, texts: Sequence[str], asked: Sequence[str]) -> None:
    queries = random.Random(2).sample(list(asked), QUERIES)
    length = statistics.mean(len(words_of(text)) for text in texts)
    print(f"\n{len(texts):,} {name}, {length:.0f} words each, k = {LIMIT}, times in ms")
    columns = [f"{'all' if share is None else format(share, '.1%')} p50/p95" for share in ALLOWED]
    print(f"{'':8} {'build s':>8} {'disk MB':>8} {'save s':>7} {'load s':>7}", *columns, sep="  ")
    with tempfile.TemporaryDirectory() as folder:
        built = {
            kind: _built(kind, build, texts, Path(folder)) for kind, build in engines().items()
        }
        selections = [_selection(share, len(texts)) for share in ALLOWED]
        timed = _timed([engine for engine, _ in built.values()], queries, selections)
        for (kind, (_, figures)), times in zip(built.items(), timed, strict=True):
            cells = [f"{np.median(one):8.2f} /{np.quantile(one, 0.95):6.2f}" for one in times]
            print(f"{kind:8} {figures}", *cells, sep="  ")


def _built(
    kind: str, build: Callable[[Sequence[str], Path], Engine], texts: Sequence[str], root: Path
) -> tuple[Engine, str]:
    began = time.perf_counter()
    engine = build(texts, root)
    built = time.perf_counter()
    folder = root / f"{kind}-saved"
    folder.mkdir()
    engine.save(folder)
    saved = time.perf_counter()
    engine.load(folder)
    loaded = time.perf_counter()
    size_mb = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    return engine, (
        f"{built - began:8.2f} {size_mb:8.1f} {saved - built:7.3f} {loaded - saved:7.3f}"
    )


def _selection(share: float | None, size: int) -> Selection | None:
    if share is None:
        return None
    rng = np.random.default_rng(5)
    selection = Selection.of_rows(rng.choice(size, max(1, int(share * size)), replace=False), size)
    # A search computes them for its vector index too.
    assert len(selection.rows) == int(selection.mask.sum())
    return selection


def _timed(
    found: Sequence[Engine], queries: Sequence[str], selections: Sequence[Selection | None]
) -> list[list[list[float]]]:
    """Returns milliseconds by engine and selection: of each query, the median of all rounds."""
    times = np.empty((ROUNDS, len(found), len(selections), len(queries)))
    for turn in range(ROUNDS):
        for column, selection in enumerate(selections):
            for row, engine in enumerate(found):
                for place, query in enumerate(queries):
                    began = time.perf_counter()
                    engine.search(query, LIMIT, selection)
                    times[turn, row, column, place] = (time.perf_counter() - began) * 1e3
    medians: list[list[list[float]]] = np.median(times, axis=0).tolist()
    return medians


def _show_recall() -> None:
    embedder = open_embedder()
    try:
        for task in tasks():
            print(f"\n{task.name}: {len(task.texts):,} texts, {len(task.questions):,} questions")
            print("  share with a right text at 1 / at 10, by lexical weight")
            print("  weight      ", *(f"{weight:^13}" for weight in WEIGHTS))
            hits = task.candidates(embedder)
            for constant in CONSTANTS:
                cells = by_ranks(task, hits, constant)
                print(
                    f"  constant {constant:<3}", *(f"{one:.3f} / {ten:.3f}" for one, ten in cells)
                )
            print("  by scores   ", *(f"{share:^13}" for share in SHARES))
            cells = by_scores(task, hits)
            print("              ", *(f"{one:.3f} / {ten:.3f}" for one, ten in cells), flush=True)
    finally:
        embedder.close()


def _spoken() -> tuple[list[str], list[str]]:
    data = json.loads(data_file("clinc150/data_full.json").read_text())
    return [text for text, _ in data["train"]], [text for text, _ in data["test"]]


def _exams() -> list[str]:
    texts = []
    for path in sorted(data_file("routellm/mmlu_responses").glob("*.csv")):
        with path.open(newline="") as file:
            texts += [row["prompt"] for row in csv.DictReader(file)]
    return texts


def _varied(texts: Sequence[str], size: int) -> list[str]:
    """Returns the texts, then copies of them with a word replaced, and half with one more."""
    rng = random.Random(7)
    split = [words for words in map(words_of, texts) if words]
    vocabulary = [word for words in split for word in words]
    varied = list(texts[:size])
    while len(varied) < size:
        words = list(rng.choice(split))
        words[rng.randrange(len(words))] = rng.choice(vocabulary)
        if rng.random() < 0.5:
            words.append(f"{rng.choice(vocabulary)}{rng.randrange(1000)}")
        varied.append(" ".join(words))
    return varied


if __name__ == "__main__":
    main()
