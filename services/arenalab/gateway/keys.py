"""API keys: who calls, and which tenant's data the call may see.

Only SHA-256 digests are kept. API keys are long and random, so a slow password
hash would cost every request milliseconds and protect nothing more.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from arenalab.mesh import ConfigError, NotReadyError, scope_for, tenant_of
from arenalab.mesh.errors import InvalidInputError

_DIGEST: Final = re.compile(r"[0-9a-fA-F]{64}")
_LINE_FIELDS: Final = 3


@dataclass(frozen=True, slots=True)
class Principal:
    """The holder of a key."""

    tenant: str
    name: str


ANONYMOUS: Final = Principal("default", "anonymous")


class KeyRing:
    """The digests of all keys. Empty is falsy."""

    def __init__(self, digests: Iterable[tuple[bytes, Principal]] = ()) -> None:
        # Buckets by the first byte, then constant-time comparisons: what the time of
        # a lookup may tell of a digest does not lead to a key.
        self._buckets: dict[int, list[tuple[bytes, Principal]]] = {}
        for digest, principal in digests:
            self._buckets.setdefault(digest[0], []).append((digest, principal))

    def __bool__(self) -> bool:
        return bool(self._buckets)

    def find(self, key: str) -> Principal | None:
        """Returns the holder of `key`, or None."""
        digest = _digest(key)
        found = None
        for known, principal in self._buckets.get(digest[0], ()):
            if hmac.compare_digest(known, digest):
                found = principal
        return found


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def read_keys(path: Path | None, clear: Iterable[str]) -> KeyRing:
    """Reads the key file, and adds keys given in the clear.

    Args:
        path: Lines of `sha256hex tenant name`; blank lines and `#` comments pass.
        clear: "key" or "key:tenant".

    Raises:
        NotReadyError: The file cannot be read.
        ConfigError: A line or a key is malformed; the message shows no key.
    """
    digests = [] if path is None else _read_file(path)
    for number, entry in enumerate(clear, 1):
        key, _, tenant = entry.partition(":")
        if not key:
            raise ConfigError(f"GATEWAY_API_KEYS: entry {number} has no key")
        where = f"GATEWAY_API_KEYS: entry {number}"
        digests.append((_digest(key), Principal(_tenant(tenant, where), f"key-{number}")))
    return KeyRing(digests)


def _read_file(path: Path) -> list[tuple[bytes, Principal]]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise NotReadyError(f"cannot read the API keys in {path}: {error}") from error
    digests = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        parts = line.split(None, _LINE_FIELDS - 1)
        if len(parts) != _LINE_FIELDS or not _DIGEST.fullmatch(parts[0]):
            raise ConfigError(f"{path}:{number}: must be 'sha256hex tenant name'")
        tenant = _tenant(parts[1], f"{path}:{number}")
        digests.append((bytes.fromhex(parts[0]), Principal(tenant, parts[2].strip())))
    return digests


def _tenant(name: str, where: str) -> str:
    try:
        return tenant_of(scope_for(name))
    except InvalidInputError as error:
        raise ConfigError(f"{where}: {error}") from error
