"""BM25 by bm25s and a search that leaves words out, against the formula written plainly."""

import math
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenalab.search.index.selection import Selection
from arenalab.search.lexical import LexicalIndex, postings
from arenalab.search.lexical.building import K1, B
from arenalab.search.lexical.words import words_of

# Few words, so that texts share some; one of them in most texts, as in any language.
_WORDS = st.sampled_from(["the", "the", "the", "not", "card", "lost", "42", "größe", "東京"])
_TEXTS = st.lists(st.lists(_WORDS, max_size=12).map(" ".join), max_size=30)
_QUERY = st.lists(_WORDS | st.just("unheard"), max_size=6).map(" ".join)


def _plain_scores(query: str, texts: list[str], like: list[str]) -> list[float]:
    words = [words_of(text) for text in texts]
    basis = [words_of(text) for text in like]
    mean = sum(map(len, basis)) / max(len(basis), 1)
    scores = []
    for text in words:
        score = 0.0
        for word in words_of(query):
            df = sum(word in other for other in basis)
            idf = math.log(1 + (len(basis) - df + 0.5) / (df + 0.5))
            tf = Counter(text)[word]
            if tf:
                score += idf * tf / (tf + K1 * (1 - B + B * len(text) / mean))
        scores.append(score)
    return scores


