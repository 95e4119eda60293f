"""Small files that survive a crash."""

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from arenalab.durable import append, create, remove_left_over, replace


@contextmanager
def _full_disk(most_bytes: int) -> Iterator[None]:
    """Lets no file grow beyond a size, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, old)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_with_its_folder_and_mode(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "secret"
    replace(path, b"one", mode=0o600)
    replace(path, b"two", mode=0o600)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert _names(path.parent) == ["secret"]


def test_a_secret_is_not_written_into_a_file_that_others_may_read(tmp_path: Path) -> None:
    left_over = tmp_path / "key.new"
    left_over.write_bytes(b"x")
    left_over.chmod(0o644)
    replace(tmp_path / "key", b"secret", mode=0o600)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_on_a_full_disk_the_file_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace(path, b"before")
    with _full_disk(64), pytest.raises(OSError, match="too large"):
        replace(path, b"x" * 100)
    assert path.read_bytes() == b"before"
    assert _names(tmp_path) == ["file"]


def test_on_a_full_disk_nothing_is_appended(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    append(path, b"one\n")
    with _full_disk(64), pytest.raises(OSError, match="too large"):
        append(path, b"y" * 100 + b"\n")
    append(path, b"two\n")
    assert path.read_bytes() == b"one\ntwo\n"


def test_what_a_dead_process_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "file.new").write_bytes(b"half")
    remove_left_over(tmp_path / "file")
    remove_left_over(tmp_path / "file")
    assert _names(tmp_path) == []


def test_a_file_cannot_take_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        replace(tmp_path / "folder", b"x")
    assert _names(tmp_path) == ["folder"]


def test_a_file_is_created_once_and_never_changed(tmp_path: Path) -> None:
    path = tmp_path / "a" / "key"
    assert create(path, b"first", mode=0o600)
    assert not create(path, b"second", mode=0o600)
    assert path.read_bytes() == b"first"
    assert path.stat().st_mode & 0o777 == 0o600
    assert _names(path.parent) == ["key"]


def test_on_a_full_disk_no_file_is_created(tmp_path: Path) -> None:
    with _full_disk(64), pytest.raises(OSError, match="too large"):
        create(tmp_path / "file", b"x" * 100)
    assert _names(tmp_path) == []
