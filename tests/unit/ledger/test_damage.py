"""Damage is found where it is, and a damaged log neither takes nor proves anything."""

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arenalab.ledger import high_water
from arenalab.ledger.log import Log
from arenalab.ledger.ranges import verify_open_log
from arenalab.ledger.verify import main, verify_directory
from arenalab.mesh import DataLossError, PreconditionError, Reason
from arenalab.proof import Signer, leaf_hash, receipt_to_json

from .conftest import ORIGIN, PUBLIC_KEY, SIGNER, OpenLog, an_entry, open_log

BATCHES = 6
PER_BATCH = 3


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A closed log of several segments, each with several batches."""
    log = open_log(tmp_path / "log", segment_bytes=3500)
    for batch in range(BATCHES):
        log.commit([an_entry(f"e{batch}.{n}") for n in range(PER_BATCH)])
    log.close()
    assert len(log.segment_paths) == 3
    return tmp_path / "log"


def refused(log: Log) -> DataLossError:
    """Asserts that the log refuses to go on; returns the error it does it with."""
    with pytest.raises(DataLossError) as caught:
        log.commit([an_entry("new")])
    assert caught.value.reason is Reason.CORRUPT_LEDGER
    for call in (lambda: log.prove("default", 0), lambda: log.consistency(1, 0)):
        with pytest.raises(DataLossError):
            call()
    return caught.value


def line_starts(data: bytes) -> list[int]:
    return [0, *(n + 1 for n, byte in enumerate(data[:-1]) if byte == ord("\n"))]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_any_changed_byte_is_found_in_its_line(directory: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(directory.glob("*.ndjson"))))
    whole = path.read_bytes()
    position = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[position] ^= data.draw(st.integers(1, 255))
    path.write_bytes(changed)
    try:
        found = verify_directory(directory, PUBLIC_KEY)
        assert not found.valid
        first = found.problems[0]
        assert first.file == path.name
        line = max(start for start in line_starts(whole) if start <= position)
        assert first.offset == line
        with closing(open_log(directory)) as log:
            error = refused(log)
            assert error.metadata == {"file": path.name, "offset": str(line)}
            assert not verify_open_log(log).valid
        assert path.read_bytes() == changed  # evidence is not repaired away
    finally:
        path.write_bytes(whole)


def forge(line: bytes) -> bytes:
    """Changes a leaf and the hash beside it."""
    start = line.index(b'"leaf":') + 7
    leaf = line[start:-2].replace(b"memory", b"forged")
    digest = leaf_hash(leaf).hex().encode()
    old = line.index(b'"hash":"') + 8
    return line[:old] + digest + line[old + 64 : start] + leaf + line[-2:]


def test_a_leaf_forged_with_its_hash_breaks_the_signed_root(directory: Path) -> None:
    path = directory / "00000001.ndjson"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[5] = forge(lines[5])  # the second entry of this segment's second batch
    path.write_bytes(b"".join(lines))
    (problem,) = verify_directory(directory, PUBLIC_KEY).problems
    assert (problem.file, problem.leaf_index) == (path.name, 9)
    assert problem.offset == sum(map(len, lines[:4]))
    assert "leaves 9 to 11 do not give the root" in problem.message
    log = open_log(directory)
    assert refused(log).metadata["offset"] == str(problem.offset)
    log.close()


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [*lines[:1], *lines[2:]],  # an entry taken out
        lambda lines: [lines[1], lines[0], *lines[2:]],  # two entries exchanged
        lambda lines: [lines[0], *lines],  # an entry twice
        lambda lines: [*lines[:3], *lines[4:]],  # a checkpoint taken out: no harm
    ],
)
def test_lines_moved_about_are_found(
    directory: Path, change: Callable[[list[bytes]], list[bytes]]
) -> None:
    path = directory / "00000000.ndjson"
    lines = path.read_bytes().splitlines(keepends=True)
    changed = change(lines)
    path.write_bytes(b"".join(changed))
    found = verify_directory(directory, PUBLIC_KEY)
    entries_moved = [x for x in changed if b'"leaf"' in x] != [x for x in lines if b'"leaf"' in x]
    assert found.valid != entries_moved
    if entries_moved:
        assert found.problems[0].file == path.name


@pytest.mark.parametrize("keep", [0, 1, 2, 3, 4, 5, 6, 7])
def test_a_log_cut_short_is_refused(directory: Path, keep: int) -> None:
    path = directory / "00000002.ndjson"
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == 8
    path.write_bytes(b"".join(lines[:keep]))
    log = open_log(directory)
    error = refused(log)
    kept = sum(map(len, lines[: 4 if keep >= 4 else 0]))
    file, offset = (path.name, kept) if kept else ("00000001.ndjson", None)
    assert error.metadata["file"] == file
    if offset is not None:
        assert error.metadata["offset"] == str(offset)
    assert "were sealed" in str(error)
    log.close()
    assert path.read_bytes() == b"".join(lines[:keep])


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_missing_segment_is_found(directory: Path, number: int) -> None:
    (directory / f"0000000{number}.ndjson").unlink()
    assert not verify_directory(directory, PUBLIC_KEY).valid
    log = open_log(directory)
    refused(log)
    log.close()


def test_segments_without_a_high_water_mark_are_refused(directory: Path) -> None:
    (directory / high_water.NAME).unlink()
    log = open_log(directory)
    assert "no checkpoint of this key" in str(refused(log))
    log.close()


def test_a_torn_slot_of_the_high_water_mark_does_no_harm(directory: Path) -> None:
    path = directory / high_water.NAME
    whole = path.read_bytes()
    for start in (0, high_water.SLOT_BYTES):
        torn = bytearray(whole)
        torn[start + 20 : start + 60] = bytes(40)
        path.write_bytes(torn)
        assert verify_directory(directory, PUBLIC_KEY).valid


def test_a_log_replaced_by_another_of_the_same_key_is_refused(
    directory: Path, tmp_path: Path
) -> None:
    other = open_log(tmp_path / "other")
    other.commit([an_entry(f"x{n}") for n in range(30)])
    other.close()
    for path in directory.glob("0*.*"):
        path.unlink()
    for path in other.directory.glob("0*.*"):
        shutil.copy(path, directory)
    log = open_log(directory)
    assert "are not those that were sealed" in str(refused(log))
    log.close()


def test_another_key_does_not_open_the_log(directory: Path) -> None:
    theirs = Signer(ORIGIN, bytes(32))
    with pytest.raises(PreconditionError, match=SIGNER.verifier_key.key_hash.hex()) as caught:
        open_log(directory, signer=theirs)
    assert caught.value.reason is Reason.MISSING_KEY
    assert not verify_directory(directory, str(theirs.verifier_key)).valid


def test_a_directory_that_is_not_there_is_no_valid_log(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        verify_directory(tmp_path / "none", PUBLIC_KEY)


def test_damage_shows_a_hundred_problems_at_most(tmp_path: Path, opened: OpenLog) -> None:
    log = opened()
    log.commit([an_entry(f"e{n}") for n in range(150)])
    path = log.segment_paths[0]
    path.write_bytes(path.read_bytes().replace(b"memory", b"forged"))
    assert len(verify_directory(tmp_path / "log", PUBLIC_KEY).problems) == 100


def test_a_log_that_was_cut_and_sealed_again_contradicts_what_was_seen(
    directory: Path, tmp_path: Path
) -> None:
    with closing(open_log(directory)) as log:
        seen = log.head.note
    # Whoever has the key can seal a shorter log, mark and all: it holds by itself.
    with closing(open_log(tmp_path / "short")) as short:
        short.commit([an_entry("e0.0"), an_entry("e0.1")])
    assert verify_directory(short.directory, PUBLIC_KEY).valid
    (problem,) = verify_directory(short.directory, PUBLIC_KEY, known=[seen]).problems
    assert problem.message == "the log ends after 2 leaves, but 18 were sealed"
    # And a longer one with other leaves.
    with closing(open_log(tmp_path / "fork")) as fork:
        fork.commit([an_entry(f"x{n}") for n in range(30)])
    (problem,) = verify_directory(fork.directory, PUBLIC_KEY, known=[seen]).problems
    assert "the first 18 leaves are not those" in problem.message
    assert verify_directory(directory, PUBLIC_KEY, known=[seen]).valid


def test_the_verifier_of_its_own_compares_receipts_and_tells_by_its_status(
    directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(open_log(directory)) as log:
        receipt = receipt_to_json(log.prove("default", 3))
        note = log.head.note
    kept = tmp_path / "receipt.json"
    kept.write_text(json.dumps({"arenalab": {"receipt": receipt}}))
    (tmp_path / "note").write_text(note)
    key = ["--public-key", PUBLIC_KEY]
    assert main([*key, "--receipt", str(kept)]) == 0
    assert main([*key, "--checkpoint", str(kept), "--json", str(directory)]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["entries"] == 18
    with closing(open_log(tmp_path / "short")) as short:
        short.commit([an_entry("e0")])
    assert main([*key, "--checkpoint", str(tmp_path / "note"), str(short.directory)]) == 1
    assert "18 were sealed" in capsys.readouterr().out
    receipt["leaf_index"] = 4
    kept.write_text(json.dumps(receipt))
    assert main([*key, "--receipt", str(kept)]) == 1
    assert main([*key, "--receipt", str(tmp_path / "none")]) == 2
    assert main([*key, str(tmp_path / "none")]) == 2
