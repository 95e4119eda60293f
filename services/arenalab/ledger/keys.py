"""The log's signing key: a file with an Ed25519 seed in hexadecimal, for its owner only."""

import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from arenalab.ledger.disk import Disk, sync_directory
from arenalab.mesh import PreconditionError, Reason
from arenalab.proof import Signer

SEED_BYTES: Final = 32
_logger = logging.getLogger(__name__)


def create_signing_key(path: Path, random: Callable[[int], bytes] = os.urandom) -> None:
    """Writes a new seed durably; an existing file is never overwritten.

    Raises:
        FileExistsError: There is a file already.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        Disk().write_all(fd, random(SEED_BYTES).hex().encode() + b"\n")
        os.fsync(fd)
    finally:
        os.close(fd)
    sync_directory(path.parent)


def load_signer(path: Path, origin: str) -> Signer:
    """Returns the signer of the log called `origin`.

    Raises:
        PreconditionError: MISSING_KEY; the file is not there or holds no seed.
    """
    try:
        text = path.read_text("ascii")
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError as error:
        raise _missing(path, "is not there") from error
    except (OSError, UnicodeDecodeError) as error:
        raise _missing(path, f"cannot be read: {error}") from error
    try:
        seed = bytes.fromhex(text.strip())
    except ValueError as error:
        raise _missing(path, "holds no hexadecimal seed") from error
    if len(seed) != SEED_BYTES:
        raise _missing(path, f"must hold {SEED_BYTES} bytes, got {len(seed)}")
    if mode & 0o077:
        _logger.warning("the signing key %s is readable by others (mode %03o)", path, mode)
    return Signer(origin, seed)


def _missing(path: Path, why: str) -> PreconditionError:
    return PreconditionError(
        f"the ledger's signing key {path} {why}", Reason.MISSING_KEY, key=str(path)
    )
