"""A budget of retries, so that they cannot double the load on a provider in trouble."""

from typing import Final

# Of n calls at most FLOOR + SHARE * n are made again: a tenth, beyond a small floor
# that lets a quiet service retry at all. The share is the one that gRPC's retry
# throttling and Finagle's retry budget use too.
FLOOR: Final = 5
SHARE: Final = 0.1


class RetryBudget:
    """Counts one provider's calls and retries; holds tokens, never more than FLOOR."""

    def __init__(self) -> None:
        # In tenths of a token: whole numbers do not drift.
        self._tenths = FLOOR * 10

    def called(self) -> None:
        """Records one call, which earns a tenth of a retry."""
        self._tenths = min(self._tenths + round(SHARE * 10), FLOOR * 10)

    def take(self) -> bool:
        """Returns whether one retry may be made, and takes it."""
        if self._tenths < 10:  # noqa: PLR2004 - one token
            return False
        self._tenths -= 10
        return True
