"""Engines of BM25 under one interface, to be compared in one run.

`bm25s` as it is, which sums a score for every text; what search uses, which has bm25s's
postings and sums only what can matter; and tantivy, which is no dependency of this
project (`pip install tantivy`) and is left out where it is missing.
"""

import importlib.util
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from arenalab.search.index.selection import IntArray, Selection
from arenalab.search.lexical import LexicalIndex
from arenalab.search.lexical.building import K1, B
from arenalab.search.lexical.words import words_of


class Engine(Protocol):
    """Built over texts; row i is text i."""

    def search(self, text: str, limit: int, allowed: Selection | None) -> IntArray:
        """Returns the best rows."""

    def save(self, folder: Path) -> None:
        """Writes the index."""

    def load(self, folder: Path) -> None:
        """Reads what `save` wrote, in place of what there was."""


class Ours:
    """What search uses."""

    def __init__(self, texts: Sequence[str], folder: Path) -> None:
        del folder
        self._index = LexicalIndex.build(texts)

    def search(self, text: str, limit: int, allowed: Selection | None) -> IntArray:
        return self._index.search(text, limit, allowed).rows

    def save(self, folder: Path) -> None:
        self._index.save(folder)

    def load(self, folder: Path) -> None:
        self._index = LexicalIndex.load(folder)


class Bm25s:
    """bm25s by its own queries."""

    def __init__(self, texts: Sequence[str], folder: Path) -> None:
        del folder
        import bm25s

        numbers: dict[str, int] = {}
        ids = [[numbers.setdefault(word, len(numbers)) for word in words_of(t)] for t in texts]
        self._index: Any = bm25s.BM25(k1=K1, b=B)
        self._index.index((ids, numbers), show_progress=False)

    def search(self, text: str, limit: int, allowed: Selection | None) -> IntArray:
        mask = None if allowed is None else allowed.mask.astype(np.float32)
        found, scores = self._index.retrieve(
            [words_of(text)], k=limit, show_progress=False, weight_mask=mask
        )
        rows: IntArray = found[0][scores[0] > 0]
        return rows

    def save(self, folder: Path) -> None:
        self._index.save(folder, show_progress=False)

    def load(self, folder: Path) -> None:
        self._index = type(self._index).load(folder, mmap=True, show_progress=False)


class Tantivy:
    """tantivy, given the same words; one thread and one segment."""

    def __init__(self, texts: Sequence[str], folder: Path) -> None:
        self._tantivy: Any = importlib.import_module("tantivy")
        builder = self._tantivy.SchemaBuilder()
        builder.add_text_field("words", tokenizer_name="blanks", index_option="freq")
        builder.add_unsigned_field("row", indexed=True, fast=True)
        self._schema = builder.build()
        self._folder = folder / "tantivy"
        self._folder.mkdir()
        index = self._tantivy.Index(self._schema, path=str(self._folder))
        self._register(index)
        writer = index.writer(heap_size=500_000_000, num_threads=1)
        for row, text in enumerate(texts):
            document = self._tantivy.Document()
            document.add_text("words", " ".join(words_of(text)))
            document.add_unsigned("row", row)
            writer.add_document(document)
        writer.commit()
        writer.wait_merging_threads()
        index.reload()
        self._searcher = index.searcher()

    def search(self, text: str, limit: int, allowed: Selection | None) -> IntArray:
        query, occur = self._tantivy.Query, self._tantivy.Occur
        wanted = query.boolean_query(
            [
                (occur.Should, query.term_query(self._schema, "words", word, index_option="freq"))
                for word in words_of(text)
            ]
        )
        if allowed is not None:
            # The only way in by row: a set of terms.
            rows = query.term_set_query(self._schema, "row", allowed.rows.tolist())
            wanted = query.boolean_query(
                [(occur.Must, wanted), (occur.Must, query.const_score_query(rows, 0.0))]
            )
        hits = self._searcher.search(wanted, limit, count=False).hits
        rows = self._searcher.fast_field_values("row", [address for _, address in hits])
        return np.array(rows, np.int64)

    def save(self, folder: Path) -> None:
        shutil.copytree(self._folder, folder, dirs_exist_ok=True)

    def load(self, folder: Path) -> None:
        index = self._tantivy.Index.open(str(folder))
        self._register(index)
        self._searcher = index.searcher()

    def _register(self, index: Any) -> None:
        blanks = self._tantivy.TextAnalyzerBuilder(self._tantivy.Tokenizer.whitespace()).build()
        index.register_tokenizer("blanks", blanks)


def engines() -> dict[str, Callable[[Sequence[str], Path], Engine]]:
    """Returns what builds each engine that is installed."""
    found: dict[str, Callable[[Sequence[str], Path], Engine]] = {"ours": Ours, "bm25s": Bm25s}
    if importlib.util.find_spec("tantivy"):
        found["tantivy"] = Tantivy
    return found
