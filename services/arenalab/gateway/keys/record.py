"""What is kept of an API key, and who its holder is."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from arenalab.gateway.limits.caps import Caps

MAX_NAME: Final = 100
MAX_MODELS: Final = 64
MAX_MODEL: Final = 256
_ANY: Final = "/*"


class KeyState(StrEnum):
    """Whether a key works."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTerms:
    """What a key allows."""

    name: str
    tenant: str = "default"
    # Exact names, or "openai/*" for all that begin so. Empty: every model.
    models: tuple[str, ...] = ()
    caps: Caps = field(default_factory=Caps)
    expires: datetime | None = None  # UTC


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """One key as the store has it. Times are UTC, to the second."""

    key_id: str
    digest: bytes = field(repr=False)  # keyed BLAKE3 of the key's text
    terms: KeyTerms
    created: datetime
    revoked: datetime | None = None
    # The secret before the last rotation, and until when it works.
    previous_digest: bytes | None = field(default=None, repr=False)
    previous_until: datetime | None = None

    def state(self, now: datetime) -> KeyState:
        """Returns whether the key works at `now`."""
        if self.revoked is not None:
            return KeyState.REVOKED
        if self.terms.expires is not None and now >= self.terms.expires:
            return KeyState.EXPIRED
        return KeyState.ACTIVE

    @property
    def principal(self) -> "Principal":
        return Principal(
            self.terms.tenant, self.terms.name, self.key_id, self.terms.models, self.terms.caps
        )


@dataclass(frozen=True, slots=True)
class Principal:
    """The holder of a key."""

    tenant: str
    name: str
    key_id: str = ""  # empty: a key that the store does not have
    models: tuple[str, ...] = ()
    caps: Caps = field(default_factory=Caps)

    @property
    def account(self) -> str:
        """What its limits are counted under."""
        return self.key_id or f"{self.tenant}/{self.name}"

    def allows(self, model: str) -> bool:
        """Returns whether the key may name a model."""
        return not self.models or any(_matches(pattern, model) for pattern in self.models)


ANONYMOUS: Final = Principal("default", "anonymous")


def _matches(pattern: str, model: str) -> bool:
    if pattern.endswith(_ANY):
        return model.startswith(pattern[:-1])
    return model == pattern
