"""The reject file: every row that could not be used, as it was."""

import json
import os
from pathlib import Path
from typing import Final

from arenalab.curator.formats import Reject

# A row may be megabytes of anything; so much of it is kept.
MAX_RAW_BYTES: Final = 64 * 1024


class RejectFile:
    """NDJSON with line, reason and raw text. It exists only if there is a reject."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._aside = path.with_name(f".{path.name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._aside.open("xb")

    def add(self, reject: Reject) -> None:
        """Keeps one row; bytes that are no UTF-8 are written as escapes."""
        form = {
            "line": reject.line,
            "reason": reject.reason,
            "raw": reject.raw[:MAX_RAW_BYTES].decode(errors="backslashreplace"),
        }
        if len(reject.raw) > MAX_RAW_BYTES:
            form["cut"] = True
        self._file.write(json.dumps(form, ensure_ascii=False).encode() + b"\n")
        self.count += 1

    def keep(self) -> None:
        """Makes the file durable, under its name; removes it if there is nothing in it."""
        if not self.count:
            self.drop()
            return
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._aside.rename(self.path)

    def drop(self) -> None:
        """Removes the file, under whichever name."""
        self._file.close()
        self._aside.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)
