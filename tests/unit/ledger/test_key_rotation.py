"""Keys change without a gap: no crash, overlap or retirement leaves a signature unverifiable."""

import itertools
import logging
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from arenalab.ledger.keys import (
    KeyState,
    create_signing_key,
    known_keys,
    load_key_ring,
    public_keys,
    rotate_signing_key,
)
from arenalab.mesh import InvalidInputError, PreconditionError, Reason
from arenalab.proof import Checkpoint, KeyRing, Signer, open_checkpoint

ORIGIN = "example.org/log"
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
MONTH = timedelta(days=30)
LATER = NOW + MONTH
TEXT = Checkpoint(ORIGIN, 3, bytes(32)).text()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "keys" / "ledger.ed25519"
    create_signing_key(path)
    return path


def load(path: Path, now: datetime = NOW, seed_hex: str = "") -> KeyRing:
    return load_key_ring(path, ORIGIN, seed_hex=seed_hex, now=now)


def rotate(path: Path, now: datetime = NOW, *, force: bool = False) -> str:
    return str(rotate_signing_key(path, ORIGIN, MONTH, now, force=force))


def files(path: Path) -> set[str]:
    return {file.name.removeprefix(path.name).removeprefix(".") for file in path.parent.iterdir()}


def states(path: Path, now: datetime = NOW) -> list[KeyState]:
    return [key.state for key in known_keys(path, ORIGIN, now=now)]


def test_old_and_new_key_sign_together_until_the_overlap_ends(path: Path) -> None:
    old = load(path)
    assert rotate(path) == str(load(path).verifier_key)
    during = load(path, LATER - timedelta(seconds=1))
    assert during.verifier_keys == (during.verifier_key, old.verifier_key)
    for key in during.verifier_keys:
        open_checkpoint(during.sign(TEXT), key)
    assert states(path) == [KeyState.CURRENT, KeyState.OVERLAPPING]
    after = load(path, LATER)
    assert after.verifier_keys == during.verifier_keys
    assert after.sign(TEXT).count("\u2014") == 1
    assert states(path, LATER) == [KeyState.CURRENT, KeyState.RETIRED]
    open_checkpoint(old.sign(TEXT), public_keys(path, ORIGIN))


def test_a_seed_is_destroyed_when_its_overlap_ends_and_not_before(path: Path) -> None:
    seed = path.read_text().strip()
    kept = path.with_name("hard-link")  # shows what became of the bytes themselves
    rotate(path)
    previous = path.with_name(f"{path.name}.previous")
    assert seed in previous.read_text()
    assert stat.S_IMODE(previous.stat().st_mode) == 0o600
    os.link(previous, kept)
    load(path, LATER)
    assert not previous.exists()
    assert set(kept.read_bytes()) == {0}
    kept.unlink()
    assert files(path) == {"", "pub", "lock"}
    assert not any(seed in file.read_text() for file in path.parent.iterdir())


def test_the_replaced_file_is_overwritten(path: Path) -> None:
    kept = path.with_name("hard-link")
    os.link(path, kept)
    rotate(path)
    assert set(kept.read_bytes()) == {0}


def test_rotating_during_an_overlap_must_be_forced(path: Path) -> None:
    first = load(path).verifier_key
    rotate(path)
    before = {file: file.read_bytes() for file in path.parent.iterdir()}
    with pytest.raises(PreconditionError, match="2026-12-28T12:00:00Z"):
        rotate(path, LATER - timedelta(seconds=1))
    assert {file: file.read_bytes() for file in path.parent.iterdir()} == before
    rotate(path, force=True)
    ring = load(path)
    assert states(path) == [KeyState.CURRENT, KeyState.OVERLAPPING, KeyState.RETIRED]
    assert ring.verifier_keys[2] == first
    rotate(path, LATER)  # no overlap is left
    assert len(public_keys(path, ORIGIN)) == 4


def test_an_overlap_of_nothing_retires_the_old_key_at_once(path: Path) -> None:
    load(path)
    rotate_signing_key(path, ORIGIN, timedelta(0), NOW)
    assert states(path) == [KeyState.CURRENT, KeyState.RETIRED]
    assert files(path) == {"", "pub", "lock"}
    with pytest.raises(InvalidInputError):
        rotate_signing_key(path, ORIGIN, timedelta(seconds=-1), NOW)


def test_the_public_file_lists_every_key_with_its_state(path: Path) -> None:
    load(path)
    rotate(path)
    public = path.with_name(f"{path.name}.pub")
    keys = [str(key) for key in load(path).verifier_keys]
    assert public.read_text().splitlines()[1:] == [
        f"{keys[0]} # current",
        f"{keys[1]} # overlapping until 2026-12-28T12:00:00Z",
    ]
    path.unlink()  # who only verifies has no seed
    assert [str(key) for key in public_keys(path, ORIGIN)] == keys
    public.write_text("nonsense\n")
    with pytest.raises(PreconditionError, match="damaged") as caught:
        public_keys(path, ORIGIN)
    assert caught.value.reason is Reason.MISSING_KEY


def test_keys_of_another_log_stay_listed_and_are_not_taken_for_its_own(path: Path) -> None:
    load(path)
    other = load_key_ring(path, "example.org/other", now=NOW)
    assert [key.name for key in other.verifier_keys] == ["example.org/other"]
    assert [key.name for key in load(path).verifier_keys] == [ORIGIN]
    assert [key.name for key in public_keys(path, "example.org/other")] == ["example.org/other"]


def test_a_seed_from_the_environment_needs_no_file_and_is_not_written(path: Path) -> None:
    path.unlink()
    seed = bytes(range(32)).hex()
    ring = load(path, seed_hex=f"{seed}\n")
    assert ring.verifier_key == Signer(ORIGIN, bytes(range(32))).verifier_key
    assert files(path) == {"pub", "lock"}
    assert load(path, seed_hex=bytes(32).hex()).verifier_keys[1] == ring.verifier_key


