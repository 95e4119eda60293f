"""Compressed segments say what plain ones say, line by line, and damage shows."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from arenalab.ledger.packing import (
    PackedError,
    lines_bytes,
    pack,
    packed_path,
    read_lines,
    read_packed_line,
)
from arenalab.ledger.verify import verify_directory
from arenalab.proof import Receipt, verify_receipt

from .conftest import PUBLIC_KEY, an_entry, open_log

LINES = st.lists(st.binary(max_size=300).map(lambda line: line.replace(b"\n", b"") + b"\n"))


@given(LINES, st.integers(1, 50))
def test_every_line_reads_back(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], repeats: int
) -> None:
    path = tmp_path_factory.mktemp("packed") / "00000000.ndjson"
    data = b"".join(lines * repeats)
    path.write_bytes(data)
    pack(path)
    assert not path.exists()
    assert read_lines(path) == data
    assert lines_bytes(path) == len(data)
    offset = 0
    for line in lines:
        assert read_packed_line(path, offset) == line
        offset += len(line)
    with packed_path(path).open("rb") as file:  # as the zstd program reads it
        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        assert reader.read() == data


@pytest.fixture
def packed(tmp_path: Path) -> tuple[Path, list[Receipt]]:
    """A closed log of several compressed segments, and its receipts."""
    log = open_log(tmp_path / "log", segment_bytes=3000, compress=True)
    receipts = []
    for n in range(30):
        (outcome,) = log.commit([an_entry(f"e{n}", evidence_ids=[f"s{n % 3}"])])
        assert isinstance(outcome, Receipt)
        receipts.append(outcome)
    log.close()
    assert len(list(log.directory.glob("*.ndjson.zst"))) > 3
    assert len(list(log.directory.glob("*.ndjson"))) == 1
    return log.directory, receipts


def test_a_compressed_log_opens_proves_and_verifies(packed: tuple[Path, list[Receipt]]) -> None:
    directory, receipts = packed
    found = verify_directory(directory, PUBLIC_KEY)
    assert (found.valid, found.entries) == (True, 30)
    for path in directory.glob("*.index"):
        path.unlink()
    log = open_log(directory, segment_bytes=3000)
    assert log.damage is None
    for receipt in receipts:
        verify_receipt(log.prove("default", receipt.leaf_index), PUBLIC_KEY)
        stored = log.get("default", receipt.leaf_index)
        assert stored.leaf == receipt.leaf
        assert stored.private is not None
    assert [line.index for line in log.lines(0, 30)] == list(range(30))
    assert sum(1 for _ in log.posted("span", "default", "s1")) == 10
    log.close()


def test_a_log_is_compressed_later_when_that_is_set(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log", segment_bytes=1000)
    for n in range(6):
        log.commit([an_entry(f"e{n}")])
    log.close()
    open_log(tmp_path / "log", segment_bytes=1000, compress=True).close()
    assert len(list(log.directory.glob("*.ndjson"))) == 1
    assert verify_directory(log.directory, PUBLIC_KEY).entries == 6


def test_any_damage_of_a_compressed_segment_is_found(packed: tuple[Path, list[Receipt]]) -> None:
    directory, _ = packed
    path = sorted(directory.glob("*.zst"))[1]
    whole = path.read_bytes()
    path.chmod(0o600)
    for position in range(0, len(whole), 23):
        changed = bytearray(whole)
        changed[position] ^= 0x40
        path.write_bytes(changed)
        found = verify_directory(directory, PUBLIC_KEY)
        assert not found.valid, position
        assert found.problems[0].file == "00000001.ndjson"
    for size in (0, 5, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert not verify_directory(directory, PUBLIC_KEY).valid
        log = open_log(directory)
        assert log.damage is not None
        log.close()
    path.write_bytes(whole)
    assert verify_directory(directory, PUBLIC_KEY).valid


def test_without_zstandard_a_compressed_log_is_no_valid_one(
    packed: tuple[Path, list[Receipt]],
) -> None:
    directory, _ = packed
    code = (
        "import sys; sys.modules['zstandard'] = None\n"
        "from arenalab.ledger.verify import main\n"
        f"sys.exit(main(['--public-key', {PUBLIC_KEY!r}, {str(directory)!r}]))"
    )
    run = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert run.returncode != 0
    assert "needs the package zstandard" in run.stdout + run.stderr


def test_a_frame_of_another_size_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "00000000.ndjson"
    path.write_bytes(b"a line\n")
    pack(path)
    packed_path(path).chmod(0o600)
    packed_path(path).write_bytes(packed_path(path).read_bytes()[:-4] + b"\0\0\0\0")
    with pytest.raises(PackedError):
        read_lines(path)
