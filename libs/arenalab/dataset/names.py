"""The names that become folders, and the check that keeps them inside the root."""

import re
from typing import Final

from arenalab.mesh import InvalidInputError

NAME: Final = re.compile(r"[a-z0-9_-]{1,64}")
VERSION: Final = re.compile(r"[0-9a-f]{64}")
STAGING: Final = re.compile(r"\.staging-[0-9a-f]{16}")

MANIFEST_FILE: Final = "manifest.json"
SPANS_FILE: Final = "spans.ndjson.zst"
EMBEDDINGS_FILE: Final = "embeddings.npy"
CALIBRATION_FILE: Final = "calibration.json"
VIEWS_FILE: Final = "calibration.npz"
FILES: Final = (SPANS_FILE, EMBEDDINGS_FILE, CALIBRATION_FILE)  # those that a manifest names
OPTIONAL_FILES: Final = (VIEWS_FILE,)  # and those that it names where there are any


def checked(value: str, pattern: re.Pattern[str], field: str) -> str:
    """Returns `value` if it is one folder's name and nothing else.

    Raises:
        InvalidInputError: It does not match.
    """
    if not pattern.fullmatch(value):
        raise InvalidInputError(
            f"{field} must match {pattern.pattern}, got {value[:80]!a}", field=field
        )
    return value
