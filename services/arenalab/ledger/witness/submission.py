"""What a log sends to a witness, as c2sp.org/tlog-witness has it.

old <size of the tree that the witness saw last>
<a hash of the consistency proof from there, in base64>, one a line
<an empty line>
<the checkpoint, a signed note>
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from arenalab.proof import HASH_BYTES, NoteError
from arenalab.proof.note import from_base64

CALL: Final = "add-checkpoint"
SIZE_TYPE: Final = "text/x.tlog.size"
MAX_PATH: Final = 63
# A note of 64 signatures and 63 hashes need less.
MAX_BYTES: Final = 64 * 1024
_OLD: Final = re.compile(r"old (0|[1-9][0-9]{0,19})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Submission:
    """A checkpoint, and the proof that it continues what the witness saw."""

    old_size: int
    path: tuple[bytes, ...]
    note: str

    def to_bytes(self) -> bytes:
        """Returns the body of the request."""
        lines = [f"old {self.old_size}", *(base64.b64encode(node).decode() for node in self.path)]
        return ("".join(f"{line}\n" for line in lines) + "\n" + self.note).encode()

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Reads the body of a request; the note is not opened.

        Raises:
            NoteError: It is malformed.
        """
        try:
            head, blank, note = body.decode().partition("\n\n")
        except UnicodeDecodeError as error:
            raise NoteError("a submission must be UTF-8") from error
        first, *lines = head.split("\n")
        old = _OLD.fullmatch(first)
        if not blank or old is None:
            raise NoteError("a submission must be an old size, a proof, an empty line and a note")
        if len(lines) > MAX_PATH:
            raise NoteError(f"a proof has at most {MAX_PATH} hashes, got {len(lines)}")
        return cls(int(old[1]), parse_path(lines), note)


def parse_path(lines: Sequence[str]) -> tuple[bytes, ...]:
    """Reads the lines of a proof.

    Raises:
        NoteError: One is no hash in base64.
    """
    path = tuple(from_base64(line, "proof line") for line in lines)
    if any(len(node) != HASH_BYTES for node in path):
        raise NoteError(f"a proof line must hold {HASH_BYTES} bytes")
    return path
