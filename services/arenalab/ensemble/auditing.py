"""Which predictions are drawn for labelling: by chance, and by nothing that they say.

The draw is a keyed hash of the prediction's id: it can be repeated, so that nobody need trust
that it was made fairly, and cannot be foreseen without the key. Whoever could choose ids would
otherwise choose what is audited.
"""

import os
from pathlib import Path
from typing import Final

import blake3

from arenalab.durable import create
from arenalab.mesh import ConfigError

KEY_BYTES: Final = 32
_BITS: Final = 64


class Draw:
    """Draws a share of all predictions."""

    def __init__(self, key: bytes, rate: float) -> None:
        """`key` of 32 bytes; `rate` in [0, 1], 0 draws none."""
        self._key = key
        self.rate = rate

    def takes(self, prediction_id: str) -> bool:
        """Returns whether a prediction is drawn; the same id gives the same answer."""
        digest = blake3.blake3(prediction_id.encode(), key=self._key).digest(_BITS // 8)
        # A draw in [0, 1) by its 64 bits: a rate of 1 takes all, of 0 none.
        return bool(int.from_bytes(digest, "big") < self.rate * 2**_BITS)


def read_key(path: Path) -> bytes:
    """Returns the key in a file, which is made if it is not there.

    Raises:
        OSError: It can be neither read nor made.
        ConfigError: It does not hold 32 bytes.
    """
    if not path.exists():
        create(path, os.urandom(KEY_BYTES), mode=0o600)
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise ConfigError(f"{path} must hold {KEY_BYTES} bytes, got {len(key)}")
    return key
