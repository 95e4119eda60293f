"""What is particular to the built-in embedder: its files, its batches, how it is opened."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.search.embedder.build import is_built
from arenalab.search.embedder.cpu import has_vnni, may_saturate_int8
from arenalab.search.embedder.factory import UnknownEmbedderError, open_embedder
from arenalab.search.embedder.files import (
    DEFAULT_MODEL_DIR,
    GRAPH_NAME,
    INPUT_NAME,
    MODEL_SHA256,
    VOCABULARY_NAME,
    ModelFilesError,
)
from arenalab.search.embedder.minilm import (
    BATCH_TEXTS,
    BATCH_TOKENS,
    MiniLmEmbedder,
    equal_length_batches,
    open_session,
)

needs_model = pytest.mark.skipif(
    not is_built(DEFAULT_MODEL_DIR), reason="the embedder's model is not built: run `make model`"
)


@given(st.lists(st.integers(2, 256), max_size=200))
def test_batches_hold_every_text_once_with_its_equals_in_length(lengths: list[int]) -> None:
    batches = list(equal_length_batches(lengths))

    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len({lengths[index] for index in batch}) == 1
        assert len(batch) <= BATCH_TEXTS
        assert len(batch) == 1 or len(batch) * lengths[batch[0]] <= BATCH_TOKENS


def test_a_missing_model_names_the_command_that_builds_it(tmp_path: Path) -> None:
    with pytest.raises(ModelFilesError, match=r"No such file.*make model"):
        MiniLmEmbedder(tmp_path)


@needs_model
@pytest.mark.parametrize("name", [GRAPH_NAME, VOCABULARY_NAME])
def test_a_changed_model_file_is_refused(tmp_path: Path, name: str) -> None:
    for file in MODEL_SHA256:
        shutil.copy(DEFAULT_MODEL_DIR / file, tmp_path)
    with (tmp_path / name).open("ab") as file_:
        file_.write(b"x")

    with pytest.raises(ModelFilesError, match=rf"{name}: expected sha256 {MODEL_SHA256[name]}"):
        MiniLmEmbedder(tmp_path)


@needs_model
@pytest.mark.slow
def test_the_model_may_lie_elsewhere_and_stays_the_same_embedder(tmp_path: Path) -> None:
    for file in MODEL_SHA256:
        shutil.copy(DEFAULT_MODEL_DIR / file, tmp_path)

    here, there = open_embedder("minilm"), open_embedder(f"minilm:{tmp_path}")

    assert here.identity == there.identity
    here.close()
    there.close()


@pytest.mark.parametrize("spec", ["", "minilm:", "bert", "sentence-transformers", "minilmx:/a"])
def test_a_spec_of_another_form_is_refused(spec: str) -> None:
    with pytest.raises(UnknownEmbedderError, match="embedder must be minilm"):
        open_embedder(spec)


@needs_model
@pytest.mark.slow
def test_the_arithmetic_chosen_for_this_processor_is_exact() -> None:
    ids = np.random.default_rng(1).integers(1000, 30_000, (8, 24))
    chosen = open_session(DEFAULT_MODEL_DIR / GRAPH_NAME, exact=may_saturate_int8())
    exact = open_session(DEFAULT_MODEL_DIR / GRAPH_NAME, exact=True)

    found, wanted = (session.run(None, {INPUT_NAME: ids})[0] for session in (chosen, exact))

    assert found.tobytes() == wanted.tobytes()


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512_vnni\n", True),
        ("flags\t\t: fpu avx2 avx_vnni\n\nflags\t\t: fpu avx2 avx_vnni\n", True),
        ("flags\t\t: fpu avx2 avx_vnni\n\nflags\t\t: fpu avx2\n", False),
        ("flags\t\t: fpu avx2\nmodel name\t: the avx_vnni\n", False),
        ("", False),
    ],
)
def test_only_processors_known_to_have_vnni_are_trusted(cpuinfo: str, *, expected: bool) -> None:
    assert has_vnni(cpuinfo) is expected
