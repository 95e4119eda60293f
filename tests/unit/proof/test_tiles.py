"""Static files prove what the tree proves, and changed files prove nothing."""

from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenalab.proof import (
    Checkpoint,
    MerkleTree,
    ProofError,
    TileFile,
    TileReader,
    decode_entries,
    encode_entries,
    export_files,
    leaf_hash,
    tile_files,
    verify_consistency,
    verify_inclusion,
)

LARGEST = 65_537
SIZES = st.one_of(
    st.sampled_from([0, 1, 2, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537]),
    st.integers(0, 1500),
)


def leaf_at(index: int) -> bytes:
    return index.to_bytes(4, "big") * (index % 3)


def leaves(low: int, high: int) -> list[bytes]:
    return [leaf_at(index) for index in range(low, high)]


@cache
def tree() -> MerkleTree:
    tree = MerkleTree()
    tree.extend(b"".join(leaf_hash(leaf_at(index)) for index in range(LARGEST)))
    return tree


@cache
def all_files() -> dict[str, bytes]:
    """Returns the files of the largest tree; those of smaller ones are made when asked for."""
    return dict(export_files(LARGEST, 0, tree().hashes, leaves))


def files_of(size: int) -> dict[str, bytes]:
    return dict(export_files(size, 0, tree().hashes, leaves))


def fetch_from(files: dict[str, bytes]) -> Callable[[str], bytes]:
    def fetch(path: str) -> bytes:
        if path not in files:
            raise FileNotFoundError(path)
        return files[path]

    return fetch


def checkpoint(size: int) -> Checkpoint:
    return Checkpoint("example.org/log", size, tree().root(size))


def reader(size: int, files: dict[str, bytes] | None = None) -> TileReader:
    return TileReader(fetch_from(files_of(size) if files is None else files), checkpoint(size))


@pytest.mark.parametrize(
    ("file", "path"),
    [
        (TileFile(0, 0), "tile/0/000"),
        (TileFile(3, 1234067), "tile/3/x001/x234/067"),
        (TileFile(63, 999, 1), "tile/63/999.p/1"),
        (TileFile(0, 1000, 255), "tile/0/x001/000.p/255"),
        (TileFile(None, 273, 112), "tile/entries/273.p/112"),
        (TileFile(None, 10**6), "tile/entries/x001/x000/000"),
    ],
)
def test_paths_are_those_of_the_specification(file: TileFile, path: str) -> None:
    assert file.path == path
    assert TileFile.parse(path) == file


@given(st.one_of(st.none(), st.integers(0, 63)), st.integers(0, 2**56), st.integers(1, 256))
def test_a_path_reads_back(level: int | None, index: int, width: int) -> None:
    file = TileFile(level, index, width)
    assert TileFile.parse(file.path) == file


@pytest.mark.parametrize(
    "path",
    [
        "", "checkpoint", "tile/0/0", "tile/0/1000", "tile/00/000", "tile/01/000", "tile/100/000",
        "tile/-1/000", "tile/0/x000/001", "tile/0/001/002", "tile/0/x001", "tile/0/000.p/0",
        "tile/0/000.p/256", "tile/0/000.p/01", "tile/0/000.p/", "/tile/0/000", "tile/0/000/",
        "tile/0/../000", "tile/0/\u0660\u0660\u0660", "tile/0/000\n", "tile/data/000",
    ],
)  # fmt: skip
def test_other_paths_are_refused(path: str) -> None:
    with pytest.raises(ProofError):
        TileFile.parse(path)


def test_the_files_of_the_specifications_example() -> None:
    files = list(tile_files(70_000))
    tiles = [file for file in files if file.level is not None]
    for level, full, width in ((0, 273, 112), (1, 1, 17), (2, 0, 1)):
        widths = [file.width for file in tiles if file.level == level]
        assert widths == [256] * full + [width]
    assert [(file.index, file.width) for file in files if file.level is None] == [
        (file.index, file.width) for file in tiles if file.level == 0
    ]
    assert [(file.level, file.width) for file in tile_files(256) if file.level is not None] == [
        (0, 256),
        (1, 1),
    ]
    assert list(tile_files(0)) == []


@given(st.integers(0, 200_000), st.integers(0, 200_000))
def test_what_is_new_and_what_was_there_make_up_what_there_is(one: int, other: int) -> None:
    since, size = sorted((one, other))
    before, after, new = (
        set(tile_files(since)),
        set(tile_files(size)),
        list(tile_files(size, since)),
    )
    assert len(new) == len(set(new))
    assert before | set(new) >= after
    assert not before & set(new)
    assert set(new) <= after
    with pytest.raises(ProofError):
        list(tile_files(since, size + 1))