@settings(max_examples=40, deadline=None)
@given(texts=_TEXTS, query=_QUERY)
def test_scores_are_those_of_the_formula(texts: list[str], query: str) -> None:
    index = LexicalIndex.build(texts)
    scores = index.scores(query, np.arange(len(texts)))
    assert scores == pytest.approx(_plain_scores(query, texts, texts), rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(texts=_TEXTS, more=_TEXTS, query=_QUERY)
def test_scores_like_another_index_are_by_its_statistics(
    texts: list[str], more: list[str], query: str
) -> None:
    base = LexicalIndex.build(texts)
    index = LexicalIndex.build(more, like=base)
    if any(map(words_of, texts)):
        scores = index.scores(query, np.arange(len(more)))
        assert scores == pytest.approx(_plain_scores(query, more, texts), rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(texts=_TEXTS, query=_QUERY)
def test_equal_texts_score_equally_in_an_index_like_theirs(texts: list[str], query: str) -> None:
    base = LexicalIndex.build(texts)
    part = LexicalIndex.build(texts[::2], like=base)
    rows = np.arange(len(texts))
    assert part.scores(query, rows[: len(part)]) == pytest.approx(
        base.scores(query, rows[::2]), rel=1e-6
    )


@pytest.mark.parametrize("few", [0, 1_000_000])
@settings(max_examples=40, deadline=None)
@given(data=st.data(), texts=_TEXTS, query=_QUERY, limit=st.integers(1, 12))
def test_a_search_returns_the_highest_scores_whichever_way_it_goes(
    few: int, data: st.DataObject, texts: list[str], query: str, limit: int
) -> None:
    index = LexicalIndex.build(texts)
    size = len(texts)
    allowed = data.draw(st.none() | st.sets(st.integers(0, size - 1)) if size else st.none())
    selection = None if allowed is None else Selection.of_rows(sorted(allowed), size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postings, "_FEW", few)
        found = index.search(query, limit, selection)
    rows = np.arange(size) if allowed is None else np.array(sorted(allowed), np.int64)
    scores = index.scores(query, rows)
    order = np.lexsort((rows, -scores))
    order = order[scores[order] > 0][:limit]
    assert found.rows.tolist() == rows[order].tolist()
    assert found.scores.tolist() == scores[order].tolist()


def test_leaving_words_out_changes_nothing_in_a_larger_index() -> None:
    rng = np.random.default_rng(3)
    # Zipf's law: a few words are in most texts.
    texts = [" ".join(map(str, rng.zipf(1.3, 9) % 500)) for _ in range(3000)]
    index = LexicalIndex.build(texts)
    allowed = Selection.of_rows(rng.choice(3000, 1500, replace=False), 3000)
    for query in texts[:40]:
        for selection in (None, allowed):
            rows = np.arange(3000) if selection is None else selection.rows
            scores = index.scores(query, rows)
            order = np.lexsort((rows, -scores))[:10]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(postings, "_FEW", 0)
                found = index.search(query, 10, selection)
            assert found.rows.tolist() == rows[order].tolist()
            assert found.scores.tolist() == scores[order].tolist()


@pytest.mark.parametrize("text", ["", "  ", "?!…", "unheard", "\ud800", "\x00"])
def test_a_query_without_a_known_word_finds_nothing(text: str) -> None:
    index = LexicalIndex.build(["lost my card", "", "where is 東京"])
    assert not len(index.search(text, 5).rows)
    assert index.scores(text, np.arange(3)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("texts", [[], [""], ["", "…", " "]])
def test_texts_without_words_are_never_found(texts: list[str]) -> None:
    index = LexicalIndex.build(texts)
    assert len(index) == len(texts)
    assert not len(index.search("anything", 5).rows)
    again = LexicalIndex.build(["anything else"], like=index)
    assert again.search("anything", 5).rows.tolist() == [0]


def test_case_and_form_of_letters_make_no_difference() -> None:
    index = LexicalIndex.build(["GRÖSSE der Straße", "cafe\u0301", "\uff57ide"])
    assert index.search("strasse", 5).rows.tolist() == [0]
    assert index.search("gro\u0308ße", 5).rows.tolist() == [0]
    assert index.search("CAFÉ", 5).rows.tolist() == [1]
    assert index.search("wide", 5).rows.tolist() == [2]


def test_negations_and_numbers_are_words() -> None:
    index = LexicalIndex.build(["do charge me", "do not charge me", "error 404"])
    assert index.search("not", 5).rows.tolist() == [1]
    assert index.search("404?", 5).rows.tolist() == [2]


def test_equal_scores_come_by_row() -> None:
    index = LexicalIndex.build(["same words", "other", "same words", "same words"])
    assert index.search("same words", 2).rows.tolist() == [0, 2]


def test_a_very_long_query_is_answered() -> None:
    index = LexicalIndex.build(["lost card", "found card"])
    text = "lost " * 5000 + " ".join(map(str, range(2000)))
    assert index.search(text, 5).rows.tolist() == [0]


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="limit must be at least 1, got 0"):
        LexicalIndex.build(["a"]).search("a", 0)


def test_a_selection_of_other_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="allowed must be of 1 rows, got 2"):
        LexicalIndex.build(["a"]).search("a", 1, Selection.of_rows([0], 2))


@pytest.mark.parametrize("texts", [[], [""], ["lost my card", "", "is it not größe \u6771?"]])
def test_a_saved_index_answers_as_before(tmp_path: Path, texts: list[str]) -> None:
    index = LexicalIndex.build(texts, like=LexicalIndex.build(["lost card", "card", "not 5"]))
    index.save(tmp_path)
    loaded = LexicalIndex.load(tmp_path)
    assert len(loaded) == len(index)
    assert loaded.memory_bytes == index.memory_bytes
    for query in ["card not", "größe", "unheard"]:
        for one, other in zip(loaded.search(query, 9), index.search(query, 9), strict=True):
            assert one.tolist() == other.tolist()
    like_loaded = LexicalIndex.build(["my card"], like=loaded).scores("card", np.arange(1))
    like_built = LexicalIndex.build(["my card"], like=index).scores("card", np.arange(1))
    assert bool(like_loaded) == bool(like_built)


def test_a_loaded_index_gives_others_its_statistics(tmp_path: Path) -> None:
    index = LexicalIndex.build(["lost my card", "card", "not found"])
    index.save(tmp_path)
    for query in ["card", "lost", "unheard"]:
        texts, row = ["unheard card lost"], np.arange(1)
        loaded = LexicalIndex.build(texts, like=LexicalIndex.load(tmp_path))
        built = LexicalIndex.build(texts, like=index)
        assert loaded.scores(query, row).tolist() == built.scores(query, row).tolist()


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    LexicalIndex.build(["lost my card", "card", "not found"]).save(whole)
    for path in sorted(whole.iterdir()):
        content = path.read_bytes()
        for length in (0, len(content) // 2, len(content) - 1):
            broken = shutil.copytree(whole, tmp_path / f"{path.name}-{length}")
            (broken / path.name).write_bytes(content[:length])
            with pytest.raises(ValueError, match=r"."):
                LexicalIndex.load(broken)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    LexicalIndex.build(["lost my card"]).save(tmp_path)
    (tmp_path / "gains.npy").unlink()
    with pytest.raises(FileNotFoundError):
        LexicalIndex.load(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"format": 1', '"format": 9', "format of the index is 9, expected 1"),
        ('"k1": 1.5', '"k1": 1.2', "k1 of the index"),
        ('"size": 2', '"size": 1', "outside"),
        ('"vocabulary": 3', '"vocabulary": 2', "expected 2"),
        ('"postings": 4', '"postings": -4', "expected a count"),
        ('"mean_length": 2.0', '"mean_length": 0.0', "mean_length"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    LexicalIndex.build(["lost my card", "card"]).save(tmp_path)
    about = tmp_path / "lexical.json"
    assert old in about.read_text()
    about.write_text(about.read_text().replace(old, new))
    with pytest.raises(ValueError, match=message):
        LexicalIndex.load(tmp_path)
