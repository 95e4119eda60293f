"""The ids by which a client may name an answer."""

import re
from typing import Final
from uuid import UUID

from arenalab.gateway.errors import bad_request

MAX_ID: Final = 128
CHAT: Final = "chatcmpl-"
RESPONSE: Final = "resp_"
_HEX: Final = re.compile(r"[0-9a-fA-F]{32}")


def prediction_id(name: str, *, param: str) -> str:
    """Returns the prediction that a client names: "chatcmpl-…", "resp_…" or the id itself.

    Raises:
        ApiError: 400; it is empty, too long, or holds characters that no id has.
    """
    if not 1 <= len(name) <= MAX_ID or not (name.isascii() and name.isprintable()):
        raise bad_request(f"{param} must be 1 to {MAX_ID} visible ASCII characters", param=param)
    bare = name
    for prefix in (CHAT, RESPONSE):
        bare = bare.removeprefix(prefix)
    if _HEX.fullmatch(bare.replace("-", "")):
        return str(UUID(hex=bare))
    return name
