"""Writing a file so that a crash leaves what was there before, or all that was written.

The ledger has its own (`arenalab.ledger.disk`): there every write can be made to fail by a
test, and a failed sync stops the log for good.
"""

import contextlib
import os
import secrets
from pathlib import Path
from typing import Final

_DEFAULT_MODE: Final = 0o644  # before the umask


def replace(path: Path, data: bytes, *, mode: int = _DEFAULT_MODE) -> None:
    """Puts `data` in the place of a file's content; the folder is made if need be.

    A reader, or a power cut, finds the old content or the new one. One process at a time
    may replace one file.

    Args:
        path: Of the file, which need not be there.
        data: All of its new content.
        mode: Permissions of the new file, less the umask; 0o600 for a secret.

    Raises:
        OSError: It could not be written; the file is as before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = _aside(path)
    try:
        # What another process left may be open to more readers than this file should be.
        aside.unlink(missing_ok=True)
        _write(aside, data, mode)
        aside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)  # the name itself: what was taken out must not come back


def create(path: Path, data: bytes, *, mode: int = _DEFAULT_MODE) -> bool:
    """Writes a new file, unless there is one; the folder is made if need be.

    Of several processes that do so at once one succeeds, and none ever reads a part of it.

    Returns:
        Whether it was written.

    Raises:
        OSError: It could not be written, and is not there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _write(draft, data, mode)
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)
    return True


def append(path: Path, data: bytes) -> None:
    """Adds `data` to the end of a file; when this returns, it is on disk.

    A process that dies meanwhile may leave a part of it at the end: end `data` with a
    newline, and drop a last line that lacks one.

    Raises:
        OSError: It could not be written; what was written of it is cut off again.
    """
    is_new = not path.exists()
    # Unbuffered: closing a file whose buffer could not be written would write it again.
    with path.open("ab", buffering=0) as file:
        start = file.seek(0, os.SEEK_END)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(start)
            raise
    if is_new:
        sync_folder(path.parent)


def remove_left_over(path: Path) -> None:
    """Removes what a process left behind that died while it replaced the file."""
    _aside(path).unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder outlast a crash."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(path: Path, data: bytes, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _aside(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")
