"""What a provider's refusal means: whose fault it is, and whether to ask again."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from arenalab.fallback.chunks import presentable, reported
from arenalab.fallback.wire.adapter import Adapter, UntellableError
from arenalab.mesh import (
    InvalidInputError,
    MeshError,
    NotFoundError,
    NotReadyError,
    PreconditionError,
    Reason,
)

MAX_RETRY_AFTER_S: Final = 2.0

_BAD_KEY: Final = (401, 403)
_PAYMENT: Final = 402
_TIMEOUT: Final = 408
_NOT_FOUND: Final = 404
_RATE_LIMITED: Final = 429
_SERVER_ERROR: Final = 500
_BAD_REQUEST: Final = 400


class ProviderError(Exception):
    """A provider did not answer; another one may.

    Args:
        message: For the caller; no secrets.
        name: The provider.
        status: The HTTP status, or a word such as "timeout".
        retry_after_s: How long to wait before asking again; None: do not.
        is_at_fault: Whether it says that the provider does not do its work. It does not
            when this call's own key is not good, or used up: other callers are served.
        told_as: What the caller sees when no other provider answers; None makes it of
            the above.
    """

    def __init__(
        self,
        message: str,
        *,
        name: str,
        status: str,
        retry_after_s: float | None = None,
        is_at_fault: bool = True,
        told_as: MeshError | None = None,
    ) -> None:
        super().__init__(message)
        self.name = name
        self.status = status
        self.retry_after_s = retry_after_s
        self.is_at_fault = is_at_fault
        self._told_as = told_as

    def as_mesh_error(self) -> MeshError:
        """Returns the error that the caller sees when no other provider answers."""
        return self._told_as or NotReadyError(
            f"{self.name}: {self}", Reason.PROVIDER_FAILED, provider=self.name, status=self.status
        )


def missing_key(name: str) -> ProviderError:
    """Returns the error of a provider that needs a key and has none."""
    return ProviderError(
        "it needs a key",
        name=name,
        status="missing_key",
        is_at_fault=False,
        told_as=PreconditionError(
            f"{name} needs a key: neither its settings nor the call has one",
            Reason.MISSING_KEY,
            provider=name,
        ),
    )


def untellable(name: str, error: UntellableError) -> ProviderError:
    """Returns the error of a request that has no words in what the provider speaks."""
    return ProviderError(
        f"the request cannot be told to it: {error}",
        name=name,
        status="untellable",
        is_at_fault=False,
        told_as=InvalidInputError(f"cannot be told to {name}: {error}", provider=name),
    )


@dataclass(frozen=True, slots=True)
class Refusing:
    """Reads the refusals of one request."""

    name: str
    model: str
    adapter: Adapter
    is_callers: bool = False  # whether the key is the caller's own

    def refusal(
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        redact: Callable[[str], str] = str,
    ) -> ProviderError | MeshError:
        """Returns the error that an HTTP status other than 200 stands for.

        A `MeshError` is the caller's to act on; a `ProviderError` is the provider's.
        """
        found = _parsed(body)
        if status in _BAD_KEY or self.adapter.refuses_key(found):
            return self._bad_key(status)
        if status == _NOT_FOUND:
            return NotFoundError(
                f"{self.name} does not know the model {self.model!r}",
                Reason.UNKNOWN_MODEL,
                model=self.model,
            )
        said = presentable(redact(reported(found)))
        for_caller = _BAD_REQUEST <= status < _SERVER_ERROR
        if for_caller and status not in (_RATE_LIMITED, _PAYMENT, _TIMEOUT):
            return InvalidInputError(
                f"{self.name} refused the request: {said or f'status {status}'}",
                provider=self.name,
                status=str(status),
            )
        return self._trouble(status, headers, said)

    def _trouble(self, status: int, headers: Mapping[str, str], said: str) -> ProviderError:
        if status == _RATE_LIMITED:
            return self._error(said or "its rate limit is reached", status, _retry_after_s(headers))
        if status == _PAYMENT:
            return self._error(said or "it wants to be paid", status)
        if status >= _SERVER_ERROR or status == _TIMEOUT:
            wait_s = _retry_after_s(headers) if _asks_to_wait(headers) else 0.0
            return self._error(said or "it failed", status, wait_s)
        # 1xx to 3xx: nothing that an API answers with, and following could leak the key.
        return self._error("it answered with no completion", status)

    def _bad_key(self, status: int) -> ProviderError:
        # Its own message may repeat the key.
        if not self.is_callers:
            return self._error("it does not accept its key", status)
        said = "it does not accept the key that the call brings"
        return ProviderError(
            said,
            name=self.name,
            status=str(status),
            is_at_fault=False,
            told_as=InvalidInputError(
                f"{self.name}: {said}",
                field="credentials",
                provider=self.name,
                status=str(status),
            ),
        )

    def _error(
        self, message: str, status: int, retry_after_s: float | None = None
    ) -> ProviderError:
        # What a caller's own key has used up says nothing of the other keys.
        is_own_limit = self.is_callers and status in (_RATE_LIMITED, _PAYMENT)
        return ProviderError(
            message,
            name=self.name,
            status=str(status),
            retry_after_s=retry_after_s,
            is_at_fault=not is_own_limit,
        )


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None  # a proxy's HTML page, as a rule


def _asks_to_wait(headers: Mapping[str, str]) -> bool:
    return "retry-after" in headers or "retry-after-ms" in headers


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Returns the wait that the provider asks for, or None when it is too long or unsaid."""
    try:
        if "retry-after-ms" in headers:  # OpenAI's, and finer
            wait_s = float(headers["retry-after-ms"]) / 1e3
        else:
            wait_s = float(headers.get("retry-after", ""))
    except ValueError:  # absent, or a date: seconds are what APIs send
        return None
    return wait_s if math.isfinite(wait_s) and 0 <= wait_s <= MAX_RETRY_AFTER_S else None
