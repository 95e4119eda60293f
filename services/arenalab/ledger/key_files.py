"""The files of a signing key: written whole or not at all, destroyed and not only unlinked.

What stands beside the seed file KEY:

KEY.previous      the seed that KEY replaced, and until when it signs too (RFC 3339)
KEY.pub           every verifier key that ever signed, one a line; verification trusts it
KEY.lock          held by who reads or changes the others
KEY.next, KEY.retired, *.new
                  steps of a change; found later, they are remains of one that was cut short
"""

import errno
import fcntl
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from arenalab.ledger.disk import sync_directory, write_all
from arenalab.mesh import PreconditionError, Reason
from arenalab.proof import NoteError, VerifierKey

SEED_BYTES: Final = 32
_PRIVATE: Final = 0o600
_PUBLIC: Final = 0o644
_READ_ONLY: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_PUBLIC_HEADER: Final = "# Every key that ever signed this log, the current one first.\n"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Previous:
    """The seed that was replaced, and until when it signs too."""

    seed: bytes
    until: datetime

    def __repr__(self) -> str:
        return f"Previous(until={self.until})"  # a seed is in no text that could be logged


def beside(path: Path, suffix: str) -> Path:
    """Returns the path of a file that belongs to the key."""
    return path.with_name(f"{path.name}.{suffix}")


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Keeps others from changing the files for the length of the block.

    Yields:
        Whether the files can be changed: a key may be mounted read-only.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(beside(path, "lock"), os.O_RDWR | os.O_CREAT, _PRIVATE)
    except OSError as error:
        if error.errno not in _READ_ONLY:
            raise
        yield False
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield os.access(path.parent, os.W_OK)
    finally:
        os.close(fd)


def parse_seed(text: str, where: str) -> bytes:
    """Reads a seed in hexadecimal; no message repeats any of it.

    Raises:
        PreconditionError: MISSING_KEY; it is none.
    """
    try:
        seed = bytes.fromhex(text.strip())
    except ValueError:
        raise missing(where, "holds no hexadecimal seed") from None
    if len(seed) != SEED_BYTES:
        raise missing(where, f"must hold {SEED_BYTES} bytes, got {len(seed)}")
    return seed


def read_seed(path: Path) -> bytes:
    """Returns the seed in a file.

    Raises:
        PreconditionError: MISSING_KEY; the file is not there or holds no seed.
    """
    try:
        text = path.read_text("ascii")
        mode = path.stat().st_mode & 0o777
    except FileNotFoundError as error:
        raise missing(str(path), "is not there") from error
    except UnicodeDecodeError:
        raise missing(str(path), "holds no hexadecimal seed") from None
    except OSError as error:
        raise missing(str(path), f"cannot be read: {error.strerror}") from error
    if mode & 0o077:
        _logger.warning("the signing key %s is readable by others (mode %03o)", path, mode)
    return parse_seed(text, str(path))


def read_previous(path: Path) -> Previous | None:
    """Returns the seed that KEY replaced, if it is still kept.

    Raises:
        PreconditionError: MISSING_KEY; the file is damaged.
    """
    where = beside(path, "previous")
    try:
        seed, _, until = where.read_text("ascii").partition("\n")
        end = datetime.fromisoformat(until.strip())
    except FileNotFoundError:
        return None
    except (UnicodeDecodeError, ValueError):
        raise missing(str(where), "must hold a seed and an end of overlap") from None
    if end.tzinfo is None:
        raise missing(str(where), "has an end of overlap without an offset")
    return Previous(parse_seed(seed, str(where)), end)


def write_previous(path: Path, previous: Previous) -> None:
    """Keeps a seed that is about to be replaced."""
    text = f"{previous.seed.hex()}\n{rfc3339(previous.until)}\n"
    write_whole(beside(path, "previous"), text.encode(), _PRIVATE)


def create_seed(path: Path, seed: bytes) -> None:
    """Writes a new seed file.

    Raises:
        FileExistsError: There is a file already.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
    try:
        write_all(fd, seed.hex().encode() + b"\n")
        os.fsync(fd)
    finally:
        os.close(fd)
    sync_directory(path.parent)


def read_public(path: Path) -> list[VerifierKey]:
    """Returns the verifier keys that KEY.pub lists, of any name; none if there is no file.

    Raises:
        PreconditionError: MISSING_KEY; a line is no verifier key.
    """
    where = beside(path, "pub")
    try:
        lines = where.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return []
    try:
        return [VerifierKey.parse(line.split()[0]) for line in lines if line[:1] not in {"", "#"}]
    except (NoteError, IndexError) as error:
        raise missing(str(where), f"is damaged: {error}") from error


def write_public(path: Path, keys: Sequence[tuple[VerifierKey, str]]) -> None:
    """Lists verifier keys with what is said of each, unless the file says so already."""
    where = beside(path, "pub")
    data = (_PUBLIC_HEADER + "".join(f"{key} # {state}\n" for key, state in keys)).encode()
    if not where.exists() or where.read_bytes() != data:
        write_whole(where, data, _PUBLIC)


def write_whole(path: Path, data: bytes, mode: int) -> None:
    """Writes a file durably; a reader sees the old one or the new one."""
    aside = beside(path, "new")
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        os.fchmod(fd, mode)
        write_all(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    rename(aside, path)


def rename(path: Path, target: Path) -> None:
    """Renames durably; a file that is there is replaced in one step."""
    path.replace(target)
    sync_directory(target.parent)


def destroy(path: Path) -> None:
    """Overwrites and unlinks a file, if it is there; never leaves half of it in its place.

    Copies that the disk or the file system made on their own are out of reach.
    """
    retired = path.with_suffix(".retired")
    if path.exists():
        rename(path, retired)
        wipe(retired)


def wipe(path: Path) -> None:
    """Overwrites and unlinks a file, if it is there."""
    try:
        fd = os.open(path, os.O_WRONLY)
    except FileNotFoundError:
        return
    overwrite(fd)
    path.unlink()
    sync_directory(path.parent)


def overwrite(fd: int) -> None:
    """Overwrites an open file with zeros, durably, and closes it."""
    try:
        os.lseek(fd, 0, os.SEEK_SET)
        write_all(fd, bytes(os.fstat(fd).st_size))
        os.fsync(fd)
    finally:
        os.close(fd)


def clear_remains(path: Path) -> None:
    """Destroys what a change that was cut short left behind."""
    for suffix in ("next", "retired", "previous.new", "pub.new"):
        wipe(beside(path, suffix))


def rfc3339(when: datetime) -> str:
    """Returns a time in UTC, to the second."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def missing(where: str, why: str) -> PreconditionError:
    """Returns the error of a key that cannot be used."""
    return PreconditionError(
        f"the ledger's signing key {where} {why}", Reason.MISSING_KEY, key=where
    )
