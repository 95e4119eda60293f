"""What a provider's refusal means: whose fault it is, and whether to ask again."""

import json
import math
from collections.abc import Mapping
from typing import Final

from arenalab.fallback.chunks import error_message
from arenalab.mesh import InvalidInputError, MeshError, NotFoundError, NotReadyError, Reason

MAX_RETRY_AFTER_S: Final = 2.0

_BAD_KEY: Final = (401, 403)
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
    """

    def __init__(
        self, message: str, *, name: str, status: str, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.name = name
        self.status = status
        self.retry_after_s = retry_after_s

    def as_mesh_error(self) -> MeshError:
        """Returns the error that the caller sees when no other provider answers."""
        return NotReadyError(
            f"{self.name}: {self}", Reason.PROVIDER_FAILED, provider=self.name, status=self.status
        )


def refusal(
    status: int, headers: Mapping[str, str], body: bytes, *, name: str, model: str
) -> ProviderError | MeshError:
    """Returns the error that an HTTP status other than 200 stands for.

    A `MeshError` is the caller's to act on; a `ProviderError` is the provider's.
    """
    if status in _BAD_KEY:
        # Its own message may repeat the key.
        return ProviderError("it does not accept its key", name=name, status=str(status))
    said = _message(body)
    if status == _NOT_FOUND:
        return NotFoundError(
            f"{name} does not know the model {model!r}", Reason.UNKNOWN_MODEL, model=model
        )
    if status == _RATE_LIMITED:
        wait_s = _retry_after_s(headers)
        return ProviderError(
            said or "its rate limit is reached", name=name, status="429", retry_after_s=wait_s
        )
    if status >= _SERVER_ERROR or status == _TIMEOUT:
        wait_s = _retry_after_s(headers) if "retry-after" in headers else 0.0
        return ProviderError(
            said or "it failed", name=name, status=str(status), retry_after_s=wait_s
        )
    if status >= _BAD_REQUEST:
        return InvalidInputError(
            f"{name} refused the request: {said or f'status {status}'}",
            provider=name,
            status=str(status),
        )
    # 1xx to 3xx: nothing that an API answers with, and following could leak the key.
    return ProviderError("it answered with no completion", name=name, status=str(status))


def _message(body: bytes) -> str:
    try:
        return error_message(json.loads(body))
    except (ValueError, RecursionError):
        return ""  # a proxy's HTML page, as a rule


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Returns the wait that the provider asks for, or None when it is too long or unsaid."""
    try:
        wait_s = float(headers.get("retry-after", ""))
    except ValueError:  # absent, or a date: seconds are what APIs send
        return None
    return wait_s if math.isfinite(wait_s) and 0 <= wait_s <= MAX_RETRY_AFTER_S else None
