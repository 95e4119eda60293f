"""The keys in memory: what a request's key is compared with."""

import hmac
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum

from arenalab.gateway.keys.key import MAX_CHARS, id_of
from arenalab.gateway.keys.pepper import Pepper
from arenalab.gateway.keys.record import KeyRecord, KeyState, Principal
from arenalab.mesh import ConfigError, scope_for, tenant_of
from arenalab.mesh.errors import InvalidInputError


class Refusal(StrEnum):
    """Why a key does not work. Only who has the whole key learns more than `UNKNOWN`."""

    UNKNOWN = "the API key is not known"
    EXPIRED = "the API key has expired"
    REVOKED = "the API key was revoked"


_BY_STATE = {KeyState.EXPIRED: Refusal.EXPIRED, KeyState.REVOKED: Refusal.REVOKED}


class KeyRing:
    """A snapshot of all keys. Empty is falsy.

    A key is hashed and the hash compared in constant time, whether or not there is a
    record of its id: how long that takes tells nothing of a secret, and the id is no
    secret.
    """

    def __init__(
        self,
        records: Iterable[KeyRecord] = (),
        pepper: Pepper | None = None,
        clear: Sequence[tuple[bytes, Principal]] = (),
        clear_pepper: Pepper | None = None,
    ) -> None:
        """Keeps hashes only.

        Args:
            records: Of the store, hashed with `pepper`.
            pepper: None stands for one that no key was hashed with.
            clear: Hashes of the keys of the settings, with `clear_pepper`.
            clear_pepper: As `pepper`.
        """
        self._records = {record.key_id: record for record in records}
        self._pepper = pepper or Pepper.random()
        self._clear = tuple(clear)
        self._clear_pepper = clear_pepper or Pepper.random()
        self._nobody = self._pepper.digest("")

    def __bool__(self) -> bool:
        return bool(self._records) or bool(self._clear)

    def find(self, key: str, now: datetime) -> Principal | Refusal:
        """Returns the holder of a key, or why it does not work at `now`."""
        if len(key) > MAX_CHARS:
            return Refusal.UNKNOWN
        key_id = id_of(key)
        if key_id is not None:
            found = self._find_record(key, key_id, now)
            if found is not Refusal.UNKNOWN:
                return found
        return self._find_clear(key)

    def _find_record(self, key: str, key_id: str, now: datetime) -> Principal | Refusal:
        record = self._records.get(key_id)
        digest = self._pepper.digest(key)
        current = self._nobody if record is None else record.digest
        previous = self._nobody if record is None else record.previous_digest or self._nobody
        is_current = hmac.compare_digest(current, digest)
        is_previous = hmac.compare_digest(previous, digest)
        if record is None or not (is_current or is_previous):
            return Refusal.UNKNOWN
        state = record.state(now)
        if state is not KeyState.ACTIVE:
            return _BY_STATE[state]
        if not is_current and (record.previous_until is None or now >= record.previous_until):
            return Refusal.EXPIRED
        return record.principal

    def _find_clear(self, key: str) -> Principal | Refusal:
        if not self._clear:
            return Refusal.UNKNOWN
        digest = self._clear_pepper.digest(key)
        found: Principal | Refusal = Refusal.UNKNOWN
        for known, principal in self._clear:  # all of them, so that its place does not show
            if hmac.compare_digest(known, digest):
                found = principal
        return found


def hash_clear(entries: Iterable[str], pepper: Pepper) -> list[tuple[bytes, Principal]]:
    """Returns the hashes of keys that the settings hold in clear.

    Args:
        entries: "key" or "key:tenant".
        pepper: Of this process.

    Raises:
        ConfigError: An entry is malformed; the message shows no key.
    """
    hashes = []
    for number, entry in enumerate(entries, 1):
        where = f"GATEWAY_API_KEYS: entry {number}"
        key, _, tenant = entry.partition(":")
        if not 0 < len(key) <= MAX_CHARS:
            raise ConfigError(f"{where} must have a key of 1 to {MAX_CHARS} characters")
        hashes.append((pepper.digest(key), Principal(_tenant(tenant, where), f"key-{number}")))
    return hashes


def _tenant(name: str, where: str) -> str:
    try:
        return tenant_of(scope_for(name))
    except InvalidInputError as error:
        raise ConfigError(f"{where}: {error}") from error
