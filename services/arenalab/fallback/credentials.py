"""Keys that a caller brings: checked, and then sent to the provider that they are for.

No message shows a key, nor the name beside it: a caller may have mixed up the two.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from arenalab.mesh import InvalidInputError

MAX_CREDENTIALS: Final = 16
_KEY: Final = re.compile(r"[\x21-\x7e]{1,4096}")


def credentials_of(
    given: Sequence[tuple[str, str]], provider: str, configured: Collection[str]
) -> Mapping[str, str]:
    """Returns the keys by provider.

    Args:
        given: Provider and key of each.
        provider: That the call names; one without a name is for it.
        configured: Names of the configured providers.

    Raises:
        InvalidInputError: There are too many; two are for one provider; a provider is
            not configured; a key is not 1 to 4,096 visible ASCII characters.
    """
    if len(given) > MAX_CREDENTIALS:
        raise _invalid("credentials", f"hold at most {MAX_CREDENTIALS}, got {len(given)}")
    found: dict[str, str] = {}
    for n, (named, key) in enumerate(given):
        name = named or provider
        if not name:
            raise _invalid(f"credentials[{n}].provider", "be set when the call names no provider")
        if name not in configured:
            raise _invalid(f"credentials[{n}].provider", "be a configured one")
        if name in found:
            raise _invalid(f"credentials[{n}].provider", "come once")
        if not _KEY.fullmatch(key):
            raise _invalid(f"credentials[{n}].api_key", "be 1 to 4,096 visible ASCII characters")
        found[name] = key
    return found


def _invalid(field: str, rule: str) -> InvalidInputError:
    return InvalidInputError(f"{field} must {rule}", field=field)
