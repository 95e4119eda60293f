"""Real questions: those that become spans, and those that are asked.

Read from public datasets where they lie in `ARENALAB_DATA`; otherwise from the built-in
dataset, which is small: more of the corpus is then made of near-duplicates.
"""

import csv
import json
import os
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

DATA: Final = Path(os.environ.get("ARENALAB_DATA", "../shared/data"))
_SEED: Final = 11


class Texts(NamedTuple):
    """Two sets without a text in common, each in a random order that never changes."""

    stored: list[str]
    asked: list[str]
    source: str


def read_texts() -> Texts:
    """Returns the questions of the public datasets, or of the built-in one."""
    asked = _distinct(_clinc("test"))
    if not asked:
        builtin = _distinct(_builtin())
        return Texts(_shuffled(builtin), [f"{text} please" for text in builtin], "built-in dataset")
    stored = _distinct(
        (*_clinc("train", "val", "oos_train", "oos_val"), *_nq_open(), *_webquestions(),
         *_truthfulqa())
    )  # fmt: skip
    held_out = set(asked)
    stored = [text for text in stored if text not in held_out]
    return Texts(_shuffled(stored), _shuffled(asked), "CLINC150, NQ-open, WebQuestions, TruthfulQA")


def _clinc(*splits: str) -> Iterator[str]:
    path = DATA / "clinc150" / "data_full.json"
    if path.exists():
        content = json.loads(path.read_text())
        for split in splits:
            yield from (text for text, _ in content[split])


def _nq_open() -> Iterator[str]:
    for path in sorted((DATA / "nq_open").glob("*.jsonl")):
        yield from (json.loads(line)["question"] for line in path.read_text().splitlines())


def _webquestions() -> Iterator[str]:
    for path in sorted((DATA / "webquestions").glob("*.json")):
        yield from (row["qText"] for row in json.loads(path.read_text()))


def _truthfulqa() -> Iterator[str]:
    path = DATA / "truthfulqa" / "TruthfulQA.csv"
    if path.exists():
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from (row["Question"] for row in csv.DictReader(file))


def _builtin() -> Iterator[str]:
    path = Path(str(resources.files("arenalab.curator.builtin") / "arenalab.ndjson"))
    yield from (json.loads(line)["this"] for line in path.read_text().splitlines())


def _distinct(texts: "Iterator[str] | tuple[str, ...]") -> list[str]:
    return list(dict.fromkeys(text.strip() for text in texts if text.strip()))


def _shuffled(texts: list[str]) -> list[str]:
    return [texts[at] for at in np.random.default_rng(_SEED).permutation(len(texts))]
