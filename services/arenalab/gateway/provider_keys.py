"""Keys of model providers that callers bring: with a request, or kept for their API key.

`x-arenalab-provider-key: openai=KEY` brings one; the header may come again, or hold
several by commas. A key that comes with a request replaces the one that is kept.

What is kept is a JSON file that only its owner may read: the providers' keys by whom they
are for, `{"acme": {"openai": "KEY"}, "acme/ci": {"anthropic": "KEY"}}`. A name is a
tenant; or a tenant and the name of one of its API keys; or the id of an API key. The
more particular comes first.

No message shows a key, nor what stands in its place: a caller may have mixed them up.
"""

import json
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from arenalab.api.common.v1.credential_pb2 import ProviderCredential
from arenalab.gateway.errors import ApiError, bad_request
from arenalab.gateway.keys import Principal
from arenalab.mesh import ConfigError, NotReadyError

HEADER: Final = "x-arenalab-provider-key"
MAX_KEYS: Final = 16
MAX_FILE_BYTES: Final = 4 * 1024 * 1024
_PROVIDER: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_KEY: Final = re.compile(r"[\x21-\x7e]{1,4096}")  # without commas, when it is in a header
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO

_Keys = Mapping[str, str]  # of providers, by name


class ProviderKeys:
    """Whose providers' keys are known."""

    def __init__(self, kept: Mapping[str, _Keys] | None = None) -> None:
        self._kept = kept or {}

    def __repr__(self) -> str:
        return f"ProviderKeys(of {len(self._kept)})"

    def of(self, principal: Principal, headers: Sequence[str]) -> Sequence[ProviderCredential]:
        """Returns the keys for one request.

        Args:
            principal: Who calls.
            headers: The values of every `HEADER` of the request.

        Raises:
            ApiError: 400; a header is malformed.
        """
        found: dict[str, str] = {}
        tenant = principal.tenant
        for holder in (tenant, f"{tenant}/{principal.name}", principal.key_id):
            found |= self._kept.get(holder, {})
        if headers:
            found |= _parse(headers)
        if len(found) > MAX_KEYS:
            raise _bad(f"bring at most {MAX_KEYS} keys with those that are kept")
        return [ProviderCredential(provider=name, api_key=key) for name, key in found.items()]


def _parse(headers: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in (part.strip() for value in headers for part in value.split(",")):
        provider, equals, key = part.partition("=")
        if not equals or not _PROVIDER.fullmatch(provider) or not _KEY.fullmatch(key):
            raise _bad("be PROVIDER=KEY, the key in visible ASCII")
        if provider in found:
            raise _bad("name a provider once")
        found[provider] = key
    return found


def _bad(rule: str) -> ApiError:
    return bad_request(f"{HEADER} must {rule}", param=HEADER)


def read_provider_keys(path: Path | None) -> ProviderKeys:
    """Reads the file; none keeps no keys.

    Raises:
        NotReadyError: It cannot be read.
        ConfigError: Others may read it, or it is malformed; the message shows no key.
    """
    if path is None:
        return ProviderKeys()
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(path.stat().st_mode) & _OTHERS:
                raise ConfigError(f"{path}: only its owner may read it: chmod 600")
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise NotReadyError(f"cannot read the provider keys in {path}: {error}") from error
    try:
        found = json.loads(data) if len(data) <= MAX_FILE_BYTES else None
    except (ValueError, RecursionError):
        found = None  # the error of the parser would show a part of it
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: must be a JSON object of at most {MAX_FILE_BYTES} bytes")
    for n, keys in enumerate(found.values(), 1):
        if not isinstance(keys, dict) or len(keys) > MAX_KEYS or not _are_keys(keys):
            raise ConfigError(
                f"{path}: entry {n} must have an object of at most {MAX_KEYS} keys, "
                "each in visible ASCII, by provider"
            )
    return ProviderKeys(found)


def _are_keys(keys: Mapping[str, object]) -> bool:
    return all(
        _PROVIDER.fullmatch(name) and isinstance(key, str) and _KEY.fullmatch(key)
        for name, key in keys.items()
    )
