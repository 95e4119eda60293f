"""The key that signs dataset versions: a file with an Ed25519 seed in hexadecimal.

Beside it, with ".pub" added to its name, lies the public key for those who verify.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from nacl.signing import SigningKey

from arenalab.mesh import PreconditionError, Reason

SEED_BYTES: Final = 32


def create_key(path: Path, random: Callable[[int], bytes] = os.urandom) -> None:
    """Writes a new seed and its public key durably; an existing seed is never overwritten.

    Raises:
        FileExistsError: There is a file already.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = random(SEED_BYTES)
    _write(path, seed.hex(), os.O_EXCL, 0o600)
    public = bytes(SigningKey(seed).verify_key).hex()
    # Anyone may read it, and it must be the seed's: an older one is overwritten.
    _write(public_path(path), public, os.O_TRUNC, 0o644)


def public_path(path: Path) -> Path:
    """Returns where the public key of the seed at `path` lies."""
    return path.with_name(f"{path.name}.pub")


def load_key(path: Path) -> SigningKey:
    """Returns the signing key.

    Raises:
        PreconditionError: MISSING_KEY; the file is not there or holds no seed.
    """
    try:
        seed = bytes.fromhex(path.read_text("ascii").strip())
    except FileNotFoundError as error:
        raise _missing(path, "is not there") from error
    except (OSError, ValueError) as error:
        raise _missing(path, "holds no hexadecimal seed that can be read") from error
    if len(seed) != SEED_BYTES:
        raise _missing(path, f"must hold {SEED_BYTES} bytes, got {len(seed)}")
    return SigningKey(seed)


def _write(path: Path, text: str, flag: int, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | flag, mode)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"{text}\n")
        file.flush()
        os.fsync(file.fileno())


def _missing(path: Path, why: str) -> PreconditionError:
    return PreconditionError(
        f"the key that signs datasets, {path}, {why}", Reason.MISSING_KEY, key=str(path)
    )
