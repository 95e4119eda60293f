"""The log's signing keys: created once, rotated with an overlap, never shown.

A seed lies in a file for its owner only, or comes from the environment. Rotation
puts a new seed in its place with one rename; the old one signs beside it until the
overlap ends, so that who trusts only one of the two keys can verify. Then loading
destroys the old seed, and only its public key stays, in KEY.pub. A key is listed
there before it signs and before its seed is destroyed: no signature outlives the
key that verifies it.
"""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

from arenalab.ledger.key_files import (
    SEED_BYTES,
    Previous,
    beside,
    clear_remains,
    create_seed,
    destroy,
    locked,
    missing,
    overwrite,
    parse_seed,
    read_previous,
    read_public,
    read_seed,
    rename,
    rfc3339,
    write_previous,
    write_public,
)
from arenalab.mesh import InvalidInputError, PreconditionError
from arenalab.proof import KeyRing, Signer, VerifierKey

SEED_VARIABLE: Final = "LEDGER_SIGNING_KEY"
_logger = logging.getLogger(__name__)


class KeyState(StrEnum):
    """What a key does."""

    CURRENT = "current"
    OVERLAPPING = "overlapping"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A verifier key of the log, and what its signing key does."""

    verifier_key: VerifierKey
    state: KeyState
    until: datetime | None = None  # end of the overlap

    def __str__(self) -> str:
        end = f" until {rfc3339(self.until)}" if self.until is not None else ""
        return f"{self.state}{end}"


def create_signing_key(path: Path, random: Callable[[int], bytes] = os.urandom) -> None:
    """Writes a new seed durably; an existing file is never overwritten.

    Raises:
        FileExistsError: There is a file already.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    create_seed(path, random(SEED_BYTES))


def load_key_ring(path: Path, origin: str, *, seed_hex: str = "", now: datetime) -> KeyRing:
    """Returns the keys of the log called `origin`; ends an overlap that is over.

    Args:
        path: The seed file.
        origin: The name that every key of the log signs under.
        seed_hex: The seed itself, from the environment, in place of the file's.
        now: Decides whether the previous key still signs.

    Raises:
        PreconditionError: MISSING_KEY; a file is not there, or holds no key.
    """
    with locked(path) as writable:
        return _settle(path, origin, seed_hex, now, writable=writable)


def rotate_signing_key(
    path: Path,
    origin: str,
    overlap: timedelta,
    now: datetime,
    *,
    force: bool = False,
    random: Callable[[int], bytes] = os.urandom,
) -> VerifierKey:
    """Puts a new seed in the place of the one at `path`; returns its verifier key.

    The one before signs beside it until `now + overlap`. Cut short at any moment, it
    leaves either the old key or the new one in force, never neither.

    Args:
        path: The seed file.
        origin: The name that every key of the log signs under.
        overlap: How long both sign; not negative.
        now: When the overlap begins.
        force: End an overlap that is not over: the older key retires at once.
        random: Returns so many random bytes.

    Raises:
        InvalidInputError: The overlap is negative.
        PreconditionError: MISSING_KEY; or an overlap is not over.
    """
    if overlap < timedelta(0):
        raise InvalidInputError(f"the overlap must be >= 0, got {overlap}", field="overlap")
    with locked(path) as writable:
        if not writable:
            raise missing(str(path), "cannot be rotated: its directory is read-only")
        seed = read_seed(path)
        _settle(path, origin, "", now, writable=True)
        previous = read_previous(path)  # none that is over: those are destroyed by now
        if previous is not None and not force:
            raise PreconditionError(
                f"the key before this one signs until {rfc3339(previous.until)};"
                " rotate after that, or force it to retire now"
            )
        destroy(beside(path, "previous"))
        create_seed(beside(path, "next"), random(SEED_BYTES))
        write_previous(path, Previous(seed, now + overlap))
        replaced = os.open(path, os.O_WRONLY)
        rename(beside(path, "next"), path)  # from here on, the new key is in force
        overwrite(replaced)
        return _settle(path, origin, "", now, writable=True).verifier_key


def known_keys(
    path: Path, origin: str, *, seed_hex: str = "", now: datetime
) -> tuple[KnownKey, ...]:
    """Returns every key of the log, the current one first; changes nothing.

    Raises:
        PreconditionError: MISSING_KEY.
    """
    signer = Signer(origin, parse_seed(seed_hex, SEED_VARIABLE) if seed_hex else read_seed(path))
    return _known(signer.verifier_key, read_previous(path), read_public(path), now)


def public_keys(path: Path, origin: str) -> tuple[VerifierKey, ...]:
    """Returns every key that may have signed the log called `origin`; needs no seed.

    Raises:
        PreconditionError: MISSING_KEY; there is neither KEY.pub nor a seed.
    """
    keys = [key for key in read_public(path) if key.name == origin]
    if path.exists() and os.access(path, os.R_OK):
        current = Signer(origin, read_seed(path)).verifier_key
        keys = [current, *(key for key in keys if key != current)]
    if not keys:
        raise missing(str(beside(path, "pub")), f"lists no key of {origin}")
    return tuple(keys)


def _known(
    current: VerifierKey, previous: Previous | None, listed: list[VerifierKey], now: datetime
) -> tuple[KnownKey, ...]:
    found = [KnownKey(current, KeyState.CURRENT)]
    if previous is not None:
        key = Signer(current.name, previous.seed).verifier_key
        if key != current:  # else a rotation was cut short before it took effect
            signs = now < previous.until
            state = KeyState.OVERLAPPING if signs else KeyState.RETIRED
            found.append(KnownKey(key, state, previous.until if signs else None))
    seen = {known.verifier_key for known in found}
    found += [
        KnownKey(key, KeyState.RETIRED)
        for key in listed
        if key.name == current.name and key not in seen
    ]
    return tuple(found)


def _settle(path: Path, origin: str, seed_hex: str, now: datetime, *, writable: bool) -> KeyRing:
    """Returns the ring; lists its keys, and destroys what must not be kept any longer."""
    current = Signer(origin, parse_seed(seed_hex, SEED_VARIABLE) if seed_hex else read_seed(path))
    previous, listed = read_previous(path), read_public(path)
    known = _known(current.verifier_key, previous, listed, now)
    overlapping = [
        Signer(origin, previous.seed)
        for key in known
        if previous is not None and key.state is KeyState.OVERLAPPING
    ]
    if writable:
        others = [(key, "of another log") for key in listed if key.name != origin]
        write_public(path, [*((key.verifier_key, str(key)) for key in known), *others])
        if previous is not None and not overlapping:
            destroy(beside(path, "previous"))
            _logger.info("the key before %s signs no more", current.verifier_key.key_hash.hex())
        clear_remains(path)
    elif previous is not None and not overlapping:
        _logger.warning("%s is over and cannot be destroyed here", beside(path, "previous"))
    retired = [key.verifier_key for key in known if key.state is KeyState.RETIRED]
    return KeyRing(current, overlapping, retired)