@pytest.mark.parametrize("text", ["c0ffee" * 5, "c0ffee" * 12, "c0ffee" * 10 + "zz", "\u00e9" * 64])
def test_no_error_repeats_a_seed(path: Path, text: str) -> None:
    previous = path.with_name(f"{path.name}.previous")
    whole = path.read_bytes()

    def from_the_environment() -> None:
        load(path, seed_hex=text)

    def from_the_file() -> None:
        path.write_text(text)
        load(path)

    def from_the_previous_file() -> None:
        path.write_bytes(whole)
        previous.write_text(f"{text}\n2027-01-01T00:00:00Z\n")
        load(path)

    for attempt in (from_the_environment, from_the_file, from_the_previous_file):
        with pytest.raises(PreconditionError) as caught:
            attempt()
        error: BaseException | None = caught.value
        while error is not None:
            assert "c0ffee" not in repr(error)
            assert "\\xe9" not in repr(error)
            assert "\u00e9" not in repr(error)
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_no_seed_is_logged_or_shown(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    seed = path.read_text().strip()
    with caplog.at_level(logging.DEBUG):
        rotate(path)
        ring = load(path)
        shown = [repr(ring), repr(known_keys(path, ORIGIN, now=NOW)), repr(vars(ring))]
        load(path, LATER)
    seeds = [seed, path.read_text().strip()]
    assert not any(one in text for one in seeds for text in (*shown, caplog.text))


@pytest.mark.parametrize("text", ["", "00" * 32, "00" * 32 + "\nsoon", "00" * 32 + "\n2027-01-01"])
def test_a_damaged_previous_file_stops_the_start(path: Path, text: str) -> None:
    path.with_name(f"{path.name}.previous").write_text(text)
    with pytest.raises(PreconditionError, match="previous") as caught:
        load(path)
    assert caught.value.reason is Reason.MISSING_KEY


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_key_in_a_read_only_directory_loads(path: Path) -> None:
    rotate(path)
    keys = load(path).verifier_keys
    path.parent.chmod(0o500)
    try:
        assert load(path).verifier_keys == keys
        with pytest.raises(PreconditionError, match="read-only"):
            rotate(path, LATER)
    finally:
        path.parent.chmod(0o700)


def test_only_one_process_changes_the_files_at_a_time(path: Path) -> None:
    load(path)
    start = threading.Barrier(4)
    failures: list[PreconditionError] = []

    def attempt() -> None:
        start.wait()
        try:
            rotate(path)
        except PreconditionError as error:
            failures.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failures) == 3  # the others found an overlap
    assert len(public_keys(path, ORIGIN)) == 2


class Crash(BaseException):
    """Stands for the death of the process: nothing catches it."""


STEPS = ("open", "write", "fsync", "replace", "unlink", "fchmod", "lseek")


@contextmanager
def crash_before_step(number: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stops the process, as it were, before the n-th call that changes a file."""
    left = itertools.count(number, -1)

    def stopping(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if next(left) == 0:
                raise Crash
            return call(*args, **kwargs)

        return wrapped

    with monkeypatch.context() as patch:
        for name in STEPS:
            patch.setattr(os, name, stopping(getattr(os, name)))
        yield


def crashes(
    action: Callable[[], object], monkeypatch: pytest.MonkeyPatch, prepare: Callable[[], None]
) -> Iterator[int]:
    """Runs an action with a crash before each of its steps in turn, until it runs through."""
    for number in itertools.count():
        prepare()
        try:
            with crash_before_step(number, monkeypatch):
                action()
        except Crash:
            yield number
        else:
            return


@pytest.mark.parametrize("force", [False, True])
def test_a_rotation_cut_short_anywhere_leaves_one_key_in_force(
    path: Path, monkeypatch: pytest.MonkeyPatch, *, force: bool
) -> None:
    folder, seen, signed = path.parent, set(), []

    def prepare() -> None:
        nonlocal signed
        for file in folder.iterdir():
            file.unlink()
        create_signing_key(path)
        signed = [load(path)]
        if force:
            rotate(path)
            signed.append(load(path))

    for _ in crashes(lambda: rotate(path, force=force), monkeypatch, prepare):
        before = signed[-1].verifier_key
        now = load(path)  # the ledger starts again
        seen.add(now.verifier_key == before)
        trusted = public_keys(path, ORIGIN)
        for ring in (*signed, now):
            open_checkpoint(ring.sign(TEXT), trusted)
        assert before in {key.verifier_key for key in known_keys(path, ORIGIN, now=NOW)}
        open_checkpoint(now.sign(TEXT), before)  # the old key signs on, alone or beside the new
        assert files(path) <= {"", "pub", "lock", "previous"}
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        rotate(path, force=True)
    assert seen == {True, False}  # crashes before the rename, and after


def test_the_end_of_an_overlap_cut_short_anywhere_is_finished_later(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, count = path.parent, 0

    def prepare() -> None:
        for file in folder.iterdir():
            file.unlink()
        create_signing_key(path)
        rotate(path)
        path.with_name(f"{path.name}.pub").unlink()  # listed again before the seed is gone

    for _ in crashes(lambda: load(path, LATER), monkeypatch, prepare):
        ring = load(path, LATER)
        assert [key.state for key in known_keys(path, ORIGIN, now=LATER)] == [
            KeyState.CURRENT,
            KeyState.RETIRED,
        ]
        assert len(ring.verifier_keys) == 2
        assert files(path) == {"", "pub", "lock"}
        count += 1
    assert count > 10
