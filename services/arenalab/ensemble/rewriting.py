"""Writing a file anew, so that it is the old one or the new one, also after a power cut."""

import os
from pathlib import Path


def rewrite(path: Path, data: bytes) -> None:
    """Puts `data` in the place of a file's content, durably.

    Raises:
        OSError: It could not be written; the file is as before.
    """
    aside = _aside(path)
    with aside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the name itself: what was taken out must not come back
    finally:
        os.close(folder)


def remove_left_over(path: Path) -> None:
    """Removes what a process left behind that died while it wrote the file anew."""
    _aside(path).unlink(missing_ok=True)


def _aside(path: Path) -> Path:
    return path.with_suffix(".new")
