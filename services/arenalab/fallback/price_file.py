"""The price table as a file that may change while Fallback runs."""

import logging
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Final

from arenalab.fallback.prices import PriceError, PriceTable, read_table
from arenalab.mesh import ConfigError

_logger = logging.getLogger(__name__)

# How often the file is looked at, at most: a stat on each call would be cheap, but not free.
CHECK_S: Final = 1.0
# A table of 20,000 entries has about 4 MB.
MAX_BYTES: Final = 16 * 1024 * 1024


class PriceFile:
    """Reads the table at the start, and again when the file has changed."""

    def __init__(self, path: Path | None, now: Callable[[], float] = time.monotonic) -> None:
        """Reads the table.

        Args:
            path: Of the file; None: the one that is shipped. While there is no file, the
                shipped one counts too.
            now: Seconds on a clock that never goes back.

        Raises:
            ConfigError: It cannot be read, or is no table.
        """
        self._path = path
        self._now = now
        self._looked_at_s = now()
        self._seen = self._stamp()
        try:
            self._table = shipped_table() if path is None or self._seen is None else read_file(path)
        except PriceError as error:
            raise ConfigError(f"{path}: {error}") from error

    def table(self) -> PriceTable:
        """Returns the table as the file has it now, or had it at most a second ago.

        A file that is damaged or gone changes nothing: the prices that were read last hold.
        """
        if self._path is None or self._now() - self._looked_at_s < CHECK_S:
            return self._table
        self._looked_at_s = self._now()
        stamp = self._stamp()
        if stamp != self._seen:
            self._seen = stamp
            self._read_again(self._path)
        return self._table

    def _read_again(self, path: Path) -> None:
        try:
            self._table = read_file(path)
        except PriceError as error:
            _logger.warning("%s: %s; the prices read before it hold", path, error)
            return
        _logger.info("%s: %d prices as of %s", path, len(self._table.entries), self._table.as_of)

    def _stamp(self) -> tuple[int, int, int] | None:
        if self._path is None:
            return None
        try:
            found = self._path.stat()
        except OSError:
            return None
        # The inode too: a file that was replaced within one tick of the clock is another one.
        return found.st_mtime_ns, found.st_ino, found.st_size


def read_file(path: Path) -> PriceTable:
    """Returns the table in a file.

    Raises:
        PriceError: It cannot be read, or is no table.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise PriceError(f"the table is larger than {MAX_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PriceError("the table cannot be read as text") from error
    return read_table(text)


def shipped_table() -> PriceTable:
    """Returns the table that comes with the package; it says of when, and whose, it is."""
    text = resources.files("arenalab.fallback").joinpath("prices.json").read_text(encoding="utf-8")
    return read_table(text)
