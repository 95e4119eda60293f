"""What a process holds in memory, by what the system could take back."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

_MB: Final = 1e6
# Read only to re-score hits and to scan few rows: the system may drop their pages.
_VECTORS: Final = "vectors.npy"
_SEGMENTS: Final = "/segments/"


@dataclass(frozen=True)
class Memory:
    """Resident memory in MB."""

    anonymous: float  # of the process alone
    index: float  # mapped from files of segments, the vectors in full precision apart
    vectors: float  # mapped from files of segments: those vectors
    rest: float  # mapped from other files: libraries, the model


def memory_of(pid: int) -> Memory:
    """Returns the resident memory of a process."""
    anonymous = index = vectors = rest = 0
    path = ""
    resident = 0
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        first, *others = line.split()
        if not first.endswith(":"):  # the head of the next mapping
            path = others[4] if len(others) > 4 else ""
        elif first == "Rss:":
            resident = int(others[0]) * 1024
        elif first == "Anonymous:":
            own = int(others[0]) * 1024
            anonymous += own
            if _SEGMENTS not in path:
                rest += resident - own
            elif path.endswith(_VECTORS):
                vectors += resident - own
            else:
                index += resident - own
    return Memory(anonymous / _MB, index / _MB, vectors / _MB, rest / _MB)
