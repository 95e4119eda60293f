"""The pepper: 32 secret bytes that key every stored hash.

It lies apart from the hashes. Who has only a copy of the key store can then neither
test a guess nor tell whether a key that was found elsewhere belongs to it.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from blake3 import blake3

from arenalab.durable import create
from arenalab.mesh import ConfigError, PreconditionError, Reason

PEPPER_BYTES: Final = 32
_OTHERS: Final = 0o077
_CHECKED: Final = b"arenalab: the pepper of these keys"


@dataclass(frozen=True, slots=True)
class Pepper:
    """Hashes keys."""

    secret: bytes = field(repr=False)  # 32 bytes

    @classmethod
    def random(cls) -> Self:
        """Returns a pepper for hashes that need not outlive the process."""
        return cls(os.urandom(PEPPER_BYTES))

    @classmethod
    def from_hex(cls, text: str, where: str) -> Self:
        """Returns the pepper with these 64 hexadecimal digits.

        Raises:
            ConfigError: It is something else; the message does not show it.
        """
        try:
            secret = bytes.fromhex(text.strip())
        except ValueError:
            secret = b""
        if len(secret) != PEPPER_BYTES:
            raise ConfigError(f"{where} must be {PEPPER_BYTES * 2} hexadecimal digits")
        return cls(secret)

    def digest(self, text: str) -> bytes:
        """Returns the keyed BLAKE3 hash of a key's text, 32 bytes."""
        return blake3(text.encode("utf-8", "surrogateescape"), key=self.secret).digest()

    def check(self) -> bytes:
        """Returns what tells this pepper from another, and nothing else of it."""
        return blake3(_CHECKED, key=self.secret).digest()


def create_pepper(path: Path) -> None:
    """Writes a new pepper, for its owner only; one that is there is kept.

    The file appears whole: of two processes that make it at once, both read the same.
    """
    if not path.exists():
        create(path, f"{os.urandom(PEPPER_BYTES).hex()}\n".encode(), mode=0o600)


def read_pepper(path: Path) -> Pepper:
    """Returns the pepper in a file.

    Raises:
        PreconditionError: MISSING_KEY; the file is not there or cannot be read, or
            others than its owner may read it.
        ConfigError: It holds no pepper.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise _missing(path, f"cannot be read ({type(error).__name__})") from error
    if mode & _OTHERS:
        raise _missing(path, "may be read by others; chmod it to 0600")
    return Pepper.from_hex(text, str(path))


def _missing(path: Path, why: str) -> PreconditionError:
    return PreconditionError(
        f"the pepper of API keys, {path}, {why}", Reason.MISSING_KEY, key=str(path)
    )