@pytest.mark.slow
@settings(deadline=None)
@given(st.data())
def test_a_reader_proves_what_the_tree_proves(data: st.DataObject) -> None:
    size = data.draw(SIZES)
    read = reader(size)
    assert read.size == size
    assert read.root() == tree().root(size)
    if not size:
        return
    index = data.draw(st.integers(0, size - 1))
    first = data.draw(st.integers(1, size))
    assert read.leaf(index) == tree().leaf(index)
    path = read.inclusion_path(index, size)
    assert path == tree().inclusion_path(index, size)
    verify_inclusion(index, size, leaf_hash(leaf_at(index)), path, tree().root(size))
    path = read.consistency_path(first, size)
    assert path == tree().consistency_path(first, size)
    verify_consistency(first, size, read.root(first), read.root(), path)
    end = data.draw(st.integers(index, min(size, index + 600)))
    assert list(read.leaves(index, end)) == leaves(index, end)


def test_outgrown_partial_files_may_be_gone() -> None:
    full_only = {path: data for path, data in all_files().items() if ".p/" not in path}
    read = TileReader(fetch_from(full_only), checkpoint(64_775))
    assert read.size % 256
    assert list(read.leaves(read.size - 9, read.size)) == leaves(read.size - 9, read.size)
    missing = dict(full_only)
    del missing["tile/0/000"]
    broken = TileReader(fetch_from(missing), checkpoint(65_000))
    with pytest.raises(FileNotFoundError):
        broken.leaf(3)


def test_a_reader_fetches_few_tiles() -> None:
    fetched: list[str] = []
    files = files_of(65_537)

    def fetch(path: str) -> bytes:
        fetched.append(path)
        return files[path]

    read = TileReader(fetch, checkpoint(65_537))
    read.inclusion_path(1234, 65_537)
    assert sorted(fetched) == ["tile/0/004", "tile/0/256.p/1", "tile/1/000", "tile/2/000.p/1"]
    read.inclusion_path(1235, 65_537)
    assert len(fetched) == 4


def spoil(files: dict[str, bytes], path: str, change: Callable[[bytes], bytes]) -> dict[str, bytes]:
    return files | {path: change(files[path])}


def flipped(at: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def everything(read: TileReader) -> list[object]:
    size = read.size
    proofs: Iterable[object] = (read.inclusion_path(index, size) for index in range(0, size, 100))
    return [*read.leaves(0, size), *proofs]


@pytest.mark.parametrize("path", [*(file.path for file in tile_files(700)), "tile/entries/000"])
@pytest.mark.parametrize(
    "change",
    [flipped(40), flipped(0), lambda data: data[:-1], lambda _: b"", lambda data: b"\0" + data],
)
def test_a_changed_file_is_found_out(path: str, change: Callable[[bytes], bytes]) -> None:
    files = files_of(700)
    if len(files[path]) <= 40:
        change = flipped(1)
    everything(reader(700, files))
    with pytest.raises(ProofError):
        everything(reader(700, spoil(files, path, change)))


def test_a_leaf_changed_with_its_tile_is_found_out() -> None:
    forged = [b"forged", *leaves(1, 256)]
    tile = b"".join(leaf_hash(leaf) for leaf in forged)
    files = files_of(700) | {"tile/entries/000": encode_entries(forged), "tile/0/000": tile}
    read = reader(700, files)  # the rightmost tiles are the log's
    for call in (
        lambda: list(read.leaves(0, 3)),
        lambda: read.leaf(3),
        lambda: read.inclusion_path(3, 700),
    ):
        with pytest.raises(ProofError, match="tile/0/000 is not a tile"):
            call()


def test_files_of_another_log_do_not_have_the_root() -> None:
    files = files_of(700)
    for other in (699, 701):
        with pytest.raises((ProofError, FileNotFoundError)):
            reader(other, files)
    forked = Checkpoint("example.org/log", 700, bytes(32))
    with pytest.raises(ProofError, match="root"):
        TileReader(fetch_from(files), forked)


def test_what_is_outside_the_tree_is_refused() -> None:
    read = reader(300)
    for call in (
        lambda: read.leaf(300),
        lambda: read.leaf(-1),
        lambda: list(read.leaves(0, 301)),
        lambda: list(read.leaves(2, 1)),
        lambda: read.inclusion_path(300, 300),
        lambda: read.consistency_path(0, 300),
        lambda: read.root(301),
    ):
        with pytest.raises(ProofError):
            call()


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_entries_read_back(entries: list[bytes]) -> None:
    bundle = encode_entries(entries)
    assert decode_entries(bundle) == entries
    for cut in range(1, min(len(bundle), 4)):
        try:
            assert encode_entries(decode_entries(bundle[:-cut])) == bundle[:-cut]
        except ProofError:
            continue


def test_an_entry_has_at_most_65535_bytes() -> None:
    longest = bytes(65_535)
    assert encode_entries([b"ab", longest]) == b"\x00\x02ab\xff\xff" + longest
    with pytest.raises(ProofError, match="65535"):
        encode_entries([longest + b"\0"])
    for cut in (b"\x00", b"\x00\x03ab"):
        with pytest.raises(ProofError, match="within a leaf"):
            decode_entries(cut)


def test_export_writes_what_lies_where(tmp_path: Path) -> None:
    for path, content in export_files(300, 0, tree().hashes, leaves):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    for path, content in export_files(600, 300, tree().hashes, leaves):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    read = TileReader(lambda path: (tmp_path / path).read_bytes(), checkpoint(600))
    assert list(read.leaves(0, 600)) == leaves(0, 600)
